import type * as z from 'zod';
import { invalidRequest, unsupported } from '../../domain/errors.ts';
import { parseThreadId, tryParseThreadId, type ThreadId } from '../../domain/ids.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { Turn } from '../../domain/turn.ts';
import {
  threadFork,
  threadResume,
  threadRevert,
  threadStart,
  threadOnly,
} from '../../protocol/params/thread-params.ts';
import { collaborationModeOf } from '../../domain/thread-settings.ts';
import { settingsView, threadView, tokenUsageView } from '../../protocol/views.ts';
import type { CodexThread } from '../../runtime/codex-thread.ts';
import type { ThreadManager } from '../../runtime/thread-manager.ts';
import type { ForkSnapshot } from '../../runtime/fork.ts';
import type { SettingsOverrides } from '../../runtime/thread-start.ts';
import { given, granularApprovals, switchedOn } from '../experimental.ts';
import { method, type Method, type Request, type Services } from '../request.ts';
import { runtimeViewOf } from '../runtime-view.ts';
import { assertNoProject } from './projects.ts';
import { pageSize } from './page-size.ts';
import { backwardsCursors, deprecationNotice, readAllTurns, readTurns, withNewestTurns } from './history-answers.ts';

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
  const { modelProvider, serviceTier, cwd, approvalPolicy, approvalsReviewer, sandbox } = params;
  // A model without a name is none: the daemon has one.
  const model = params.model === '' ? null : params.model;
  return present({ model, modelProvider, serviceTier, cwd, approvalPolicy, approvalsReviewer, sandbox });
};

/** Without members that are null or undefined. */
const present = <T extends object>(object: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null && value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };

const startedView = (manager: ThreadManager, thread: CodexThread, turns: readonly Turn[] = []): JsonObject => ({
  thread: threadView(thread.described, runtimeViewOf(manager, thread.id), turns),
  ...settingsView(thread.settings),
});

const start = method(
  threadStart,
  async (params, request, { manager, subscriptions }) => {
    assertOnePolicy(params);
    if (params.projectId === '') throw invalidRequest('projectId must not be empty');
    assertNoProject(params.projectId);
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
        request.answer(startedView(manager, thread));
      },
    );
  },
  [
    ...switchedOn('allowProviderModelFallback'),
    ...given('runtimeWorkspaceRoots'),
    granularApprovals,
    ...given('permissions', 'multiAgentMode', 'historyMode', 'projectId', 'daybreakEnabled'),
    ...given('environments', 'dynamicTools', 'selectedCapabilityRoots', 'mockExperimentalField'),
    ...switchedOn('experimentalRawEvents'),
  ],
);

/** @throws invalidRequest if what may be touched is said in two ways */
function assertOnePolicy({
  permissions,
  sandbox,
}: {
  readonly permissions?: string | null | undefined;
  readonly sandbox?: unknown;
}): void {
  const isBoth = typeof permissions === 'string' && sandbox !== null && sandbox !== undefined;
  if (isBoth) throw invalidRequest('`permissions` cannot be combined with `sandbox`');
}

const resume = method(
  threadResume,
  async (params, request, services) => {
    assertOnePolicy(params);
    const named = tryParseThreadId(params.threadId);
    const isNew = named === undefined || services.manager.find(named) === undefined;
    if (params.excludeTurns !== true && named !== undefined) await warnOfTurns(named, request, services);
    const thread = await resumed(params, request, services);
    await services.subscriptions.expecting(thread.id, () => attach(thread, isNew, params, request, services));
  },
  [
    ...given('history', 'path', 'runtimeWorkspaceRoots'),
    granularApprovals,
    ...given('permissions', 'initialTurnsPage'),
  ],
);

/** Nothing is begun for clients that are gone. @throws invalidRequest, which nobody hears */
function assertThere({ connection }: Request): void {
  if (connection.isClosed) throw invalidRequest('the client is gone');
}

/** Whoever wants all turns of a paginated thread at once learns that it should not, before anything is loaded. */
async function warnOfTurns(threadId: ThreadId, { connection }: Request, { manager }: Services): Promise<void> {
  const isStored = manager.find(threadId)?.isStored !== false;
  const thread = isStored ? await manager.readThread(threadId).catch(() => undefined) : undefined;
  if (thread?.historyMode !== 'paginated' || thread.archivedAtMs !== null) return;
  connection.notify('deprecationNotice', deprecationNotice('use `excludeTurns: true`'));
}

/** Shows a client a thread and makes it a watcher, without anything missing or double in between. */
async function attach(
  thread: CodexThread,
  isNew: boolean,
  params: z.infer<typeof threadResume>,
  request: Request,
  { manager, subscriptions, clientRequests }: Services,
): Promise<void> {
  const { id } = thread;
  const withTurns = params.excludeTurns !== true;
  // A long history is read while the thread goes on; only its end is read again when it stands still.
  const early = withTurns && thread.isStored ? await readAllTurns(manager, id) : [];
  await thread.steadily(async () => {
    // A turn waits for this look, and everyone who comes after.
    assertThere(request);
    const isReadable = thread.isStored;
    const turns = withTurns && isReadable ? await withNewestTurns(manager, id, early) : [];
    const page = params.initialTurnsPage;
    const initialTurnsPage =
      page === null || page === undefined || !isReadable
        ? null
        : await readTurns(manager, {
            threadId: id,
            limit: pageSize(page.limit),
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
      thread: threadView(described, runtimeViewOf(manager, id), turns),
      ...settingsView(thread.settings),
      collaborationMode: collaborationModeOf(thread.settings),
      initialTurnsPage,
      ...cursors,
    });
    clientRequests.resend(id, request.connection);
    if (withTurns || (isNew && described.historyMode === 'paginated')) tellCount(thread, request);
    manager.tellGoalCleared(id);
  });
  // What waited while nobody had the thread loaded.
  void manager.organization.queues.wake(id, request.cause);
}

/** Shows a client how full the context of a thread is, if that was ever counted. */
function tellCount({ id, tokenCount }: CodexThread, { connection }: Request): void {
  if (tokenCount !== null)
    connection.notify('thread/tokenUsage/updated', { threadId: id, ...tokenUsageView(tokenCount) });
}

const NO_CURSORS = { turnsBackwardsCursor: null, itemsBackwardsCursor: null };

async function resumed(
  params: {
    readonly threadId: string;
    readonly path?: string | null | undefined;
    readonly history?: readonly JsonObject[] | null | undefined;
  } & OverrideParams,
  request: Request,
  { manager }: Services,
): Promise<CodexThread> {
  const { history } = params;
  if (history !== null && history !== undefined) return resumedFromHistory(params, history, request, manager);
  const overrides = overridesOf(params);
  const path = pathOf(params, manager, 'thread/resume');
  if (path === undefined) {
    return manager.resumeThread({ threadId: parseThreadId(params.threadId, 'session'), overrides });
  }
  // A thread that runs is the one that was meant, and must run from there.
  const named = tryParseThreadId(params.threadId);
  const threadId =
    named !== undefined && manager.find(named) !== undefined
      ? named
      : (await manager.store.readThreadByPath(path, { includeArchived: true })).id;
  return manager.resumeThread({ threadId, path, overrides });
}

/** The rollout that is named instead of a thread, if one is. @throws unsupported where threads have no paths */
function pathOf(
  { path }: { readonly path?: string | null | undefined },
  manager: Services['manager'],
  what: string,
): string | undefined {
  if (path === null || path === undefined || path === '') return undefined;
  if (!manager.store.supports.paths) throw unsupported(`${what} by path`);
  return path;
}

/** A thread from what a client remembers: a new one that begins with it. */
async function resumedFromHistory(
  params: { readonly threadId: string } & OverrideParams,
  history: readonly JsonObject[],
  request: Request,
  manager: Services['manager'],
): Promise<CodexThread> {
  const threadId = tryParseThreadId(params.threadId);
  if (threadId !== undefined && manager.find(threadId) !== undefined) {
    throw invalidRequest(`cannot resume thread ${threadId} with history while it is already running`);
  }
  if (history.length === 0) throw invalidRequest('history must not be empty');
  const thread = await manager.startThread({
    overrides: overridesOf(params),
    originator: request.client.name,
    isEphemeral: false,
    historyMode: 'paginated',
    threadSource: null,
    baseInstructions: null,
    dynamicTools: [],
  });
  await thread.injectItems(history);
  return thread;
}

const fork = method(
  threadFork,
  async (params, request, services) => {
    const { manager, subscriptions } = services;
    const { lastTurnId, beforeTurnId, ephemeral = false } = params;
    assertOnePolicy(params);
    assertPrediction(params);
    const source = await manager.readForkSource(await forkSource(params, services));
    assertThere(request);
    const isGiven = (turnId: string | null | undefined): turnId is string => typeof turnId === 'string';
    if (isGiven(lastTurnId) && isGiven(beforeTurnId)) {
      throw invalidRequest('`beforeTurnId` cannot be combined with `lastTurnId`');
    }
    const withTurns = params.excludeTurns !== true;
    const isPaginated = source.historyMode === 'paginated';
    if (ephemeral && withTurns && isPaginated) {
      throw invalidRequest('ephemeral paginated thread/fork requires `excludeTurns: true`');
    }
    if (withTurns && isPaginated) {
      request.connection.notify('deprecationNotice', deprecationNotice('use `excludeTurns: true`'));
    }
    const snapshot: ForkSnapshot = isGiven(lastTurnId)
      ? { kind: 'throughTurn', turnId: lastTurnId }
      : isGiven(beforeTurnId)
        ? { kind: 'beforeTurn', turnId: beforeTurnId }
        : { kind: 'interrupted' };
    await manager.forkThread(
      {
        sourceId: source.id,
        snapshot,
        overrides: overridesOf(params),
        originator: request.client.name,
        isEphemeral: ephemeral,
        threadSource: params.threadSource ?? null,
        baseInstructions: params.baseInstructions ?? null,
        dynamicTools: [],
      },
      async (thread) => {
        // The fork is there; its history is not read for nobody.
        if (request.connection.isClosed) return;
        const turnsOf = thread.isEphemeral ? source.id : thread.id;
        const turns = withTurns ? await readAllTurns(manager, turnsOf) : [];
        subscriptions.add(thread.id, request.connection);
        request.answer(startedView(manager, thread, turns));
        if (withTurns) tellCount(thread, request);
      },
    );
  },
  [
    ...switchedOn('experimentalPredictionMode', 'experimentalDisablePredictionMcp'),
    ...given('beforeTurnId', 'path', 'runtimeWorkspaceRoots'),
    granularApprovals,
    ...given('permissions'),
    ...switchedOn('attachToSource', 'deferGoalContinuation'),
  ],
);

/** @throws invalidRequest for ways of forking that go together only */
function assertPrediction(params: {
  readonly experimentalPredictionMode?: boolean | undefined;
  readonly experimentalDisablePredictionMcp?: boolean | undefined;
  readonly ephemeral?: boolean | undefined;
}): void {
  const { experimentalPredictionMode: isPrediction = false } = params;
  if (params.experimentalDisablePredictionMcp === true && !isPrediction) {
    throw invalidRequest('`experimentalDisablePredictionMcp` requires `experimentalPredictionMode: true`');
  }
  if (isPrediction && params.ephemeral !== true) {
    throw invalidRequest('`experimentalPredictionMode` requires `ephemeral: true`');
  }
}

async function forkSource(
  params: { readonly threadId: string; readonly path?: string | null | undefined },
  { manager }: Services,
): Promise<ThreadId> {
  const path = pathOf(params, manager, 'thread/fork');
  if (path === undefined) return parseThreadId(params.threadId, 'session');
  return (await manager.store.readThreadByPath(path, { includeArchived: true })).id;
}

const revert = method(threadRevert, async ({ threadId, beforeTurnId }, request, { manager, subscriptions }) => {
  const id = parseThreadId(threadId);
  // Whoever takes a turn back hears how it ends.
  if (manager.find(id) !== undefined) subscriptions.add(id, request.connection);
  await manager.revertThread(id, beforeTurnId, request.cause, async (thread) => {
    await thread.steadily(async () => {
      const cursors = await backwardsCursors(manager, thread.described);
      request.answer({ thread: threadView(thread.described, runtimeViewOf(manager, id)), ...cursors });
    });
  });
});

const archive = method(threadOnly('ThreadArchiveParams'), async ({ threadId }, request, { manager }) => {
  await manager.archiveThread(parseThreadId(threadId, 'session'), request.cause, () => request.answer({}));
});

const unarchive = method(threadOnly('ThreadUnarchiveParams'), async ({ threadId }, request, { manager }) => {
  const id = parseThreadId(threadId, 'session');
  await manager.unarchiveThread(id, (thread) =>
    request.answer({ thread: threadView(thread, runtimeViewOf(manager, id)) }),
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
