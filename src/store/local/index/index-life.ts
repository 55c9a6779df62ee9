import { setImmediate as nextTurn } from 'node:timers/promises';
import type { HomeLayout } from '../home-layout.ts';
import { CatchUp, type ReadMeter } from './catch-up.ts';
import { isDamage, openDatabase, setAsideDatabase, type OpenedDatabase } from './database.ts';
import { HistoryPages } from './history-pages.ts';
import { HomeWatcher } from './home-watcher.ts';
import type { IndexStatus } from './index-api.ts';
import { NameTable } from './name-table.ts';
import { PendingCover } from './pending-cover.ts';
import { PlainCopies } from './plain-copies.ts';
import { RolloutSync } from './rollout-sync.ts';
import { RolloutTable, type RolloutRow } from './rollout-table.ts';
import { ThreadTable } from './thread-table.ts';

export interface IndexOptions {
  readonly home: HomeLayout;
  /** Provider of threads whose header names none. */
  readonly defaultModelProvider: string;
}

/** Where folders cannot be watched, they are swept at most this often, when someone lists. */
const SWEEP_INTERVAL_MS = 10_000;

/** The parts of an index over one open database. */
export interface IndexParts {
  readonly opened: OpenedDatabase;
  readonly rollouts: RolloutTable;
  readonly threads: ThreadTable;
  readonly names: NameTable;
  readonly pages: HistoryPages;
  readonly cover: PendingCover;
  readonly copies: PlainCopies;
  readonly sync: RolloutSync;
}

/**
 * The life of an index: *scanning* (which files are there), *building* (reading those that are new or have grown,
 * newest first, in slices), *ready*. It can be asked in all of them. A database that turns out to be damaged is set
 * aside, and the life begins anew.
 */
export class IndexLife {
  readonly #options: IndexOptions;
  readonly #meter: ReadMeter = { bytesRead: 0 };
  readonly #watcher: HomeWatcher;
  #parts: IndexParts;
  #setAside: string | null;
  #state: IndexStatus['state'] = 'scanning';
  #built: Promise<void>;
  #scanned: Promise<void>;
  #lastSweepMs = 0;
  #refreshTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: IndexOptions) {
    this.#options = options;
    this.#watcher = new HomeWatcher(() => this.#scheduleRefresh());
    this.#parts = this.#open();
    this.#setAside = this.#parts.opened.setAside ?? null;
    this.#scanned = this.#scan();
    this.#built = this.#build();
  }

  get home(): HomeLayout {
    return this.#options.home;
  }

  /** Of the database in use now: not to be kept across a wait. */
  get parts(): IndexParts {
    return this.#parts;
  }

  /** Which files there are is known. */
  get scanned(): Promise<void> {
    return this.#scanned;
  }

  /** Resolves when all files that are there now have been read. */
  get built(): Promise<void> {
    return this.#built;
  }

  /** Runs an answer; if the database proves damaged, sets it aside, starts anew and runs it again. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#startAnew(error);
      return work();
    }
  }

  syncNames(): void {
    for (const threadId of this.#parts.names.sync()) this.#parts.threads.refresh(threadId);
  }

  /** Looks at what has changed in the files, as far as the system has told. */
  async refresh(): Promise<void> {
    if (this.#isClosed) return;
    if (!this.#watcher.isComplete && Date.now() - this.#lastSweepMs > SWEEP_INTERVAL_MS) {
      this.#lastSweepMs = Date.now();
      await this.#parts.sync.sweep();
    }
    this.#parts.sync.refreshFolders();
    this.#parts.sync.refreshFiles(this.#watcher.take());
    await this.readGrown();
  }

  /** Reads files that are known to have grown: few, and somebody waits. */
  async readGrown(): Promise<void> {
    for (const row of this.#parts.rollouts.grown()) await this.#parts.sync.bringUp(row);
  }

  /** Everything is read when this returns: for questions that any file could answer differently. */
  async readAll(): Promise<void> {
    await this.#scanned;
    this.#parts.sync.refreshFolders();
    for (;;) {
      const row = this.#parts.rollouts.nextUnread();
      if (row === undefined) return;
      await this.#parts.sync.bringUp(row);
    }
  }

  get status(): IndexStatus {
    const counts = this.#parts.rollouts.counts();
    return {
      state: this.#state,
      pending: counts.pending,
      indexed: counts.indexed,
      unreadable: counts.unreadable,
      defects: counts.defects,
      bytesRead: this.#meter.bytesRead,
      setAside: this.#setAside,
      isInMemory: this.#parts.opened.isInMemory,
      isWatching: this.#watcher.isComplete,
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#watcher.close();
    await this.#built;
    this.#parts.copies.clear();
    this.#parts.opened.database.close();
  }

  #open(): IndexParts {
    const { home, defaultModelProvider } = this.#options;
    const opened = openDatabase(home.index);
    const { database } = opened;
    const pathOf = (stored: string): string => home.fromStored(stored);
    const copies = new PlainCopies(home.plainCopies, (row) => home.fromStored(row.path));
    const rollouts = new RolloutTable(database);
    const threads = new ThreadTable(database, rollouts, { pathOf, defaultModelProvider });
    const catchUp = new CatchUp(database, rollouts, this.#meter);
    return {
      opened,
      rollouts,
      threads,
      names: new NameTable(database, home.nameIndex),
      pages: new HistoryPages(database, this.#meter, (row: RolloutRow) => copies.readablePath(row)),
      cover: new PendingCover(database),
      copies,
      sync: new RolloutSync(home, rollouts, threads, catchUp, this.#watcher),
    };
  }

  async #scan(): Promise<void> {
    this.syncNames();
    this.#parts.sync.forgetAdopted();
    await this.#parts.sync.sweep();
    this.#lastSweepMs = Date.now();
    if (this.#state === 'scanning') this.#state = 'building';
  }

  /** Reads whatever is unread, newest first, while requests come in between. */
  async #build(): Promise<void> {
    await this.#scanned;
    while (!this.#isClosed) {
      const row = this.#parts.rollouts.nextUnread();
      if (row === undefined) break;
      await this.#parts.sync.bringUp(row);
      await nextTurn();
    }
    this.#state = 'ready';
  }

  #scheduleRefresh(): void {
    if (this.#refreshTimer !== undefined || this.#isClosed) return;
    this.#refreshTimer = setTimeout(() => {
      this.#refreshTimer = undefined;
      void this.run(() => this.refresh()).catch(() => {});
    }, 20);
    this.#refreshTimer.unref();
  }

  #startAnew(reason: unknown): void {
    this.#setAside = String(reason);
    setAsideDatabase(this.#parts.opened, this.#options.home.index);
    this.#parts = this.#open();
    this.#state = 'scanning';
    this.#scanned = this.#scan();
    this.#built = this.#build();
  }
}
