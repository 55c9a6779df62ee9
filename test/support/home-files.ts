import { appendFileSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ThreadId } from '../../src/domain/ids.ts';
import type { JsonObject } from '../../src/domain/json.ts';
import { localTimeOf } from '../../src/domain/rollout-file-name.ts';
import type { RolloutItem } from '../../src/domain/rollout-line.ts';
import type { HistoryMode } from '../../src/domain/session-meta.ts';
import { formatTimestamp } from '../../src/domain/timestamps.ts';
import { HomeLayout } from '../../src/store/local/home-layout.ts';
import { headerPayload, someThreadId, T0, turnItems } from './records.ts';

export interface RolloutOptions {
  readonly threadId?: ThreadId;
  readonly rolloutId?: ThreadId;
  readonly mode?: HistoryMode;
  /** What was said, a turn each. Default: one turn. */
  readonly said?: readonly string[];
  readonly header?: JsonObject;
  readonly createdAtMs?: number;
  readonly mtimeMs?: number;
  readonly isArchived?: boolean;
}

export interface WrittenRollout {
  readonly threadId: ThreadId;
  readonly path: string;
}

/** Lines of a rollout; paginated ones are numbered from `ordinal` on. */
export const linesOf = (
  items: readonly RolloutItem[],
  { mode = 'legacy', atMs = T0, ordinal = 0 }: { mode?: HistoryMode; atMs?: number; ordinal?: number } = {},
): string =>
  items
    .map((item, index) => {
      const number = mode === 'paginated' ? { ordinal: ordinal + index } : {};
      return `${JSON.stringify({ timestamp: formatTimestamp(atMs), ...number, ...item })}\n`;
    })
    .join('');

/** Writes a rollout as another program would: without any store. */
export function writeRollout(home: string, options: RolloutOptions = {}): WrittenRollout {
  const { mode = 'legacy', said = ['hello'], createdAtMs = T0, isArchived = false } = options;
  const threadId = options.threadId ?? someThreadId();
  const layout = new HomeLayout(home);
  const name = {
    threadId,
    rolloutId: options.rolloutId ?? threadId,
    localTime: localTimeOf(createdAtMs),
    isCompressed: false,
  };
  const path = isArchived ? layout.archivedPath(name) : layout.activePath(name);
  const payload = headerPayload(threadId, mode, { timestamp: formatTimestamp(createdAtMs), ...options.header });
  const items = [
    { type: 'session_meta', payload },
    ...said.flatMap((text) => turnItems(mode, threadId, text, `re: ${text}`).items),
  ];
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, linesOf(items, { mode, atMs: createdAtMs }));
  if (options.mtimeMs !== undefined) setTime(path, options.mtimeMs);
  return { threadId, path };
}

export const setTime = (path: string, epochMs: number): void => utimesSync(path, epochMs / 1_000, epochMs / 1_000);

/** Another program says something more in a legacy thread. */
export const sayMore = ({ threadId, path }: WrittenRollout, text: string, atMs = T0): void =>
  appendFileSync(path, linesOf(turnItems('legacy', threadId, text, `re: ${text}`).items, { atMs }));
