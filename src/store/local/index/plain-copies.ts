import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../../domain/errors.ts';
import type { ThreadId } from '../../../domain/ids.ts';
import { compressedBytes } from '../compressed-rollout.ts';
import { FILE_MODE, makeDirectory, OPEN_NEW, posix, writeFully } from '../files.ts';
import { stateOfRollout } from './home-scan.ts';
import { isSameFile, type RolloutRow } from './rollout-row.ts';

/**
 * What all copies together may take on disk. Enough for the few old threads that someone pages through at a time; a
 * copy costs a second for some hundred megabytes to make again, so more would save little.
 */
const MAX_BYTES = 512 * 1024 * 1024;

/** A compressed file is not the one that its row is about any more. */
export class ChangedRollout extends Error {
  /** The row whose content is not that of the file; undefined if only the file's place or state has changed. */
  readonly wrongRow: number | undefined;

  constructor(wrongRow?: number) {
    super('a compressed rollout was replaced');
    this.wrongRow = wrongRow;
  }
}

interface Copy {
  readonly path: string;
  /** The row when it was made: says which compressed file it is a copy of. */
  readonly row: RolloutRow;
  /** Those who read it now: it must stay. */
  readers: number;
}

/**
 * Plain copies of compressed rollouts. Rows place records by their byte in the plain text, and a compressed file can
 * only be read from its beginning: so what is read in places is unpacked first, beside the index. Copies can be thrown
 * away at any time and do not outlive the index that made them; the compressed file is never touched.
 */
export class PlainCopies {
  readonly #folder: string;
  readonly #pathOf: (row: RolloutRow) => string;
  readonly #maxBytes: number;
  /** Least recently used first. */
  readonly #copies = new Map<ThreadId, Copy>();
  readonly #making = new Map<ThreadId, Promise<void>>();

  /**
   * @param folder all of its own; what is in it goes
   * @param pathOf absolute plain path of a rollout
   */
  constructor(folder: string, pathOf: (row: RolloutRow) => string, maxBytes = MAX_BYTES) {
    this.#folder = folder;
    this.#pathOf = pathOf;
    this.#maxBytes = maxBytes;
    this.clear();
  }

  /**
   * Sees to it that rollouts can be read in places; returns what ends that. Those that are plain need nothing.
   * @param isKept false: a copy that is made for this goes again afterwards
   * @throws ChangedRollout; ENOENT if a file is gone; internal if one is damaged
   */
  async hold(rows: readonly RolloutRow[], isKept: boolean): Promise<() => Promise<void>> {
    const held: Copy[] = [];
    const made = new Set<Copy>();
    const release = async (): Promise<void> => {
      for (const copy of held) copy.readers -= 1;
      if (!isKept) for (const copy of made) await this.#drop(copy);
      await this.#makeRoom();
    };
    try {
      for (const row of rows) {
        if (row.compressedSize === null) continue;
        const isThere = this.#copyOf(row) !== undefined;
        const copy = await this.#made(row);
        copy.readers += 1;
        held.push(copy);
        if (!isThere) made.add(copy);
      }
      return release;
    } catch (error) {
      await release();
      throw error;
    }
  }

  /** Where the plain text of a rollout can be read in places while it is held. */
  readablePath(row: RolloutRow): string {
    if (row.compressedSize === null) return this.#pathOf(row);
    const copy = this.#copyOf(row);
    if (copy === undefined) throw new ChangedRollout();
    return copy.path;
  }

  /** Removes copies of rollouts that are not there compressed any more. */
  async dropUnless(isWanted: (row: RolloutRow) => boolean): Promise<void> {
    for (const copy of this.#copies.values()) if (!isWanted(copy.row)) await this.#drop(copy);
  }

  /** Removes all. Never fails: what stays harms nobody, and goes the next time. */
  clear(): void {
    this.#copies.clear();
    try {
      rmSync(this.#folder, { recursive: true, force: true });
    } catch {
      // Making a copy will say what is wrong.
    }
  }

  #copyOf(row: RolloutRow): Copy | undefined {
    const copy = this.#copies.get(row.rolloutId);
    return copy !== undefined && isCopyOf(copy, row) ? copy : undefined;
  }

  async #made(row: RolloutRow): Promise<Copy> {
    for (;;) {
      const copy = this.#copyOf(row);
      if (copy !== undefined) {
        this.#copies.delete(row.rolloutId);
        this.#copies.set(row.rolloutId, copy);
        return copy;
      }
      const making = this.#making.get(row.rolloutId) ?? this.#make(row);
      this.#making.set(row.rolloutId, making);
      try {
        await making;
      } finally {
        this.#making.delete(row.rolloutId);
      }
    }
  }

  async #make(row: RolloutRow): Promise<void> {
    const source = this.#pathOf(row);
    const state = stateOfRollout(source);
    if (state === undefined || !isSameFile(row, state)) throw new ChangedRollout();
    await makeDirectory(this.#folder);
    const path = join(this.#folder, `${row.rolloutId}.jsonl`);
    const unfinished = `${path}.new`;
    const fd = await posix.open(unfinished, OPEN_NEW, FILE_MODE);
    try {
      let size = 0;
      try {
        for (const bytes of compressedBytes(source)) {
          await writeFully(fd, bytes, size);
          size += bytes.length;
        }
      } finally {
        await posix.close(fd);
      }
      if (size !== row.fileSize) throw new ChangedRollout(row.id);
      await posix.rename(unfinished, path);
    } catch (error) {
      await posix.unlink(unfinished);
      throw error;
    }
    this.#copies.set(row.rolloutId, { path, row, readers: 0 });
  }

  /** Removes the copies used least recently, but none that is being read, until all fit. */
  async #makeRoom(): Promise<void> {
    const sum = (): number => [...this.#copies.values()].reduce((bytes, { row }) => bytes + row.fileSize, 0);
    for (const copy of [...this.#copies.values()].slice(0, -1)) {
      if (sum() <= this.#maxBytes) return;
      await this.#drop(copy);
    }
  }

  async #drop(copy: Copy): Promise<void> {
    if (copy.readers > 0 || this.#copies.get(copy.row.rolloutId) !== copy) return;
    this.#copies.delete(copy.row.rolloutId);
    try {
      await posix.unlink(copy.path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
}

/** True if a copy is there, and of the file that a row is about; in another folder it is still the same file. */
const isCopyOf = ({ path, row: copied }: Copy, row: RolloutRow): boolean =>
  copied.inode === row.inode &&
  copied.compressedSize === row.compressedSize &&
  copied.mtimeMs === row.mtimeMs &&
  statSync(path, { throwIfNoEntry: false })?.size === row.fileSize;
