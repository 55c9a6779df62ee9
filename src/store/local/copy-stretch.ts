import { constants } from 'node:fs';
import { internal } from '../../domain/errors.ts';
import { appendFully, posix, readRange } from './files.ts';
import type { FileStretch } from './rollout-start.ts';

/** What is copied is never held whole. */
const CHUNK_BYTES = 1024 * 1024;

const NEWLINE = 0x0a;

/** Appends whole lines of another rollout, and ends the last one if need be; returns how many bytes. */
export async function copyStretch({ path, endOffset }: FileStretch, to: number): Promise<number> {
  const source = await posix.open(path, constants.O_RDONLY);
  try {
    const last = await copyRange(source, 0, endOffset, to);
    if (last === NEWLINE) return endOffset;
    await appendFully(to, Buffer.from('\n'));
    return endOffset + 1;
  } finally {
    await posix.close(source);
  }
}

/** Appends a part of one open file to another; returns its last byte, a newline if there is none. @throws internal if it is shorter */
export async function copyRange(from: number, start: number, end: number, to: number): Promise<number> {
  let last = NEWLINE;
  for (let position = start; position < end;) {
    const chunk = await readRange(from, position, Math.min(CHUNK_BYTES, end - position));
    if (chunk.length === 0) throw internal(`a rollout to be copied ends at ${position} instead of ${end} bytes`);
    await appendFully(to, chunk);
    position += chunk.length;
    last = chunk.at(-1) ?? last;
  }
  return last;
}
