import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import type { ReadMeter } from './read-meter.ts';

/** More than the stamps that a record ends with, and little to read. */
const MARKED_BYTES = 1_024;

/**
 * A digest of the last bytes before an offset of a file. If it differs later, the file was rewritten and not only
 * added to, and nothing that was read of it counts any more. A file that is shorter has a mark of its own.
 */
export function markBefore(path: string, offset: number, meter?: ReadMeter): string {
  const length = Math.min(MARKED_BYTES, offset);
  const bytes = Buffer.alloc(length);
  const fd = openSync(path, 'r');
  try {
    const count = readSync(fd, bytes, 0, length, offset - length);
    if (meter !== undefined) meter.bytesRead += count;
    return createHash('sha256').update(bytes.subarray(0, count)).digest('base64').slice(0, 16);
  } finally {
    closeSync(fd);
  }
}
