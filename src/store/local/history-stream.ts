import { constants } from 'node:fs';
import type { RolloutLine } from '../../domain/rollout-line.ts';
import { posix, readRange } from './files.ts';
import { LineSplitter } from './line-splitter.ts';
import type { FileStretch } from './rollout-start.ts';
import { eventOf } from './rollout-reader.ts';

const CHUNK_BYTES = 256 * 1024;

/** A stretch whose file is open: nothing that happens to the file's name disturbs reading it. */
export interface OpenStretch {
  readonly fd: number;
  readonly endOffset: number;
}

export const openStretch = async ({ path, endOffset }: FileStretch): Promise<OpenStretch> => ({
  fd: await posix.open(path, constants.O_RDONLY),
  endOffset,
});

/** The records of a stretch, oldest first, read as they are consumed. Damaged lines are left out. Closes the file. */
export async function* readStretch({ fd, endOffset }: OpenStretch): AsyncGenerator<RolloutLine> {
  try {
    const splitter = new LineSplitter();
    for (let position = 0; position < endOffset;) {
      const chunk = await readRange(fd, position, Math.min(CHUNK_BYTES, endOffset - position));
      if (chunk.length === 0) break;
      position += chunk.length;
      for (const line of splitter.push(chunk)) {
        const event = eventOf(line);
        if (event?.type === 'record') yield event.record.line;
      }
    }
    const tail = splitter.tail();
    const event = tail === undefined ? undefined : eventOf(tail);
    if (event?.type === 'record') yield event.record.line;
  } finally {
    await posix.close(fd);
  }
}

/** The first record that fits, reading no further than it; undefined if there is none. */
export async function findRecord(path: string, fits: (line: RolloutLine) => boolean): Promise<RolloutLine | undefined> {
  for await (const line of readStretch(await openStretch({ path, endOffset: Number.POSITIVE_INFINITY }))) {
    if (fits(line)) return line;
  }
  return undefined;
}
