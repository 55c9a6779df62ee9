import { arrayMember, isJsonObject, numberMember, objectMember, stringMember, type JsonObject } from './json.ts';
import { camel, commandLine, durationMs, pathOf, textOrNull, withCamelKeys } from './stored-members.ts';
import { commandAction, fileChange, imageGeneration, mcpResult, webSearch } from './tool-item.ts';
import type { ThreadItem } from './turn.ts';
import { legacyUserInputs, userInputOf } from './user-input-view.ts';

/**
 * Client views of stored items. Paginated history stores items whole (`item_completed`), with names
 * in PascalCase and members in snake_case or camelCase, by version; legacy history stores events.
 * What a view needs and the record lacks is null. A kind without a rule has no view.
 */
export function itemOfCompleted(payload: JsonObject): ThreadItem | undefined {
  const stored = objectMember(payload, 'item');
  if (stored === undefined) return undefined;
  const item = withCamelKeys(stored);
  const id = stringMember(item, 'id');
  const view = COMPLETED_VIEWS.get(stringMember(item, 'type') ?? '');
  if (id === undefined || view === undefined) return undefined;
  return {
    ...view(item, id),
    startedAtMs: numberMember(payload, 'started_at_ms') ?? null,
    completedAtMs: numberMember(payload, 'completed_at_ms') ?? null,
  };
}

/**
 * The view of a legacy item that the given events make up together, oldest first.
 * More than one event only for reasoning, whose parts arrive one by one.
 */
export function itemOfLegacyEvents(events: readonly JsonObject[], id: string): ThreadItem | undefined {
  const [first] = events;
  if (first === undefined) return undefined;
  const type = stringMember(first, 'type') ?? '';
  if (type === 'item_completed') return itemOfCompleted(first);
  const view = isReasoning(type) ? reasoningOf(events, id) : LEGACY_VIEWS.get(type)?.(first, id);
  return view === undefined ? undefined : { ...view, startedAtMs: null, completedAtMs: null };
}

const isReasoning = (type: string): boolean => type === 'agent_reasoning' || type === 'agent_reasoning_raw_content';

type View = (stored: JsonObject, id: string) => ThreadItem;

/** A map, not an object: kinds come from files, and may be called `constructor`. */
function viewsOf(views: Readonly<Record<string, View>>): ReadonlyMap<string, View> {
  return new Map(Object.entries(views));
}

const COMPLETED_VIEWS = viewsOf({
  UserMessage: (item, id) => ({
    type: 'userMessage',
    id,
    clientId: textOrNull(item, 'clientId'),
    content: arrayMember(item, 'content').filter(isJsonObject).map(userInputOf),
  }),
  HookPrompt: (item, id) => ({ type: 'hookPrompt', id, fragments: arrayMember(item, 'fragments') }),
  AgentMessage: (item, id) =>
    agentMessage(
      id,
      arrayMember(item, 'content')
        .filter(isJsonObject)
        .map((part) => stringMember(part, 'text') ?? '')
        .join(''),
      item,
    ),
  Plan: (item, id) => ({ type: 'plan', id, text: stringMember(item, 'text') ?? '' }),
  Reasoning: (item, id) => ({
    type: 'reasoning',
    id,
    summary: arrayMember(item, 'summaryText'),
    content: arrayMember(item, 'rawContent'),
  }),
  CommandExecution: (item, id) => ({
    type: 'commandExecution',
    id,
    pluginId: textOrNull(item, 'pluginId'),
    scriptPath: textOrNull(item, 'scriptPath'),
    command: commandLine(item['command']),
    cwd: pathOf(item['cwd']),
    processId: textOrNull(item, 'processId'),
    source: camel(stringMember(item, 'source') ?? 'agent'),
    status: camel(stringMember(item, 'status') ?? 'completed'),
    commandActions: arrayMember(item, 'parsedCmd').filter(isJsonObject).map(commandAction),
    aggregatedOutput: textOrNull(item, 'aggregatedOutput') || null,
    exitCode: numberMember(item, 'exitCode') ?? null,
    durationMs: durationMs(item['duration']),
  }),
  FileChange: (item, id) => fileChange(item, id),
  McpToolCall: (item, id) => ({
    type: 'mcpToolCall',
    id,
    server: stringMember(item, 'server') ?? '',
    tool: stringMember(item, 'tool') ?? '',
    status: camel(stringMember(item, 'status') ?? 'completed'),
    arguments: item['arguments'] ?? null,
    appContext: null,
    mcpAppUi: null,
    pluginId: textOrNull(item, 'pluginId'),
    readOnlyHint: null,
    result: mcpResult(item['result']),
    error: objectMember(item, 'error') ?? null,
    durationMs: durationMs(item['duration']),
  }),
  DynamicToolCall: (item, id) => ({
    type: 'dynamicToolCall',
    id,
    namespace: textOrNull(item, 'namespace'),
    tool: stringMember(item, 'tool') ?? '',
    arguments: item['arguments'] ?? null,
    status: camel(stringMember(item, 'status') ?? 'completed'),
    contentItems: Array.isArray(item['contentItems']) ? item['contentItems'] : null,
    success: typeof item['success'] === 'boolean' ? item['success'] : null,
    durationMs: durationMs(item['duration']),
  }),
  CollabAgentToolCall: (item, id) => ({
    type: 'collabAgentToolCall',
    id,
    tool: camel(stringMember(item, 'tool') ?? ''),
    status: camel(stringMember(item, 'status') ?? 'completed'),
    senderThreadId: stringMember(item, 'senderThreadId') ?? '',
    receiverThreadIds: arrayMember(item, 'receiverThreadIds'),
    prompt: textOrNull(item, 'prompt'),
    model: textOrNull(item, 'model'),
    reasoningEffort: textOrNull(item, 'reasoningEffort'),
    agentsStates: objectMember(item, 'agentsStates') ?? {},
  }),
  SubAgentActivity: (item, id) => ({
    type: 'subAgentActivity',
    id,
    model: textOrNull(item, 'model'),
    reasoningEffort: textOrNull(item, 'reasoningEffort'),
    kind: camel(stringMember(item, 'kind') ?? ''),
    agentThreadId: stringMember(item, 'agentThreadId') ?? '',
    agentPath: stringMember(item, 'agentPath') ?? '',
  }),
  WebSearch: (item, id) => webSearch(item, id),
  ImageView: (item, id) => ({ type: 'imageView', id, path: pathOf(item['path']) }),
  Sleep: (item, id) => ({ type: 'sleep', id, durationMs: numberMember(item, 'durationMs') ?? 0 }),
  ImageGeneration: (item, id) => imageGeneration(item, id),
  EnteredReviewMode: (item, id) => ({ type: 'enteredReviewMode', id, review: reviewText(item) }),
  ExitedReviewMode: (item, id) => ({ type: 'exitedReviewMode', id, review: reviewText(item) }),
  ContextCompaction: (_item, id) => ({ type: 'contextCompaction', id }),
});

const LEGACY_VIEWS = viewsOf({
  user_message: (event, id) => ({
    type: 'userMessage',
    id,
    clientId: textOrNull(event, 'client_id'),
    content: legacyUserInputs(event),
  }),
  agent_message: (event, id) => agentMessage(id, stringMember(event, 'message') ?? '', withCamelKeys(event)),
  context_compacted: (_event, id) => ({ type: 'contextCompaction', id }),
  entered_review_mode: (event, id) => ({ type: 'enteredReviewMode', id, review: reviewText(withCamelKeys(event)) }),
  exited_review_mode: (event, id) => ({ type: 'exitedReviewMode', id, review: reviewText(withCamelKeys(event)) }),
  web_search_end: (event, id) => webSearch(event, id),
  patch_apply_end: (event, id) => fileChange(withCamelKeys(event), id),
  image_generation_end: (event, id) => imageGeneration(withCamelKeys(event), id),
  mcp_tool_call_end: (event, id) => {
    const invocation = objectMember(event, 'invocation') ?? {};
    const result = objectMember(event, 'result') ?? {};
    const failure = stringMember(result, 'Err');
    return {
      type: 'mcpToolCall',
      id,
      server: stringMember(invocation, 'server') ?? '',
      tool: stringMember(invocation, 'tool') ?? '',
      status: failure === undefined ? 'completed' : 'failed',
      arguments: invocation['arguments'] ?? null,
      appContext: null,
      mcpAppUi: null,
      pluginId: null,
      readOnlyHint: null,
      result: mcpResult(result['Ok']),
      error: failure === undefined ? null : { message: failure },
      durationMs: durationMs(event['duration']),
    };
  },
  sub_agent_activity: (event, id) => ({
    type: 'subAgentActivity',
    id,
    model: textOrNull(event, 'model'),
    reasoningEffort: textOrNull(event, 'reasoning_effort'),
    kind: camel(stringMember(event, 'kind') ?? ''),
    agentThreadId: stringMember(event, 'agent_thread_id') ?? '',
    agentPath: stringMember(event, 'agent_path') ?? '',
  }),
});

function agentMessage(id: string, text: string, stored: JsonObject): ThreadItem {
  return {
    type: 'agentMessage',
    moderation: null,
    id,
    text,
    phase: textOrNull(stored, 'phase'),
    memoryCitation: objectMember(stored, 'memoryCitation') ?? null,
    delivery: null,
    questions: null,
  };
}

function reasoningOf(events: readonly JsonObject[], id: string): ThreadItem {
  const texts = (type: string): string[] =>
    events.filter((event) => event['type'] === type).map((event) => stringMember(event, 'text') ?? '');
  return {
    type: 'reasoning',
    id,
    summary: texts('agent_reasoning'),
    content: texts('agent_reasoning_raw_content'),
  };
}

const reviewText = (stored: JsonObject): string =>
  stringMember(stored, 'review') ?? stringMember(stored, 'userFacingHint') ?? '';
