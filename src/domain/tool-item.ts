import { arrayMember, isJsonObject, objectMember, stringMember, type JsonObject, type JsonValue } from './json.ts';
import { camel, pathOf, textOrNull } from './stored-members.ts';
import type { ThreadItem } from './turn.ts';

export function commandAction(parsed: JsonObject): JsonObject {
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

export function webSearch(stored: JsonObject, id: string): ThreadItem {
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

export function fileChange(stored: JsonObject, id: string): ThreadItem {
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

export function imageGeneration(stored: JsonObject, id: string): ThreadItem {
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

export function mcpResult(value: JsonValue | undefined): JsonObject | null {
  if (!isJsonObject(value)) return null;
  return {
    content: arrayMember(value, 'content'),
    structuredContent: value['structuredContent'] ?? value['structured_content'] ?? null,
    _meta: value['_meta'] ?? null,
  };
}
