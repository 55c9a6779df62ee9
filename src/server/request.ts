import type * as z from 'zod';
import type { ThreadManager } from '../runtime/thread-manager.ts';
import type { ClientRequests } from './client-requests.ts';
import type { ClientIdentity, Connection } from './connection.ts';
import type { Experimental } from './experimental.ts';
import type { Subscriptions } from './subscriptions.ts';

/** What handlers work with. */
export interface Services {
  readonly manager: ThreadManager;
  readonly subscriptions: Subscriptions;
  readonly clientRequests: ClientRequests;
  readonly server: ServerIdentity;
}

/** What the daemon says of itself. */
export interface ServerIdentity {
  /** Skein's version. */
  readonly version: string;
  /** Absolute. */
  readonly home: string;
  readonly hostName: string;
  /** Stays the same for a home. */
  readonly installationId: string;
  /** Of the process. */
  readonly pid: number;
  /** Tells this run of the daemon from any other. */
  readonly nonce: string;
}

/** One request of a client, to be answered once. */
export interface Request {
  readonly connection: Connection;
  readonly client: ClientIdentity;
  /** Who asks for what, in words for logs and for whoever looks at transitions. */
  readonly cause: string;
  /** Sends the answer; nothing else may be sent as one after it. */
  answer(result: object): void;
}

/** How far Skein has what a method is about; said in the table of the protocol (test/COVERAGE.md). */
export type Support =
  | 'done'
  /** There is none of it here, on purpose, and the answer says so: an empty list, no account. */
  | 'empty'
  /** Refused. */
  | 'unsupported';

/** A method: its parameters, validated before it runs, and what it does. It answers by `request.answer`. */
export interface Method<S extends z.ZodType = z.ZodType> {
  readonly params: S;
  readonly experimental: Experimental;
  readonly support: Support;
  readonly handle: (params: z.infer<S>, request: Request, services: Services) => Promise<void> | void;
}

/** Keeps parameters and handler of a method of one type. */
export const method = <S extends z.ZodType>(
  params: S,
  handle: Method<S>['handle'],
  experimental: Experimental = 'no',
): Method => ({ params, handle: handle as Method['handle'], experimental, support: 'done' });

/** A method about something that there is none of here. */
export const empty = (of: Method): Method => ({ ...of, support: 'empty' });

/** A method that is always refused. */
export const unsupported = (of: Method): Method => ({ ...of, support: 'unsupported' });
