import type { ThreadId } from './ids.ts';
import { isJsonObject, type JsonValue } from './json.ts';
import type { SortDirection } from './page.ts';
import type { StoredThread } from './stored-thread.ts';

/** What stores order lists of threads by. The order of a section is not theirs. */
export type ThreadSortKey = 'createdAt' | 'updatedAt' | 'recencyAt';

/** Kinds of origin a list can be narrowed to (app-server-protocol `ThreadSourceKind`). */
export type SourceKind =
  | 'cli'
  | 'vscode'
  | 'exec'
  | 'appServer'
  | 'subAgent'
  | 'subAgentReview'
  | 'subAgentCompact'
  | 'subAgentThreadSpawn'
  | 'subAgentOther'
  | 'unknown';

/** What an empty source filter means: threads that a person started. */
export const INTERACTIVE_SOURCES: readonly SourceKind[] = ['cli', 'vscode'];

/** A position in a list of threads: the sort key of an element and its id, which breaks ties. */
export interface ThreadPosition {
  readonly keyMs: number;
  /** Null: before all threads of that millisecond, in whatever direction the page goes. */
  readonly id: ThreadId | null;
}

/** Which threads, in which order. Absent members do not filter; `cwds: []` matches nothing. */
export interface ThreadQuery {
  readonly sortKey: ThreadSortKey;
  readonly direction: SortDirection;
  /** At least 1. */
  readonly limit: number;
  readonly after?: ThreadPosition;
  readonly isArchived: boolean;
  /** Any of these providers. */
  readonly modelProviders?: readonly string[];
  readonly sourceKinds?: readonly SourceKind[];
  readonly cwds?: readonly string[];
  /** Case-insensitive part of the name or, where there is none, of the preview. */
  readonly titleContains?: string;
  readonly excludedIds?: readonly ThreadId[];
  /** These alone, those that have nothing to show yet, too. */
  readonly onlyIds?: readonly ThreadId[];
  /** Children of this thread. */
  readonly parentId?: ThreadId;
  /** Descendants of this thread at any depth, without itself. */
  readonly ancestorId?: ThreadId;
  /** Answer from what is indexed, without looking for new or changed files. */
  readonly isIndexOnly?: boolean;
}

/** The sort key of a thread, Unix ms. */
export function sortKeyOf(thread: StoredThread, key: ThreadSortKey): number {
  switch (key) {
    case 'createdAt':
      return thread.createdAtMs;
    case 'updatedAt':
      return thread.updatedAtMs;
    case 'recencyAt':
      return thread.recencyAtMs;
  }
}

/** The kind of a recorded `source`; subagents answer to their own kind and to `subAgent`. */
export function sourceKindsOf(source: JsonValue): readonly SourceKind[] {
  if (typeof source === 'string') return [plainSource(source)];
  if (!isJsonObject(source)) return ['unknown'];
  const agent = source['subagent'] ?? source['subAgent'];
  if (agent === undefined) return ['unknown'];
  return ['subAgent', subAgentKind(agent)];
}

function plainSource(source: string): SourceKind {
  switch (source) {
    case 'cli':
    case 'vscode':
    case 'exec':
      return source;
    case 'mcp':
    case 'appServer':
      return 'appServer';
    default:
      return 'unknown';
  }
}

function subAgentKind(agent: JsonValue): SourceKind {
  if (agent === 'review') return 'subAgentReview';
  if (agent === 'compact') return 'subAgentCompact';
  return isJsonObject(agent) && 'thread_spawn' in agent ? 'subAgentThreadSpawn' : 'subAgentOther';
}

/** Folders are compared without a trailing slash. */
export const normalizedFolder = (folder: string): string => (folder.length > 1 ? folder.replace(/\/+$/, '') : folder);

/** Text as searches compare it. */
export const foldedText = (text: string): string => text.toLowerCase();
