import { invalidRequest } from '../domain/errors.ts';
import type { ThreadId } from '../domain/ids.ts';
import type { ThreadMetadataPatch } from '../domain/metadata-patch.ts';
import type { RolloutItem, RolloutLine } from '../domain/rollout-line.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import type { ThreadSettings } from '../domain/thread-settings.ts';
import type { TurnHistory } from '../engine/turn-setup.ts';
import type { LiveThread } from '../live/live-thread.ts';
import type { Durability } from '../store/thread-store.ts';
import { EphemeralHistory, StoredHistory } from './thread-history.ts';

/** What a thread is opened with. */
export interface OpenedThread {
  /** Null for an ephemeral thread. */
  readonly live: LiveThread | null;
  /** As the store has it; for a thread that is not stored yet, as it will be. */
  readonly thread: StoredThread;
  /** What an ephemeral fork remembers of its source. */
  readonly inherited?: AsyncIterable<RolloutLine>;
}

export interface ThreadWriterOptions {
  readonly id: ThreadId;
  /** Opens the writer. Must leave nothing behind if the signal is aborted before it returns. */
  readonly open: (signal: AbortSignal) => Promise<OpenedThread>;
  readonly durability: Durability;
  readonly now: () => number;
  /** A barrier has something to do; see `LiveThread.onQueued`. */
  readonly onQueued: () => void;
}

/** Where one loaded thread is written, from the attempt to open it until it is let go. */
export class ThreadWriter {
  readonly #options: ThreadWriterOptions;
  #opened: OpenedThread | undefined;
  #history: TurnHistory | undefined;
  #openingEnded: Promise<void> = Promise.resolve();

  constructor(options: ThreadWriterOptions) {
    this.#options = options;
  }

  /** Settles when the attempt to open the thread has ended, and whatever it had opened is discarded; never rejects. */
  get openingEnded(): Promise<void> {
    return this.#openingEnded;
  }

  get isEphemeral(): boolean {
    return this.#opened?.live === null;
  }

  /** The thread exists in its store. */
  get isStored(): boolean {
    return this.#opened?.live?.isStored === true;
  }

  /** @throws invalidRequest unless the thread is loaded */
  get history(): TurnHistory {
    if (this.#history === undefined) throw this.#notLoaded();
    return this.#history;
  }

  /** @returns the thread as it was when it was opened. @throws what kept it from being */
  open(signal: AbortSignal): Promise<StoredThread> {
    const opening = this.#open(signal);
    this.#openingEnded = opening.then(
      () => {},
      () => {},
    );
    return opening;
  }

  /** The thread was not opened after all. */
  discard(): void {
    const discarded = this.#discard();
    this.#openingEnded = this.#openingEnded.then(() => discarded);
  }

  /** The thread as a store would describe it, from what is known here: also while it is lazy or ephemeral. */
  described({ model, reasoningEffort, cwd }: ThreadSettings): StoredThread {
    const { live, thread } = this.#loaded;
    const shown = { model, reasoningEffort, cwd };
    if (live === null) return { ...thread, ...shown };
    const { facts } = live;
    return {
      ...thread,
      ...shown,
      preview: facts.preview,
      firstUserMessage: facts.firstUserMessage,
      recencyAtMs: facts.recencyAtMs ?? thread.recencyAtMs,
      updatedAtMs: Math.max(thread.updatedAtMs, facts.recencyAtMs ?? 0),
    };
  }

  /** Makes what is queued durable; with `mustPersist` a lazy thread is stored. */
  async barrier(mustPersist: boolean): Promise<void> {
    const { live } = this.#loaded;
    // An ephemeral thread has nothing to store: its barriers are met.
    if (mustPersist) await live?.persist(this.#options.durability);
    else await live?.flush('process');
  }

  /** Adds records that somebody is promised. @throws what kept them from being durable: nothing of them is kept */
  async append(items: readonly RolloutItem[]): Promise<void> {
    await this.history.append(items, { durability: this.#options.durability, onFailure: 'withdraw' });
  }

  /** @throws invalidRequest for an ephemeral thread */
  async updateMetadata(patch: ThreadMetadataPatch): Promise<StoredThread> {
    const { live } = this.#loaded;
    if (live === null) {
      throw invalidRequest(`ephemeral thread does not support metadata updates: ${this.#options.id}`);
    }
    const thread = await live.updateMetadata(patch);
    this.#opened = { live, thread };
    return thread;
  }

  /** Writes what is queued, and lets go. @throws if it cannot be written; it can be tried again */
  async shutdown(): Promise<void> {
    await this.#opened?.live?.shutdown();
  }

  /** Lets go whatever that costs. Never rejects. */
  async release(): Promise<void> {
    await this.#openingEnded;
    const live = this.#opened?.live ?? null;
    await live?.shutdown().catch(() => live.discard().catch(() => {}));
  }

  async #open(signal: AbortSignal): Promise<StoredThread> {
    const { open, onQueued } = this.#options;
    const opened = await open(signal);
    const { live, thread } = opened;
    if (live !== null) live.onQueued(onQueued);
    this.#history = live === null ? await this.#ephemeralHistory(opened) : new StoredHistory(live);
    this.#opened = opened;
    // Given up after the last look at the signal: nobody else knows of this writer yet.
    if (signal.aborted) await this.#discard();
    return thread;
  }

  async #discard(): Promise<void> {
    const live = this.#opened?.live ?? null;
    this.#opened = undefined;
    await live?.discard().catch(() => {});
  }

  async #ephemeralHistory({ thread, inherited }: OpenedThread): Promise<TurnHistory> {
    const history = new EphemeralHistory(thread.historyMode, this.#options.now);
    if (inherited !== undefined) for await (const line of inherited) history.remember(line);
    return history;
  }

  get #loaded(): OpenedThread {
    if (this.#opened === undefined) throw this.#notLoaded();
    return this.#opened;
  }

  #notLoaded(): Error {
    return invalidRequest(`thread ${this.#options.id} is not loaded`);
  }
}
