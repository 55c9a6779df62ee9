import { isThreadId, type ThreadId } from './ids.ts';

/**
 * The name of a rollout file: `rollout-<local time>-<thread id>.jsonl`, and
 * `rollout-<local time>-<thread id>_<rollout id>.jsonl` for the file that a revert made.
 * The thread id is the logical identity, the rollout id the physical one; they are equal in the short form.
 */
export interface RolloutFileName {
  readonly threadId: ThreadId;
  readonly rolloutId: ThreadId;
  /** Local wall-clock time at which the file was planned, `YYYY-MM-DDThh-mm-ss`. */
  readonly localTime: string;
  /** True for `….jsonl.zst`, a cold rollout that Codex compressed. */
  readonly isCompressed: boolean;
}

const PATTERN = /^rollout-(\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2})-([0-9a-f-]{36})(?:_([0-9a-f-]{36}))?\.jsonl(\.zst)?$/;

/** Reads a rollout's file name (the last path segment); undefined for any other file. */
export function parseRolloutFileName(fileName: string): RolloutFileName | undefined {
  const match = PATTERN.exec(fileName);
  if (match === null) return undefined;
  const [, localTime, threadId, rolloutId = threadId, compressed] = match;
  if (localTime === undefined || threadId === undefined || rolloutId === undefined) return undefined;
  if (!isThreadId(threadId) || !isThreadId(rolloutId)) return undefined;
  return { threadId, rolloutId, localTime, isCompressed: compressed !== undefined };
}

/** Inverse of {@link parseRolloutFileName}. */
export function renderRolloutFileName(name: RolloutFileName): string {
  const { threadId, rolloutId, localTime, isCompressed } = name;
  const identity = rolloutId === threadId ? threadId : `${threadId}_${rolloutId}`;
  return `rollout-${localTime}-${identity}.jsonl${isCompressed ? '.zst' : ''}`;
}

/** `YYYY-MM-DDThh-mm-ss` of an instant, in the machine's time zone: what file names carry. */
export function localTimeOf(epochMs: number): string {
  const date = new Date(epochMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}-${two(date.getMinutes())}-${two(date.getSeconds())}`;
}

/** The instant that a file name's local time stands for, read in the machine's time zone, in Unix ms. */
export function epochMsOfLocalTime(localTime: string): number {
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = localTime.split(/[-T]/).map(Number);
  return new Date(year, month - 1, day, hour, minute, second).getTime();
}

/** `[YYYY, MM, DD]`: the folder below `sessions/` that a rollout belongs to. */
export function dayFoldersOf(name: RolloutFileName): readonly [string, string, string] {
  const { localTime } = name;
  return [localTime.slice(0, 4), localTime.slice(5, 7), localTime.slice(8, 10)];
}
