import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { internal, invalidRequest, notFound, type SkeinError } from '../../../domain/errors.ts';
import type { ThreadId } from '../../../domain/ids.ts';
import {
  historyPage,
  parseHistoryCursor,
  type HistoryPosition,
  type HistoryScope,
} from '../../../domain/history-cursor.ts';
import { EMPTY_PAGE, type Page, type SortDirection } from '../../../domain/page.ts';
import { parseRolloutFileName } from '../../../domain/rollout-file-name.ts';
import { readSessionMeta } from '../../../domain/session-meta.ts';
import type { StoredThread } from '../../../domain/stored-thread.ts';
import { threadPage } from '../../../domain/thread-cursor.ts';
import { sortKeyOf, type ThreadQuery } from '../../../domain/thread-query.ts';
import type { ThreadItemEntry, Turn } from '../../../domain/turn.ts';
import type { ForkBoundary, ListItems, ListTurns, SearchHit, SearchThreads } from '../../thread-store.ts';
import type { HomeLayout } from '../home-layout.ts';
import type { FileStretch } from '../rollout-file.ts';
import { readFirstRecord } from '../rollout-reader.ts';
import { CatchUp, type ReadMeter } from './catch-up.ts';
import { isDamage, openDatabase, setAsideDatabase, type OpenedDatabase } from './database.ts';
import { HistoryPages, type HistoryWindow } from './history-pages.ts';
import { stateOfFile } from './home-scan.ts';
import { HomeWatcher } from './home-watcher.ts';
import type { HistoryPrefix, IndexApi, IndexStatus, LocatedThread, RolloutPlace } from './index-api.ts';
import { lineageOf, type Segment } from './lineage.ts';
import { snippetOf, visibleText } from './message-search.ts';
import { NameTable } from './name-table.ts';
import { PendingCover } from './pending-cover.ts';
import { cutAt } from './prefix.ts';
import { RolloutSync } from './rollout-sync.ts';
import { RolloutTable, type RolloutRow } from './rollout-table.ts';
import { ThreadTable, type IndexedThread } from './thread-table.ts';

export interface IndexOptions {
  readonly home: HomeLayout;
  /** Provider of threads whose header names none. */
  readonly defaultModelProvider: string;
}

/** A list that would take longer to make exact is answered as it is. */
const COVER_BUDGET_MS = 2_000;

/** Where folders cannot be watched, they are swept at most this often, when someone lists. */
const SWEEP_INTERVAL_MS = 10_000;

/** Threads looked through per round of a search. */
const SEARCH_BATCH = 50;

/** The parts of an index over one open database. */
interface Parts {
  readonly opened: OpenedDatabase;
  readonly rollouts: RolloutTable;
  readonly threads: ThreadTable;
  readonly names: NameTable;
  readonly pages: HistoryPages;
  readonly cover: PendingCover;
  readonly sync: RolloutSync;
}

/**
 * The index of a home (D7). Synchronous inside, so it lives in a worker thread; this class is what runs there.
 *
 * Life: *scanning* (which files are there), *building* (reading those that are new or have grown, newest first,
 * in slices), *ready*. It answers in all of them, and reads first what an answer needs. A database that turns out
 * to be damaged is set aside and the life begins anew.
 */
export class IndexService implements IndexApi {
  readonly #options: IndexOptions;
  readonly #meter: ReadMeter = { bytesRead: 0 };
  readonly #watcher: HomeWatcher;
  #parts: Parts;
  #setAside: string | null;
  #state: IndexStatus['state'] = 'scanning';
  #life: Promise<void>;
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
    this.#life = this.#build();
  }

  async locate(threadId: ThreadId): Promise<LocatedThread | undefined> {
    return this.#guarded(async () => {
      const indexed = await this.#current(threadId);
      return indexed === undefined ? undefined : this.#located(indexed);
    });
  }

  async locateByPath(path: string, isAdopted: boolean): Promise<LocatedThread> {
    return this.#guarded(async () => {
      const { home } = this.#options;
      const known = this.#parts.rollouts.byPath(home.toStored(path));
      const row = known ?? this.#adopt(path, isAdopted);
      const read = await this.#parts.sync.bringUp(row);
      const indexed = read?.state === 'indexed' ? this.#parts.threads.ofRollout(read) : undefined;
      if (indexed === undefined) throw unreadable(path, read?.problem ?? 'it has no session metadata');
      const located = this.#located(indexed);
      if (known === undefined && !isAdopted) this.#drop(row);
      return located;
    });
  }

  async files(threadId: ThreadId): Promise<readonly string[]> {
    return this.#guarded(async () => {
      await this.#scanned;
      this.#parts.sync.refreshFolders();
      return this.#parts.rollouts
        .ofThread(threadId)
        .map((row) => this.#pathOf(row))
        .toReversed();
    });
  }

  async list(query: ThreadQuery): Promise<Page<StoredThread>> {
    return this.#guarded(async () => {
      if (query.cwds?.length === 0) return EMPTY_PAGE;
      const found = await this.#exactList(query);
      return threadPage(found, query, (thread) => thread);
    });
  }

  async search({ query, term }: SearchThreads): Promise<Page<SearchHit>> {
    return this.#guarded(async () => {
      const foldedTerm = term.toLowerCase();
      const hits: SearchHit[] = [];
      let from: ThreadQuery = { ...query, limit: SEARCH_BATCH };
      for (;;) {
        const threads = await this.#exactList(from);
        const batch = threads.slice(0, SEARCH_BATCH);
        for (const thread of batch) {
          const snippet = await this.#snippet(thread, foldedTerm);
          if (snippet !== undefined) hits.push({ thread, snippet });
          if (hits.length > query.limit) return threadPage(hits, query, (hit) => hit.thread);
        }
        const last = batch.at(-1);
        if (threads.length <= SEARCH_BATCH || last === undefined) {
          return threadPage(hits, query, (hit) => hit.thread);
        }
        from = { ...from, after: { keyMs: sortKeyOf(last, query.sortKey), id: last.id } };
        await nextTurn();
      }
    });
  }

  async turns(params: ListTurns): Promise<Page<Turn>> {
    return this.#guarded(async () => {
      const window = await this.#window(params, positionFrom(params, 'turns'));
      const { elements, hasMore } = this.#parts.pages.turns(window, params.itemsView);
      return historyPage(elements, hasMore, params.threadId, 'turns');
    });
  }

  async items(params: ListItems): Promise<Page<ThreadItemEntry>> {
    return this.#guarded(async () => {
      const { turnId = null, anchorItemId } = params;
      const window = await this.#window(params, positionFrom(params, 'itemsByCreatedAtOrdinal'));
      const anchored =
        anchorItemId === undefined ? window : { ...window, from: this.#anchor(window, turnId, anchorItemId) };
      const { elements, hasMore } = this.#parts.pages.items(anchored, turnId);
      return historyPage(elements, hasMore, params.threadId, 'itemsByCreatedAtOrdinal');
    });
  }

  async prefix(threadId: ThreadId, boundary: ForkBoundary): Promise<HistoryPrefix> {
    return this.#guarded(async () => {
      const indexed = await this.#existing(threadId);
      const segments = await this.#segments(indexed);
      const mode = indexed.header.historyMode;
      const { pages } = this.#parts;
      const cut = cutAt(boundary, segments, mode, pages, (segment) => this.#pathOf(segment.rollout));
      const first = pages.firstTurn(segments);
      const isBefore = first !== undefined && isAtOrBehind(first, cut.segment, cut.offset, segments);
      const last = boundary.kind === 'latest' ? pages.lastTurn(segments) : undefined;
      return {
        source: indexed.thread,
        historyMode: mode,
        rollout: this.#placeOf(cut.segment.rollout),
        endOffset: cut.offset,
        endOrdinal: cut.ordinal,
        isEmpty: first === undefined || isBefore,
        openTurnId: last?.isOpen === true ? last.turnId : null,
      };
    });
  }

  async stretches(threadId: ThreadId): Promise<readonly FileStretch[]> {
    return this.#guarded(async () => {
      const segments = await this.#segments(await this.#existing(threadId));
      return segments.toReversed().map(({ rollout, endOffset }) => ({
        path: this.#pathOf(rollout),
        endOffset: endOffset ?? rollout.indexedSize,
      }));
    });
  }

  async descendants(threadId: ThreadId): Promise<readonly ThreadId[]> {
    return this.#guarded(async () => {
      await this.#readAll();
      return this.#parts.threads.descendantsOf(threadId);
    });
  }

  async referrers(threadIds: readonly ThreadId[]): Promise<readonly ThreadId[]> {
    return this.#guarded(async () => {
      await this.#readAll();
      const inside = new Set(threadIds);
      const { rollouts } = this.#parts;
      const found = threadIds
        .flatMap((threadId) => rollouts.ofThread(threadId))
        .flatMap((row) => rollouts.referrersOf(row.rolloutId))
        .map((row) => row.threadId)
        .filter((threadId) => !inside.has(threadId));
      return [...new Set(found)];
    });
  }

  async touch(paths: readonly string[]): Promise<void> {
    return this.#guarded(async () => {
      this.#parts.sync.acknowledgeFolders(paths);
      this.#parts.sync.refreshFiles(paths);
      await this.#readChanged();
    });
  }

  async forget(path: string): Promise<void> {
    return this.#guarded(async () => {
      const row = this.#parts.rollouts.byPath(this.#options.home.toStored(path));
      if (row !== undefined) this.#drop(row);
    });
  }

  async whenReady(): Promise<void> {
    await this.#life;
  }

  async status(): Promise<IndexStatus> {
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
    await this.#life;
    this.#parts.opened.database.close();
  }

  #open(): Parts {
    const { home, defaultModelProvider } = this.#options;
    const opened = openDatabase(home.index);
    const { database } = opened;
    const pathOf = (stored: string): string => home.fromStored(stored);
    const rollouts = new RolloutTable(database);
    const threads = new ThreadTable(database, rollouts, { pathOf, defaultModelProvider });
    const catchUp = new CatchUp(database, rollouts, this.#meter);
    return {
      opened,
      rollouts,
      threads,
      names: new NameTable(database, home.nameIndex),
      pages: new HistoryPages(database, this.#meter, pathOf),
      cover: new PendingCover(database),
      sync: new RolloutSync(home, rollouts, threads, catchUp, this.#watcher),
    };
  }

  async #scan(): Promise<void> {
    this.#syncNames();
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

  /** Reads files that are known to have grown: few, and somebody waits. */
  async #readChanged(): Promise<void> {
    for (const row of this.#parts.rollouts.grown()) await this.#parts.sync.bringUp(row);
  }

  /** Everything is read when this returns: for questions that any file could answer differently. */
  async #readAll(): Promise<void> {
    await this.#scanned;
    this.#parts.sync.refreshFolders();
    for (;;) {
      const row = this.#parts.rollouts.nextUnread();
      if (row === undefined) return;
      await this.#parts.sync.bringUp(row);
    }
  }

  #scheduleRefresh(): void {
    if (this.#refreshTimer !== undefined || this.#isClosed) return;
    this.#refreshTimer = setTimeout(() => {
      this.#refreshTimer = undefined;
      void this.#guarded(() => this.#refreshNow()).catch(() => {});
    }, 20);
    this.#refreshTimer.unref();
  }
  async #refreshNow(): Promise<void> {
    if (this.#isClosed) return;
    this.#parts.sync.refreshFolders();
    this.#parts.sync.refreshFiles(this.#watcher.take());
    await this.#readChanged();
  }

  async #exactList(query: ThreadQuery): Promise<readonly StoredThread[]> {
    await this.#scanned;
    this.#syncNames();
    if (query.isIndexOnly !== true) {
      if (!this.#watcher.isComplete && Date.now() - this.#lastSweepMs > SWEEP_INTERVAL_MS) {
        this.#lastSweepMs = Date.now();
        await this.#parts.sync.sweep();
      }
      await this.#refreshNow();
    }
    const deadline = Date.now() + COVER_BUDGET_MS;
    for (;;) {
      const found = this.#parts.threads.list(query);
      const missing = Date.now() < deadline ? this.#parts.cover.missingFrom(query, found) : [];
      if (missing.length === 0) return found;
      for (const id of missing) {
        const row = this.#parts.rollouts.byId(id);
        if (row !== undefined) await this.#parts.sync.bringUp(row);
      }
      await nextTurn();
    }
  }

  async #snippet(thread: StoredThread, foldedTerm: string): Promise<string | undefined> {
    const indexed = this.#parts.threads.get(thread.id);
    if (indexed === undefined) return undefined;
    const segments = await this.#segments(indexed);
    for (const item of this.#parts.pages.messages(segments, indexed.header.historyMode)) {
      const snippet = snippetOf(visibleText(item), foldedTerm);
      if (snippet !== undefined) return snippet;
    }
    return undefined;
  }

  async #window(
    params: { readonly threadId: ThreadId; readonly direction: SortDirection; readonly limit: number },
    from: HistoryPosition | null,
  ): Promise<HistoryWindow> {
    const indexed = await this.#existing(params.threadId);
    const segments = await this.#segments(indexed);
    return { segments, mode: indexed.header.historyMode, from, direction: params.direction, limit: params.limit };
  }

  #anchor(window: HistoryWindow, turnId: string | null, itemId: string): HistoryPosition {
    if (turnId === null) throw invalidRequest('turnId is required when cursor is an item anchor');
    const at = this.#parts.pages.findItem(window.segments, turnId, itemId);
    if (at === undefined)
      throw invalidRequest('cursor.itemId does not identify an item in the requested history scope');
    return { at, isIncluded: false };
  }

  async #existing(threadId: ThreadId): Promise<IndexedThread> {
    const indexed = await this.#current(threadId);
    if (indexed === undefined) throw notFound(`no rollout found for thread id ${threadId}`);
    return indexed;
  }

  /** The thread with everything that its current rollout holds now. @throws internal if that is unreadable */
  async #current(threadId: ThreadId): Promise<IndexedThread | undefined> {
    await this.#scanned;
    this.#syncNames();
    // What the index knew may have been moved by someone else meanwhile: then the folders show it.
    return (await this.#readable(threadId)) ?? this.#readable(threadId, { isSecondLook: true });
  }

  async #readable(threadId: ThreadId, { isSecondLook = false } = {}): Promise<IndexedThread | undefined> {
    const { sync, threads, rollouts } = this.#parts;
    if (isSecondLook) sync.refreshFolders();
    let problem: SkeinError | undefined;
    for (const row of rollouts.ofThread(threadId)) {
      const read = await sync.bringUp(row);
      if (read?.state === 'indexed') {
        threads.refresh(threadId);
        return threads.get(threadId);
      }
      if (read?.state === 'unreadable') problem ??= unreadable(this.#pathOf(read), read.problem ?? '');
    }
    if (problem !== undefined) throw problem;
    return undefined;
  }

  async #segments(indexed: IndexedThread): Promise<readonly Segment[]> {
    const { rollouts, sync } = this.#parts;
    // Only what is continued is needed whole; the rest of such a file may wait.
    let { base } = indexed.rollout;
    const seen = new Set<ThreadId>();
    while (base !== null && !seen.has(base.rolloutId)) {
      seen.add(base.rolloutId);
      const row = this.#findRollout(base.rolloutId);
      const isCovered = row?.state === 'indexed' && row.indexedSize >= base.endOffset;
      const read = row === undefined || isCovered ? row : await sync.bringUp(row);
      base = read?.base ?? null;
    }
    return lineageOf(indexed.rollout, indexed.thread.id, (rolloutId) => {
      const row = rollouts.byRolloutId(rolloutId);
      return row?.state === 'indexed' ? row : undefined;
    });
  }

  #findRollout(rolloutId: ThreadId): RolloutRow | undefined {
    const { rollouts, sync } = this.#parts;
    const row = rollouts.byRolloutId(rolloutId);
    if (row !== undefined && row.state !== 'missing') return row;
    sync.refreshFolders();
    return rollouts.byRolloutId(rolloutId);
  }

  #adopt(path: string, isAdopted: boolean): RolloutRow {
    const { home } = this.#options;
    const state = stateOfFile(path);
    if (state === undefined) throw invalidRequest(`failed to resolve rollout path \`${path}\`: file does not exist`);
    const first = readFirstRecord(path);
    const meta = first?.line.item.type === 'session_meta' ? readSessionMeta(first.line.item.payload) : 'missingId';
    if (typeof meta === 'string') throw unreadable(path, 'it has no session metadata');
    const name = parseRolloutFileName(basename(path));
    const rolloutId = name?.threadId === meta.threadId ? name.rolloutId : meta.threadId;
    const inHome = this.#parts.rollouts.byRolloutId(rolloutId);
    if (inHome !== undefined && !isAdopted && existsSync(this.#pathOf(inHome))) {
      // The same rollout as one in the home, read from elsewhere: it must not take that one's place.
      throw invalidRequest(`${path} is a copy of ${this.#pathOf(inHome)}; read thread ${meta.threadId} by its id`);
    }
    return this.#parts.rollouts.see({
      rolloutId,
      threadId: meta.threadId,
      path: home.toStored(path),
      isArchived: home.isArchived(path),
      nameMs: meta.createdAtMs,
      ...state,
    });
  }

  /** Forgets a file outside the home; one of the same rollout inside takes its place again. */
  #drop(row: RolloutRow): void {
    const { home } = this.#options;
    if (home.isCollected(home.fromStored(row.path))) return;
    this.#parts.rollouts.remove(row.id);
    this.#parts.threads.refresh(row.threadId);
    this.#parts.sync.forgetFolders();
  }

  #located(indexed: IndexedThread): LocatedThread {
    const { thread, rollout, header, facts } = indexed;
    const others = this.#parts.rollouts.ofThread(thread.id).filter((row) => row.id !== rollout.id);
    const inIndex = this.#parts.names.get(thread.id);
    const inHistory = facts.namedInHistory;
    const isNewer = inHistory !== null && (inIndex === undefined || inIndex.updatedAtMs < inHistory.atMs);
    return {
      thread,
      historyMode: header.historyMode,
      rollouts: [this.#placeOf(rollout), ...others.map((row) => this.#placeOf(row))],
      unindexedName: isNewer ? inHistory.name : null,
    };
  }

  #placeOf(row: RolloutRow): RolloutPlace {
    return { rolloutId: row.rolloutId, path: this.#pathOf(row), isArchived: row.isArchived };
  }

  #pathOf(row: RolloutRow): string {
    return this.#options.home.fromStored(row.path);
  }

  #syncNames(): void {
    for (const threadId of this.#parts.names.sync()) this.#parts.threads.refresh(threadId);
  }

  /** Runs an answer; if the database proves damaged, sets it aside, starts anew and runs it again. */
  async #guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#startAnew(error);
      return work();
    }
  }

  #startAnew(reason: unknown): void {
    this.#setAside = String(reason);
    setAsideDatabase(this.#parts.opened, this.#options.home.index);
    this.#parts = this.#open();
    this.#state = 'scanning';
    this.#scanned = this.#scan();
    this.#life = this.#build();
  }
}

function unreadable(path: string, why: string): SkeinError {
  return internal(`failed to read session metadata ${path}: ${why}`);
}

function positionFrom(
  params: { readonly threadId: ThreadId; readonly cursor?: string },
  scope: HistoryScope,
): HistoryPosition | null {
  return params.cursor === undefined ? null : parseHistoryCursor(params.cursor, params.threadId, scope);
}

/** True if a turn begins at a cut or behind it: nothing of it is left in the prefix. */
function isAtOrBehind(
  turn: { readonly segment: Segment; readonly startOffset: number },
  cutSegment: Segment,
  cutOffset: number,
  segments: readonly Segment[],
): boolean {
  const [turnDepth, cutDepth] = [segments.indexOf(turn.segment), segments.indexOf(cutSegment)];
  return turnDepth === cutDepth ? turn.startOffset >= cutOffset : turnDepth < cutDepth;
}
