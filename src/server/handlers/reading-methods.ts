import type * as z from 'zod';
import { invalidRequest, notFound, unsupported } from '../../domain/errors.ts';
import { parseThreadId, tryParseThreadId, type ThreadId } from '../../domain/ids.ts';
import type { ReadState } from '../../domain/organization.ts';
import { EMPTY_PAGE, type Page } from '../../domain/page.ts';
import type { StoredThread } from '../../domain/stored-thread.ts';
import { parseThreadCursor } from '../../domain/thread-cursor.ts';
import { INTERACTIVE_SOURCES, type ThreadQuery, type ThreadSortKey } from '../../domain/thread-query.ts';
import { RPC_CODES, RpcError } from '../../protocol/errors.ts';
import {
  threadItemsList,
  threadList,
  threadLoadedList,
  threadRead,
  threadSearch,
  threadTurnsList,
} from '../../protocol/params/thread-params.ts';
import { threadView } from '../../protocol/views.ts';
import type { CodexThread } from '../../runtime/codex-thread.ts';
import type { ThreadManager } from '../../runtime/thread-manager.ts';
import { given, switchedOn } from '../experimental.ts';
import { method, type Method, type Services } from '../request.ts';
import { listedViewOf, runtimeViewOf } from '../runtime-view.ts';
import { pageSize } from './page-size.ts';
import { listInSection } from './section-lists.ts';
import { asJson, deprecationNotice, readAllTurns, readTurns } from './history-answers.ts';

const MAX_EXCLUDED = 100;

const read = method(threadRead, async ({ threadId, includeTurns = false }, request, { manager }) => {
  const id = parseThreadId(threadId);
  const loaded = manager.find(id);
  if (includeTurns && loaded !== undefined) assertTurnsReadable(loaded, 'includeTurns');
  const thread = await manager.readThread(id).catch((error: unknown) => {
    throw asNotLoaded(error, id);
  });
  if (includeTurns && thread.historyMode === 'paginated') {
    request.connection.notify('deprecationNotice', deprecationNotice('omit `includeTurns` or set it to `false`'));
  }
  const turns = includeTurns ? await readAllTurns(manager, id) : [];
  request.answer({
    thread: threadView(thread, runtimeViewOf(manager, id), turns),
    readState: readStateOf(manager, id),
  });
});

/** @throws what the protocol says of threads whose turns nobody can read */
function assertTurnsReadable(thread: CodexThread, what: 'includeTurns' | 'thread/turns/list'): void {
  if (thread.isEphemeral) throw invalidRequest(`ephemeral threads do not support ${what}`);
  if (thread.isStored) return;
  if (what === 'includeTurns' && thread.described.historyMode === 'paginated') throw unsupported('list_turns');
  throw invalidRequest(`thread ${thread.id} is not materialized yet; ${what} is unavailable before first user message`);
}

/** Reading has its own words for a thread that is nowhere. */
const asNotLoaded = (error: unknown, threadId: ThreadId): unknown => {
  const text = `no rollout found for thread id ${threadId}`;
  return error instanceof Error && error.message === text ? notFound(`thread not loaded: ${threadId}`) : error;
};

const turnsList = method(threadTurnsList, async (params, request, { manager }) => {
  const threadId = parseThreadId(params.threadId);
  const loaded = manager.find(threadId);
  if (loaded !== undefined) assertTurnsReadable(loaded, 'thread/turns/list');
  // A thread that is not there is the first thing to be said, before what is wrong with a cursor of it.
  const page = await manager
    .readThread(threadId)
    .then(() =>
      readTurns(manager, {
        threadId,
        limit: pageSize(params.limit),
        direction: params.sortDirection ?? 'desc',
        itemsView: params.itemsView ?? 'summary',
        ...(typeof params.cursor === 'string' ? { cursor: params.cursor } : {}),
      }),
    )
    .catch((error: unknown) => {
      throw asNotLoaded(error, threadId);
    });
  request.answer(page);
});

const itemsList = method(
  threadItemsList,
  async (params, request, { manager }) => {
    const threadId = parseThreadId(params.threadId);
    const { cursor, turnId } = params;
    const isAnchor = typeof cursor === 'object' && cursor !== null;
    if (isAnchor && !turnId) {
      throw new RpcError(RPC_CODES.invalidParams, 'turnId is required when cursor is an item anchor');
    }
    await assertItemsReadable(manager, threadId);
    const page = await manager.store
      .listItems({
        threadId,
        limit: pageSize(params.limit),
        direction: params.sortDirection ?? 'asc',
        ...(turnId ? { turnId } : {}),
        ...(isAnchor ? { anchorItemId: cursor.itemId } : typeof cursor === 'string' ? { cursor } : {}),
      })
      .catch((error: unknown) => {
        throw isAnchor && error instanceof Error && error.message.startsWith('cursor.itemId')
          ? new RpcError(RPC_CODES.invalidParams, error.message)
          : error;
      });
    request.answer(page);
  },
  switchedOn('deferOutput.commandExecution', 'deferOutput.mcpToolCall'),
);

/** Item pages exist for stored paginated threads. @throws unsupported for all others, unknown ones included */
async function assertItemsReadable(manager: ThreadManager, threadId: ThreadId): Promise<void> {
  const refusal = unsupported('thread/items/list');
  const loaded = manager.find(threadId);
  if (loaded !== undefined && !loaded.isStored) throw refusal;
  const thread = await manager.readThread(threadId).catch(() => undefined);
  if (thread?.historyMode !== 'paginated') throw refusal;
}

const SORT_KEYS: Readonly<Record<string, ThreadSortKey>> = {
  created_at: 'createdAt',
  updated_at: 'updatedAt',
  recency_at: 'recencyAt',
};

const list = method(
  threadList,
  async (params, request, services) => {
    const { manager } = services;
    const query = queryOf(params, manager);
    // There are no attached threads here.
    const page = isGiven(params.attachedToThreadId) ? EMPTY_PAGE : await pageOf(params, query, manager);
    request.answer({
      data: page.data.map((thread) => threadView(thread, listedViewOf(manager, thread.id))),
      readStates: Object.fromEntries(page.data.map(({ id }) => [id, manager.organization.readMarks.of(id)])),
      nextCursor: page.nextCursor,
      backwardsCursor: page.backwardsCursor,
    });
  },
  [
    ...switchedOn('includeAttachedThreads'),
    ...given('projectId', 'parentThreadId', 'ancestorThreadId', 'attachedToThreadId'),
  ],
);

/** The page of a list: of all threads, of those in a section, or of those in none. */
async function pageOf(
  params: z.infer<typeof threadList>,
  query: ThreadQuery,
  manager: ThreadManager,
): Promise<Page<StoredThread>> {
  const { sectionId, sortKey, sortDirection, cursor } = params;
  const { sections } = manager.organization;
  const { store } = manager;
  if (sectionId === undefined) return store.listThreads(query);
  if (sectionId === null) {
    return store.listThreads({ ...query, excludedIds: [...(query.excludedIds ?? []), ...sections.placed] });
  }
  const placed = sections.threadsIn(sectionId);
  if (sortKey === 'section_position') {
    return listInSection(store, query, placed, sortDirection ?? 'asc', cursor ?? null);
  }
  if (placed.length === 0) return EMPTY_PAGE;
  return store.listThreads({ ...query, onlyIds: placed.map(({ threadId }) => threadId) });
}

/** How far a thread was read; null for one that nothing is kept of. */
function readStateOf(manager: ThreadManager, threadId: ThreadId): ReadState | null {
  const isKept = manager.find(threadId)?.isStored !== false;
  return isKept ? manager.organization.readMarks.of(threadId) : null;
}

const isGiven = <T>(value: T | null | undefined): value is T => value !== null && value !== undefined;

type ListParams = Parameters<typeof queryOf>[0];

function queryOf(
  params: {
    readonly cursor?: string | null | undefined;
    readonly limit?: number | null | undefined;
    readonly excludedThreadIds?: readonly string[] | null | undefined;
    readonly sortKey?: string | null | undefined;
    readonly sortDirection?: 'asc' | 'desc' | null | undefined;
    readonly modelProviders?: readonly string[] | null | undefined;
    readonly sourceKinds?: ThreadQuery['sourceKinds'] | null | undefined;
    readonly archived?: boolean | null | undefined;
    readonly cwd?: string | readonly string[] | null | undefined;
    readonly useStateDbOnly?: boolean | undefined;
    readonly searchTerm?: string | null | undefined;
    readonly parentThreadId?: string | null | undefined;
    readonly ancestorThreadId?: string | null | undefined;
    readonly attachedToThreadId?: string | null | undefined;
    readonly originators?: readonly string[] | null | undefined;
    readonly projectId?: string | null | undefined;
    readonly sectionId?: string | null | undefined;
    readonly includeAttachedThreads?: boolean | undefined;
  },
  manager: ThreadManager,
): ThreadQuery {
  const { cursor, cwd, searchTerm } = params;
  // In the order in which the peer says what is wrong.
  const excluded = isGiven(params.excludedThreadIds) ? excludedIds(params.excludedThreadIds) : undefined;
  assertListable(params);
  const relation = relationOf(params);
  if (params.sortKey === 'section_position' && !isGiven(params.sectionId)) {
    throw invalidRequest('section-position sorting requires a section filter');
  }
  // Absent means the provider that is configured; an empty list means all of them.
  const modelProviders = params.modelProviders ?? [manager.defaults.settings.modelProvider];
  // Neither of a relation's filters narrows by origin unless asked to: children are rarely interactive.
  const isRelation = Object.keys(relation).length > 0;
  const asked = params.sourceKinds ?? [];
  const sourceKinds = asked.length > 0 ? asked : isRelation ? undefined : INTERACTIVE_SOURCES;
  return {
    sortKey: SORT_KEYS[params.sortKey ?? 'created_at'] ?? 'recencyAt',
    direction: params.sortDirection ?? 'desc',
    limit: pageSize(params.limit),
    isArchived: params.archived ?? false,
    ...(isGiven(cursor) && params.sortKey !== 'section_position' ? { after: parseThreadCursor(cursor) } : {}),
    ...(modelProviders.length === 0 ? {} : { modelProviders }),
    ...(sourceKinds === undefined ? {} : { sourceKinds }),
    ...(cwd === null || cwd === undefined ? {} : { cwds: typeof cwd === 'string' ? [cwd] : cwd }),
    ...(searchTerm ? { titleContains: searchTerm } : {}),
    ...(excluded === undefined ? {} : { excludedIds: excluded }),
    ...relation,
    ...(params.useStateDbOnly === true ? { isIndexOnly: true } : {}),
  };
}

interface Filters {
  readonly originators?: readonly string[] | null | undefined;
  readonly projectId?: string | null | undefined;
  readonly includeAttachedThreads?: boolean | undefined;
  readonly searchTerm?: string | null | undefined;
  readonly parentThreadId?: string | null | undefined;
  readonly ancestorThreadId?: string | null | undefined;
  readonly attachedToThreadId?: string | null | undefined;
}

/** @throws what the protocol says of filters that nothing here can fulfil, or that exclude each other */
function assertListable(params: Filters): void {
  if (params.originators && params.originators.length > 0) {
    throw new RpcError(RPC_CODES.invalidParams, 'originator filtering is not supported by the local app-server');
  }
  if (isGiven(params.parentThreadId) && isGiven(params.ancestorThreadId)) {
    throw invalidRequest('parentThreadId and ancestorThreadId are mutually exclusive');
  }
  if (isGiven(params.attachedToThreadId) && (isGiven(params.parentThreadId) || isGiven(params.ancestorThreadId))) {
    throw invalidRequest('attachedToThreadId cannot be combined with parentThreadId or ancestorThreadId');
  }
  if (isGiven(params.projectId)) {
    const problem = params.projectId === '' ? 'projectId must not be empty' : `project not found: ${params.projectId}`;
    throw new RpcError(RPC_CODES.invalidParams, problem);
  }
  if (params.includeAttachedThreads === true && !params.searchTerm?.trim()) {
    throw invalidRequest('includeAttachedThreads requires a non-empty searchTerm');
  }
}

/** Whose children are asked for. */
function relationOf(params: Filters): Pick<ThreadQuery, 'parentId' | 'ancestorId'> {
  const { parentThreadId, ancestorThreadId, attachedToThreadId } = params;
  if (isGiven(attachedToThreadId)) parseThreadId(attachedToThreadId, 'attached thread parent');
  return {
    ...(isGiven(parentThreadId) ? { parentId: parseThreadId(parentThreadId, 'parent thread') } : {}),
    ...(isGiven(ancestorThreadId) ? { ancestorId: parseThreadId(ancestorThreadId, 'ancestor thread') } : {}),
  };
}

function excludedIds(ids: readonly string[]): readonly ThreadId[] {
  if (ids.length > MAX_EXCLUDED) {
    throw new RpcError(RPC_CODES.invalidParams, `excludedThreadIds accepts at most ${MAX_EXCLUDED} entries`);
  }
  try {
    return ids.map((id) => parseThreadId(id, 'excluded thread'));
  } catch (error) {
    throw new RpcError(RPC_CODES.invalidParams, error instanceof Error ? error.message : 'invalid excluded thread id');
  }
}

const search = method(
  threadSearch,
  async (params, request, { manager }: Services) => {
    const term = params.searchTerm.trim();
    if (term === '') throw invalidRequest('thread/search requires a non-empty searchTerm');
    const { searchTerm: _term, includeAttachedThreads: _attached, ...rest } = params;
    const query = queryOf({ ...rest, modelProviders: [] } satisfies ListParams, manager);
    const page = await manager.store.searchThreads({ query, term });
    request.answer({
      data: page.data.map(({ thread, snippet }) => ({
        thread: threadView(thread, listedViewOf(manager, thread.id)),
        snippet,
      })),
      nextCursor: page.nextCursor,
      backwardsCursor: page.backwardsCursor,
    });
  },
  'method',
);

const loadedList = method(threadLoadedList, (params, request, { manager }) => {
  const after = isGiven(params.cursor) ? loadedCursor(params.cursor) : undefined;
  const ids = manager.loadedIds.filter((id) => after === undefined || id > after);
  const data = params.limit === null || params.limit === undefined ? ids : ids.slice(0, Math.max(1, params.limit));
  request.answer({ data: asJson(data), nextCursor: data.length < ids.length ? (data.at(-1) ?? null) : null });
});

/** The cursor of a page of loaded threads is the last id on it. */
function loadedCursor(text: string): ThreadId {
  const id = tryParseThreadId(text);
  if (id === undefined) throw invalidRequest(`invalid cursor: ${text}`);
  return id;
}

/** Methods that look and change nothing. */
export const readingMethods: Readonly<Record<string, Method>> = {
  'thread/read': read,
  'thread/list': list,
  'thread/search': search,
  'thread/loaded/list': loadedList,
  'thread/turns/list': turnsList,
  'thread/items/list': itemsList,
};
