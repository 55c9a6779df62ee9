import { notFound } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import type { RolloutLine } from '../../domain/rollout-line.ts';
import { renderGit, type GitInfo, type HistoryMode, type MemoryMode } from '../../domain/session-meta.ts';
import { storedThread, type StoredThread } from '../../domain/stored-thread.ts';
import { NO_FACTS, withLine } from '../../domain/thread-facts.ts';
import { formatTimestamp } from '../../domain/timestamps.ts';
import type { NewRecord } from '../thread-store.ts';
import { itemViewOf, turnsOf } from './memory-history.ts';

/** A thread that was written at least once. */
export interface MemoryThread {
  readonly historyMode: HistoryMode;
  lines: RolloutLine[];
  /** Behind so many of them it was forked, and what it was forked from, and so on; none if it is no fork. */
  borders: readonly number[];
  /** What a revert did not take back: what the thread was about and how recent, when it had so many lines. */
  kept: { readonly lines: number; readonly preview: string; readonly recencyAtMs: number | null };
  name: string | null;
  updatedAtMs: number;
  isArchived: boolean;
}

export const newThread = (
  { historyMode, borders }: Pick<MemoryThread, 'historyMode' | 'borders'>,
  nowMs: number,
): MemoryThread => ({
  historyMode,
  lines: [],
  borders,
  kept: { lines: 0, preview: '', recencyAtMs: null },
  name: null,
  updatedAtMs: nowMs,
  isArchived: false,
});

/** Adds records, numbered as in a rollout. */
export function append(thread: MemoryThread, records: readonly NewRecord[], now: () => number): void {
  if (records.length === 0) return;
  const numbered = records.map(({ timestamp, item }, index) => ({
    timestamp,
    ...(thread.historyMode === 'paginated' ? { ordinal: thread.lines.length + index } : {}),
    item,
  }));
  thread.lines = [...thread.lines, ...numbered];
  thread.updatedAtMs = now();
}

/** Adds the header once more, with what has changed since: as in a rollout. */
export function appendHeader(
  thread: MemoryThread,
  memoryMode: MemoryMode,
  git: GitInfo | null,
  now: () => number,
): void {
  const payload = {
    ...thread.lines[0]?.item.payload,
    memory_mode: memoryMode,
    git: git === null ? {} : renderGit(git),
  };
  append(thread, [{ timestamp: formatTimestamp(now()), item: { type: 'session_meta', payload } }], now);
}

/** As lists show it. @throws notFound if it has no header */
export function viewOf(threadId: ThreadId, thread: MemoryThread, defaultModelProvider: string): StoredThread {
  const { lines, preview, recencyAtMs } = thread.kept;
  const before = thread.lines.slice(0, lines).reduce(withLine, { ...NO_FACTS, preview });
  const facts = thread.lines.slice(lines).reduce(withLine, { ...before, recencyAtMs });
  if (facts.header === null) throw notFound(`no rollout found for thread id ${threadId}`);
  return storedThread(facts.header, facts, {
    path: null,
    name: thread.name,
    updatedAtMs: thread.updatedAtMs,
    archivedAtMs: thread.isArchived ? thread.updatedAtMs : null,
    defaultModelProvider,
  });
}

/** What was said in it and to it, oldest first. */
export const saidIn = (thread: MemoryThread): readonly string[] =>
  turnsOf(thread)
    .flatMap((turn) => turn.items)
    .filter((item) => item.role !== 'other')
    .map((item) => JSON.stringify(itemViewOf(item, thread.historyMode)));
