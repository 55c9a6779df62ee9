import type { ThreadId } from '../domain/ids.ts';
import type { ThreadMetadataPatch } from '../domain/metadata-patch.ts';
import { persistedItems } from '../domain/persistence-policy.ts';
import type { RolloutItem, RolloutLine } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import { factsOfStored, type StoredThread } from '../domain/stored-thread.ts';
import { NO_FACTS, withLine, type ThreadFacts } from '../domain/thread-facts.ts';
import { formatTimestamp } from '../domain/timestamps.ts';
import type { CreateThread, Durability, ForkThread, ResumeThread, ThreadStore } from '../store/thread-store.ts';

export interface AppendOptions {
  /** Default: `process`. */
  readonly durability?: Durability;
  /** Default: `keep`; see `AppendRecords`. */
  readonly onFailure?: 'keep' | 'withdraw';
}

/**
 * Persistence of one active thread, over whatever store (upstream-behaviour 1.9). Decides what is persisted and what
 * the records say about the thread; the store only stores. Ephemeral threads have none of this.
 */
export class LiveThread {
  readonly threadId: ThreadId;
  readonly historyMode: HistoryMode;
  readonly #store: ThreadStore;
  readonly #now: () => number;
  /** What the history says about the thread, but for its header. */
  #facts: ThreadFacts;
  #isStored: boolean;
  #onQueued: () => void = () => {};

  private constructor(
    store: ThreadStore,
    threadId: ThreadId,
    historyMode: HistoryMode,
    stored: StoredThread | null,
    now: () => number,
  ) {
    this.#store = store;
    this.threadId = threadId;
    this.historyMode = historyMode;
    this.#facts = stored === null ? NO_FACTS : factsOfStored(stored);
    this.#isStored = stored !== null;
    this.#now = now;
  }

  /** A new thread, lazy until its first append. @throws as `ThreadStore.createThread` */
  static async create(
    store: ThreadStore,
    params: CreateThread,
    now: () => number = Date.now,
  ): Promise<{ readonly live: LiveThread; readonly path: string | null }> {
    const { path } = await store.createThread(params);
    return { live: new LiveThread(store, params.threadId, params.historyMode, null, now), path };
  }

  /** A stored thread, as it is. @throws as `ThreadStore.resumeThread` */
  static async resume(
    store: ThreadStore,
    params: ResumeThread,
    now: () => number = Date.now,
  ): Promise<{ readonly live: LiveThread; readonly stored: StoredThread }> {
    const stored = await store.resumeThread(params);
    return { live: new LiveThread(store, stored.id, stored.historyMode, stored, now), stored };
  }

  /** A new thread that begins with a prefix of another. @throws as `ThreadStore.forkThread` */
  static async fork(
    store: ThreadStore,
    params: ForkThread,
    now: () => number = Date.now,
  ): Promise<{ readonly live: LiveThread; readonly stored: StoredThread }> {
    const stored = await store.forkThread(params);
    return { live: new LiveThread(store, stored.id, stored.historyMode, stored, now), stored };
  }

  /** What the history says about the thread up to the last append, but for its header. */
  get facts(): ThreadFacts {
    return this.#facts;
  }

  /** The thread exists in the store. */
  get isStored(): boolean {
    return this.#isStored;
  }

  /** Called whenever records have been handed to the store and are not acknowledged yet. */
  onQueued(listener: () => void): void {
    this.#onQueued = listener;
  }

  /**
   * Adds what the policy keeps of these items, in order; nothing kept is no store call. Resolves when they are as
   * durable as asked. A failed `keep` append must not be repeated: its records stay queued for the next barrier.
   */
  async append(items: readonly RolloutItem[], options: AppendOptions = {}): Promise<void> {
    const kept = persistedItems(items, this.historyMode);
    if (kept.length === 0) return;
    const timestamp = formatTimestamp(this.#now());
    const records = kept.map((item) => ({ timestamp, item }));
    const before = this.#facts;
    this.#facts = records.reduce<ThreadFacts>(withLine, before);
    const after = this.#facts;
    const { durability = 'process', onFailure = 'keep' } = options;
    const stored = this.#store.appendItems({ threadId: this.threadId, records, facts: after, durability, onFailure });
    this.#onQueued();
    try {
      await stored;
      this.#isStored = true;
    } catch (error) {
      if (onFailure === 'withdraw' && this.#facts === after) this.#facts = before;
      throw error;
    }
  }

  /** Stores a lazy thread's header, and whatever is queued. */
  async persist(durability: Durability): Promise<void> {
    await this.#store.persistThread(this.threadId, durability);
    this.#isStored = true;
  }

  /** Makes whatever is queued durable; nothing for an unused thread. */
  async flush(durability: Durability): Promise<void> {
    await this.#store.flushThread(this.threadId, durability);
  }

  /** Flushes and lets go. If that fails the thread stays live and this can be tried again. */
  async shutdown(): Promise<void> {
    await this.#store.shutdownThread(this.threadId);
  }

  /** Lets go without writing. */
  async discard(): Promise<void> {
    await this.#store.discardThread(this.threadId);
  }

  loadHistory(): AsyncIterable<RolloutLine> {
    return this.#store.loadHistory(this.threadId, { includeArchived: true });
  }

  read(): Promise<StoredThread> {
    return this.#store.readThread(this.threadId, { includeArchived: true });
  }

  /** Changes metadata, all or none; what is queued is written first. A lazy thread comes into being. */
  async updateMetadata(patch: ThreadMetadataPatch): Promise<StoredThread> {
    await this.#store.flushThread(this.threadId, 'process');
    const updated = await this.#store.updateThreadMetadata(this.threadId, patch);
    this.#isStored = true;
    return updated;
  }
}
