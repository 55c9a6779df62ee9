import { internal } from '../../domain/errors.ts';
import type { FileLine } from './line-splitter.ts';

/** Reads part of a file: `read(buffer, position)` fills the buffer and says how many bytes it got. */
export type ReadAt = (buffer: Buffer, position: number) => Promise<number>;

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/**
 * The lines of a file from its end (or from `end`) to its start, blank ones too. Reads a chunk at a time, so
 * that the last record of a large file costs a chunk. What follows the last newline comes first, if anything does.
 *
 * @param maxLineBytes longer lines come with `bytes: null`
 */
export async function* readLinesBackwards(read: ReadAt, end: number, maxLineBytes: number): AsyncGenerator<FileLine> {
  /** Pieces of the line being assembled, last piece first; null once it is too long. */
  let pieces: Buffer[] | null = [];
  let length = 0;
  let position = end;
  let isFirst = true;

  const finish = (offset: number): FileLine => {
    const bytes = pieces === null ? null : Buffer.concat(pieces.toReversed());
    const line = { offset, length, bytes };
    pieces = [];
    length = 0;
    return line;
  };
  const add = (piece: Buffer): void => {
    length += piece.length;
    if (length > maxLineBytes) pieces = null;
    else pieces?.push(piece);
  };

  while (position > 0) {
    const size = Math.min(CHUNK_BYTES, position);
    const chunk = Buffer.allocUnsafe(size);
    const start = position - size;
    await readFully(read, chunk, start);
    let cut = size;
    for (;;) {
      const newline = cut === 0 ? -1 : chunk.lastIndexOf(NEWLINE, cut - 1);
      if (newline < 0) break;
      add(chunk.subarray(newline + 1, cut));
      const line = finish(start + newline + 1);
      // Nothing behind the last newline is the normal end of a file, not a line.
      if (!(isFirst && line.length === 0)) yield line;
      isFirst = false;
      cut = newline;
    }
    add(chunk.subarray(0, cut));
    position = start;
  }
  if (length > 0 || !isFirst) yield finish(0);
}

async function readFully(read: ReadAt, buffer: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < buffer.length) {
    const count = await read(buffer.subarray(done), position + done);
    if (count === 0) throw internal('the file is shorter than it was');
    done += count;
  }
}
