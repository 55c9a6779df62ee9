import { dirname } from 'node:path';
import { errnoOf } from '../../domain/errors.ts';
import { FILE_MODE, ignoreMissing, OPEN_NEW, posix, syncDirectory, writeFully } from './files.ts';
import { unfinishedPath } from './unfinished-rollouts.ts';

/**
 * Puts a file in its place, or in that of the one that is there: at any moment, and after a loss of power, one of them is there,
 * whole. Durable when it returns, if the folder is. What a failure has left half made is removed, what a crash has left by the next call.
 * One call at a time for a path; the caller sees to that.
 * @returns bytes of the file
 * @throws the system's errors: nothing is changed then, unless only the folder could not be synced
 */
export async function writeWhole(path: string, pieces: Iterable<Buffer>): Promise<number> {
  const unfinished = unfinishedPath(path);
  const fd = await openNew(unfinished);
  let size = 0;
  try {
    try {
      for (const piece of pieces) {
        await writeFully(fd, piece, size);
        size += piece.length;
      }
      await posix.fdatasync(fd);
    } finally {
      await posix.close(fd);
    }
    await posix.rename(unfinished, path);
  } catch (error) {
    await posix.unlink(unfinished).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path));
  return size;
}

/** Never what is there: that may be a link to something else. */
async function openNew(path: string): Promise<number> {
  try {
    return await posix.open(path, OPEN_NEW, FILE_MODE);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    await posix.unlink(path).catch(ignoreMissing);
    return posix.open(path, OPEN_NEW, FILE_MODE);
  }
}
