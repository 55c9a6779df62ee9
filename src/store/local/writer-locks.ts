import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { conflict, errnoOf } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import { Mutex } from '../mutex.ts';
import { FILE_MODE, makeDirectory, OPEN_EXISTING, OPEN_LOCK, posix } from './files.ts';
import { tryLock, unlock, type LockKind } from './flock.ts';
import { describeHolder } from './lock-holder.ts';

/** The right to write one thread, across processes. */
export interface WriterLock {
  /** Gives the right back. Idempotent; never rejects. */
  release(): Promise<void>;
}

/** How long to wait for the folder's coordination lock, which is held for microseconds. */
const COORDINATION_TIMEOUT_MS = 2_000;
const COORDINATION_POLL_MS = 5;

/**
 * Locks `thread-writer-locks/<id>.lock` as Codex does (D4): the file is opened and locked while the folder's
 * `.coordination.lock` is held shared, and removed on release only if that can be held exclusively, so that
 * nobody locks a file that is being removed. The kernel drops the locks of a process that dies.
 */
export class WriterLocks {
  readonly #folder: string;
  /** One at a time: all work of this process shares one descriptor of the coordination lock. */
  readonly #mutex = new Mutex();
  #coordinationFd: number | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws conflict naming the holder if another process (or another lock of this one) holds it */
  acquire(threadId: ThreadId): Promise<WriterLock> {
    const path = join(this.#folder, `${threadId}.lock`);
    return this.#mutex.run(async () => {
      const coordinationFd = await this.#openCoordination();
      await this.#lockCoordination(coordinationFd);
      try {
        return this.#lockOf(path, await lockFile(path, threadId));
      } finally {
        unlock(coordinationFd);
      }
    });
  }

  /** Takes and gives back. @throws conflict naming the holder if the thread is being written */
  async assertFree(threadId: ThreadId): Promise<void> {
    const lock = await this.acquire(threadId);
    await lock.release();
  }

  /** Gives up the shared descriptor. Locks that are still held stay held until released. */
  close(): Promise<void> {
    return this.#mutex.run(async () => {
      if (this.#coordinationFd !== undefined) await posix.close(this.#coordinationFd);
      this.#coordinationFd = undefined;
    });
  }

  #lockOf(path: string, fd: number): WriterLock {
    let released: Promise<void> | undefined;
    return { release: () => (released ??= this.#mutex.run(() => this.#release(path, fd))) };
  }

  /** Never fails to give the right back: a file that cannot be removed stays, and does no harm. */
  async #release(path: string, fd: number): Promise<void> {
    const coordinationFd = await this.#openCoordination().catch(() => undefined);
    // While another process takes a lock in this folder, the empty file stays.
    const isAlone = coordinationFd !== undefined && tryLock(coordinationFd, 'exclusive');
    if (isAlone) await removeFile(path).catch(() => {});
    // A child process that is just being started shares the descriptor for a moment: closing alone would not do.
    unlock(fd);
    await posix.close(fd).catch(() => {});
    if (isAlone) unlock(coordinationFd);
  }

  /** The coordination lock's file, as it is in the folder now: one that was removed coordinates nobody. */
  async #openCoordination(): Promise<number> {
    const known = this.#coordinationFd;
    if (known !== undefined && (await isSameFile(known, this.#coordinationPath))) return known;
    this.#coordinationFd = undefined;
    if (known !== undefined) await posix.close(known);
    await makeDirectory(this.#folder);
    const fd = await posix.open(this.#coordinationPath, OPEN_LOCK, FILE_MODE);
    try {
      if (tryLock(fd, 'exclusive')) await this.#sweep();
      unlock(fd);
    } catch (error) {
      await posix.close(fd);
      throw error;
    }
    this.#coordinationFd = fd;
    return fd;
  }

  get #coordinationPath(): string {
    return join(this.#folder, '.coordination.lock');
  }

  async #lockCoordination(fd: number, kind: LockKind = 'shared'): Promise<void> {
    const deadline = Date.now() + COORDINATION_TIMEOUT_MS;
    while (!tryLock(fd, kind)) {
      if (Date.now() > deadline) {
        const holder = describeHolder(this.#coordinationPath);
        throw conflict(`the folder of thread writer locks is held by ${holder}`, holder);
      }
      await delay(COORDINATION_POLL_MS);
    }
  }

  /** Removes lock files that dead processes left behind; those that are held stay. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (name.startsWith('.') || !name.endsWith('.lock')) continue;
      const path = join(this.#folder, name);
      const fd = await openIfThere(path);
      if (fd === undefined) continue;
      try {
        if (tryLock(fd, 'exclusive')) await removeFile(path);
      } finally {
        await posix.close(fd);
      }
    }
  }
}

/** @throws conflict naming the holder */
async function lockFile(path: string, threadId: ThreadId): Promise<number> {
  const fd = await posix.open(path, OPEN_LOCK, FILE_MODE);
  try {
    if (!tryLock(fd, 'exclusive')) {
      const holder = describeHolder(path);
      throw conflict(`thread ${threadId} already has an active writer: ${holder}`, holder);
    }
    await sign(fd);
    return fd;
  } catch (error) {
    await posix.close(fd);
    throw error;
  }
}

async function isSameFile(fd: number, path: string): Promise<boolean> {
  const there = await posix.stat(path).catch(() => undefined);
  return there !== undefined && there.ino === (await posix.fstat(fd)).ino;
}

/** Says who holds the lock, for the refusal that others get. Failing to say so does not matter. */
async function sign(fd: number): Promise<void> {
  const text = Buffer.from(`{"pid":${process.pid},"product":"skein"}\n`);
  try {
    await posix.ftruncate(fd, 0);
    await posix.write(fd, text, 0, text.length, 0);
  } catch {
    // A full disk must not keep a thread from being opened.
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await posix.unlink(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

async function openIfThere(path: string): Promise<number | undefined> {
  try {
    return await posix.open(path, OPEN_EXISTING);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
