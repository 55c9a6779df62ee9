import type { ThreadId } from '../domain/ids.ts';
import { messageOf } from '../domain/errors.ts';
import type { ThreadManager } from '../runtime/thread-manager.ts';
import type { Subscriptions } from './subscriptions.ts';

/**
 * Unloads threads that nobody watches and that do nothing (F23): both must have been so for the delay, measured from
 * the later of the two. A running turn goes on to its end without anyone watching.
 */
export class IdleUnloader {
  readonly #manager: ThreadManager;
  readonly #delayMs: number;
  readonly #now: () => number;
  readonly #onProblem: (message: string) => void;
  readonly #timers = new Map<ThreadId, NodeJS.Timeout>();
  #subscriptions: Subscriptions | undefined;

  constructor(manager: ThreadManager, delayMs: number, now: () => number, onProblem: (message: string) => void) {
    this.#manager = manager;
    this.#delayMs = delayMs;
    this.#now = now;
    this.#onProblem = onProblem;
  }

  /** Who watches is asked again when the time has come. */
  attach(subscriptions: Subscriptions): void {
    this.#subscriptions = subscriptions;
  }

  /** The last watcher has left, or there never was one. */
  abandoned(threadId: ThreadId): void {
    this.#schedule(threadId, this.#delayMs);
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  #schedule(threadId: ThreadId, delayMs: number): void {
    clearTimeout(this.#timers.get(threadId));
    const timer = setTimeout(() => {
      this.#timers.delete(threadId);
      this.#consider(threadId).catch((error: unknown) => this.#onProblem(messageOf(error)));
    }, delayMs).unref();
    this.#timers.set(threadId, timer);
  }

  async #consider(threadId: ThreadId): Promise<void> {
    const thread = this.#manager.find(threadId);
    const isWatched = (this.#subscriptions?.watchersOf(threadId).size ?? 0) > 0;
    if (thread === undefined || isWatched) return;
    const quietMs = this.#now() - thread.lastActivityMs;
    if (thread.states.turn !== 'idle' || quietMs < this.#delayMs) {
      this.#schedule(threadId, Math.max(this.#delayMs - quietMs, 1_000));
      return;
    }
    await this.#manager.unloadIdle(threadId, 'idle');
  }
}
