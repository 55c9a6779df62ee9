import { setImmediate as nextTurn } from 'node:timers/promises';
import { errnoOf, invalidRequest, SkeinError } from '../../../domain/errors.ts';
import type { ThreadId } from '../../../domain/ids.ts';
import {
  historyPage,
  parseHistoryCursor,
  type HistoryPosition,
  type HistoryScope,
} from '../../../domain/history-cursor.ts';
import { EMPTY_PAGE, type Page, type SortDirection } from '../../../domain/page.ts';
import type { StoreAudit } from '../../../domain/store-audit.ts';
import type { StoredThread } from '../../../domain/stored-thread.ts';
import { threadPage } from '../../../domain/thread-cursor.ts';
import { foldedText, sortKeyOf, type ThreadQuery } from '../../../domain/thread-query.ts';
import type { ThreadItemEntry, Turn } from '../../../domain/turn.ts';
import type { ForkBoundary, ListItems, ListTurns, SearchHit, SearchThreads } from '../../thread-store.ts';
import { LOOKS, plainPath } from '../compressed-rollout.ts';
import type { FileStretch } from '../rollout-start.ts';
import { auditIndex } from './audit.ts';
import type { HistoryWindow } from './history-pages.ts';
import { stateOfRollout } from './home-scan.ts';
import type { HistoryPrefix, IndexApi, IndexStatus, LocatedThread } from './index-api.ts';
import { IndexLife, until, type IndexOptions } from './index-life.ts';
import type { Segment } from './lineage.ts';
import { snippetOf, visibleText } from './message-search.ts';
import { PlainAgain, type RestoredTime } from './plain-again.ts';
import { ChangedRollout } from './plain-copies.ts';
import { cutAt } from './prefix.ts';
import { isReadToEnd } from './rollout-row.ts';
import { ThreadLookup, unreadable } from './thread-lookup.ts';
import type { IndexedThread } from './thread-table.ts';

/** A list that would take longer to make exact is answered as it is, unless options say otherwise. */
const COVER_BUDGET_MS = 2_000;

/** Threads looked through per round of a search. */
const SEARCH_BATCH = 50;

/** A search keeps the thread that does it busy for about this long, then lets others in. */
const SEARCH_SLICE_MS = 8;

/**
 * The index of a home (D7). Synchronous inside, so it lives in a worker thread; this class is what runs there.
 */
export class IndexService implements IndexApi {
  readonly #life: IndexLife;
  readonly #lookup: ThreadLookup;
  readonly #plainAgain = new PlainAgain();
  readonly #coverBudgetMs: number;

  constructor(options: IndexOptions) {
    this.#coverBudgetMs = options.coverBudgetMs ?? COVER_BUDGET_MS;
    this.#life = new IndexLife(options);
    this.#lookup = new ThreadLookup(this.#life);
  }

  async locate(threadId: ThreadId): Promise<LocatedThread | undefined> {
    return this.#life.run(async () => {
      const indexed = await this.#lookup.current(threadId);
      return indexed === undefined ? undefined : this.#lookup.located(indexed);
    });
  }

  async locateByPath(named: string, isAdopted: boolean): Promise<LocatedThread> {
    return this.#life.run(async () => {
      await this.#life.scanned;
      const { home } = this.#life;
      const path = plainPath(named);
      const known = this.#life.parts.rollouts.byPath(home.toStored(path));
      const row = known ?? this.#lookup.adopt(path, isAdopted);
      const read = await this.#life.parts.sync.bringUp(row);
      const indexed = read?.state === 'indexed' ? this.#life.parts.threads.ofRollout(read) : undefined;
      if (indexed === undefined) throw unreadable(path, read?.problem ?? 'it has no session metadata');
      const located = this.#lookup.located(indexed);
      if (known === undefined && !isAdopted) this.#lookup.drop(row);
      return located;
    });
  }

  async files(threadId: ThreadId): Promise<readonly string[]> {
    return this.#life.run(async () => {
      await this.#life.scanned;
      await this.#life.refresh();
      this.#life.parts.sync.folders.refresh();
      return this.#life.parts.rollouts
        .ofThread(threadId)
        .map((row) => this.#lookup.pathOf(row))
        .toReversed();
    });
  }

  async list(query: ThreadQuery): Promise<Page<StoredThread>> {
    return this.#life.run(async () => {
      if (query.cwds?.length === 0) return EMPTY_PAGE;
      const found = await this.#exactList(query);
      return threadPage(found, query, (thread) => thread);
    });
  }

  async search({ query, term }: SearchThreads): Promise<Page<SearchHit>> {
    return this.#life.run(async () => {
      const foldedTerm = foldedText(term);
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
    return this.#life.run(async () => {
      const from = positionFrom(params, 'turns');
      const { elements, hasMore } = await this.#reading(params.threadId, (indexed, segments) =>
        this.#life.parts.pages.turns(windowOn(indexed, segments, params, from), params.itemsView),
      );
      return historyPage(elements, hasMore, params.threadId, 'turns');
    });
  }

  async items(params: ListItems): Promise<Page<ThreadItemEntry>> {
    return this.#life.run(async () => {
      const { turnId = null, anchorItemId } = params;
      const from = positionFrom(params, 'itemsByCreatedAtOrdinal');
      const { elements, hasMore } = await this.#reading(params.threadId, (indexed, segments) => {
        const window = windowOn(indexed, segments, params, from);
        const anchored =
          anchorItemId === undefined ? window : { ...window, from: this.#anchor(window, turnId, anchorItemId) };
        return this.#life.parts.pages.items(anchored, turnId);
      });
      return historyPage(elements, hasMore, params.threadId, 'itemsByCreatedAtOrdinal');
    });
  }

  async prefix(threadId: ThreadId, boundary: ForkBoundary): Promise<HistoryPrefix> {
    return this.#life.run(() =>
      this.#reading(threadId, (indexed, segments) => this.#prefix(indexed, segments, boundary)),
    );
  }

  async stretches(threadId: ThreadId): Promise<readonly FileStretch[]> {
    return this.#life.run(() =>
      this.#reading(threadId, (_indexed, segments) =>
        segments.toReversed().map(({ rollout, endOffset }) => ({
          path: this.#life.parts.copies.readablePath(rollout),
          endOffset: endOffset ?? rollout.indexedSize,
        })),
      ),
    );
  }

  async restore(path: string, time: RestoredTime): Promise<boolean> {
    return this.#life.run(async () => {
      const { rollouts, sync, threads } = this.#life.parts;
      const stored = this.#life.home.toStored(path);
      const known = rollouts.byPath(stored);
      const read = known === undefined ? undefined : await sync.bringUp(known);
      const isRestored = await this.#plainAgain.restore(path, time, (size) => {
        sync.folders.acknowledge([path]);
        const row = read === undefined ? undefined : rollouts.byId(read.id);
        const state = stateOfRollout(path);
        // The text is the same, so what was read of it stays; anything else shows as a change.
        if (row === undefined || state === undefined || !isReadToEnd(row) || row.fileSize !== size) return;
        if (row.inode !== read?.inode || row.path !== stored) return;
        rollouts.setFile(row.id, state);
        threads.refresh(row.threadId);
      });
      sync.refreshFiles([path]);
      await this.#dropCopies();
      return isRestored;
    });
  }

  async restoreHistory(threadId: ThreadId): Promise<void> {
    return this.#life.run(async () => {
      const segments = await this.#lookup.segments(await this.#lookup.existing(threadId));
      for (const { rollout } of segments) {
        if (rollout.compressedSize !== null) await this.restore(this.#lookup.pathOf(rollout), 'keep');
      }
    });
  }

  async descendants(threadId: ThreadId): Promise<readonly ThreadId[]> {
    return this.#life.run(async () => {
      await this.#life.readRelated();
      return this.#life.parts.threads.descendantsOf(threadId);
    });
  }

  async referrers(threadIds: readonly ThreadId[]): Promise<readonly ThreadId[]> {
    return this.#life.run(async () => {
      await this.#life.readRelated();
      const inside = new Set(threadIds);
      const { rollouts } = this.#life.parts;
      const found = threadIds
        .flatMap((threadId) => rollouts.ofThread(threadId))
        .flatMap((row) => rollouts.referrersOf(row.rolloutId))
        .map((row) => row.threadId)
        .filter((threadId) => !inside.has(threadId));
      return [...new Set(found)];
    });
  }

  async touch(paths: readonly string[]): Promise<void> {
    return this.#life.run(async () => {
      this.#life.parts.sync.folders.acknowledge(paths);
      this.#life.parts.sync.refreshFiles(paths);
      await this.#life.readGrown();
      // Nobody else may tell of a new file: not every folder can be watched.
      this.#life.goOnBuilding();
      await this.#dropCopies();
    });
  }

  async forget(path: string): Promise<void> {
    return this.#life.run(async () => {
      const row = this.#life.parts.rollouts.byPath(this.#life.home.toStored(path));
      if (row !== undefined) this.#lookup.drop(row);
    });
  }

  whenReady(): Promise<void> {
    return this.#life.run(() => this.#life.whenRead());
  }

  async status(): Promise<IndexStatus> {
    return this.#life.status;
  }

  audit(): Promise<StoreAudit> {
    return this.#life.run(() => auditIndex(this.#life));
  }

  close(): Promise<void> {
    return this.#life.close();
  }

  async #exactList(query: ThreadQuery): Promise<readonly StoredThread[]> {
    await this.#life.scanned;
    const deadline = Date.now() + this.#coverBudgetMs;
    if (query.isIndexOnly !== true) await this.#life.refresh(deadline);
    this.#life.syncNames();
    for (;;) {
      const found = this.#life.parts.threads.list(query);
      const missing = Date.now() < deadline ? this.#life.parts.cover.missingFrom(query, found) : [];
      if (missing.length === 0) return found;
      await until(deadline, this.#life.parts.sync.bringUpAll(missing));
    }
  }

  /** Where a term stands in what was said in a thread. A thread that cannot be read has nothing to show. */
  async #snippet(thread: StoredThread, foldedTerm: string): Promise<string | undefined> {
    if (this.#life.parts.threads.get(thread.id) === undefined) return undefined;
    const find = async (indexed: IndexedThread, segments: readonly Segment[]): Promise<string | undefined> => {
      let sliceEnd = Date.now() + SEARCH_SLICE_MS;
      for (const item of this.#life.parts.pages.messages(segments, indexed.header.historyMode)) {
        const snippet = snippetOf(visibleText(item), foldedTerm);
        if (snippet !== undefined) return snippet;
        if (Date.now() < sliceEnd) continue;
        await nextTurn();
        sliceEnd = Date.now() + SEARCH_SLICE_MS;
      }
      return undefined;
    };
    try {
      return await this.#reading(thread.id, find, { isKept: false });
    } catch (error) {
      // One thread that cannot be read must not keep the others from being found.
      if (!(error instanceof SkeinError) && errnoOf(error) === undefined) throw error;
      return undefined;
    }
  }

  #prefix(indexed: IndexedThread, segments: readonly Segment[], boundary: ForkBoundary): HistoryPrefix {
    const mode = indexed.header.historyMode;
    const { pages, copies } = this.#life.parts;
    const cut = cutAt(boundary, segments, mode, pages, (segment) => copies.readablePath(segment.rollout));
    const last = boundary.kind === 'latest' ? pages.lastTurn(segments) : undefined;
    return {
      source: indexed.thread,
      historyMode: mode,
      rollout: this.#lookup.placeOf(cut.segment.rollout),
      endOffset: cut.offset,
      endOrdinal: cut.ordinal,
      openTurnId: last?.isOpen === true ? last.turnId : null,
    };
  }

  /**
   * Runs work on a thread's history whose files can be read in places meanwhile. If others compress, restore or move
   * one of them under it, it is run again on what is there then.
   */
  async #reading<T>(
    threadId: ThreadId,
    work: (indexed: IndexedThread, segments: readonly Segment[]) => T | Promise<T>,
    { isKept = true } = {},
  ): Promise<T> {
    for (let look = 1; ; look += 1) {
      const indexed = await this.#lookup.existing(threadId);
      const segments = await this.#lookup.segments(indexed);
      try {
        const release = await this.#life.parts.copies.hold(
          segments.map((segment) => segment.rollout),
          isKept,
        );
        try {
          return await work(indexed, segments);
        } finally {
          await release();
        }
      } catch (error) {
        const isMoved = error instanceof ChangedRollout || errnoOf(error) === 'ENOENT';
        if (!isMoved || look === LOOKS) throw error;
        // What a compressed file was taken to hold, only because it has the time of the plain one, it does not.
        if (error instanceof ChangedRollout && error.wrongRow !== undefined) {
          this.#life.parts.rollouts.reset(error.wrongRow);
        }
        this.#life.parts.sync.refreshFiles(segments.map((segment) => this.#lookup.pathOf(segment.rollout)));
      }
    }
  }

  /** Copies of what was deleted or made plain are not needed, and must not outlive it. */
  async #dropCopies(): Promise<void> {
    const { copies, rollouts } = this.#life.parts;
    await copies.dropUnless((copied) => {
      const row = rollouts.byId(copied.id);
      return row !== undefined && row.state !== 'missing' && row.compressedSize !== null;
    });
  }

  #anchor(window: HistoryWindow, turnId: string | null, itemId: string): HistoryPosition {
    if (turnId === null) throw invalidRequest('turnId is required when cursor is an item anchor');
    const at = this.#life.parts.pages.findItem(window.segments, turnId, itemId);
    if (at === undefined)
      throw invalidRequest('cursor.itemId does not identify an item in the requested history scope');
    return { at, isIncluded: false };
  }
}

function windowOn(
  indexed: IndexedThread,
  segments: readonly Segment[],
  { direction, limit }: { readonly direction: SortDirection; readonly limit: number },
  from: HistoryPosition | null,
): HistoryWindow {
  return { segments, mode: indexed.header.historyMode, from, direction, limit };
}

function positionFrom(
  params: { readonly threadId: ThreadId; readonly cursor?: string },
  scope: HistoryScope,
): HistoryPosition | null {
  return params.cursor === undefined ? null : parseHistoryCursor(params.cursor, params.threadId, scope);
}
