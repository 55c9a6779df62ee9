import { constants } from 'node:fs';
import { internal } from '../../domain/errors.ts';
import { numberMember } from '../../domain/json.ts';
import type { HistoryMode } from '../../domain/session-meta.ts';
import { posix } from './files.ts';
import { findRecord } from './history-stream.ts';
import { MAX_LINE_BYTES } from './line-splitter.ts';
import { readLinesBackwards } from './reverse-reader.ts';
import { eventOf } from './rollout-reader.ts';

/** What a writer must know of the end of a rollout before it goes on there. */
export interface RolloutTail {
  readonly size: number;
  /** Ordinal of the next record; null in legacy history. */
  readonly nextOrdinal: number | null;
  /** The last byte is not a newline: a record that lacks one, or a torn one. */
  readonly isUnterminated: boolean;
}

const NEWLINE = 0x0a;

/**
 * Reads the end of a rollout, from the back, as far as the last whole record. Changes nothing.
 * @throws internal if that record of a paginated rollout carries no ordinal, because going on would make two of the
 * same; or if a sub-agent's rollout ends within the context it was to begin with
 */
export async function readTail(path: string, mode: HistoryMode): Promise<RolloutTail> {
  const fd = await posix.open(path, constants.O_RDONLY);
  try {
    const { size } = await posix.fstat(fd);
    const isUnterminated = size > 0 && (await lastByte(fd, size)) !== NEWLINE;
    const nextOrdinal = mode === 'legacy' ? null : await ordinalAfterLast(fd, size, path);
    if (nextOrdinal !== null) await assertWholePrefix(path, nextOrdinal);
    return { size, nextOrdinal, isUnterminated };
  } finally {
    await posix.close(fd);
  }
}

async function lastByte(fd: number, size: number): Promise<number | undefined> {
  const buffer = Buffer.alloc(1);
  await posix.read(fd, buffer, 0, 1, size - 1);
  return buffer[0];
}

async function ordinalAfterLast(fd: number, size: number, path: string): Promise<number> {
  const read = async (buffer: Buffer, position: number): Promise<number> =>
    (await posix.read(fd, buffer, 0, buffer.length, position)).bytesRead;
  for await (const line of readLinesBackwards(read, size, MAX_LINE_BYTES)) {
    const event = eventOf(line);
    if (event?.type !== 'record') continue;
    const { ordinal } = event.record.line;
    if (ordinal === undefined) {
      throw internal(`final paginated rollout record at ${path} is missing an ordinal`);
    }
    return ordinal + 1;
  }
  return 0;
}

/** The header says before which ordinal the copied context of a sub-agent's rollout ends. */
async function assertWholePrefix(path: string, nextOrdinal: number): Promise<void> {
  const header = await findRecord(path, (line) => line.item.type === 'session_meta');
  const start = header === undefined ? undefined : numberMember(header.item.payload, 'subagent_history_start_ordinal');
  if (start === undefined || nextOrdinal >= start) return;
  throw internal(`${path} ends at ordinal ${nextOrdinal}, within the context before ordinal ${start} that it inherits`);
}
