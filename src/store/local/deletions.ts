import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf, invalidRequest } from '../../domain/errors.ts';
import { isThreadId, type ThreadId } from '../../domain/ids.ts';
import { parseRolloutFileName } from '../../domain/rollout-file-name.ts';
import { FILE_MODE, makeDirectory, OPEN_NEW, posix, syncDirectory } from './files.ts';
import type { HomeLayout } from './home-layout.ts';
import type { IndexAccess } from './index-access.ts';
import type { NameIndex } from './name-index.ts';
import type { WriterLock, WriterLocks } from './writer-locks.ts';

/**
 * Removes threads for good. A thread of several files (after reverts) is removed as one: what is going to be removed
 * is written down first, and a crash in between is finished at the next start. Names go last: an entry
 * without a thread harms nobody.
 */
export class Deletions {
  readonly #home: HomeLayout;
  readonly #index: IndexAccess;
  readonly #locks: WriterLocks;
  readonly #names: NameIndex;

  constructor(home: HomeLayout, index: IndexAccess, locks: WriterLocks, names: NameIndex) {
    this.#home = home;
    this.#index = index;
    this.#locks = locks;
    this.#names = names;
  }

  /**
   * Removes all of them, or none if any is in the way. Returns those that were there.
   * @throws conflict if another process writes one; invalidRequest if a fork outside the set continues one
   */
  async remove(threadIds: readonly ThreadId[]): Promise<readonly ThreadId[]> {
    const locks: WriterLock[] = [];
    try {
      for (const threadId of threadIds) locks.push(await this.#locks.acquire(threadId));
      const found = await this.#filesOf(threadIds);
      for (const threadId of found.keys()) await this.#assertUnreferenced(threadId, threadIds);
      for (const [threadId, paths] of found) await this.#removeFiles(threadId, paths);
      await this.#names.remove(new Set(found.keys()));
      return [...found.keys()];
    } finally {
      for (const lock of locks) await lock.release();
    }
  }

  /** Finishes deletions that a crash left half done. */
  async finish(): Promise<void> {
    for (const fileName of await filesIn(this.#home.deletions)) {
      const threadId = fileName.replace(/\.json$/, '');
      if (!isThreadId(threadId)) continue;
      const path = join(this.#home.deletions, fileName);
      await this.#removeIntended(threadId, pathsIn(await readFile(path, 'utf8')));
      await this.#names.remove(new Set([threadId]));
    }
  }

  async #filesOf(threadIds: readonly ThreadId[]): Promise<ReadonlyMap<ThreadId, readonly string[]>> {
    const found = new Map<ThreadId, readonly string[]>();
    for (const threadId of threadIds) {
      const paths = await this.#index.current.files(threadId);
      if (paths.length > 0) found.set(threadId, paths);
    }
    return found;
  }

  async #assertUnreferenced(threadId: ThreadId, deleted: readonly ThreadId[]): Promise<void> {
    const referrers = await this.#index.current.referrers([threadId]);
    if (referrers.some((referrer) => !deleted.includes(referrer))) {
      throw invalidRequest(`cannot delete thread ${threadId}: forked history still references it`);
    }
  }

  async #removeFiles(threadId: ThreadId, paths: readonly string[]): Promise<void> {
    if (paths.length > 1) await this.#intend(threadId, paths);
    await this.#removeIntended(threadId, paths);
  }

  async #intend(threadId: ThreadId, paths: readonly string[]): Promise<void> {
    await makeDirectory(this.#home.deletions);
    const path = this.#intentPath(threadId);
    const fd = await posix.open(path, OPEN_NEW, FILE_MODE);
    try {
      const text = Buffer.from(JSON.stringify({ paths: paths.map((file) => this.#home.toStored(file)) }));
      await posix.write(fd, text, 0, text.length, 0);
      await posix.fdatasync(fd);
    } finally {
      await posix.close(fd);
    }
    await syncDirectory(this.#home.deletions);
  }

  async #removeIntended(threadId: ThreadId, paths: readonly string[]): Promise<void> {
    const absolute = paths.map((path) => this.#home.fromStored(path));
    for (const path of absolute.flatMap((stored) => this.#copiesOf(stored))) {
      await posix.unlink(path).catch(ignoreMissing);
      this.#index.touch(path);
    }
    for (const folder of new Set(absolute.map((path) => dirname(path)))) {
      await syncDirectory(folder).catch(ignoreMissing);
    }
    await posix.unlink(this.#intentPath(threadId)).catch(ignoreMissing);
  }

  /** Everywhere that a rollout can lie at once: in both collections, plain and compressed. */
  #copiesOf(path: string): readonly string[] {
    const name = parseRolloutFileName(basename(path));
    if (name === undefined) return [path];
    const [plain, compressed] = [
      { ...name, isCompressed: false },
      { ...name, isCompressed: true },
    ];
    const places = [plain, compressed].flatMap((file) => [this.#home.archivedPath(file), this.#home.activePath(file)]);
    return [...new Set([...places, path])];
  }

  #intentPath(threadId: ThreadId): string {
    return join(this.#home.deletions, `${threadId}.json`);
  }
}

/** An intent that was torn while it was written names no files: nothing had been removed by then. */
function pathsIn(text: string): readonly string[] {
  try {
    return (JSON.parse(text) as { readonly paths: readonly string[] }).paths;
  } catch {
    return [];
  }
}

async function filesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

function ignoreMissing(error: unknown): void {
  if (errnoOf(error) !== 'ENOENT') throw error;
}
