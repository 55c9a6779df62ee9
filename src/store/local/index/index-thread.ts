import { Worker } from 'node:worker_threads';
import { internal, SkeinError } from '../../../domain/errors.ts';
import type { IndexApi } from './index-api.ts';
import type { IndexOptions } from './index-life.ts';
import type { IndexWorkerData, WorkerReply, WorkerRequest } from './index-messages.ts';
import { IndexService } from './index-service.ts';

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
  'restore',
  'restoreHistory',
  'descendants',
  'referrers',
  'touch',
  'forget',
  'whenReady',
  'status',
  'audit',
  'close',
];

/** Hears of an index thread that ended without being asked to. */
export type OnIndexFailure = (message: string, cause: unknown) => void;

/**
 * Opens the index of a home in a thread of its own. Ready to be called at once; calls wait until it is up. If the
 * thread dies, calls under way fail, and the next one starts another: everything it knew is in its database and the
 * rollouts.
 */
export function openIndexThread(options: IndexOptions, onFailure: OnIndexFailure = () => {}): IndexApi {
  return new IndexThread(options, onFailure).api;
}

/** Opens the index in this thread: for tests and tools that would only wait for it anyway. */
export const openIndexInline = (options: IndexOptions): IndexApi => new IndexService(options);

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

class IndexThread {
  readonly #workerData: IndexWorkerData;
  readonly #onFailure: OnIndexFailure;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #lastId = 0;
  #isClosed = false;

  constructor({ home, ...options }: IndexOptions, onFailure: OnIndexFailure) {
    this.#workerData = { home: home.home, ...options };
    this.#onFailure = onFailure;
    this.#worker = this.#start();
  }

  /** An `IndexApi` whose methods are messages. */
  get api(): IndexApi {
    const calls = METHODS.map((method) => [method, (...args: readonly unknown[]) => this.#call(method, args)] as const);
    return Object.fromEntries(calls) as unknown as IndexApi;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./index-worker.js', import.meta.url), { workerData: this.#workerData });
    worker.on('message', (reply: WorkerReply) => this.#settle(reply));
    worker.on('error', (error) => this.#ended(worker, error));
    worker.on('exit', (code) => this.#ended(worker, new Error(`it ended with code ${code}`)));
    return worker;
  }

  #call(method: keyof IndexApi, args: readonly unknown[]): Promise<unknown> {
    if (this.#isClosed) return method === 'close' ? Promise.resolve() : Promise.reject(internal('the index is closed'));
    this.#isClosed = method === 'close';
    const worker = (this.#worker ??= this.#start());
    return new Promise((resolve, reject) => {
      this.#lastId += 1;
      this.#waiting.set(this.#lastId, { resolve, reject });
      worker.postMessage({ id: this.#lastId, method, args } satisfies WorkerRequest);
    });
  }

  #settle(reply: WorkerReply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (reply.ok) waiting?.resolve(reply.value);
    else waiting?.reject(new SkeinError(reply.error.code, reply.error.message, reply.error.detail));
  }

  #ended(worker: Worker, cause: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    if (!this.#isClosed) this.#onFailure('the index thread failed; the next request starts it again', cause);
    const error = internal('the index thread failed', cause);
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}
