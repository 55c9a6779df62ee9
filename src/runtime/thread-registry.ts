import { setTimeout as delay } from 'node:timers/promises';
import { conflict, invalidRequest, messageOf, overloaded } from '../domain/errors.ts';
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

/**
 * The loaded threads: a plain map of roots that do not share their fate (D1). An id is opened once at a time, closed
 * once at a time, and in here only while it is loaded.
 */
export class ThreadRegistry {
  readonly #options: RegistryOptions;
  readonly #threads = new Map<ThreadId, CodexThread>();
  /** One opening of a thread at a time; whoever else wants it waits for the same one. */
  readonly #opening = new Map<ThreadId, { readonly thread: CodexThread; readonly loaded: Promise<CodexThread> }>();
  readonly #closing = new Map<ThreadId, Promise<void>>();
  readonly #transitionListeners = new Set<(transition: Transition) => void>();
  #isEnding = false;

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

  isClosing(threadId: ThreadId): boolean {
    return this.#closing.has(threadId);
  }

  /**
   * Makes a thread and waits until it is loaded.
   * @throws conflict for an id that is loaded; what kept it from opening, which leaves nothing behind
   */
  load(params: Pick<CodexThreadParams, 'id' | 'settings' | 'open'>): Promise<CodexThread> {
    const { id } = params;
    if (this.#isEnding) return Promise.reject(overloaded('the daemon is stopping; try again when it is back'));
    if (this.find(id) !== undefined || this.#opening.has(id)) {
      return Promise.reject(conflict(`thread ${id} is already running`, 'this daemon'));
    }
    const thread = this.#make(params);
    const loaded = this.#load(thread);
    this.#opening.set(id, { thread, loaded });
    return loaded;
  }

  /** Takes a thread out without ending it; only if it is still the one given. */
  remove(thread: CodexThread): boolean {
    if (this.#threads.get(thread.id) !== thread) return false;
    return this.#threads.delete(thread.id);
  }

  /**
   * Unloads a thread, if it is loaded: a running turn is interrupted, everything is written, the writer is let go.
   * What cannot be done in time stays loaded. @throws what kept it from ending
   */
  close(threadId: ThreadId, cause: string): Promise<void> {
    const already = this.#closing.get(threadId);
    if (already !== undefined) return already;
    const thread = this.find(threadId);
    if (thread === undefined) return Promise.resolve();
    const closing = this.#close(thread, cause).finally(() => this.#closing.delete(threadId));
    this.#closing.set(threadId, closing);
    return closing;
  }

  /** From now on no thread is loaded any more; those that are go on. */
  refuseNew(): void {
    this.#isEnding = true;
  }

  /**
   * Ends all threads at once, each with the same time to do it; those still opening are given up. Those that ended
   * are unloaded; the rest stay, and can be tried again.
   */
  async shutdownAll(timeoutMs: number, cause: string): Promise<ShutdownReport> {
    const opening = [...this.#opening.values()];
    for (const { thread } of opening) thread.cancel(cause);
    await Promise.allSettled(opening.map(({ loaded }) => loaded));
    const completed: ThreadId[] = [];
    const failed: { threadId: ThreadId; reason: string }[] = [];
    const timedOut: ThreadId[] = [];
    await Promise.all(
      this.all.map(async (thread) => {
        const threadId = thread.id;
        const outcome = await within(timeoutMs, thread.shutdown(cause));
        if (outcome === 'timedOut') timedOut.push(threadId);
        else if (outcome === 'done') {
          completed.push(threadId);
          this.remove(thread);
        } else failed.push({ threadId, reason: messageOf(outcome.error) });
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
          stop();
          signal.removeEventListener('abort', done);
          resolve();
        };
        const stop = this.onTransition(done);
        signal.addEventListener('abort', done);
      });
    }
  }

  #make(params: Pick<CodexThreadParams, 'id' | 'settings' | 'open'>): CodexThread {
    const { model, durability, now, onEvent, onProblem } = this.#options;
    const { id } = params;
    const thread: CodexThread = new CodexThread({
      ...params,
      model,
      durability,
      now,
      onEvent: (event) => onEvent(id, event),
      onTransition: (transition) => {
        for (const listener of this.#transitionListeners) listener(transition);
      },
      onCrash: (error) => {
        onProblem(`thread ${id} failed and was dropped`, error);
        this.remove(thread);
        onEvent(id, { type: 'statusChanged', status: { type: 'notLoaded' } });
      },
    });
    return thread;
  }

  async #load(thread: CodexThread): Promise<CodexThread> {
    try {
      await thread.opened;
      this.#threads.set(thread.id, thread);
      return thread;
    } finally {
      this.#opening.delete(thread.id);
    }
  }

  async #close(thread: CodexThread, cause: string): Promise<void> {
    const outcome = await within(CLOSE_TIMEOUT_MS, thread.shutdown(cause));
    if (outcome === 'timedOut') throw invalidRequest(`thread ${thread.id} did not end in time`);
    if (outcome !== 'done') throw outcome.error;
    this.remove(thread);
    this.#options.onEvent(thread.id, { type: 'statusChanged', status: { type: 'notLoaded' } });
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
