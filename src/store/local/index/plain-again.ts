import { fchmodSync, futimesSync, linkSync, statSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf } from '../../../domain/errors.ts';
import { compressedBytes, compressedPath } from '../compressed-rollout.ts';
import { FILE_MODE, ignoreMissing, OPEN_NEW, posix, syncDirectory, writeFully } from '../files.ts';
import { restoringPath, RESTORING, UnfinishedRollouts } from '../unfinished-rollouts.ts';

/** The time that a restored file gets: the one it had, or now, which counts as an update of the thread. */
export type RestoredTime = 'keep' | 'now';

/**
 * Makes compressed rollouts plain again, in their place: for those that are going to be written, and those that
 * others will refer to by byte offset.
 */
export class PlainAgain {
  readonly #leftovers = new UnfinishedRollouts(RESTORING);
  readonly #underWay = new Map<string, Promise<boolean>>();

  /**
   * Puts the plain file where the compressed one is, with the same permissions, durably; then removes that one. At any
   * moment at least one of them is there, whole. A plain file that is there already is never replaced.
   *
   * @param onRestored called with the size of the plain file the moment it is there
   * @returns false if there was nothing to do, or someone else did it
   */
  async restore(path: string, time: RestoredTime, onRestored: (size: number) => void): Promise<boolean> {
    const restoring = this.#underWay.get(path) ?? this.#restore(path, time, onRestored);
    this.#underWay.set(path, restoring);
    try {
      return await restoring;
    } finally {
      this.#underWay.delete(path);
    }
  }

  async #restore(path: string, time: RestoredTime, onRestored: (size: number) => void): Promise<boolean> {
    const before = statSync(compressedPath(path), { throwIfNoEntry: false });
    if (before === undefined || statSync(path, { throwIfNoEntry: false }) !== undefined) return false;
    await this.#leftovers.sweep(dirname(path));
    const unfinished = restoringPath(path);
    try {
      const size = await unpack(path, unfinished, before, time);
      if (!publish(path, unfinished, before)) return false;
      onRestored(size);
      await syncDirectory(dirname(path));
      // It was there before the plain file was: nobody who has just made it is about to remove that one.
      await posix.unlink(compressedPath(path)).catch(ignoreMissing);
      return true;
    } finally {
      await posix.unlink(unfinished).catch(ignoreMissing);
    }
  }
}

async function unpack(path: string, target: string, original: Stats, time: RestoredTime): Promise<number> {
  const fd = await posix.open(target, OPEN_NEW, FILE_MODE);
  try {
    let size = 0;
    for (const bytes of compressedBytes(path)) {
      await writeFully(fd, bytes, size);
      size += bytes.length;
    }
    fchmodSync(fd, original.mode & 0o777);
    // Half a microsecond more: the system cuts to whole ones, and seconds as a float may lie just below.
    if (time === 'keep') futimesSync(fd, original.atimeMs / 1_000, original.mtimeMs / 1_000 + 5e-7);
    await posix.fsync(fd);
    return size;
  } finally {
    await posix.close(fd);
  }
}

/** False if someone else has put a plain file there, or moved the compressed one away. */
function publish(path: string, unfinished: string, original: Stats): boolean {
  const now = statSync(compressedPath(path), { throwIfNoEntry: false });
  if (now === undefined || now.ino !== original.ino || now.mtimeMs !== original.mtimeMs) return false;
  try {
    linkSync(unfinished, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}
