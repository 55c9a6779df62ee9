import { setTimeout as delay } from 'node:timers/promises';
import { conflict, internal, invalidRequest, messageOf, overloaded, type SkeinError } from '../domain/errors.ts';
import type { ThreadId } from '../domain/ids.ts';
import { CodexThread, type CodexThreadParams } from './codex-thread.ts';
import type { ThreadEvent } from './thread-events.ts';
import type { Transition } from './transitions.ts';

/** What every loaded thread shares. */
export type SharedThreadParams = Pick<CodexThreadParams, 'model' | 'durability' | 'now'>;

export interface RegistryOptions extends SharedThreadParams {
  readonly onEvent: (threadId: ThreadId, event: ThreadEvent) => void;
  /** Something went wrong that no caller waits for. */
  readonly onProblem: (message: string, cause: unknown) => void;
}

/** What became of each thread in a shutdown of all; ids sorted as text. */
export interface ShutdownReport {
  readonly completed: readonly ThreadId[];
  /** Those that refused, with the reason; they stay loaded and can be tried again. */
  readonly failed: readonly { readonly threadId: ThreadId; readonly reason: string }[];
  readonly timedOut: readonly ThreadId[];
}

/** A thread that is unloaded for a reason of its own gets this long. */
const CLOSE_TIMEOUT_MS = 10_000;

/** What a thread is made of, once that is known. */
export type PrepareThread = () => Promise<Pick<CodexThreadParams, 'settings' | 'open'>>;

interface Opening {
  readonly loaded: Promise<CodexThread>;
  readonly cancelled: AbortController;
}

/**
 * The loaded threads: a plain map of roots that do not share their fate (D1). An id is opened once at a time, closed
 * once at a time, and in here only while it is loaded.
 */
export class ThreadRegistry {
  readonly #options: RegistryOptions;
  readonly #threads = new Map<ThreadId, CodexThread>();
  /** One opening of a thread at a time; whoever else wants it waits for the same one. */
  readonly #opening = new Map<ThreadId, Opening>();
  readonly #closing = new Map<ThreadId, Promise<void>>();
  /** Threads that something is done with for which they must not be loaded, and how often. */
  readonly #held = new Map<ThreadId, number>();
  readonly #transitionListeners = new Set<(transition: Transition) => void>();
  /** Who waits for a change in what runs. */
  readonly #changeWaiters = new Set<() => void>();
  #isEnding = false;
  #isDraining = false;

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  /** Hears every change of every thread's states. Costs nothing while nobody does. @returns ends that */
  onTransition(listener: (transition: Transition) => void): () => void {
    this.#transitionListeners.add(listener);
    return () => this.#transitionListeners.delete(listener);
  }

  get all(): readonly CodexThread[] {
    return [...this.#threads.values()];
  }

  /** A loaded thread, or undefined. */
  find(threadId: ThreadId): CodexThread | undefined {
    const thread = this.#threads.get(threadId);
    return thread === undefined || thread.isOver ? undefined : thread;
  }

  /** A thread on its way to being loaded. */
  opening(threadId: ThreadId): Promise<CodexThread> | undefined {
    return this.#opening.get(threadId)?.loaded;
  }

  /** The thread is being unloaded, or kept from being loaded. */
  isClosing(threadId: ThreadId): boolean {
    return this.#closing.has(threadId) || this.#held.has(threadId);
  }

  /** Resolves when the thread is not being opened or unloaded any more, however that ends. */
  async whenSettled(threadId: ThreadId): Promise<void> {
    await this.#opening.get(threadId)?.loaded.catch(() => {});
    await this.#closing.get(threadId)?.catch(() => {});
  }

  /**
   * Makes a thread and waits until it is loaded.
   * @param prepare finds out what it is made of; nobody else opens it meanwhile
   * @throws conflict for an id that is loaded; overloaded if all threads end meanwhile; what kept it from opening, which
   *   leaves nothing behind
   */
  load(id: ThreadId, prepare: PrepareThread): Promise<CodexThread> {
    if (this.#isEnding) return Promise.reject(stopping());
    if (this.find(id) !== undefined || this.#opening.has(id)) {
      return Promise.reject(conflict(`thread ${id} is already running`, 'this daemon'));
    }
    const cancelled = new AbortController();
    const loaded = this.#load(id, prepare, cancelled.signal)
      .catch((error: unknown) => {
        // Nothing is wrong with the thread, and whoever asked can ask again.
        throw cancelled.signal.aborted ? stopping() : error;
      })
      .finally(() => this.#opening.delete(id));
    this.#opening.set(id, { loaded, cancelled });
    return loaded;
  }

  /** Takes a thread out without ending it; only if it is still the one given. */
  remove(thread: CodexThread): boolean {
    if (this.#threads.get(thread.id) !== thread) return false;
    this.#threads.delete(thread.id);
    this.#changed();
    return true;
  }

  /**
   * Unloads a thread, if it is loaded: a running turn is interrupted, everything is written, the writer is let go.
   * What cannot be done in time stays loaded; if it ends later after all, it is unloaded then.
   * @throws what kept it from ending
   */
  close(threadId: ThreadId, cause: string): Promise<void> {
    const already = this.#closing.get(threadId);
    if (already !== undefined) return already;
    if (this.find(threadId) === undefined && !this.#opening.has(threadId)) return Promise.resolve();
    return this.#closes(threadId, this.#close(threadId, cause));
  }

  /**
   * Unloads threads, one after the other, and keeps them from being loaded again while something is done with what
   * is stored of them. @throws what kept one from ending; what `work` throws
   */
  async whileUnloaded<T>(threadIds: readonly ThreadId[], cause: string, work: () => Promise<T>): Promise<T> {
    for (const id of threadIds) this.#held.set(id, (this.#held.get(id) ?? 0) + 1);
    try {
      for (const id of threadIds) await this.close(id, cause);
      return await work();
    } finally {
      for (const id of threadIds) {
        const count = (this.#held.get(id) ?? 0) - 1;
        if (count > 0) this.#held.set(id, count);
        else this.#held.delete(id);
      }
    }
  }

  /** From now on no turn begins any more; those that run go on, and can be steered. */
  refuseTurns(): void {
    this.#isDraining = true;
  }

  /** From now on no thread is loaded any more; those that are go on. */
  refuseNew(): void {
    this.#isEnding = true;
  }

  /**
   * Ends all threads at once, in the time that is given for all; those still opening are given up. Those that ended
   * are unloaded; the rest stay, and can be tried again.
   */
  async shutdownAll(timeoutMs: number, cause: string): Promise<ShutdownReport> {
    const until = performance.now() + timeoutMs;
    const opening = [...this.#opening.values()];
    for (const { cancelled } of opening) cancelled.abort(cause);
    const givenUp = Promise.allSettled(opening.map(({ loaded }) => loaded)).then(() => {});
    await within(timeoutMs, givenUp);
    const completed: ThreadId[] = [];
    const failed: { threadId: ThreadId; reason: string }[] = [];
    const timedOut: ThreadId[] = [];
    await Promise.all(
      this.all.map(async (thread) => {
        const threadId = thread.id;
        const outcome = await within(Math.max(0, until - performance.now()), thread.shutdown(cause));
        if (outcome === 'timedOut') timedOut.push(threadId);
        else if (outcome === 'done') completed.push(threadId);
        else failed.push({ threadId, reason: messageOf(outcome.error) });
      }),
    );
    const byId = (a: ThreadId, b: ThreadId): number => (a < b ? -1 : 1);
    return {
      completed: completed.toSorted(byId),
      failed: failed.toSorted((a, b) => byId(a.threadId, b.threadId)),
      timedOut: timedOut.toSorted(byId),
    };
  }

  /** Resolves when no turn runs, or nobody waits any more. */
  async whenIdle(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.all.some((thread) => thread.states.turn !== 'idle')) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          this.#changeWaiters.delete(done);
          signal.removeEventListener('abort', done);
          resolve();
        };
        this.#changeWaiters.add(done);
        signal.addEventListener('abort', done);
      });
    }
  }

  /** @throws overloaded if no turn is to begin any more */
  #assertMayBegin(): void {
    if (this.#isDraining) throw stopping();
  }

  #make(params: Pick<CodexThreadParams, 'id' | 'settings' | 'open'>): CodexThread {
    const { model, durability, now, onEvent, onProblem } = this.#options;
    const { id } = params;
    const thread: CodexThread = new CodexThread({
      ...params,
      model,
      durability,
      now,
      assertMayBegin: () => this.#assertMayBegin(),
      onEvent: (event) => onEvent(id, event),
      onTransition: (transition) => this.#heard(transition),
      onEnded: () => this.#ended(thread),
      onCrash: (error, released) => {
        onProblem(`thread ${id} failed and was dropped`, error);
        void this.#closes(id, released);
        this.#ended(thread);
      },
    });
    return thread;
  }

  async #load(id: ThreadId, prepare: PrepareThread, cancelled: AbortSignal): Promise<CodexThread> {
    const prepared = await prepare();
    if (cancelled.aborted) throw stopping();
    const thread = this.#make({ id, ...prepared });
    cancelled.addEventListener('abort', () => thread.cancel(String(cancelled.reason)));
    await thread.opened;
    if (thread.isOver) throw internal('the thread failed');
    this.#threads.set(id, thread);
    return thread;
  }

  async #close(threadId: ThreadId, cause: string): Promise<void> {
    await this.opening(threadId)?.catch(() => {});
    const thread = this.find(threadId);
    if (thread === undefined) return;
    const outcome = await within(CLOSE_TIMEOUT_MS, thread.shutdown(cause));
    if (outcome === 'timedOut') throw invalidRequest(`thread ${threadId} did not end in time`);
    if (outcome !== 'done') throw outcome.error;
  }

  /** Nobody loads the thread until this is over. */
  #closes(threadId: ThreadId, work: Promise<void>): Promise<void> {
    const closing = work.finally(() => {
      if (this.#closing.get(threadId) === closing) this.#closing.delete(threadId);
    });
    this.#closing.set(threadId, closing);
    return closing;
  }

  /** A thread is over, whoever ended it and however long that took. */
  #ended(thread: CodexThread): void {
    if (!this.remove(thread) || this.#isEnding) return;
    this.#options.onEvent(thread.id, { type: 'statusChanged', status: { type: 'notLoaded' } });
  }

  /** Debuggers look on: what they do wrong is no thread's fault. */
  #heard(transition: Transition): void {
    for (const listener of this.#transitionListeners) {
      try {
        listener(transition);
      } catch (error) {
        this.#options.onProblem('a listener to transitions failed', error);
      }
    }
    this.#changed();
  }

  #changed(): void {
    for (const wake of this.#changeWaiters) wake();
  }
}

async function within(
  timeoutMs: number,
  work: Promise<void>,
): Promise<'done' | 'timedOut' | { readonly error: unknown }> {
  const ended = new AbortController();
  const timeout = delay(timeoutMs, 'timedOut' as const, { signal: ended.signal }).catch(() => 'done' as const);
  try {
    return await Promise.race([
      work.then(
        () => 'done' as const,
        (error: unknown) => ({ error }),
      ),
      timeout,
    ]);
  } finally {
    ended.abort();
  }
}

const stopping = (): SkeinError => overloaded('the daemon is stopping; try again when it is back');
