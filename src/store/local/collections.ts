import { utimes } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { conflict, invalidRequest, notFound, toSkeinError } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import { parseRolloutFileName } from '../../domain/rollout-file-name.ts';
import type { StoredThread } from '../../domain/stored-thread.ts';
import { exists, makeDirectory, posix, syncDirectory } from './files.ts';
import type { HomeLayout } from './home-layout.ts';
import { noRollout, type IndexAccess } from './index-access.ts';
import type { LocatedThread, RolloutPlace } from './index/index-api.ts';
import type { WriterLocks } from './writer-locks.ts';

/** One file to move. */
interface Move {
  readonly from: string;
  readonly to: string;
}

/**
 * Moves threads between `sessions/` and `archived_sessions/` (upstream-behaviour 1.6). A thread is where its current
 * rollout is; of several files that one moves last, so that a crash in between leaves the thread where it was.
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
      await this.#moveAll(located, (place) => this.#home.archivedPath(fileNameOf(place)));
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
      await utimes(located.rollouts[0].path, now, now);
      await this.#moveAll(located, (place) => this.#home.activePath(fileNameOf(place)));
    } finally {
      await lock.release();
    }
    return (await this.#index.located(threadId)).thread;
  }

  async #moveAll(located: LocatedThread, targetOf: (place: RolloutPlace) => string): Promise<void> {
    const moves = located.rollouts
      .map((place) => ({ from: place.path, to: targetOf(place) }))
      .filter((move) => move.from !== move.to)
      .toReversed();
    for (const { to } of moves) {
      if (await exists(to)) throw conflict(`${to} exists already`);
    }
    await this.#move(moves);
    for (const { from, to } of moves) {
      this.#index.touch(from);
      this.#index.touch(to);
    }
  }

  async #move(moves: readonly Move[]): Promise<void> {
    const made = new Set<string>();
    const done: Move[] = [];
    try {
      for (const move of moves) {
        for (const folder of await makeDirectory(dirname(move.to))) made.add(dirname(folder));
        await posix.rename(move.from, move.to);
        done.push(move);
      }
      for (const folder of new Set([...made, ...moves.flatMap(({ from, to }) => [dirname(to), dirname(from)])])) {
        await syncDirectory(folder);
      }
    } catch (error) {
      // The failure is what is told, even if a file cannot be moved back: the thread still is where its last file is.
      for (const { from, to } of done.toReversed()) await posix.rename(to, from).catch(() => {});
      throw toSkeinError(error, 'cannot move the rollout');
    }
  }
}

/** @throws invalidRequest for a rollout whose name does not say where it belongs */
function fileNameOf(place: RolloutPlace): NonNullable<ReturnType<typeof parseRolloutFileName>> {
  const name = parseRolloutFileName(basename(place.path));
  if (name === undefined) throw invalidRequest(`${place.path} does not have the name of a rollout`);
  return name;
}
