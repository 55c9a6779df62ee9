import type { ThreadId } from '../../domain/ids.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { HistoryMode } from '../../domain/session-meta.ts';
import { renderGit } from '../../domain/session-meta.ts';
import type { StoredThread } from '../../domain/stored-thread.ts';
import type { HeaderSource } from '../thread-store.ts';
import type { HistoryPrefix } from './index/index-api.ts';
import type { RolloutStart } from './rollout-start.ts';

/**
 * Where a new rollout begins: at nothing; in paginated history at a prefix that it refers to and never copies (D8);
 * in legacy history behind a copy of the prefix, because Codex reads no reference to legacy history.
 */
export function startOfRollout(header: HeaderSource, mode: HistoryMode, prefix?: HistoryPrefix): RolloutStart {
  if (mode === 'paginated') return { kind: 'new', header, nextOrdinal: prefix?.endOrdinal ?? 0 };
  const inherited = prefix === undefined ? [] : [{ path: prefix.rollout.path, endOffset: prefix.endOffset }];
  return { kind: 'new', header, nextOrdinal: null, inherited };
}

/** A fork's header: the new thread's own, and where it comes from. */
export function forkHeader(header: JsonObject, sourceId: ThreadId, prefix: HistoryPrefix): JsonObject {
  const own = { ...header, history_mode: prefix.historyMode, forked_from_id: sourceId };
  if (prefix.historyMode === 'legacy') return own;
  return { ...own, forked_from_ordinal_exclusive: prefix.endOrdinal ?? 0, history_base: baseOf(prefix) };
}

/** The header of the file that a revert makes: the thread's own, as things stand, continuing the prefix. */
export function revertHeader(header: JsonObject, thread: StoredThread, prefix: HistoryPrefix): JsonObject {
  const { git: _, ...kept } = header;
  return {
    ...kept,
    ...(thread.git === null ? {} : { git: renderGit(thread.git) }),
    memory_mode: thread.memoryMode,
    history_base: baseOf(prefix),
  };
}

const baseOf = (prefix: HistoryPrefix): JsonObject => ({
  thread_id: prefix.rollout.rolloutId,
  end_ordinal_exclusive: prefix.endOrdinal ?? 0,
  end_byte_offset: prefix.endOffset,
});
