import { Worker } from 'node:worker_threads';
import { internal, SkeinError, type ErrorCode, type ErrorDetail } from '../../../domain/errors.ts';
import type { IndexApi } from './index-api.ts';
import { IndexService, type IndexOptions } from './index-service.ts';

export interface IndexWorkerData {
  readonly home: string;
  readonly defaultModelProvider: string;
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

const METHODS: readonly (keyof IndexApi)[] = [
  'locate',
  'locateByPath',
  'files',
  'list',
  'search',
  'turns',
  'items',
  'prefix',
  'stretches',
  'descendants',
  'referrers',
  'touch',
  'forget',
  'whenReady',
  'status',
  'close',
];

/** Opens the index of a home in a thread of its own. Ready to be called at once; calls wait until it is up. */
export function openIndexThread(options: IndexOptions): IndexApi {
  return new IndexThread(options).api;
}

/** Opens the index in this thread: for tests and tools that would only wait for it anyway. */
export const openIndexInline = (options: IndexOptions): IndexApi => new IndexService(options);

class IndexThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #lastId = 0;
  #end: Error | undefined;

  constructor({ home, defaultModelProvider }: IndexOptions) {
    const workerData: IndexWorkerData = { home: home.home, defaultModelProvider };
    this.#worker = new Worker(new URL('./index-worker.js', import.meta.url), { workerData });
    this.#worker.on('message', (reply: WorkerReply) => this.#settle(reply));
    this.#worker.on('error', (error) => this.#fail(internal('the index thread failed', error)));
    this.#worker.on('exit', () => this.#fail(internal('the index thread has ended')));
  }

  /** An `IndexApi` whose methods are messages. */
  get api(): IndexApi {
    const calls = METHODS.map((method) => [method, (...args: readonly unknown[]) => this.#call(method, args)] as const);
    return Object.fromEntries(calls) as unknown as IndexApi;
  }

  #call(method: keyof IndexApi, args: readonly unknown[]): Promise<unknown> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      this.#lastId += 1;
      this.#waiting.set(this.#lastId, { resolve, reject });
      this.#worker.postMessage({ id: this.#lastId, method, args } satisfies WorkerRequest);
    });
  }

  #settle(reply: WorkerReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.ok) waiting?.resolve(reply.value);
    else waiting?.reject(new SkeinError(reply.error.code, reply.error.message, reply.error.detail));
  }

  #fail(error: Error): void {
    this.#end ??= error;
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}
