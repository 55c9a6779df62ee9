import type { ThreadId } from '../domain/ids.ts';
import type { ThreadMetadataPatch } from '../domain/metadata-patch.ts';
import { persistedItems } from '../domain/persistence-policy.ts';
import { SkeinError } from '../domain/errors.ts';
import type { RolloutItem, RolloutLine } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import { factsOfStored, type StoredThread } from '../domain/stored-thread.ts';
import { NO_FACTS, withLine, type ThreadFacts } from '../domain/thread-facts.ts';
import { formatTimestamp } from '../domain/timestamps.ts';
import type {
  CreateThread,
  Durability,
  ForkThread,
  NewRecord,
  ResumeThread,
  ThreadStore,
} from '../store/thread-store.ts';

export interface AppendOptions {
  /** Default: `process`. */
  readonly durability?: Durability;
  /** Default: `keep`; see `AppendRecords`. */
  readonly onFailure?: 'keep' | 'withdraw';
}

/** True if a failed append left nothing queued, whatever was asked: the store did not take the records in at all. */
export function wasRefused(error: unknown): boolean {
  return error instanceof SkeinError && (error.code === 'overloaded' || error.code === 'notFound');
}

/** Records handed to the store, while it is open whether they stay. */
interface Appended {
  readonly records: readonly NewRecord[];
  isCertain: boolean;
}

const withRecords = (facts: ThreadFacts, records: readonly NewRecord[]): ThreadFacts =>
  records.reduce<ThreadFacts>(withLine, facts);

/**
 * Persistence of one active thread, over whatever store (upstream-behaviour 1.9). Decides what is persisted and what
 * the records say about the thread; the store only stores. Ephemeral threads have none of this.
 */
export class LiveThread {
  readonly threadId: ThreadId;
  readonly historyMode: HistoryMode;
  readonly #store: ThreadStore;
  readonly #now: () => number;
  /** What the history says about the thread, but for its header: with all appends, and with the certain ones alone. */
  #facts: ThreadFacts;
  #certainFacts: ThreadFacts;
  /** Appends from the oldest one on that is not certain yet. */
  #appended: Appended[] = [];
  #isStored: boolean;
  /** Records were queued that stay queued until they are written: a successful flush stores the thread. */
  #hasKept = false;
  /** A sync has failed that someone was promised: the next barrier makes up for it. */
  #owesPower = false;
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
    this.#certainFacts = this.#facts;
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

  /**
   * Called when a barrier has something to do or to find out: records stay queued whatever happens, a lazy thread was
   * stored, or an append failed that is to be made up for, or that has left something to be cut off.
   */
  onQueued(listener: () => void): void {
    this.#onQueued = listener;
  }

  /**
   * Adds what the policy keeps of these items, in order; nothing kept is no store call. Resolves when they are as
   * durable as asked. A failed `keep` append must not be repeated: its records stay queued for the next barrier,
   * unless the store refused them ({@link wasRefused}).
   */
  async append(items: readonly RolloutItem[], options: AppendOptions = {}): Promise<void> {
    const kept = persistedItems(items, this.historyMode);
    if (kept.length === 0) return;
    const timestamp = formatTimestamp(this.#now());
    const records = kept.map((item) => ({ timestamp, item }));
    const appended: Appended = { records, isCertain: false };
    this.#appended.push(appended);
    this.#facts = withRecords(this.#facts, records);
    const { threadId } = this;
    const { durability = 'process', onFailure = 'keep' } = options;
    try {
      const stored = this.#store.appendItems({ threadId, records, facts: this.#facts, durability, onFailure });
      if (onFailure === 'keep') {
        this.#hasKept = true;
        this.#onQueued();
      }
      await stored;
    } catch (error) {
      if (onFailure === 'withdraw' || wasRefused(error)) {
        this.#withdraw(appended);
        if (error instanceof SkeinError && error.code === 'uncertain') this.#onQueued();
      } else {
        this.#settle(appended);
        this.#owesPower ||= durability === 'power';
        this.#onQueued();
      }
      throw error;
    }
    this.#isStored = true;
    this.#settle(appended);
    if (onFailure === 'withdraw') this.#onQueued();
  }

  /** Stores a lazy thread's header, and whatever is queued. */
  async persist(durability: Durability): Promise<void> {
    await this.#barrier(durability, (owed) => this.#store.persistThread(this.threadId, owed));
    this.#isStored = true;
  }

  /** Makes whatever is queued durable; nothing for an unused thread. */
  async flush(durability: Durability): Promise<void> {
    const hadKept = this.#hasKept;
    await this.#barrier(durability, (owed) => this.#store.flushThread(this.threadId, owed));
    if (hadKept) this.#isStored = true;
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
    const { git, memoryMode } = updated;
    this.#facts = { ...this.#facts, git, memoryMode };
    this.#certainFacts = { ...this.#certainFacts, git, memoryMode };
    return updated;
  }

  /** As durable as asked, or as something before was promised to be. */
  async #barrier(durability: Durability, run: (durability: Durability) => Promise<void>): Promise<void> {
    const owesPower = this.#owesPower;
    this.#owesPower = false;
    try {
      await run(owesPower ? 'power' : durability);
    } catch (error) {
      this.#owesPower ||= owesPower;
      throw error;
    }
  }

  /** An append is there to stay. */
  #settle(appended: Appended): void {
    appended.isCertain = true;
    for (let [first] = this.#appended; first?.isCertain === true; [first] = this.#appended) {
      this.#certainFacts = withRecords(this.#certainFacts, first.records);
      this.#appended.shift();
    }
  }

  /** An append was taken back: the facts are those without it, whatever else is under way. */
  #withdraw(appended: Appended): void {
    this.#appended = this.#appended.filter((one) => one !== appended);
    this.#facts = this.#appended.reduce((facts, { records }) => withRecords(facts, records), this.#certainFacts);
  }
}
