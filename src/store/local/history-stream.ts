import { constants } from 'node:fs';
import type { RolloutLine } from '../../domain/rollout-line.ts';
import { posix, readRange } from './files.ts';
import { LineSplitter } from './line-splitter.ts';
import type { FileStretch } from './rollout-file.ts';
import { eventOf } from './rollout-reader.ts';

const CHUNK_BYTES = 256 * 1024;

/** The records of a stretch of a file, oldest first, read as they are consumed. Damaged lines are left out. */
export async function* readStretch(stretch: FileStretch): AsyncGenerator<RolloutLine> {
  const fd = await posix.open(stretch.path, constants.O_RDONLY);
  try {
    const splitter = new LineSplitter();
    for (let position = 0; position < stretch.endOffset;) {
      const chunk = await readRange(fd, position, Math.min(CHUNK_BYTES, stretch.endOffset - position));
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
  for await (const line of readStretch({ path, endOffset: Number.POSITIVE_INFINITY })) {
    if (fits(line)) return line;
  }
  return undefined;
}
