import { fileURLToPath } from 'node:url';
import {
  arrayMember,
  isJsonObject,
  numberMember,
  objectMember,
  stringMember,
  type JsonObject,
  type JsonValue,
} from './json.ts';
import type { ThreadItem } from './turn.ts';

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

/** A stored user input part in the client's names. */
function userInputOf(part: JsonObject): JsonObject {
  switch (part['type']) {
    case 'text':
      return {
        type: 'text',
        text: stringMember(part, 'text') ?? '',
        text_elements: arrayMember(part, 'text_elements'),
      };
    case 'image':
      return { type: 'image', ...referenceOf(part, 'image_url'), detail: textOrNull(part, 'detail') };
    case 'local_image':
    case 'localImage':
      return { type: 'localImage', detail: textOrNull(part, 'detail'), path: pathOf(part['path']) };
    case 'audio':
      return { type: 'audio', ...referenceOf(part, 'audio_url') };
    case 'local_audio':
    case 'localAudio':
      return { type: 'localAudio', path: pathOf(part['path']) };
    default:
      return part;
  }
}

function legacyUserInputs(event: JsonObject): readonly JsonObject[] {
  const message = stringMember(event, 'message') ?? '';
  const texts = (key: string): string[] =>
    arrayMember(event, key).filter((value): value is string => typeof value === 'string');
  return [
    ...(message === '' ? [] : [{ type: 'text', text: message, text_elements: arrayMember(event, 'text_elements') }]),
    ...legacyImages(event, texts('images'), texts('file_ids')),
    ...texts('local_images').map((path, index) => ({
      type: 'localImage',
      path,
      detail: detailAt(event, 'local_image_details', index),
    })),
    ...texts('audio').map((url) => ({ type: 'audio', url })),
    ...texts('local_audio').map((path) => ({ type: 'localAudio', path })),
  ];
}

/** Images in the order in which they were sent: inline ones and uploaded files stand in lists of their own. */
function legacyImages(event: JsonObject, urls: readonly string[], fileIds: readonly string[]): readonly JsonObject[] {
  const [inline, files] = [[...urls], [...fileIds]];
  const order = arrayMember(event, 'image_order');
  return Array.from({ length: urls.length + fileIds.length }, (_, index) => {
    const fileId = order[index] === 'file' || inline.length === 0 ? files.shift() : undefined;
    const reference = fileId === undefined ? { url: inline.shift() ?? '' } : { fileId };
    return { type: 'image', ...reference, detail: detailAt(event, 'image_details', index) };
  });
}

function detailAt(event: JsonObject, key: string, index: number): string | null {
  const detail = arrayMember(event, key)[index];
  return typeof detail === 'string' ? detail : null;
}

/** What a stored part refers to, in the client's names. */
function referenceOf(part: JsonObject, urlKey: string): JsonObject {
  const fileId = stringMember(part, 'file_id') ?? stringMember(part, 'fileId');
  return fileId === undefined ? { url: stringMember(part, urlKey) ?? stringMember(part, 'url') ?? '' } : { fileId };
}

function commandAction(parsed: JsonObject): JsonObject {
  const command = stringMember(parsed, 'cmd') ?? stringMember(parsed, 'command') ?? '';
  switch (camel(stringMember(parsed, 'type') ?? '')) {
    case 'read':
      return { type: 'read', command, name: stringMember(parsed, 'name') ?? '', path: pathOf(parsed['path']) };
    case 'listFiles':
      return { type: 'listFiles', command, path: textOrNull(parsed, 'path') };
    case 'search':
      return { type: 'search', command, query: textOrNull(parsed, 'query'), path: textOrNull(parsed, 'path') };
    default:
      return { type: 'unknown', command };
  }
}

function webSearch(stored: JsonObject, id: string): ThreadItem {
  const action = objectMember(stored, 'action');
  return {
    type: 'webSearch',
    id,
    query: stringMember(stored, 'query') ?? '',
    action: action === undefined ? null : webSearchAction(action),
    results: null,
  };
}

function webSearchAction(action: JsonObject): JsonObject {
  switch (camel(stringMember(action, 'type') ?? '')) {
    case 'search':
      return {
        type: 'search',
        query: textOrNull(action, 'query'),
        queries: Array.isArray(action['queries']) ? action['queries'] : null,
      };
    case 'openPage':
      return { type: 'openPage', url: textOrNull(action, 'url') };
    case 'findInPage':
      return { type: 'findInPage', url: textOrNull(action, 'url'), pattern: textOrNull(action, 'pattern') };
    default:
      return { type: 'other' };
  }
}

function fileChange(stored: JsonObject, id: string): ThreadItem {
  const changes = objectMember(stored, 'changes') ?? {};
  const status = stringMember(stored, 'status') ?? (stored['success'] === false ? 'failed' : 'completed');
  return {
    type: 'fileChange',
    id,
    changes: Object.entries(changes).flatMap(([path, change]) =>
      isJsonObject(change) ? [fileUpdate(path, change)] : [],
    ),
    status: camel(status),
  };
}

/** A change is `{type: "add", …}` or, in older files, `{add: {…}}`. */
function fileUpdate(path: string, change: JsonObject): JsonObject {
  const tag = stringMember(change, 'type') ?? Object.keys(change)[0] ?? 'update';
  const body = objectMember(change, tag) ?? change;
  const diff = stringMember(body, 'unified_diff') ?? stringMember(body, 'content') ?? '';
  const kind =
    tag === 'add' || tag === 'delete' ? { type: tag } : { type: 'update', move_path: textOrNull(body, 'move_path') };
  return { path, kind, diff };
}

function imageGeneration(stored: JsonObject, id: string): ThreadItem {
  const savedPath = stringMember(stored, 'savedPath');
  return {
    type: 'imageGeneration',
    id,
    status: stringMember(stored, 'status') ?? '',
    revisedPrompt: textOrNull(stored, 'revisedPrompt'),
    failure: null,
    result: stringMember(stored, 'result') ?? '',
    ...(savedPath === undefined ? {} : { savedPath }),
  };
}

function mcpResult(value: JsonValue | undefined): JsonObject | null {
  if (!isJsonObject(value)) return null;
  return {
    content: arrayMember(value, 'content'),
    structuredContent: value['structuredContent'] ?? value['structured_content'] ?? null,
    _meta: value['_meta'] ?? null,
  };
}

const reviewText = (stored: JsonObject): string =>
  stringMember(stored, 'review') ?? stringMember(stored, 'userFacingHint') ?? '';

const textOrNull = (stored: JsonObject, key: string): string | null => stringMember(stored, key) ?? null;

/** Paths are stored plain or as `file:` URIs, by version. */
function pathOf(value: JsonValue | undefined): string {
  if (typeof value !== 'string') return '';
  if (!value.startsWith('file://')) return value;
  try {
    return fileURLToPath(value);
  } catch {
    return value;
  }
}

/** `{secs, nanos}` as stored, in ms. */
function durationMs(value: JsonValue | undefined): number | null {
  if (!isJsonObject(value)) return null;
  const secs = numberMember(value, 'secs') ?? 0;
  return secs * 1_000 + Math.floor((numberMember(value, 'nanos') ?? 0) / 1_000_000);
}

/** An argument vector as one line that a POSIX shell would split the same way. */
function commandLine(value: JsonValue | undefined): string {
  if (typeof value === 'string') return value;
  return Array.isArray(value)
    ? value.map((word) => quoted(typeof word === 'string' ? word : JSON.stringify(word))).join(' ')
    : '';
}

const quoted = (word: string): string =>
  /^[A-Za-z0-9_\-.,:/@+=]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** `snake_case` to `camelCase`. */
const camel = (name: string): string => name.replace(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());

const withCamelKeys = (stored: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(stored).map(([key, value]) => [camel(key), value]));
