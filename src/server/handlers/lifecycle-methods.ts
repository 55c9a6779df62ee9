import type { z } from 'zod';
import { invalidRequest, unsupported } from '../../domain/errors.ts';
import { parseThreadId, type ThreadId } from '../../domain/ids.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { Turn } from '../../domain/turn.ts';
import {
  threadFork,
  threadResume,
  threadRevert,
  threadStart,
  threadOnly,
} from '../../protocol/params/thread-params.ts';
import { collaborationView, settingsView, threadView } from '../../protocol/views.ts';
import type { CodexThread } from '../../runtime/codex-thread.ts';
import type { ForkSnapshot } from '../../runtime/fork.ts';
import type { SettingsOverrides } from '../../runtime/thread-start.ts';
import { method, type Method, type Request, type Services } from '../request.ts';
import { runtimeViewOf } from '../runtime-view.ts';
import { backwardsCursors, deprecationNotice, readAllTurns, readTurns, withNewestTurns } from './history-answers.ts';

const DEFAULT_TURNS_PAGE = 25;

interface OverrideParams {
  readonly model?: string | null | undefined;
  readonly modelProvider?: string | null | undefined;
  readonly serviceTier?: string | null | undefined;
  readonly cwd?: string | null | undefined;
  readonly approvalPolicy?: SettingsOverrides['approvalPolicy'] | null | undefined;
  readonly approvalsReviewer?: string | null | undefined;
  readonly sandbox?: SettingsOverrides['sandbox'] | null | undefined;
}

/** What the client said; null and absent alike leave things as they are. */
const overridesOf = (params: OverrideParams): SettingsOverrides => {
  const { model, modelProvider, serviceTier, cwd, approvalPolicy, approvalsReviewer, sandbox } = params;
  return present({ model, modelProvider, serviceTier, cwd, approvalPolicy, approvalsReviewer, sandbox });
};

/** Without members that are null or undefined. */
const present = <T extends object>(object: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null && value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };

const startedView = (thread: CodexThread, turns: readonly Turn[] = []): JsonObject => ({
  thread: threadView(thread.described, runtimeViewOf(thread), turns),
  ...settingsView(thread.settings),
});

const start = method(
  threadStart,
  async (params, request, { manager, subscriptions }) => {
    await manager.startThread(
      {
        overrides: overridesOf(params),
        originator: request.client.name,
        isEphemeral: params.ephemeral ?? false,
        historyMode: params.historyMode ?? 'paginated',
        threadSource: params.threadSource ?? null,
        baseInstructions: params.baseInstructions ?? null,
        dynamicTools: params.dynamicTools ?? [],
      },
      (thread) => {
        subscriptions.add(thread.id, request.connection);
        request.answer(startedView(thread));
      },
    );
  },
  ['dynamicTools', 'historyMode'],
);

const resume = method(threadResume, async (params, request, services) => {
  const thread = await resumed(params, request, services);
  await services.subscriptions.expecting(thread.id, () => attach(thread, params, request, services));
});

/** Shows a client a thread and makes it a watcher, without anything missing or double in between. */
async function attach(
  thread: CodexThread,
  params: z.infer<typeof threadResume>,
  request: Request,
  { manager, subscriptions }: Services,
): Promise<void> {
  const { id } = thread;
  const withTurns = params.excludeTurns !== true;
  if (withTurns && thread.described.historyMode === 'paginated' && thread.isStored) {
    request.connection.notify('deprecationNotice', deprecationNotice('use `excludeTurns: true`'));
  }
  // A long history is read while the thread goes on; only its end is read again when it stands still.
  const early = withTurns && thread.isStored ? await readAllTurns(manager, id) : [];
  await thread.steadily(async () => {
    const isReadable = thread.isStored;
    const turns = withTurns && isReadable ? await withNewestTurns(manager, id, early) : [];
    const page = params.initialTurnsPage;
    const initialTurnsPage =
      page === null || page === undefined || !isReadable
        ? null
        : await readTurns(manager, {
            threadId: id,
            limit: Math.max(1, page.limit ?? DEFAULT_TURNS_PAGE),
            direction: page.sortDirection ?? 'desc',
            itemsView: page.itemsView ?? 'summary',
          });
    const cursors = isReadable ? await backwardsCursors(manager, thread.described) : NO_CURSORS;
    const described = await manager.readThread(id);
    if (manager.find(id) !== thread) {
      throw invalidRequest(`thread ${id} is closing; retry thread/resume after the thread is closed`);
    }
    subscriptions.add(id, request.connection);
    request.answer({
      thread: threadView(described, runtimeViewOf(thread), turns),
      ...settingsView(thread.settings),
      collaborationMode: collaborationView(thread.settings),
      initialTurnsPage,
      ...cursors,
    });
    request.connection.notify('thread/goal/cleared', { threadId: id });
  });
}

const NO_CURSORS = { turnsBackwardsCursor: null, itemsBackwardsCursor: null };

async function resumed(
  params: {
    readonly threadId: string;
    readonly path?: string | null | undefined;
    readonly history?: unknown;
  } & OverrideParams,
  request: Request,
  { manager }: Services,
): Promise<CodexThread> {
  const path = params.path === null || params.path === undefined || params.path === '' ? undefined : params.path;
  const { history } = params;
  if (history !== null && history !== undefined)
    return resumedFromHistory(params, history as readonly JsonObject[], request, manager);
  if (path !== undefined && !manager.store.supports.paths) throw unsupported('thread/resume by path');
  const threadId =
    path === undefined
      ? parseThreadId(params.threadId, 'session')
      : (await manager.store.readThreadByPath(path, { includeArchived: true })).id;
  const overrides = overridesOf(params);
  return manager.resumeThread(path === undefined ? { threadId, overrides } : { threadId, path, overrides });
}

/** A thread from what a client remembers: a new one that begins with it. */
async function resumedFromHistory(
  params: { readonly threadId: string } & OverrideParams,
  history: readonly JsonObject[],
  request: Request,
  manager: Services['manager'],
): Promise<CodexThread> {
  const threadId = parseThreadId(params.threadId, 'session');
  if (manager.find(threadId) !== undefined) {
    throw invalidRequest(`cannot resume thread ${threadId} with history while it is already running`);
  }
  if (history.length === 0) throw invalidRequest('history must not be empty');
  const thread = await manager.startThread({
    overrides: overridesOf(params),
    originator: request.client.name,
    isEphemeral: false,
    historyMode: 'legacy',
    threadSource: null,
    baseInstructions: null,
    dynamicTools: [],
  });
  await thread.injectItems(history);
  return thread;
}

const fork = method(threadFork, async (params, request, services) => {
  const { manager, subscriptions } = services;
  const { lastTurnId, beforeTurnId } = params;
  if (lastTurnId && beforeTurnId) throw invalidRequest('`beforeTurnId` cannot be combined with `lastTurnId`');
  const sourceId = await forkSource(params, services);
  const withTurns = params.excludeTurns !== true;
  const source = await manager.readThread(sourceId).catch(() => undefined);
  const isPaginated = source?.historyMode === 'paginated';
  if (params.ephemeral === true && withTurns && isPaginated) {
    throw invalidRequest('ephemeral paginated thread/fork requires `excludeTurns: true`');
  }
  if (withTurns && isPaginated) {
    request.connection.notify('deprecationNotice', deprecationNotice('use `excludeTurns: true`'));
  }
  await manager.forkThread(
    {
      sourceId,
      snapshot: snapshotOf(lastTurnId, beforeTurnId),
      overrides: overridesOf(params),
      originator: request.client.name,
      isEphemeral: params.ephemeral ?? false,
      threadSource: params.threadSource ?? null,
      baseInstructions: params.baseInstructions ?? null,
      dynamicTools: [],
    },
    async (thread) => {
      const turnsOf = thread.isEphemeral ? sourceId : thread.id;
      const turns = withTurns ? await readAllTurns(manager, turnsOf) : [];
      subscriptions.add(thread.id, request.connection);
      request.answer(startedView(thread, turns));
    },
  );
});

async function forkSource(
  params: { readonly threadId: string; readonly path?: string | null | undefined },
  { manager }: Services,
): Promise<ThreadId> {
  if (params.path === null || params.path === undefined || params.path === '') {
    return parseThreadId(params.threadId, 'session');
  }
  if (!manager.store.supports.paths) throw unsupported('thread/fork by path');
  return (await manager.store.readThreadByPath(params.path, { includeArchived: true })).id;
}

function snapshotOf(lastTurnId: string | null | undefined, beforeTurnId: string | null | undefined): ForkSnapshot {
  if (lastTurnId) return { kind: 'throughTurn', turnId: lastTurnId };
  return beforeTurnId ? { kind: 'beforeTurn', turnId: beforeTurnId } : { kind: 'interrupted' };
}

const revert = method(threadRevert, async ({ threadId, beforeTurnId }, request, { manager, subscriptions }) => {
  const id = parseThreadId(threadId);
  await manager.revertThread(id, beforeTurnId, request.cause, async (thread) => {
    await thread.steadily(async () => {
      const cursors = await backwardsCursors(manager, thread.described);
      subscriptions.add(id, request.connection);
      request.answer({ thread: threadView(thread.described, runtimeViewOf(thread)), ...cursors });
    });
  });
});

const archive = method(threadOnly('ThreadArchiveParams'), async ({ threadId }, request, { manager }) => {
  await manager.archiveThread(parseThreadId(threadId, 'session'), request.cause, () => request.answer({}));
});

const unarchive = method(threadOnly('ThreadUnarchiveParams'), async ({ threadId }, request, { manager }) => {
  const id = parseThreadId(threadId, 'session');
  await manager.unarchiveThread(id, (thread) =>
    request.answer({ thread: threadView(thread, runtimeViewOf(manager.find(id))) }),
  );
});

const remove = method(threadOnly('ThreadDeleteParams'), async ({ threadId }, request, { manager }) => {
  await manager.deleteThread(parseThreadId(threadId), request.cause, () => request.answer({}));
});

const unsubscribe = method(threadOnly('ThreadUnsubscribeParams'), ({ threadId }, request, services) => {
  const id = parseThreadId(threadId);
  if (services.manager.find(id) === undefined) request.answer({ status: 'notLoaded' });
  else {
    const was = services.subscriptions.remove(id, request.connection);
    request.answer({ status: was ? 'unsubscribed' : 'notSubscribed' });
  }
});

/** Methods that begin, end and move threads. */
export const lifecycleMethods: Readonly<Record<string, Method>> = {
  'thread/start': start,
  'thread/resume': resume,
  'thread/fork': fork,
  'thread/revert': revert,
  'thread/archive': archive,
  'thread/unarchive': unarchive,
  'thread/delete': remove,
  'thread/unsubscribe': unsubscribe,
};
