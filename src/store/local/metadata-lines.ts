import { internal } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import type { JsonObject } from '../../domain/json.ts';
import { isEmptyPatch, patchedGit, type ThreadMetadataPatch } from '../../domain/metadata-patch.ts';
import type { RolloutItem } from '../../domain/rollout-line.ts';
import { renderGit, sessionMetaOf } from '../../domain/session-meta.ts';
import type { StoredThread } from '../../domain/stored-thread.ts';
import { findRecord } from './history-stream.ts';

/** Only the first line of a file carries these: a change of metadata does not repeat them. */
const HEADER_ONLY: ReadonlySet<string> = new Set([
  'base_instructions',
  'dynamic_tools',
  'history_base',
  'forked_from_ordinal_exclusive',
]);

/**
 * The payload of a rollout's header.
 * @throws internal if the file has none, or one of another thread
 */
export async function readHeader(path: string, threadId: ThreadId): Promise<JsonObject> {
  const header = (await findRecord(path, (line) => line.item.type === 'session_meta'))?.item;
  const meta = header === undefined ? undefined : sessionMetaOf(header);
  if (header === undefined || meta === undefined) {
    throw internal(`failed to read session metadata ${path}: there is none`);
  }
  if (meta.threadId !== threadId) {
    throw internal(`rollout session metadata id mismatch: expected ${threadId}, found ${meta.threadId}`);
  }
  return header.payload;
}

/**
 * The record that carries a patch into a history: the header once more, with what is true after the patch. It is one
 * line, so the patch is in the history whole or not at all (SPEC META-4).
 */
export function patchRecord(header: JsonObject, thread: StoredThread, patch: ThreadMetadataPatch): RolloutItem {
  const git = patch.gitInfo === undefined ? thread.git : patchedGit(thread.git, patch.gitInfo);
  const kept = Object.fromEntries(Object.entries(header).filter(([key]) => !HEADER_ONLY.has(key)));
  // What the first line says must not come back once it was cleared.
  const speaksOfGit = git !== null || patch.gitInfo !== undefined || header['git'] !== undefined;
  return {
    type: 'session_meta',
    payload: {
      ...kept,
      memory_mode: patch.memoryMode ?? thread.memoryMode,
      ...(speaksOfGit ? { git: git === null ? {} : renderGit(git) } : {}),
      ...(patch.name === undefined ? {} : { thread_name: patch.name }),
    },
  };
}

/** True if a patch leaves a record in the history; a name alone only stands in the name index. */
export const isWrittenToHistory = (patch: ThreadMetadataPatch): boolean => {
  const { name: _name, ...others } = patch;
  return !isEmptyPatch(others);
};
