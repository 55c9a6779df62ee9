import { setTimeout as delay } from 'node:timers/promises';
import { conflict, invalidRequest, messageOf, notFound, overloaded } from '../domain/errors.ts';
import { newThreadId, type ThreadId } from '../domain/ids.ts';
import type { ThreadMetadataPatch } from '../domain/metadata-patch.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import { restoredSettings, type ThreadSettings } from '../domain/thread-settings.ts';
import type { ModelClient } from '../engine/model-client.ts';
import { guardedInit } from '../live/init-guard.ts';
import { LiveThread } from '../live/live-thread.ts';
import type { Durability, ThreadStore } from '../store/thread-store.ts';
import { CodexThread, type OpenedThread } from './codex-thread.ts';
import { explainForkFailure, planFork, recordsUpTo, type ForkSnapshot } from './fork.ts';
import type { ManagerListener } from './thread-events.ts';
import {
  describePlanned,
  overriddenSettings,
  planHeader,
  type NewThreadParams,
  type SettingsOverrides,
  type ThreadDefaults,
} from './thread-start.ts';
import type { Transition } from './transitions.ts';

export interface ThreadManagerOptions {
  readonly store: ThreadStore;
  readonly model: ModelClient;
  readonly defaults: ThreadDefaults;
  /** What the user's words and the ends of turns survive once acknowledged (D6). Default: `power`. */
  readonly durability?: Durability;
  /** Unix ms. */
  readonly now?: () => number;
  /** Something went wrong that no caller waits for. */
  readonly onProblem: (message: string, cause: unknown) => void;
}

export interface StartThread extends NewThreadParams {
  readonly historyMode: HistoryMode;
}

export interface ResumeThreadParams {
  readonly threadId: ThreadId;
  /** A rollout to resume; for a loaded thread it must be the one that is loaded. */
  readonly path?: string;
  readonly overrides: SettingsOverrides;
}

export interface ForkThreadParams extends NewThreadParams {
  readonly sourceId: ThreadId;
  readonly snapshot: ForkSnapshot;
}

/** What became of each thread in a shutdown of all; ids sorted as text. */
export interface ShutdownReport {
  readonly completed: readonly ThreadId[];
  /** Those that refused, with the reason; they stay loaded and can be tried again. */
  readonly failed: readonly { readonly threadId: ThreadId; readonly reason: string }[];
  readonly timedOut: readonly ThreadId[];
}

/**
 * Gives whoever asked its answer. Called when that is known, and waited for before everyone else is told: a client
 * hears the answer to its request before the notifications that follow from it (upstream-behaviour 8.6).
 */
export type Answer<T> = (result: T) => void | Promise<void>;

/** A thread that is unloaded for a reason of its own gets this long. */
const CLOSE_TIMEOUT_MS = 10_000;

/**
 * The supervisor: knows every loaded thread, and starts, resumes, forks, finds, routes and ends them (D1). A plain
 * map of roots that do not share their fate. What it does with a thread that is not loaded, it asks of the store.
 */
export class ThreadManager {
  readonly #options: ThreadManagerOptions;
  readonly #now: () => number;
  readonly #threads = new Map<ThreadId, CodexThread>();
  /** One opening of a thread at a time; whoever else wants it waits for the same one. */
  readonly #opening = new Map<ThreadId, Promise<CodexThread>>();
  readonly #closing = new Map<ThreadId, Promise<void>>();
  readonly #listeners = new Set<ManagerListener>();
  #isEnding = false;
  readonly #transitionListeners = new Set<(transition: Transition) => void>();

  constructor(options: ThreadManagerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  get store(): ThreadStore {
    return this.#options.store;
  }

  get defaults(): ThreadDefaults {
    return this.#options.defaults;
  }

  /** Hears every event of every thread. @returns ends that */
  onEvent(listener: ManagerListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Hears every change of every thread's states. Costs nothing while nobody does. @returns ends that */
  onTransition(listener: (transition: Transition) => void): () => void {
    this.#transitionListeners.add(listener);
    return () => this.#transitionListeners.delete(listener);
  }

  /** Ids of loaded threads, sorted. */
  get loadedIds(): readonly ThreadId[] {
    return [...this.#threads.keys()].toSorted((a, b) => (a < b ? -1 : 1));
  }

  get loaded(): readonly CodexThread[] {
    return [...this.#threads.values()];
  }

  /** A loaded thread, or undefined. Never loads. */
  find(threadId: ThreadId): CodexThread | undefined {
    const thread = this.#threads.get(threadId);
    return thread === undefined || thread.isOver ? undefined : thread;
  }

  /** A loaded thread. @throws notFound */
  get(threadId: ThreadId): CodexThread {
    const thread = this.find(threadId);
    if (thread === undefined) throw notFound(`thread not found: ${threadId}`);
    return thread;
  }

  /** A new thread, loaded, lazy. @throws invalidRequest for settings that cannot be */
  async startThread(params: StartThread, answer: Answer<CodexThread> = noAnswer): Promise<CodexThread> {
    const { defaults, store } = this.#options;
    const threadId = newThreadId();
    const settings = overriddenSettings(defaults.settings, params.overrides, defaults);
    const createdAtMs = this.#now();
    const { historyMode } = params;
    const header = planHeader(threadId, historyMode, settings, params, defaults.version, createdAtMs);
    const create = { threadId, historyMode, cwd: settings.cwd, createdAtMs, header: header.source };
    const thread = await this.#load(threadId, settings, async (signal) => {
      if (params.isEphemeral) return { live: null, thread: describePlanned(header, null, settings, createdAtMs) };
      const { live, path } = await LiveThread.create(store, create, this.#now);
      const opened = { live, thread: describePlanned(header, path, settings, createdAtMs) };
      return guardedInit(live, async () => opened, signal);
    });
    await answer(thread);
    this.#tell(threadId, { type: 'threadStarted', thread: thread.described });
    return thread;
  }

  /**
   * A stored thread, loaded; one that is loaded already is returned as it is.
   * @throws notFound; invalidRequest if it is archived, closing, or loaded from another file; conflict if another
   * process writes it
   */
  async resumeThread(params: ResumeThreadParams): Promise<CodexThread> {
    const { threadId, path } = params;
    if (this.#closing.has(threadId)) {
      throw invalidRequest(`thread ${threadId} is closing; retry thread/resume after the thread is closed`);
    }
    const running = this.find(threadId);
    if (running !== undefined) {
      if (path !== undefined && running.described.path !== path) {
        throw invalidRequest(`thread ${threadId} is already running with a different rollout path`);
      }
      return running;
    }
    const opening = this.#opening.get(threadId);
    if (opening !== undefined) return opening;
    const { defaults } = this.#options;
    return this.#resumeCold(threadId, path, (stored) =>
      overriddenSettings(restoredSettings(stored, defaults.settings), params.overrides, defaults),
    );
  }

  /** A new thread that begins with what another one has, loaded. */
  async forkThread(params: ForkThreadParams, answer: Answer<CodexThread> = noAnswer): Promise<CodexThread> {
    const { defaults, store } = this.#options;
    const { sourceId } = params;
    const source = await this.#forkSource(sourceId);
    const plan = await planFork(store, source, params.snapshot, this.find(sourceId)?.activeTurnId ?? null);
    const threadId = newThreadId();
    const settings = overriddenSettings(restoredSettings(source, defaults.settings), params.overrides, defaults);
    const createdAtMs = this.#now();
    const { historyMode } = source;
    const header = planHeader(threadId, historyMode, settings, params, defaults.version, createdAtMs);
    const fork = { threadId, historyMode, cwd: settings.cwd, createdAtMs, header: header.source, sourceId };
    const open = async (signal: AbortSignal): Promise<OpenedThread> => {
      if (params.isEphemeral) {
        const described = describePlanned(header, null, settings, createdAtMs);
        const inherited = recordsUpTo(store.loadHistory(sourceId), historyMode, plan.boundary);
        return { live: null, thread: { ...described, forkedFromId: sourceId, preview: source.preview }, inherited };
      }
      const { live, stored } = await LiveThread.fork(store, { ...fork, boundary: plan.boundary }, this.#now);
      const finish = async (): Promise<OpenedThread> => {
        if (plan.closing.length > 0) await live.append(plan.closing, { durability: 'power' });
        return { live, thread: stored };
      };
      return guardedInit(live, finish, signal);
    };
    const thread = await this.#load(threadId, settings, open).catch((error: unknown) => {
      throw explainForkFailure(error, source, params.snapshot);
    });
    await answer(thread);
    this.#tell(threadId, { type: 'threadStarted', thread: thread.described });
    return thread;
  }

  /** The thread as it is: loaded, stored or archived. @throws notFound */
  async readThread(threadId: ThreadId): Promise<StoredThread> {
    const thread = this.find(threadId);
    if (thread !== undefined && !thread.isStored) return thread.described;
    const stored = await this.#options.store.readThread(threadId, { includeArchived: true });
    return thread === undefined ? stored : { ...stored, ...shownOf(thread) };
  }

  /** Changes metadata of a thread, loaded or not. @throws notFound; invalidRequest for an ephemeral one */
  async updateMetadata(
    threadId: ThreadId,
    patch: ThreadMetadataPatch,
    answer: Answer<StoredThread> = noAnswer,
  ): Promise<StoredThread> {
    const thread = this.find(threadId);
    const updated =
      thread === undefined
        ? await this.#options.store.updateThreadMetadata(threadId, patch)
        : await thread.updateMetadata(patch);
    await answer(updated);
    if (patch.name !== undefined) this.#tell(threadId, { type: 'threadNamed', name: patch.name });
    return updated;
  }

  /** Archives a thread and those it spawned, deepest first; loaded ones are ended before. @returns the archived ids */
  async archiveThread(
    threadId: ThreadId,
    cause: string,
    answer: Answer<readonly ThreadId[]> = noAnswer,
  ): Promise<readonly ThreadId[]> {
    const { store } = this.#options;
    const loaded = this.find(threadId);
    if (loaded?.isEphemeral === true) throw notFound(`no rollout found for thread id ${threadId}`);
    if (loaded === undefined) await store.readThread(threadId);
    else if (!loaded.isStored) await loaded.persist(cause);
    const family = await store.descendantsOf(threadId);
    for (const member of [...family.toReversed(), threadId]) await this.#closeForStore(member, cause);
    const archived = await store.archiveThreads([threadId, ...family]);
    await answer(archived);
    for (const id of archived) this.#tell(id, { type: 'threadArchived' });
    return archived;
  }

  async unarchiveThread(threadId: ThreadId, answer: Answer<StoredThread> = noAnswer): Promise<StoredThread> {
    const thread = await this.#options.store.unarchiveThread(threadId);
    await answer(thread);
    this.#tell(threadId, { type: 'threadUnarchived' });
    return thread;
  }

  /** Removes a thread and those it spawned for good. @throws invalidRequest if forks still need it */
  async deleteThread(
    threadId: ThreadId,
    cause: string,
    answer: Answer<readonly ThreadId[]> = noAnswer,
  ): Promise<readonly ThreadId[]> {
    const { store } = this.#options;
    const loaded = this.find(threadId);
    if (loaded?.isEphemeral === true) {
      throw invalidRequest(`thread is not persisted and cannot be deleted: ${threadId}`);
    }
    const wasLazy = loaded !== undefined && !loaded.isStored;
    if (loaded === undefined) await store.readThread(threadId, { includeArchived: true });
    const family = wasLazy ? [] : await store.descendantsOf(threadId);
    for (const member of [...family.toReversed(), threadId]) await this.#closeForStore(member, cause);
    const deleted = wasLazy ? [threadId] : await store.deleteThreads([threadId, ...family]);
    await answer(deleted);
    for (const id of deleted) this.#tell(id, { type: 'threadDeleted' });
    return deleted;
  }

  /**
   * Takes a loaded, paginated thread back to before a turn; a running turn is interrupted. Whatever happens, the
   * thread is loaded again when this ends, with its settings.
   */
  async revertThread(
    threadId: ThreadId,
    beforeTurnId: string,
    cause: string,
    answer: Answer<CodexThread> = noAnswer,
  ): Promise<CodexThread> {
    const thread = this.get(threadId);
    const { historyMode } = thread.described;
    if (thread.isEphemeral || historyMode === 'legacy') {
      throw invalidRequest('thread/revert only supports paginated threads');
    }
    if (!thread.isStored) throw invalidRequest(`turn not found: ${beforeTurnId}`);
    const { settings } = thread;
    await this.closeThread(threadId, cause);
    let refusal: unknown;
    try {
      await this.#options.store.revertThread(threadId, beforeTurnId);
    } catch (error) {
      refusal = error;
    }
    const reverted = await this.#resumeCold(threadId, undefined, () => settings);
    if (refusal !== undefined) throw refusal;
    await answer(reverted);
    this.#tell(threadId, { type: 'threadReverted' });
    return reverted;
  }

  /**
   * Unloads a thread: a running turn is interrupted, everything is written, the writer is let go. What cannot be
   * done in time stays loaded. @throws what kept it from ending
   */
  closeThread(threadId: ThreadId, cause: string): Promise<void> {
    const closing = this.#closing.get(threadId) ?? this.#close(threadId, cause);
    this.#closing.set(threadId, closing);
    return closing;
  }

  /** Unloads a thread that nobody uses any more, and says so. */
  async unloadIdle(threadId: ThreadId, cause: string): Promise<void> {
    if (this.find(threadId) === undefined) return;
    await this.closeThread(threadId, cause);
    this.#tell(threadId, { type: 'threadClosed' });
  }

  /** Takes a thread out of the registry without ending it; only if it is still the one given. */
  removeThread(thread: CodexThread): boolean {
    if (this.#threads.get(thread.id) !== thread) return false;
    return this.#threads.delete(thread.id);
  }

  /** From now on no thread is loaded any more; those that are go on. */
  refuseNewThreads(): void {
    this.#isEnding = true;
  }

  /** Ends all threads at once, each with the same time to do it. Those that ended are unloaded; the rest stay. */
  async shutdownAll(timeoutMs: number, cause: string): Promise<ShutdownReport> {
    const completed: ThreadId[] = [];
    const failed: { threadId: ThreadId; reason: string }[] = [];
    const timedOut: ThreadId[] = [];
    await Promise.all(
      this.loaded.map(async (thread) => {
        const threadId = thread.id;
        const outcome = await within(timeoutMs, thread.shutdown(cause));
        if (outcome === 'timedOut') timedOut.push(threadId);
        else if (outcome === 'done') {
          completed.push(threadId);
          this.removeThread(thread);
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

  /** Resolves when no turn runs. */
  async whenIdle(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.loaded.some((thread) => thread.states.turn !== 'idle')) {
      await new Promise<void>((resolve) => {
        const stop = this.onTransition(() => {
          stop();
          resolve();
        });
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  /** @param settingsOf what the thread is run with, given how it is stored */
  async #resumeCold(
    threadId: ThreadId,
    path: string | undefined,
    settingsOf: (stored: StoredThread) => ThreadSettings,
  ): Promise<CodexThread> {
    const { store } = this.#options;
    const stored = path === undefined ? await this.#unarchived(threadId) : await store.readThreadByPath(path);
    const resume = path === undefined ? { threadId } : { threadId, path, includeArchived: true };
    const thread = await this.#load(threadId, settingsOf(stored), async (signal) => {
      const opened = await LiveThread.resume(store, resume, this.#now);
      return guardedInit(opened.live, async () => ({ live: opened.live, thread: opened.stored }), signal);
    });
    this.#tell(threadId, { type: 'statusChanged', status: thread.status });
    return thread;
  }

  async #unarchived(threadId: ThreadId): Promise<StoredThread> {
    const stored = await this.#options.store.readThread(threadId, { includeArchived: true });
    if (stored.archivedAtMs !== null) {
      throw invalidRequest(
        `session ${threadId} is archived. Run \`codex unarchive ${threadId}\` to unarchive it first.`,
      );
    }
    return stored;
  }

  async #forkSource(sourceId: ThreadId): Promise<StoredThread> {
    const source = this.find(sourceId);
    if (source?.isEphemeral === true) throw notFound(`no rollout found for thread id ${sourceId}`);
    if (source !== undefined && !source.isStored) await source.persist('fork');
    return this.#unarchived(sourceId);
  }

  /** Makes a thread and waits until it is loaded. A second one of the same id is refused. */
  #load(
    threadId: ThreadId,
    settings: ThreadSettings,
    open: (signal: AbortSignal) => Promise<OpenedThread>,
  ): Promise<CodexThread> {
    if (this.#isEnding) return Promise.reject(overloaded('the daemon is stopping; try again when it is back'));
    if (this.find(threadId) !== undefined || this.#opening.has(threadId)) {
      return Promise.reject(conflict(`thread ${threadId} is already running`, 'this daemon'));
    }
    const thread = new CodexThread({
      id: threadId,
      settings,
      open,
      model: this.#options.model,
      durability: this.#options.durability ?? 'power',
      now: this.#now,
      onEvent: (event) => this.#tell(threadId, event),
      onTransition: (transition) => {
        for (const listener of this.#transitionListeners) listener(transition);
      },
      onCrash: (error) => {
        this.#options.onProblem(`thread ${threadId} failed and was dropped`, error);
        this.removeThread(thread);
        this.#tell(threadId, { type: 'statusChanged', status: { type: 'notLoaded' } });
      },
    });
    const loading = (async () => {
      try {
        await thread.opened;
        this.#threads.set(threadId, thread);
        return thread;
      } finally {
        this.#opening.delete(threadId);
      }
    })();
    this.#opening.set(threadId, loading);
    return loading;
  }

  async #close(threadId: ThreadId, cause: string): Promise<void> {
    const thread = this.find(threadId);
    try {
      if (thread === undefined) return;
      const outcome = await within(CLOSE_TIMEOUT_MS, thread.shutdown(cause));
      if (outcome === 'timedOut') throw invalidRequest(`thread ${threadId} did not end in time`);
      if (outcome !== 'done') throw outcome.error;
      this.removeThread(thread);
      this.#tell(threadId, { type: 'statusChanged', status: { type: 'notLoaded' } });
    } finally {
      this.#closing.delete(threadId);
    }
  }

  /** Ends a loaded thread so that the store can move or remove it. */
  async #closeForStore(threadId: ThreadId, cause: string): Promise<void> {
    if (this.find(threadId) !== undefined) await this.closeThread(threadId, cause);
  }

  #tell(threadId: ThreadId, event: Parameters<ManagerListener>[1]): void {
    for (const listener of this.#listeners) listener(threadId, event);
  }
}

const noAnswer = (): void => {};

/** What only a loaded thread knows about itself. */
const shownOf = (thread: CodexThread): Partial<StoredThread> => ({
  model: thread.settings.model,
  reasoningEffort: thread.settings.reasoningEffort,
  cwd: thread.settings.cwd,
});

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
