import * as z from 'zod';
import {
  absolutePath,
  boundedText,
  choice,
  closedStruct,
  flag,
  folderText,
  i64,
  json,
  list,
  map,
  nonEmptyText,
  pathText,
  shortText,
  struct,
  tagged,
  text,
  u32,
  untagged,
  wordOrMap,
} from './serde.ts';
import { responseItem } from './response-item.ts';
import { MAX_INPUT_CHARACTERS, userInputs } from './user-input.ts';

/**
 * Parameters of the thread and turn methods (app-server-protocol; names and shapes as the peer's schema has them).
 * Members that Skein does not act on yet are accepted and ignored, as the protocol wants, if they are what they should be.
 */

const direction = choice(['asc', 'desc']);
const itemsView = choice(['notLoaded', 'summary', 'full']);
const approvalPolicy = wordOrMap(
  ['untrusted', 'on-request', 'granular', 'never'],
  'granular',
  struct('Granular', {
    sandbox_approval: flag(),
    rules: flag(),
    skill_approval: flag().optional(),
    request_permissions: flag().optional(),
    mcp_elicitations: flag(),
  }),
);
const approvalsReviewer = choice(['user', 'auto_review', 'guardian_subagent']);
const sandboxMode = choice(['read-only', 'workspace-write', 'danger-full-access']);
const historyMode = choice(['legacy', 'paginated']);
const personality = choice(['none', 'friendly', 'pragmatic']);
const multiAgentMode = choice(['none', 'custom', 'explicitRequestOnly', 'proactive']);

const environments = list(
  struct('TurnEnvironmentParams', {
    environmentId: text(),
    cwd: text(),
    runtimeWorkspaceRoots: list(text()).nullish(),
  }),
);

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
  model: shortText().nullish(),
  modelProvider: shortText().nullish(),
  serviceTier: shortText().nullish(),
  cwd: folderText().nullish(),
  runtimeWorkspaceRoots: list(absolutePath()).nullish(),
  approvalPolicy: approvalPolicy.nullish(),
  approvalsReviewer: approvalsReviewer.nullish(),
  sandbox: sandboxMode.nullish(),
  permissions: text().nullish(),
  config: map(json()).nullish(),
  baseInstructions: text().nullish(),
  developerInstructions: text().nullish(),
};

export const threadStart = struct('ThreadStartParams', {
  ...overrides,
  allowProviderModelFallback: flag().optional(),
  serviceName: text().nullish(),
  personality: personality.nullish(),
  multiAgentMode: multiAgentMode.nullish(),
  ephemeral: flag().nullish(),
  historyMode: historyMode.nullish(),
  sessionStartSource: choice(['startup', 'clear']).nullish(),
  threadSource: shortText().nullish(),
  projectId: text().nullish(),
  daybreakEnabled: flag().nullish(),
  environments: environments.nullish(),
  dynamicTools: list(json()).nullish(),
  selectedCapabilityRoots: list(struct('SelectedCapabilityRoot', { id: text(), location: json() })).nullish(),
  mockExperimentalField: text().nullish(),
  experimentalRawEvents: flag().optional(),
});

export const threadResume = struct('ThreadResumeParams', {
  threadId: text(),
  ...overrides,
  history: list(responseItem).nullish(),
  path: pathText().nullish(),
  personality: personality.nullish(),
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
  path: pathText().nullish(),
  ephemeral: flag().optional(),
  threadSource: shortText().nullish(),
  excludeTurns: flag().optional(),
  attachToSource: flag().optional(),
  deferGoalContinuation: flag().optional(),
  experimentalPredictionMode: flag().optional(),
  experimentalDisablePredictionMcp: flag().optional(),
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
  currentAccountOnly: flag().optional(),
  includeAttachedThreads: flag().optional(),
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
  currentAccountOnly: flag().optional(),
  includeAttachedThreads: flag().optional(),
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
  deferOutput: struct('ThreadItemOutputDeferral', {
    commandExecution: flag().optional(),
    mcpToolCall: flag().optional(),
  }).nullish(),
});

/** Archive, unarchive, delete, unsubscribe, and whatever else needs an id alone. */
export const threadOnly = (name: string) => struct(name, { threadId: text() });

export const threadNameSet = struct('ThreadSetNameParams', { threadId: text(), name: shortText() });

export const threadMetadataUpdate = struct('ThreadMetadataUpdateParams', {
  threadId: text(),
  gitInfo: struct('ThreadMetadataGitInfoUpdateParams', {
    sha: shortText().nullable().optional(),
    branch: shortText().nullable().optional(),
    originUrl: shortText().nullable().optional(),
  }).nullish(),
  projectId: text().nullish(),
  daybreakEnabled: flag().nullish(),
});

export const threadMemoryModeSet = struct('ThreadMemoryModeSetParams', {
  threadId: text(),
  mode: choice(['enabled', 'disabled']),
});

export const threadInjectItems = struct('ThreadInjectItemsParams', {
  threadId: text(),
  items: list(json()),
});

export const threadRevert = struct('ThreadRevertParams', { threadId: text(), beforeTurnId: text() });

/** A review takes place in the thread itself. */
export const reviewStart = struct('ReviewStartParams', {
  threadId: text(),
  target: tagged('ReviewTarget', [
    z.object({ type: z.literal('uncommittedChanges') }),
    z.object({ type: z.literal('baseBranch'), branch: text() }),
    z.object({ type: z.literal('commit'), sha: text(), title: text().nullish() }),
    z.object({ type: z.literal('custom'), instructions: text() }),
  ]),
  delivery: choice(['inline']).nullish(),
});

const sandboxPolicy = tagged('SandboxPolicyDeserialize', [
  z.object({ type: z.literal('dangerFullAccess') }),
  z.object({ type: z.literal('readOnly'), networkAccess: flag().default(false) }),
  z.object({
    type: z.literal('externalSandbox'),
    networkAccess: choice(['restricted', 'enabled']).default('restricted'),
  }),
  z.object({
    type: z.literal('workspaceWrite'),
    writableRoots: list(absolutePath()).default([]),
    networkAccess: flag().default(false),
    excludeTmpdirEnvVar: flag().default(false),
    excludeSlashTmp: flag().default(false),
  }),
]);

const reasoningEffort = nonEmptyText('reasoning_effort must not be empty');

const reasoningSummary = choice(['auto', 'concise', 'detailed', 'none']);

const collaborationMode = struct('CollaborationMode', {
  // Names of modes that there were before; they mean the default one.
  mode: choice(['plan', 'code', 'custom', 'default', 'execute', 'pair_programming']),
  settings: struct('Settings', {
    model: shortText(),
    reasoning_effort: reasoningEffort.nullish(),
    developer_instructions: boundedText(MAX_INPUT_CHARACTERS).nullish(),
  }),
});

/** Facts beside the input, for the model and for whoever keeps count of its calls. */
const context = {
  additionalContext: map(
    struct('AdditionalContextEntry', {
      value: text(),
      kind: choice(['untrusted', 'application']),
      name: text().nullish(),
    }),
  ).nullish(),
  responsesapiClientMetadata: map(text()).nullish(),
  responsesapiClientMetadataPatch: map(text()).nullish(),
};

/**
 * What a turn may say about how its thread is run from then on, and a change without one just so. All of it can be left
 * out: which fault is named first is a matter of the client's text, not of the order here.
 */
const runSettings = {
  environments: environments.nullish(),
  cwd: pathText().nullish(),
  approvalPolicy: approvalPolicy.nullish(),
  approvalsReviewer: approvalsReviewer.nullish(),
  sandboxPolicy: sandboxPolicy.nullish(),
  permissions: text().nullish(),
  model: shortText().nullish(),
  serviceTier: shortText().nullish(),
  effort: reasoningEffort.nullish(),
  summary: reasoningSummary.nullish(),
  personality: personality.nullish(),
  collaborationMode: collaborationMode.nullish(),
  multiAgentMode: multiAgentMode.nullish(),
  disabledPluginIds: list(text()).nullish(),
};

export const turnStart = struct('TurnStartParams', {
  threadId: text(),
  clientUserMessageId: text().nullish(),
  input: userInputs,
  ...context,
  toolOutput: struct('TurnToolOutput', {
    name: text(),
    namespace: text().nullish(),
    output: json(),
    retain: flag().optional(),
  }).nullish(),
  ...runSettings,
  runtimeWorkspaceRoots: list(absolutePath()).nullish(),
  serviceTierForTurn: shortText().nullish(),
  outputSchema: json().nullish(),
  cyberAccessProgram: choice(['standard', 'daybreakBlue', 'daybreakRed']).nullish(),
  rootTurnId: text().nullish(),
  parentTurnId: text().nullish(),
  turnTrigger: text().nullish(),
});

export const turnSteer = struct('TurnSteerParams', {
  threadId: text(),
  clientUserMessageId: text().nullish(),
  input: userInputs,
  ...context,
  expectedTurnId: text(),
});

export const threadSettingsUpdate = struct('ThreadSettingsUpdateParams', { threadId: text(), ...runSettings });

export const turnSettingsUpdate = closedStruct('TurnSettingsUpdateParams', {
  threadId: text(),
  turnId: text(),
  approvalsReviewer: approvalsReviewer.nullish(),
  environments: environments.nullish(),
  model: shortText().nullish(),
  effort: reasoningEffort.nullish(),
  summary: reasoningSummary.nullish(),
  serviceTier: shortText().nullish(),
});

export const threadShellCommand = struct('ThreadShellCommandParams', {
  threadId: text(),
  command: text(),
  timeoutMs: i64().nullish(),
});

export const threadBackgroundTerminalsList = struct('ThreadBackgroundTerminalsListParams', {
  threadId: text(),
  cursor: text().nullish(),
  limit: u32().nullish(),
});

export const threadBackgroundTerminalsTerminate = struct('ThreadBackgroundTerminalsTerminateParams', {
  threadId: text(),
  processId: text(),
});

const goalOrigin = choice(['user', 'automatic']);

export const threadGoalSet = struct('ThreadGoalSetParams', {
  threadId: text(),
  objective: text().nullish(),
  status: choice(['active', 'paused', 'blocked', 'usageLimited', 'budgetLimited', 'complete']).nullish(),
  tokenBudget: i64().nullish(),
  origin: goalOrigin.nullish(),
});

export const threadGoalClear = struct('ThreadGoalClearParams', { threadId: text(), origin: goalOrigin.nullish() });

export const turnInterrupt = struct('TurnInterruptParams', { threadId: text(), turnId: text() });

export const initialize = struct('InitializeParams', {
  clientInfo: struct('ClientInfo', { name: shortText(), title: shortText().nullish(), version: shortText() }),
  capabilities: struct('InitializeCapabilities', {
    experimentalApi: flag().optional(),
    requestAttestation: flag().optional(),
    explicitGatewayOauth: flag().optional(),
    mcpServerOpenaiFormElicitation: flag().optional(),
    requiredHumanApproval: flag().optional(),
    extensions: map(json()).nullish(),
    optOutNotificationMethods: list(text()).nullish(),
  }).nullish(),
});
