import type { ErrorCode, ErrorDetail } from '../../../domain/errors.ts';
import type { IndexApi } from './index-api.ts';
import type { IndexOptions } from './index-life.ts';

/** What the main thread and the index thread say to each other: calls of `IndexApi`, one reply each. */

/** `IndexOptions`, as what can be sent. */
export interface IndexWorkerData extends Omit<IndexOptions, 'home'> {
  readonly home: string;
}

export interface WorkerRequest {
  readonly id: number;
  readonly method: keyof IndexApi;
  readonly args: readonly unknown[];
}

export type WorkerReply =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | {
      readonly id: number;
      readonly ok: false;
      readonly error: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly detail: ErrorDetail;
        readonly cause: string;
      };
    };
