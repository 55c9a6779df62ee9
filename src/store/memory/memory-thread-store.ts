import { conflict, invalidRequest, notFound, unsupported } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { assertValidPatch, isEmptyPatch, patchedGit, type ThreadMetadataPatch } from '../../domain/metadata-patch.ts';
import { historyPage, parseHistoryCursor } from '../../domain/history-cursor.ts';
import type { Page } from '../../domain/page.ts';
import type { RolloutLine } from '../../domain/rollout-line.ts';
import type { HistoryMode } from '../../domain/session-meta.ts';
import { auditOf, type StoreAudit } from '../../domain/store-audit.ts';
import type { StoredThread } from '../../domain/stored-thread.ts';
import { NO_FACTS, withLine } from '../../domain/thread-facts.ts';
import { threadPage } from '../../domain/thread-cursor.ts';
import type { ThreadQuery } from '../../domain/thread-query.ts';
import { formatTimestamp } from '../../domain/timestamps.ts';
import type { ThreadItemEntry, Turn } from '../../domain/turn.ts';
import { cutOf, outlineOfLines } from '../history-outline.ts';
import { KeyedMutex } from '../mutex.ts';
import type {
  AppendRecords,
  CreateThread,
  Durability,
  ForkBoundary,
  ForkThread,
  HeaderSource,
  ListItems,
  ListTurns,
  NewRecord,
  PlannedThread,
  ResumeThread,
  SearchHit,
  SearchThreads,
  StoreSupport,
  ThreadStore,
} from '../thread-store.ts';
import { inDirection, itemViewOf, turnsOf, turnView } from './memory-history.ts';
import { append, appendHeader, newThread, saidIn, viewOf, type MemoryThread } from './memory-thread.ts';
import { descendants, matching } from './memory-queries.ts';

export interface MemoryThreadStoreOptions {
  readonly defaultModelProvider: string;
  /** Unix ms. */
  readonly now?: () => number;
}

/** A writer; its thread exists once it has written. */
interface MemoryWriter {
  readonly historyMode: HistoryMode;
  readonly header: HeaderSource;
  readonly inherited: readonly RolloutLine[];
  readonly borders: readonly number[];
}

/**
 * Threads in memory: for tests, for tools, and as the plainest reading of the port. Durable as long as the process.
 * It has no files, so it supports no paths.
 */
export class MemoryThreadStore implements ThreadStore {
  readonly supports: StoreSupport = { paths: false };
  readonly #options: MemoryThreadStoreOptions;
  readonly #threads = new Map<ThreadId, MemoryThread>();
  readonly #writers = new Map<ThreadId, MemoryWriter>();
  /** Writes of one thread go one at a time: the first one waits for the header. */
  readonly #mutex = new KeyedMutex<ThreadId>();
  #lastMs = 0;
  /** Now, and later than ever before: no two updates share a millisecond (upstream-behaviour 4.4). */
  readonly #now = (): number => {
    this.#lastMs = Math.max((this.#options.now ?? Date.now)(), this.#lastMs + 1);
    return this.#lastMs;
  };

  constructor(options: MemoryThreadStoreOptions) {
    this.#options = options;
  }

  async createThread({ threadId, historyMode, cwd, header }: CreateThread): Promise<PlannedThread> {
    if (cwd === '') throw invalidRequest('thread store requires a cwd');
    this.#register(threadId, { historyMode, header, inherited: [], borders: [] });
    return { path: null };
  }

  async resumeThread({ threadId, path, includeArchived = false }: ResumeThread): Promise<StoredThread> {
    if (path !== undefined) throw unsupported('resuming by path');
    this.#assertNotLive(threadId);
    const thread = this.#stored(threadId, includeArchived);
    this.#register(threadId, {
      historyMode: thread.historyMode,
      header: () => Promise.reject(new Error('a stored thread has its header')),
      inherited: [],
      borders: [],
    });
    return this.#view(threadId, thread);
  }

  async forkThread({ threadId, cwd, header, sourceId, boundary }: ForkThread): Promise<StoredThread> {
    if (cwd === '') throw invalidRequest('thread store requires a cwd');
    if (this.#writers.has(sourceId)) await this.persistThread(sourceId);
    const source = this.#stored(sourceId, true);
    const { historyMode, lines } = source;
    const { name, preview } = this.#view(sourceId, source);
    const border = Math.max(1, cutOf(outlineOfLines(lines, historyMode), boundary));
    const inherited = lines.slice(1, border);
    const borders = [...source.borders.filter((earlier) => earlier < border), border];
    const forked = async (): Promise<JsonObject> => ({
      ...(await header()),
      history_mode: historyMode,
      forked_from_id: sourceId,
    });
    this.#register(threadId, { historyMode, header: forked, inherited, borders });
    try {
      await this.persistThread(threadId);
    } catch (error) {
      this.#writers.delete(threadId);
      throw error;
    }
    const thread = this.#stored(threadId, true);
    thread.name = name;
    // A source whose turns were all taken back is still about what it was.
    if (lines.reduce(withLine, NO_FACTS).firstUserMessage === '') {
      thread.kept = { ...thread.kept, preview };
    }
    return this.#view(threadId, thread);
  }

  async appendItems({ threadId, records }: AppendRecords): Promise<void> {
    await this.#write(threadId, records);
  }

  async persistThread(threadId: ThreadId, _durability?: Durability): Promise<void> {
    await this.#write(threadId, []);
  }

  async flushThread(threadId: ThreadId, _durability?: Durability): Promise<void> {
    this.#writer(threadId);
  }

  async shutdownThread(threadId: ThreadId): Promise<void> {
    this.#writer(threadId);
    await this.#mutex.run(threadId, async () => {
      this.#writer(threadId);
      this.#writers.delete(threadId);
    });
  }

  async discardThread(threadId: ThreadId): Promise<void> {
    this.#writer(threadId);
    this.#writers.delete(threadId);
  }

  async *loadHistory(
    threadId: ThreadId,
    { includeArchived = false }: { readonly includeArchived?: boolean } = {},
  ): AsyncGenerator<RolloutLine> {
    yield* this.#stored(threadId, includeArchived).lines;
  }

  async readThread(
    threadId: ThreadId,
    { includeArchived = false }: { readonly includeArchived?: boolean } = {},
  ): Promise<StoredThread> {
    return this.#view(threadId, this.#stored(threadId, includeArchived));
  }

  async readThreadByPath(): Promise<StoredThread> {
    throw unsupported('reading by path');
  }

  async listThreads(query: ThreadQuery): Promise<Page<StoredThread>> {
    const found = matching(query, this.#all).slice(0, query.limit + 1);
    return threadPage(found, query, (thread) => thread);
  }

  async searchThreads({ query, term }: SearchThreads): Promise<Page<SearchHit>> {
    const hits = matching(query, this.#all).flatMap((thread): readonly SearchHit[] => {
      const said = saidIn(this.#stored(thread.id, true)).find((text) =>
        text.toLowerCase().includes(term.toLowerCase()),
      );
      return said === undefined ? [] : [{ thread, snippet: said }];
    });
    return threadPage(hits.slice(0, query.limit + 1), query, (hit) => hit.thread);
  }

  async listTurns({ threadId, cursor, limit, direction, itemsView }: ListTurns): Promise<Page<Turn>> {
    const thread = this.#stored(threadId, true);
    const { historyMode } = thread;
    const from = cursor === undefined ? null : parseHistoryCursor(cursor, threadId, 'turns');
    const found = inDirection(turnsOf(thread), direction, from);
    const shown = found.slice(0, limit).map((turn) => ({ at: turn.at, value: turnView(turn, historyMode, itemsView) }));
    return historyPage(shown, found.length > limit, threadId, 'turns');
  }

  async listItems(params: ListItems): Promise<Page<ThreadItemEntry>> {
    const { threadId, turnId, cursor, anchorItemId, limit, direction } = params;
    const thread = this.#stored(threadId, true);
    const { historyMode } = thread;
    const turns = turnsOf(thread).filter((turn) => turnId === undefined || turn.turnId === turnId);
    const items = turns.flatMap((turn) => turn.items.map((item) => ({ ...item, turnId: turn.turnId })));
    const scope = 'itemsByCreatedAtOrdinal';
    let from = cursor === undefined ? null : parseHistoryCursor(cursor, threadId, scope);
    if (anchorItemId !== undefined) {
      if (turnId === undefined) throw invalidRequest('turnId is required when cursor is an item anchor');
      const anchor = items.find((item) => item.itemId === anchorItemId);
      if (anchor === undefined) {
        throw invalidRequest('cursor.itemId does not identify an item in the requested history scope');
      }
      from = { at: anchor.at, isIncluded: false };
    }
    const visible = items.flatMap((entry) => {
      const item = itemViewOf(entry, historyMode);
      if (item === undefined) return [];
      const { at, startedAtMs, completedAtMs } = entry;
      return [{ at, value: { turnId: entry.turnId, item, startedAtMs, completedAtMs } }];
    });
    const found = inDirection(visible, direction, from);
    return historyPage(found.slice(0, limit), found.length > limit, threadId, scope);
  }

  async updateThreadMetadata(threadId: ThreadId, patch: ThreadMetadataPatch): Promise<StoredThread> {
    assertValidPatch(patch);
    if (this.#writers.has(threadId)) await this.persistThread(threadId);
    const stored = this.#stored(threadId, true);
    if (isEmptyPatch(patch)) return this.#view(threadId, stored);
    const before = this.#view(threadId, stored);
    if (patch.memoryMode !== undefined || patch.gitInfo !== undefined) {
      const git = patch.gitInfo === undefined ? before.git : patchedGit(before.git, patch.gitInfo);
      appendHeader(stored, patch.memoryMode ?? before.memoryMode, git, this.#now);
    }
    stored.name = patch.name ?? stored.name;
    return this.#view(threadId, stored);
  }

  async archiveThreads(threadIds: readonly [ThreadId, ...ThreadId[]]): Promise<readonly ThreadId[]> {
    this.#assertNoneLive(threadIds);
    const [first, ...others] = threadIds;
    const archivable = [...new Set(others)].filter(
      (threadId) => threadId !== first && this.#threads.get(threadId)?.isArchived === false,
    );
    this.#stored(first, false).isArchived = true;
    for (const threadId of archivable) this.#stored(threadId, false).isArchived = true;
    return [first, ...archivable];
  }

  async unarchiveThread(threadId: ThreadId): Promise<StoredThread> {
    this.#assertNoneLive([threadId]);
    const thread = this.#threads.get(threadId);
    if (thread?.isArchived !== true) throw notFound(`no archived rollout found for thread id ${threadId}`);
    thread.isArchived = false;
    thread.updatedAtMs = this.#now();
    return this.#view(threadId, thread);
  }

  async deleteThreads(threadIds: readonly [ThreadId, ...ThreadId[]]): Promise<readonly ThreadId[]> {
    this.#assertNoneLive(threadIds);
    this.#stored(threadIds[0], true);
    return threadIds.filter((threadId) => this.#threads.delete(threadId));
  }

  /** Forks have copies. */
  async assertUnreferenced(): Promise<void> {}

  async revertThread(
    threadId: ThreadId,
    beforeTurnId: string,
    records: readonly NewRecord[] = [],
  ): Promise<StoredThread> {
    this.#assertNoneLive([threadId]);
    const stored = this.#stored(threadId, true);
    if (stored.historyMode !== 'paginated') throw invalidRequest('thread/revert only supports paginated threads');
    const boundary: ForkBoundary = { kind: 'beforeTurn', turnId: beforeTurnId };
    const { memoryMode, git, preview, recencyAtMs } = this.#view(threadId, stored);
    stored.lines = stored.lines.slice(0, cutOf(outlineOfLines(stored.lines, 'paginated'), boundary));
    stored.borders = stored.borders.filter((border) => border <= stored.lines.length);
    stored.kept = { lines: stored.lines.length, preview, recencyAtMs };
    appendHeader(stored, memoryMode, git, this.#now);
    append(stored, records, this.#now);
    return this.#view(threadId, stored);
  }

  async descendantsOf(threadId: ThreadId): Promise<readonly ThreadId[]> {
    return descendants(threadId, this.#all);
  }

  async inspect(): Promise<Readonly<Record<string, JsonValue>>> {
    return { kind: 'memory', threads: this.#threads.size, writers: [...this.#writers.keys()] };
  }

  async audit(): Promise<StoreAudit> {
    const threads = this.#threads.size;
    // Lists are made of what is held.
    return auditOf({ histories: threads, threads, pending: 0 }, []);
  }

  async close(): Promise<void> {
    this.#writers.clear();
  }

  get #all(): readonly StoredThread[] {
    return [...this.#threads].map(([id, thread]) => this.#view(id, thread));
  }

  #register(threadId: ThreadId, writer: MemoryWriter): void {
    this.#assertNotLive(threadId);
    this.#writers.set(threadId, writer);
  }

  #assertNotLive(threadId: ThreadId): void {
    if (this.#writers.has(threadId)) throw invalidRequest(`thread ${threadId} already has a live local writer`);
  }

  #writer(threadId: ThreadId): MemoryWriter {
    const writer = this.#writers.get(threadId);
    if (writer === undefined) throw notFound(`thread ${threadId} not found`);
    return writer;
  }

  #stored(threadId: ThreadId, includeArchived: boolean): MemoryThread {
    const thread = this.#threads.get(threadId);
    if (thread === undefined || (thread.isArchived && !includeArchived)) {
      throw notFound(`no rollout found for thread id ${threadId}`);
    }
    return thread;
  }

  #write(threadId: ThreadId, records: readonly NewRecord[]): Promise<void> {
    const writer = this.#writer(threadId);
    return this.#mutex.run(threadId, () => this.#writeNow(threadId, writer, records));
  }

  async #writeNow(threadId: ThreadId, writer: MemoryWriter, records: readonly NewRecord[]): Promise<void> {
    const known = this.#threads.get(threadId);
    if (known !== undefined) {
      append(known, records, this.#now);
      return;
    }
    const payload = await writer.header();
    if (this.#writers.get(threadId) !== writer) throw notFound(`thread ${threadId} not found`);
    const nowMs = this.#now();
    const thread = newThread(writer, nowMs);
    const header = { timestamp: formatTimestamp(nowMs), item: { type: 'session_meta', payload } };
    append(thread, [header, ...writer.inherited, ...records], this.#now);
    this.#threads.set(threadId, thread);
  }

  #view(threadId: ThreadId, thread: MemoryThread): StoredThread {
    return viewOf(threadId, thread, this.#options.defaultModelProvider);
  }

  #assertNoneLive(threadIds: readonly ThreadId[]): void {
    for (const threadId of threadIds) {
      if (this.#writers.has(threadId))
        throw conflict(`thread ${threadId} has a live writer in this process`, 'this process');
    }
  }
}
