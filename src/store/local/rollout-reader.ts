import { decodeLine, isBlankLine, type LineDefect, type RolloutLine } from '../../domain/rollout-line.ts';
import { rolloutBytes } from './compressed-rollout.ts';
import { LineSplitter, type FileLine } from './line-splitter.ts';

/** A record and where it stands in its rollout. */
export interface PlacedRecord {
  readonly offset: number;
  /** Bytes without the newline. */
  readonly length: number;
  readonly line: RolloutLine;
}

/** What reading a rollout meets, in file order. */
export type ReadEvent =
  | { readonly type: 'record'; readonly record: PlacedRecord }
  /** A line that is no record: skipped, counted, never fatal (D5, F2). */
  | { readonly type: 'defect'; readonly offset: number; readonly defect: LineDefect };

/** Where a read came to. */
export interface ReadEnd {
  /** All bytes before this were read; the next read goes on here. */
  readonly offset: number;
  /** Bytes behind it that are no record yet: a torn tail, or a line still being written. */
  readonly tornBytes: number;
}

/** Enough for most headers. */
const HEADER_CHUNK_BYTES = 32 * 1024;

/**
 * Reads the records of a rollout, plain or compressed, from a byte offset to `end` (default: the end of the file as it
 * is now).
 * A last line without newline counts if it is a whole record: no prefix of a record is one.
 * Synchronous: for worker threads.
 *
 * @returns generator that yields events and returns where it came to
 */
export function* readRollout(
  path: string,
  start = 0,
  end = Number.POSITIVE_INFINITY,
  chunkBytes?: number,
): Generator<ReadEvent, ReadEnd> {
  const splitter = new LineSplitter(start);
  let position = start;
  for (const bytes of rolloutBytes(path, start, end, chunkBytes)) {
    position += bytes.length;
    for (const line of splitter.push(bytes)) {
      const event = eventOf(line);
      if (event !== undefined) yield event;
    }
  }
  const tail = splitter.tail();
  if (tail === undefined) return { offset: position, tornBytes: 0 };
  const event = eventOf(tail);
  if (event?.type !== 'record') return { offset: tail.offset, tornBytes: tail.length };
  yield event;
  return { offset: position, tornBytes: 0 };
}

/** What a line is: a record, a defect, or nothing (blank). */
export function eventOf(line: FileLine): ReadEvent | undefined {
  const { offset, length, bytes } = line;
  if (bytes === null) return { type: 'defect', offset, defect: 'tooLong' };
  if (isBlankLine(bytes)) return undefined;
  const decoded = decodeLine(bytes);
  return decoded.ok
    ? { type: 'record', record: { offset, length, line: decoded.line } }
    : { type: 'defect', offset, defect: decoded.defect };
}

/** The first record that a rollout holds, reading no further than it needs; undefined for a file without any. */
export function readFirstRecord(path: string): PlacedRecord | undefined {
  for (const event of readRollout(path, 0, Number.POSITIVE_INFINITY, HEADER_CHUNK_BYTES)) {
    if (event.type === 'record') return event.record;
  }
  return undefined;
}
