import { utimes } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { conflict, errnoOf, invalidRequest, notFound, toSkeinError, uncertain } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import { parseRolloutFileName } from '../../domain/rollout-file-name.ts';
import type { StoredThread } from '../../domain/stored-thread.ts';
import { compressedPath, LOOKS } from './compressed-rollout.ts';
import { foldersTo } from './durable-entries.ts';
import { exists, makeDirectory, posix, syncDirectory } from './files.ts';
import type { HomeLayout } from './home-layout.ts';
import { noRollout, type IndexAccess } from './index-access.ts';
import type { LocatedThread, RolloutPlace } from './index/index-api.ts';
import type { WriterLocks } from './writer-locks.ts';

/** Which of the two files of a rollout: from its plain path. */
type Form = (path: string) => string;

const plain: Form = (path) => path;

/** One file to move. */
interface Move {
  readonly from: string;
  readonly to: string;
}

/**
 * Moves threads between `sessions/` and `archived_sessions/` (upstream-behaviour 1.6). A thread is where its current
 * rollout is; of several files that one moves last, so that a crash in between leaves the thread where it was.
 * Compressed files move as they are. Where a rollout is there in both forms, the plain one is in the active collection
 * as long as anything is, because that is the one that counts.
 */
export class Collections {
  readonly #home: HomeLayout;
  readonly #index: IndexAccess;
  readonly #locks: WriterLocks;
  readonly #now: () => number;

  constructor(home: HomeLayout, index: IndexAccess, locks: WriterLocks, now: () => number) {
    this.#home = home;
    this.#index = index;
    this.#locks = locks;
    this.#now = now;
  }

  /** Durable when it returns. @throws notFound if the thread is unknown or archived; conflict if someone writes it */
  async archive(threadId: ThreadId): Promise<void> {
    const lock = await this.#locks.acquire(threadId);
    try {
      const located = await this.#index.current.locate(threadId);
      if (located === undefined || located.rollouts[0].isArchived) throw noRollout(threadId);
      await this.#moveAll(located, (place) => this.#home.archivedPath(fileNameOf(place)), [compressedPath, plain]);
    } finally {
      await lock.release();
    }
  }

  /** Durable when it returns; the thread counts as updated now. @throws notFound if it is not archived */
  async unarchive(threadId: ThreadId): Promise<StoredThread> {
    const lock = await this.#locks.acquire(threadId);
    try {
      const located = await this.#index.current.locate(threadId);
      if (located === undefined || !located.rollouts[0].isArchived) {
        throw notFound(`no archived rollout found for thread id ${threadId}`);
      }
      const now = new Date(this.#now());
      const { path } = located.rollouts[0];
      for (const form of await formsOf(path, [plain, compressedPath])) await utimes(form(path), now, now);
      await this.#moveAll(located, (place) => this.#home.activePath(fileNameOf(place)), [plain, compressedPath]);
    } finally {
      await lock.release();
    }
    return (await this.#index.located(threadId)).thread;
  }

  async #moveAll(
    located: LocatedThread,
    targetOf: (place: RolloutPlace) => string,
    order: readonly [Form, Form],
  ): Promise<void> {
    const places = located.rollouts
      .map((place) => ({ from: place.path, to: targetOf(place) }))
      .filter((move) => move.from !== move.to)
      .toReversed();
    for (const { to } of places) {
      for (const form of await formsOf(to, order)) throw conflict(`${form(to)} exists already`);
    }
    for (let look = 1; ; look += 1) {
      try {
        await this.#move(await movesOf(places, order));
        break;
      } catch (error) {
        // Compressed, or made plain, between the look and the move.
        if (errnoOf(error) !== 'ENOENT' || look === LOOKS) throw error;
      }
    }
    for (const { from, to } of places) {
      this.#index.touch(from);
      this.#index.touch(to);
    }
  }

  async #move(moves: readonly Move[]): Promise<void> {
    const done: Move[] = [];
    try {
      for (const { to } of moves) await makeDirectory(dirname(to));
      // What is moved into a folder that a loss of power takes would go with it.
      for (const folder of new Set(moves.flatMap(({ to }) => foldersTo(to).slice(1)))) await syncDirectory(folder);
      for (const move of moves) {
        await posix.rename(move.from, move.to);
        done.push(move);
      }
      for (const folder of new Set(moves.flatMap(({ from, to }) => [dirname(to), dirname(from)]))) {
        await syncDirectory(folder);
      }
    } catch (error) {
      const failure = toSkeinError(error, 'cannot move the rollout');
      try {
        for (const { from, to } of done.toReversed()) await posix.rename(to, from);
      } catch {
        // The thread is where its last file is.
        throw uncertain(failure);
      }
      throw failure;
    }
  }
}

/** Which files of a rollout are there. */
async function formsOf(path: string, order: readonly [Form, Form]): Promise<readonly Form[]> {
  const found: Form[] = [];
  for (const form of order) if (await exists(form(path))) found.push(form);
  return found;
}

/** The files to move for rollouts to move. */
async function movesOf(places: readonly Move[], order: readonly [Form, Form]): Promise<readonly Move[]> {
  const moves: Move[] = [];
  for (const { from, to } of places) {
    const forms = await formsOf(from, order);
    // Nothing there to move: moving the plain one says so.
    for (const form of forms.length === 0 ? [plain] : forms) moves.push({ from: form(from), to: form(to) });
  }
  return moves;
}

/** @throws invalidRequest for a rollout whose name does not say where it belongs */
function fileNameOf(place: RolloutPlace): NonNullable<ReturnType<typeof parseRolloutFileName>> {
  const name = parseRolloutFileName(basename(place.path));
  if (name === undefined) throw invalidRequest(`${place.path} does not have the name of a rollout`);
  return name;
}
