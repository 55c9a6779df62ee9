import { setImmediate as nextTurn } from 'node:timers/promises';
import { errnoOf, messageOf, SkeinError } from '../../../domain/errors.ts';
import type { HomeLayout } from '../home-layout.ts';
import { CatchUp } from './catch-up.ts';
import {
  closeDatabase,
  openDatabase,
  remedyFor,
  reopenDatabase,
  type OpenedDatabase,
  type Remedy,
} from './database.ts';
import { HistoryPages } from './history-pages.ts';
import { HomeWatcher } from './home-watcher.ts';
import type { IndexStatus } from './index-api.ts';
import { NameTable } from './name-table.ts';
import { PendingCover } from './pending-cover.ts';
import { PlainCopies } from './plain-copies.ts';
import type { ReadMeter } from './read-meter.ts';
import { RolloutSync } from './rollout-sync.ts';
import type { RolloutRow } from './rollout-row.ts';
import { RolloutTable } from './rollout-table.ts';
import { ThreadTable } from './thread-table.ts';

export interface IndexOptions {
  readonly home: HomeLayout;
  /** Provider of threads whose header names none. */
  readonly defaultModelProvider: string;
  /** How long a list may read files that it needs, before it is answered as it is; default: two seconds. */
  readonly coverBudgetMs?: number;
}

/**
 * How often, when someone lists, all files are looked at where folders cannot be watched; and all folders where they
 * can, because a watcher that is told too much at once loses some of it.
 */
const SWEEP_INTERVAL_MS = 10_000;

/** Databases tried in a row: if all of them fail it lies elsewhere. */
const MAX_FAILURES = 5;

/** Longer than any deadline is away. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Headers read between turns of the event loop. */
const FILES_PER_SLICE = 20;

/** Files that are read before it is asked which of those left is the newest now. */
const FILES_PER_ROUND = 20;

/** Files with bad lines that a status names. */
const MAX_DEFECTIVE_TOLD = 10;

/** Times that one answer is tried with a new database. */
const MAX_ATTEMPTS = 3;

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
  /** Rows of unread files known not to be related to other threads. */
  readonly unrelated: Set<number>;
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
  #problem: string | null = null;
  /** Databases that failed before one of them could be filled. */
  #failures = 0;
  #built: Promise<void> = Promise.resolve();
  #scanned: Promise<void> = Promise.resolve();
  #lastSweepMs = 0;
  #refreshTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: IndexOptions) {
    this.#options = options;
    this.#watcher = new HomeWatcher(() => this.#scheduleRefresh());
    const opened = openDatabase(options.home.index);
    this.#parts = this.#partsOver(opened);
    this.#setAside = opened.setAside ?? null;
    this.#begin();
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
  async whenRead(): Promise<void> {
    do {
      await this.#built;
      if (this.#isClosed) return;
      await this.refresh();
    } while (this.#problem === null && this.#parts.rollouts.hasUnread());
  }

  /** Runs an answer; if the database proves unusable, begins anew with another one and runs it again. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const parts = this.#parts;
      try {
        return await work();
      } catch (error) {
        if (attempt === MAX_ATTEMPTS || !this.#hasRecovered(parts, error)) throw error;
      }
    }
  }

  syncNames(): void {
    const { names, threads } = this.#parts;
    try {
      if (!names.isCurrent()) names.sync((threadId) => threads.refresh(threadId));
    } catch (error) {
      // Names that cannot be read now are not worth an answer; the next one tries again.
      if (errnoOf(error) === undefined) throw error;
    }
  }

  /**
   * Looks at what has changed in the files, as far as the system has told, and reads what has grown.
   * @param deadlineMs when the caller goes on without the rest, which is read all the same
   */
  async refresh(deadlineMs = Number.POSITIVE_INFINITY): Promise<void> {
    // What was changed before this was called has been told by the end of the next turn of the event loop.
    for (let turn = 0; turn < 2; turn += 1) await nextTurn();
    if (this.#isClosed) return;
    const { sync } = this.#parts;
    const isDue = Date.now() - this.#lastSweepMs > SWEEP_INTERVAL_MS;
    if (isDue) this.#lastSweepMs = Date.now();
    if (isDue && !this.#watcher.isComplete) await sync.sweep();
    if (isDue || !this.#watcher.isComplete || !sync.folders.areRootsKnown) sync.folders.refresh();
    sync.refreshNamed(this.#watcher.take());
    await until(deadlineMs, this.readGrown());
    this.goOnBuilding();
  }

  /** Reads files that are known to have grown: few, and somebody waits. */
  async readGrown(): Promise<void> {
    const { rollouts, sync } = this.#parts;
    for (const row of rollouts.grown()) await sync.bringUp(row);
  }

  /** Goes on reading in the background, if there is something new to read. */
  goOnBuilding(): void {
    if (this.#state !== 'ready' || this.#isClosed || !this.#parts.rollouts.hasUnread()) return;
    this.#state = 'building';
    this.#startBuilding();
  }

  /** Reads every file that has something to do with other threads: for questions that any of these could answer. */
  async readRelated(): Promise<void> {
    await this.#scanned;
    await this.refresh(Date.now());
    const { rollouts, sync, unrelated } = this.#parts;
    let count = 0;
    for (const id of rollouts.unread()) {
      if (unrelated.has(id)) continue;
      const row = rollouts.byId(id);
      if (row?.state !== 'pending') continue;
      if (sync.isRelated(this.home.fromStored(row.path))) await sync.bringUp(row);
      else unrelated.add(id);
      count += 1;
      if (count % FILES_PER_SLICE === 0) await nextTurn();
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
      defectsIn: this.#defectsIn(counts.defects),
      bytesRead: this.#meter.bytesRead,
      setAside: this.#setAside,
      isInMemory: this.#parts.opened.isInMemory,
      isWatching: this.#watcher.isComplete,
      problem: this.#problem,
    };
  }

  #defectsIn(count: number): IndexStatus['defectsIn'] {
    const found = count === 0 ? [] : this.#parts.rollouts.defective(MAX_DEFECTIVE_TOLD);
    return found.map(({ path, defects }) => ({ path: this.home.fromStored(path), defects }));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#watcher.close();
    clearTimeout(this.#refreshTimer);
    this.#parts.sync.stop();
    await this.#built;
    this.#parts.copies.clear();
    closeDatabase(this.#parts.opened);
  }

  #partsOver(opened: OpenedDatabase): IndexParts {
    const { home, defaultModelProvider } = this.#options;
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
      unrelated: new Set(),
    };
  }

  #begin(): void {
    this.#state = 'scanning';
    this.#scanned = this.#inBackground(
      () => this.#scan(),
      () => this.#scanned,
    );
    this.#startBuilding();
  }

  #startBuilding(): void {
    this.#built = this.#inBackground(
      () => this.#build(),
      () => this.#built,
    );
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
    const parts = this.#parts;
    await this.readGrown();
    while (!this.#isClosed && parts === this.#parts) {
      const ids = parts.rollouts.unread(FILES_PER_ROUND);
      if (ids.length === 0) break;
      await parts.sync.bringUpAll(ids);
    }
    if (parts !== this.#parts) return;
    this.#state = 'ready';
    this.#failures = 0;
  }

  /** Work that nobody waits for: it ends well, or with a new database that all of it is done on again. */
  async #inBackground(work: () => Promise<void>, again: () => Promise<void>): Promise<void> {
    const parts = this.#parts;
    try {
      await work();
    } catch (error) {
      if (!this.#hasRecovered(parts, error)) this.#problem ??= messageOf(error);
    }
    if (parts !== this.#parts) await again();
  }

  #scheduleRefresh(): void {
    if (this.#refreshTimer !== undefined || this.#isClosed) return;
    this.#refreshTimer = setTimeout(() => {
      this.#refreshTimer = undefined;
      void this.run(() => this.refresh()).catch(() => {});
    }, 20);
    this.#refreshTimer.unref();
  }

  /** True if what failed with the given parts can be done again, because there is another database now. */
  #hasRecovered(parts: IndexParts, error: unknown): boolean {
    if (this.#isClosed || error instanceof SkeinError) return false;
    if (this.#parts !== parts) return true;
    const remedy = remedyFor(error);
    this.#failures += 1;
    if (remedy === 'none' || this.#failures > MAX_FAILURES) return false;
    this.#beginAnew(error, remedy);
    return true;
  }

  #beginAnew(reason: unknown, remedy: Remedy): void {
    this.#setAside = messageOf(reason);
    this.#parts.sync.stop();
    this.#parts = this.#partsOver(reopenDatabase(this.#parts.opened, this.#options.home.index, remedy));
    this.#watcher.forget();
    this.#begin();
  }
}

/** Waits for work, but not beyond a deadline; then the work goes on alone, and its failure is met by others. */
export async function until(deadlineMs: number, work: Promise<unknown>): Promise<void> {
  const milliseconds = deadlineMs - Date.now();
  if (milliseconds > MAX_TIMER_MS) {
    await work;
    return;
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, milliseconds));
  });
  work.catch(() => {});
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
