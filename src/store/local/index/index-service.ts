import { setImmediate as nextTurn } from 'node:timers/promises';
import { invalidRequest } from '../../../domain/errors.ts';
import type { ThreadId } from '../../../domain/ids.ts';
import {
  historyPage,
  parseHistoryCursor,
  type HistoryPosition,
  type HistoryScope,
} from '../../../domain/history-cursor.ts';
import { EMPTY_PAGE, type Page, type SortDirection } from '../../../domain/page.ts';
import type { StoredThread } from '../../../domain/stored-thread.ts';
import { threadPage } from '../../../domain/thread-cursor.ts';
import { sortKeyOf, type ThreadQuery } from '../../../domain/thread-query.ts';
import type { ThreadItemEntry, Turn } from '../../../domain/turn.ts';
import type { ForkBoundary, ListItems, ListTurns, SearchHit, SearchThreads } from '../../thread-store.ts';
import type { FileStretch } from '../rollout-file.ts';
import type { HistoryWindow } from './history-pages.ts';
import type { HistoryPrefix, IndexApi, IndexStatus, LocatedThread } from './index-api.ts';
import { IndexLife, type IndexOptions } from './index-life.ts';
import type { Segment } from './lineage.ts';
import { snippetOf, visibleText } from './message-search.ts';
import { cutAt } from './prefix.ts';
import { ThreadLookup, unreadable } from './thread-lookup.ts';

/** A list that would take longer to make exact is answered as it is. */
const COVER_BUDGET_MS = 2_000;

/** Threads looked through per round of a search. */
const SEARCH_BATCH = 50;

/**
 * The index of a home (D7). Synchronous inside, so it lives in a worker thread; this class is what runs there.
 */
export class IndexService implements IndexApi {
  readonly #life: IndexLife;
  readonly #lookup: ThreadLookup;

  constructor(options: IndexOptions) {
    this.#life = new IndexLife(options);
    this.#lookup = new ThreadLookup(this.#life);
  }

  async locate(threadId: ThreadId): Promise<LocatedThread | undefined> {
    return this.#life.run(async () => {
      const indexed = await this.#lookup.current(threadId);
      return indexed === undefined ? undefined : this.#lookup.located(indexed);
    });
  }

  async locateByPath(path: string, isAdopted: boolean): Promise<LocatedThread> {
    return this.#life.run(async () => {
      const { home } = this.#life;
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
      this.#life.parts.sync.refreshFolders();
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
    return this.#life.run(async () => {
      const window = await this.#window(params, positionFrom(params, 'turns'));
      const { elements, hasMore } = this.#life.parts.pages.turns(window, params.itemsView);
      return historyPage(elements, hasMore, params.threadId, 'turns');
    });
  }

  async items(params: ListItems): Promise<Page<ThreadItemEntry>> {
    return this.#life.run(async () => {
      const { turnId = null, anchorItemId } = params;
      const window = await this.#window(params, positionFrom(params, 'itemsByCreatedAtOrdinal'));
      const anchored =
        anchorItemId === undefined ? window : { ...window, from: this.#anchor(window, turnId, anchorItemId) };
      const { elements, hasMore } = this.#life.parts.pages.items(anchored, turnId);
      return historyPage(elements, hasMore, params.threadId, 'itemsByCreatedAtOrdinal');
    });
  }

  async prefix(threadId: ThreadId, boundary: ForkBoundary): Promise<HistoryPrefix> {
    return this.#life.run(async () => {
      const indexed = await this.#lookup.existing(threadId);
      const segments = await this.#lookup.segments(indexed);
      const mode = indexed.header.historyMode;
      const { pages } = this.#life.parts;
      const cut = cutAt(boundary, segments, mode, pages, (segment) => this.#lookup.pathOf(segment.rollout));
      const first = pages.firstTurn(segments);
      const isBefore = first !== undefined && isAtOrBehind(first, cut.segment, cut.offset, segments);
      const last = boundary.kind === 'latest' ? pages.lastTurn(segments) : undefined;
      return {
        source: indexed.thread,
        historyMode: mode,
        rollout: this.#lookup.placeOf(cut.segment.rollout),
        endOffset: cut.offset,
        endOrdinal: cut.ordinal,
        isEmpty: first === undefined || isBefore,
        openTurnId: last?.isOpen === true ? last.turnId : null,
      };
    });
  }

  async stretches(threadId: ThreadId): Promise<readonly FileStretch[]> {
    return this.#life.run(async () => {
      const segments = await this.#lookup.segments(await this.#lookup.existing(threadId));
      return segments.toReversed().map(({ rollout, endOffset }) => ({
        path: this.#lookup.pathOf(rollout),
        endOffset: endOffset ?? rollout.indexedSize,
      }));
    });
  }

  async descendants(threadId: ThreadId): Promise<readonly ThreadId[]> {
    return this.#life.run(async () => {
      await this.#life.readAll();
      return this.#life.parts.threads.descendantsOf(threadId);
    });
  }

  async referrers(threadIds: readonly ThreadId[]): Promise<readonly ThreadId[]> {
    return this.#life.run(async () => {
      await this.#life.readAll();
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
      this.#life.parts.sync.acknowledgeFolders(paths);
      this.#life.parts.sync.refreshFiles(paths);
      await this.#life.readGrown();
    });
  }

  async forget(path: string): Promise<void> {
    return this.#life.run(async () => {
      const row = this.#life.parts.rollouts.byPath(this.#life.home.toStored(path));
      if (row !== undefined) this.#lookup.drop(row);
    });
  }

  whenReady(): Promise<void> {
    return this.#life.built;
  }

  async status(): Promise<IndexStatus> {
    return this.#life.status;
  }

  close(): Promise<void> {
    return this.#life.close();
  }

  async #exactList(query: ThreadQuery): Promise<readonly StoredThread[]> {
    await this.#life.scanned;
    this.#life.syncNames();
    if (query.isIndexOnly !== true) await this.#life.refresh();
    const deadline = Date.now() + COVER_BUDGET_MS;
    for (;;) {
      const found = this.#life.parts.threads.list(query);
      const missing = Date.now() < deadline ? this.#life.parts.cover.missingFrom(query, found) : [];
      if (missing.length === 0) return found;
      for (const id of missing) {
        const row = this.#life.parts.rollouts.byId(id);
        if (row !== undefined) await this.#life.parts.sync.bringUp(row);
      }
      await nextTurn();
    }
  }

  async #snippet(thread: StoredThread, foldedTerm: string): Promise<string | undefined> {
    const indexed = this.#life.parts.threads.get(thread.id);
    if (indexed === undefined) return undefined;
    const segments = await this.#lookup.segments(indexed);
    for (const item of this.#life.parts.pages.messages(segments, indexed.header.historyMode)) {
      const snippet = snippetOf(visibleText(item), foldedTerm);
      if (snippet !== undefined) return snippet;
    }
    return undefined;
  }

  async #window(
    params: { readonly threadId: ThreadId; readonly direction: SortDirection; readonly limit: number },
    from: HistoryPosition | null,
  ): Promise<HistoryWindow> {
    const indexed = await this.#lookup.existing(params.threadId);
    const segments = await this.#lookup.segments(indexed);
    return { segments, mode: indexed.header.historyMode, from, direction: params.direction, limit: params.limit };
  }

  #anchor(window: HistoryWindow, turnId: string | null, itemId: string): HistoryPosition {
    if (turnId === null) throw invalidRequest('turnId is required when cursor is an item anchor');
    const at = this.#life.parts.pages.findItem(window.segments, turnId, itemId);
    if (at === undefined)
      throw invalidRequest('cursor.itemId does not identify an item in the requested history scope');
    return { at, isIncluded: false };
  }
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
