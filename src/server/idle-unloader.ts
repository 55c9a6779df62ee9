import type { ThreadId } from '../domain/ids.ts';
import { messageOf } from '../domain/errors.ts';
import type { ThreadManager } from '../runtime/thread-manager.ts';

export interface IdleUnloaderOptions {
  readonly manager: Pick<ThreadManager, 'find' | 'unloadIdle'>;
  /** How long a thread must have been unwanted and quiet, ms. */
  readonly delayMs: number;
  /** Unix ms. */
  readonly now: () => number;
  /** Somebody watches the thread, or is about to. */
  readonly isWanted: (threadId: ThreadId) => boolean;
  readonly onProblem: (message: string) => void;
}

/** The least that lies between two attempts to unload the same thread, ms. */
const MIN_RETRY_MS = 1_000;

/**
 * Unloads threads that nobody watches and that do nothing (F23): both must have been so for the delay, measured from
 * the later of the two. A running turn goes on to its end without anyone watching.
 */
export class IdleUnloader {
  readonly #options: IdleUnloaderOptions;
  readonly #timers = new Map<ThreadId, NodeJS.Timeout>();
  #isClosed = false;

  constructor(options: IdleUnloaderOptions) {
    this.#options = options;
  }

  /** The last watcher has left, or there never was one. */
  abandoned(threadId: ThreadId): void {
    if (this.#options.manager.find(threadId) !== undefined) this.#schedule(threadId, this.#options.delayMs);
    else this.wanted(threadId);
  }

  /** Somebody wants the thread again, or it is gone: nothing is to be done. */
  wanted(threadId: ThreadId): void {
    clearTimeout(this.#timers.get(threadId));
    this.#timers.delete(threadId);
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #schedule(threadId: ThreadId, delayMs: number): void {
    this.wanted(threadId);
    if (this.#isClosed) return;
    const timer = setTimeout(() => {
      this.#timers.delete(threadId);
      void this.#consider(threadId);
    }, delayMs).unref();
    this.#timers.set(threadId, timer);
  }

  async #consider(threadId: ThreadId): Promise<void> {
    const { manager, delayMs, now, isWanted, onProblem } = this.#options;
    const thread = manager.find(threadId);
    if (thread === undefined || isWanted(threadId)) return;
    const quietMs = now() - thread.lastActivityMs;
    if (thread.states.turn !== 'idle' || thread.pendingOperations > 0) {
      this.#schedule(threadId, Math.max(delayMs, MIN_RETRY_MS));
    } else if (quietMs < delayMs) this.#schedule(threadId, delayMs - Math.max(quietMs, 0));
    else {
      try {
        await manager.unloadIdle(threadId, 'idle');
      } catch (error) {
        // It could not be written, mostly. It stays loaded, and is tried again.
        onProblem(`thread ${threadId} could not be unloaded: ${messageOf(error)}`);
        if (!isWanted(threadId)) this.#schedule(threadId, Math.max(delayMs, MIN_RETRY_MS));
      }
    }
  }
}
