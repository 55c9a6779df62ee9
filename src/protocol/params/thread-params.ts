import { z } from 'zod';
import { choice, flag, list, map, struct, text, u32, untagged, wordOrMap } from './serde.ts';
import { userInputs } from './user-input.ts';

/**
 * Parameters of the thread and turn methods (app-server-protocol; names and shapes as the peer's schema has them).
 * Members that Skein does not act on yet are accepted and ignored, as the protocol wants.
 */

const json = z.json();

const direction = choice(['asc', 'desc']);
const itemsView = choice(['notLoaded', 'summary', 'full']);
const approvalPolicy = wordOrMap(['untrusted', 'on-request', 'granular', 'never'], 'granular');
const sandboxMode = choice(['read-only', 'workspace-write', 'danger-full-access']);
const historyMode = choice(['legacy', 'paginated']);

const sourceKind = choice([
  'cli',
  'vscode',
  'exec',
  'appServer',
  'subAgent',
  'subAgentReview',
  'subAgentCompact',
  'subAgentThreadSpawn',
  'subAgentOther',
  'unknown',
]);

/** What start, resume and fork may all say about how the thread is run. */
const overrides = {
  model: text().nullish(),
  modelProvider: text().nullish(),
  serviceTier: text().nullish(),
  cwd: text().nullish(),
  approvalPolicy: approvalPolicy.nullish(),
  approvalsReviewer: choice(['user', 'auto_review', 'guardian_subagent']).nullish(),
  sandbox: sandboxMode.nullish(),
  config: map(json).nullish(),
  baseInstructions: text().nullish(),
  developerInstructions: text().nullish(),
};

export const threadStart = struct('ThreadStartParams', {
  ...overrides,
  ephemeral: flag().nullish(),
  historyMode: historyMode.nullish(),
  threadSource: text().nullish(),
  dynamicTools: list(json).nullish(),
});

export const threadResume = struct('ThreadResumeParams', {
  threadId: text(),
  ...overrides,
  history: list(z.record(z.string(), json)).nullish(),
  path: text().nullish(),
  excludeTurns: flag().optional(),
  initialTurnsPage: struct('ThreadResumeInitialTurnsPageParams', {
    limit: u32().nullish(),
    sortDirection: direction.nullish(),
    itemsView: itemsView.nullish(),
  }).nullish(),
});

export const threadFork = struct('ThreadForkParams', {
  threadId: text(),
  ...overrides,
  lastTurnId: text().nullish(),
  beforeTurnId: text().nullish(),
  path: text().nullish(),
  ephemeral: flag().optional(),
  threadSource: text().nullish(),
  excludeTurns: flag().optional(),
});

export const threadRead = struct('ThreadReadParams', { threadId: text(), includeTurns: flag().optional() });

export const threadList = struct('ThreadListParams', {
  cursor: text().nullish(),
  limit: u32().nullish(),
  excludedThreadIds: list(text()).nullish(),
  sortKey: choice(['created_at', 'updated_at', 'recency_at', 'section_position']).nullish(),
  sortDirection: direction.nullish(),
  modelProviders: list(text()).nullish(),
  sourceKinds: list(sourceKind).nullish(),
  originators: list(text()).nullish(),
  archived: flag().nullish(),
  sectionId: text().nullish(),
  projectId: text().nullish(),
  cwd: untagged('ThreadListCwdFilter', [z.string(), z.array(z.string())]).nullish(),
  useStateDbOnly: flag().optional(),
  searchTerm: text().nullish(),
  parentThreadId: text().nullish(),
  ancestorThreadId: text().nullish(),
  attachedToThreadId: text().nullish(),
});

export const threadSearch = struct('ThreadSearchParams', {
  cursor: text().nullish(),
  limit: u32().nullish(),
  sortKey: choice(['created_at', 'updated_at', 'recency_at']).nullish(),
  sortDirection: direction.nullish(),
  sourceKinds: list(sourceKind).nullish(),
  archived: flag().nullish(),
  searchTerm: text(),
});

export const threadLoadedList = struct('ThreadLoadedListParams', {
  cursor: text().nullish(),
  limit: u32().nullish(),
});

export const threadTurnsList = struct('ThreadTurnsListParams', {
  threadId: text(),
  cursor: text().nullish(),
  limit: u32().nullish(),
  sortDirection: direction.nullish(),
  itemsView: itemsView.nullish(),
});

export const threadItemsList = struct('ThreadItemsListParams', {
  threadId: text(),
  turnId: text().nullish(),
  cursor: untagged('ThreadItemsListCursor', [
    z.string(),
    z.object({ type: z.literal('item'), itemId: z.string() }),
  ]).nullish(),
  limit: u32().nullish(),
  sortDirection: direction.nullish(),
});

/** Archive, unarchive, delete, unsubscribe, and whatever else needs an id alone. */
export const threadOnly = (name: string) => struct(name, { threadId: text() });

export const threadNameSet = struct('ThreadSetNameParams', { threadId: text(), name: text() });

export const threadMetadataUpdate = struct('ThreadMetadataUpdateParams', {
  threadId: text(),
  gitInfo: struct('ThreadMetadataGitInfoUpdateParams', {
    sha: text().nullable().optional(),
    branch: text().nullable().optional(),
    originUrl: text().nullable().optional(),
  }).nullish(),
});

export const threadMemoryModeSet = struct('ThreadMemoryModeSetParams', {
  threadId: text(),
  mode: choice(['enabled', 'disabled']),
});

export const threadInjectItems = struct('ThreadInjectItemsParams', {
  threadId: text(),
  items: list(json),
});

export const threadRevert = struct('ThreadRevertParams', { threadId: text(), beforeTurnId: text() });

const sandboxPolicy = z.discriminatedUnion('type', [
  z.object({ type: z.literal('dangerFullAccess') }),
  z.object({ type: z.literal('readOnly'), networkAccess: flag().default(false) }),
  z.object({
    type: z.literal('externalSandbox'),
    networkAccess: choice(['restricted', 'enabled']).default('restricted'),
  }),
  z.object({
    type: z.literal('workspaceWrite'),
    writableRoots: list(text()).default([]),
    networkAccess: flag().default(false),
    excludeTmpdirEnvVar: flag().default(false),
    excludeSlashTmp: flag().default(false),
  }),
]);

export const turnStart = struct('TurnStartParams', {
  threadId: text(),
  clientUserMessageId: text().nullish(),
  input: userInputs,
  cwd: text().nullish(),
  approvalPolicy: approvalPolicy.nullish(),
  approvalsReviewer: choice(['user', 'auto_review', 'guardian_subagent']).nullish(),
  sandboxPolicy: sandboxPolicy.nullish(),
  model: text().nullish(),
  serviceTier: text().nullish(),
  effort: text().nullish(),
  outputSchema: json.nullish(),
});

export const turnSteer = struct('TurnSteerParams', {
  threadId: text(),
  clientUserMessageId: text().nullish(),
  input: userInputs,
  expectedTurnId: text(),
});

export const turnInterrupt = struct('TurnInterruptParams', { threadId: text(), turnId: text() });

export const initialize = struct('InitializeParams', {
  clientInfo: struct('ClientInfo', { name: text(), title: text().nullish(), version: text() }),
  capabilities: struct('InitializeCapabilities', {
    experimentalApi: flag().optional(),
    optOutNotificationMethods: list(text()).nullish(),
  }).nullish(),
});
