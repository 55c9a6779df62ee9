import { dirname } from 'node:path';
import { invalidRequest, notFound } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import type { HistoryMode } from '../../domain/session-meta.ts';
import type { OpenFiles } from './open-files.ts';
import type { RestorePlain } from './rollout-file.ts';
import type { RolloutStart } from './rollout-start.ts';
import { RolloutWriter } from './rollout-writer.ts';
import { UnfinishedRollouts } from './unfinished-rollouts.ts';
import type { WriterLock, WriterLocks } from './writer-locks.ts';

/** A thread that this store writes: its writer and the lock that makes it the only one. */
export interface LiveWriter {
  readonly threadId: ThreadId;
  readonly historyMode: HistoryMode;
  readonly writer: RolloutWriter;
}

/** The threads this store has open for writing. An id is in here once, or being opened, or not at all. */
export class LiveWriters {
  readonly #locks: WriterLocks;
  readonly #openFiles: OpenFiles;
  readonly #now: () => number;
  readonly #restore: RestorePlain | undefined;
  readonly #byId = new Map<ThreadId, LiveWriter & { readonly lock: WriterLock }>();
  readonly #opening = new Set<ThreadId>();
  readonly #unfinished = new UnfinishedRollouts();

  constructor(locks: WriterLocks, openFiles: OpenFiles, now: () => number, restore?: RestorePlain) {
    this.#locks = locks;
    this.#openFiles = openFiles;
    this.#now = now;
    this.#restore = restore;
  }

  get all(): readonly LiveWriter[] {
    return [...this.#byId.values()];
  }

  /** The writer of a live thread, or undefined. */
  find(threadId: ThreadId): LiveWriter | undefined {
    return this.#byId.get(threadId);
  }

  /** @throws notFound if the thread is not live */
  get(threadId: ThreadId): LiveWriter {
    const live = this.#byId.get(threadId);
    if (live === undefined) throw notFound(`thread ${threadId} not found`);
    return live;
  }

  /**
   * Opens a writer while holding the thread's lock; gives the lock back if that fails.
   * @throws invalidRequest if the thread is live already; conflict if another process writes it
   */
  async open(
    threadId: ThreadId,
    historyModeAndStart: () => Promise<{
      readonly historyMode: HistoryMode;
      readonly path: string;
      readonly start: RolloutStart;
    }>,
  ): Promise<LiveWriter> {
    if (this.#byId.has(threadId) || this.#opening.has(threadId)) {
      throw invalidRequest(`thread ${threadId} already has a live local writer`);
    }
    this.#opening.add(threadId);
    try {
      const lock = await this.#locks.acquire(threadId);
      try {
        const { historyMode, path, start } = await historyModeAndStart();
        if (start.kind === 'new') await this.#unfinished.sweep(dirname(path));
        const writer = new RolloutWriter(path, start, this.#openFiles, this.#now, this.#restore);
        const live = { threadId, historyMode, writer, lock };
        this.#byId.set(threadId, live);
        return live;
      } catch (error) {
        await lock.release();
        throw error;
      }
    } finally {
      this.#opening.delete(threadId);
    }
  }

  /** Flushes and lets go. If the flush fails the thread stays live. @throws notFound if it is not */
  async shutdown(threadId: ThreadId): Promise<void> {
    const live = this.#byId.get(threadId);
    if (live === undefined) throw notFound(`thread ${threadId} not found`);
    await live.writer.close();
    await this.#forget(threadId, live.lock);
  }

  /** Lets go without writing. @throws notFound if it is not live */
  async discard(threadId: ThreadId): Promise<void> {
    const live = this.#byId.get(threadId);
    if (live === undefined) throw notFound(`thread ${threadId} not found`);
    try {
      await live.writer.discard();
    } finally {
      await this.#forget(threadId, live.lock);
    }
  }

  async #forget(threadId: ThreadId, lock: WriterLock): Promise<void> {
    // Two callers may both have waited for the end of the same writer.
    if (this.#byId.get(threadId)?.lock === lock) this.#byId.delete(threadId);
    await lock.release();
  }
}
