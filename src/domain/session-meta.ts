import { parseTimestamp } from './timestamps.ts';
import { tryParseThreadId, type ThreadId } from './ids.ts';
import { isJsonObject, numberMember, objectMember, stringMember, type JsonObject, type JsonValue } from './json.ts';
import type { RolloutItem } from './rollout-line.ts';

/** How a thread's history is stored. Legacy lines have no ordinals; paginated ones do, and fork by reference. */
export type HistoryMode = 'legacy' | 'paginated';

export type MemoryMode = 'enabled' | 'disabled';

/** Git facts of a thread's working directory, as the rollout header names them. */
export interface GitInfo {
  readonly sha: string | null;
  readonly branch: string | null;
  readonly originUrl: string | null;
}

/** A frozen prefix of another rollout that this one continues. */
export interface HistoryBase {
  /** Rollout id (not thread id) of the file that holds the prefix. */
  readonly rolloutId: ThreadId;
  readonly endOrdinalExclusive: number;
  readonly endByteOffset: number;
}

/** The header of a rollout: the payload of its first `session_meta` line, read leniently. */
export interface SessionMeta {
  readonly threadId: ThreadId;
  readonly sessionId: string;
  readonly forkedFromId: ThreadId | null;
  readonly parentThreadId: ThreadId | null;
  /** Unix ms. */
  readonly createdAtMs: number;
  readonly cwd: string;
  readonly originator: string | null;
  readonly cliVersion: string;
  /** `"cli"`, `"vscode"`, `{"subagent": …}` …: carried as it stands. */
  readonly source: JsonValue;
  readonly threadSource: string | null;
  readonly agentNickname: string | null;
  readonly agentRole: string | null;
  readonly modelProvider: string | null;
  readonly memoryMode: MemoryMode | null;
  readonly historyMode: HistoryMode;
  readonly historyBase: HistoryBase | null;
  /** Git facts if the line speaks of git at all; absent members are null. */
  readonly git: GitInfo | null;
  /** Name given together with other metadata in one atomic line; see SPEC META-4. */
  readonly threadName: string | null;
}

/** Why a header cannot be used. */
export type HeaderDefect = 'missingId' | 'missingCwd' | 'unknownHistoryMode';

/** Reads a `session_meta` payload; a string says what makes it unusable as a header. */
export function readSessionMeta(payload: JsonObject): SessionMeta | HeaderDefect {
  const threadId = tryParseThreadId(stringMember(payload, 'id') ?? '');
  if (threadId === undefined) return 'missingId';
  const cwd = stringMember(payload, 'cwd');
  if (cwd === undefined) return 'missingCwd';
  const historyMode = stringMember(payload, 'history_mode') ?? 'legacy';
  if (historyMode !== 'legacy' && historyMode !== 'paginated') return 'unknownHistoryMode';
  const memoryMode = stringMember(payload, 'memory_mode');
  return {
    threadId,
    sessionId: stringMember(payload, 'session_id') ?? threadId,
    forkedFromId: threadIdMember(payload, 'forked_from_id'),
    parentThreadId: threadIdMember(payload, 'parent_thread_id'),
    createdAtMs: parseTimestamp(stringMember(payload, 'timestamp') ?? '') ?? 0,
    cwd,
    originator: stringMember(payload, 'originator') ?? null,
    cliVersion: stringMember(payload, 'cli_version') ?? '',
    source: payload['source'] ?? 'vscode',
    threadSource: stringMember(payload, 'thread_source') ?? null,
    agentNickname: stringMember(payload, 'agent_nickname') ?? null,
    agentRole: stringMember(payload, 'agent_role') ?? stringMember(payload, 'agent_type') ?? null,
    modelProvider: stringMember(payload, 'model_provider') ?? null,
    memoryMode: memoryMode === 'enabled' || memoryMode === 'disabled' ? memoryMode : null,
    historyMode,
    historyBase: readHistoryBase(payload),
    git: readGit(payload),
    threadName: stringMember(payload, 'thread_name') ?? null,
  };
}

/** The header in an item, or undefined if the item is not a usable `session_meta`. */
export function sessionMetaOf(item: RolloutItem): SessionMeta | undefined {
  if (item.type !== 'session_meta') return undefined;
  const meta = readSessionMeta(item.payload);
  return typeof meta === 'string' ? undefined : meta;
}

function threadIdMember(payload: JsonObject, key: string): ThreadId | null {
  return tryParseThreadId(stringMember(payload, key) ?? '') ?? null;
}

function readHistoryBase(payload: JsonObject): HistoryBase | null {
  const base = objectMember(payload, 'history_base');
  if (base === undefined) return null;
  const rolloutId = threadIdMember(base, 'thread_id');
  const endOrdinalExclusive = numberMember(base, 'end_ordinal_exclusive');
  const endByteOffset = numberMember(base, 'end_byte_offset');
  if (rolloutId === null || endOrdinalExclusive === undefined || endByteOffset === undefined) {
    return null;
  }
  return { rolloutId, endOrdinalExclusive, endByteOffset };
}

function readGit(payload: JsonObject): GitInfo | null {
  const git = payload['git'];
  if (!isJsonObject(git)) return null;
  return {
    sha: stringMember(git, 'commit_hash') ?? null,
    branch: stringMember(git, 'branch') ?? null,
    originUrl: stringMember(git, 'repository_url') ?? null,
  };
}

/** `git` as the rollout spells it; members that are null are left out. */
export function renderGit(git: GitInfo): JsonObject {
  return {
    ...(git.sha === null ? {} : { commit_hash: git.sha }),
    ...(git.branch === null ? {} : { branch: git.branch }),
    ...(git.originUrl === null ? {} : { repository_url: git.originUrl }),
  };
}
