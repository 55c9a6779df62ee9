import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { invalidRequest, toSkeinError, uncertain } from '../../domain/errors.ts';
import { isThreadId, type ThreadId } from '../../domain/ids.ts';
import { arrayMember, isJsonObject, numberMember, stringMember, type JsonObject } from '../../domain/json.ts';
import { parseRolloutFileName } from '../../domain/rollout-file-name.ts';
import { ignoreMissing, makeDirectory, posix, syncDirectory } from './files.ts';
import type { HomeLayout } from './home-layout.ts';
import { noRollout, type IndexAccess } from './index-access.ts';
import type { NameIndex } from './name-index.ts';
import { writeWhole } from './whole-file.ts';
import type { WriterLock, WriterLocks } from './writer-locks.ts';

/** How the names of intents end that are not whole: nothing was removed for them. */
const UNFINISHED = '.new';

/** A thread that is going to be removed, with its files as they were when that was decided. */
interface Doomed {
  readonly threadId: ThreadId;
  readonly files: readonly { readonly path: string; readonly size: number | null }[];
}

/**
 * Removes threads for good, several as one: what is going to be removed is written down first, and a crash in between
 * is finished at the next start, if nobody has gone on with one of them since. Names go last: an entry without a
 * thread harms nobody.
 */
export class Deletions {
  readonly #home: HomeLayout;
  readonly #index: IndexAccess;
  readonly #locks: WriterLocks;
  readonly #names: NameIndex;
  /** It is certain that the folder of intents is found after a loss of power. Who made it may not have seen to that. */
  #isFolderDurable = false;

  constructor(home: HomeLayout, index: IndexAccess, locks: WriterLocks, names: NameIndex) {
    this.#home = home;
    this.#index = index;
    this.#locks = locks;
    this.#names = names;
  }

  /**
   * Removes all of them, or none if any is in the way. Returns those that were there.
   * @throws notFound if the first is not there; conflict if another process writes one; invalidRequest if a fork
   * outside the set continues one; uncertain if some files could be removed and others not: the next deletion of the
   * first, or the next start, goes on with that
   */
  async remove(threadIds: readonly [ThreadId, ...ThreadId[]]): Promise<readonly ThreadId[]> {
    const [first] = threadIds;
    return this.#locked(threadIds, async () => {
      const doomed = await this.#doomed(new Set(threadIds));
      if (doomed[0]?.threadId !== first) throw noRollout(first);
      await this.assertUnreferenced(threadIds);
      await this.#begin(first, doomed);
      // What is written down is done: if the rest fails now, the next start makes up for it.
      await this.#cleanUp(first, doomed).catch(() => {});
      return doomed.map(({ threadId }) => threadId);
    });
  }

  /** @throws invalidRequest if a fork outside the set continues one */
  async assertUnreferenced(threadIds: readonly ThreadId[]): Promise<void> {
    for (const threadId of threadIds) {
      const referrers = await this.#index.current.referrers([threadId]);
      if (referrers.some((referrer) => !threadIds.includes(referrer))) {
        throw invalidRequest(`cannot delete thread ${threadId}: forked history still references it`);
      }
    }
  }

  /** Finishes deletions that a crash left half done. Never fails: what cannot be finished now is tried again next time. */
  async finish(): Promise<void> {
    for (const fileName of await filesIn(this.#home.deletions)) {
      const first = fileName.replace(/\.json$/, '');
      if (fileName.endsWith(UNFINISHED)) await posix.unlink(join(this.#home.deletions, fileName)).catch(() => {});
      if (isThreadId(first)) await this.#finish(first).catch(() => {});
    }
  }

  async #finish(first: ThreadId): Promise<void> {
    const doomed = this.#doomedIn(await readFile(this.#intentPath(first), 'utf8'));
    const threadIds = doomed.map(({ threadId }) => threadId);
    await this.#locked(threadIds, async () => {
      const isUntouched = await this.#areAsIntended(doomed);
      const referrers = isUntouched ? await this.#index.current.referrers(threadIds) : [];
      await this.#carryOut(first, isUntouched && referrers.length === 0 ? doomed : []);
    });
  }

  async #locked<T>(threadIds: readonly ThreadId[], work: () => Promise<T>): Promise<T> {
    const locks: WriterLock[] = [];
    try {
      for (const threadId of new Set(threadIds)) locks.push(await this.#locks.acquire(threadId));
      return await work();
    } finally {
      await Promise.allSettled(locks.map((lock) => lock.release()));
    }
  }

  async #doomed(threadIds: ReadonlySet<ThreadId>): Promise<readonly Doomed[]> {
    const doomed: Doomed[] = [];
    for (const threadId of threadIds) {
      const paths = await this.#index.current.files(threadId);
      const files = await Promise.all(paths.map(async (path) => ({ path, size: await sizeOf(path) })));
      if (files.length > 0) doomed.push({ threadId, files });
    }
    return doomed;
  }

  /** On disk whole or not at all, and durable when it returns. */
  async #intend(first: ThreadId, doomed: readonly Doomed[]): Promise<void> {
    const made = await makeDirectory(this.#home.deletions);
    if (made.length > 0) this.#isFolderDurable = false;
    if (!this.#isFolderDurable) for (const folder of [this.#home.own, this.#home.home]) await syncDirectory(folder);
    this.#isFolderDurable = true;
    const threads = doomed.map(({ threadId, files }) => ({
      threadId,
      files: files.map(({ path, size }) => ({ path: this.#home.toStored(path), size })),
    }));
    await writeWhole(this.#intentPath(first), [Buffer.from(JSON.stringify({ threads }))]);
  }

  /** Writes down what goes, and removes the files; if none can be removed, nothing was intended. */
  async #begin(first: ThreadId, doomed: readonly Doomed[]): Promise<void> {
    const progress = { removed: 0 };
    try {
      const isIntended = await this.#intendIfNeeded(first, doomed);
      await this.#removeFiles(doomed, progress);
      if (!isIntended) await this.#syncFolders(doomed);
    } catch (error) {
      const failure = toSkeinError(error, `cannot delete thread ${first}`);
      if (progress.removed > 0 || !(await this.#takeBack(first))) throw uncertain(failure);
      throw failure;
    }
  }

  /** One file goes as one by itself: where nothing can be written, it can still be removed. @returns whether it is written down */
  async #intendIfNeeded(first: ThreadId, doomed: readonly Doomed[]): Promise<boolean> {
    try {
      await this.#intend(first, doomed);
      return true;
    } catch (error) {
      if (pathsOf(doomed).length > 1) throw error;
      return false;
    }
  }

  /** @returns false if the intent stays */
  async #takeBack(first: ThreadId): Promise<boolean> {
    try {
      await posix.unlink(this.#intentPath(first)).catch(ignoreMissing);
      await syncDirectory(this.#home.deletions).catch(ignoreMissing);
      return true;
    } catch {
      return false;
    }
  }

  async #carryOut(first: ThreadId, doomed: readonly Doomed[]): Promise<void> {
    await this.#removeFiles(doomed);
    await this.#cleanUp(first, doomed);
  }

  /** The first thread goes last: as long as anything of the set is there, it can be found and deleted. */
  async #removeFiles(doomed: readonly Doomed[], progress = { removed: 0 }): Promise<void> {
    for (const path of pathsOf(doomed.toReversed()).flatMap((file) => this.#copiesOf(file))) {
      try {
        await posix.unlink(path);
        progress.removed += 1;
      } catch (error) {
        ignoreMissing(error);
      }
      this.#index.touch(path);
    }
  }

  async #syncFolders(doomed: readonly Doomed[]): Promise<void> {
    for (const folder of new Set(pathsOf(doomed).map((path) => dirname(path)))) {
      await syncDirectory(folder).catch(ignoreMissing);
    }
  }

  async #cleanUp(first: ThreadId, doomed: readonly Doomed[]): Promise<void> {
    await this.#syncFolders(doomed);
    if (doomed.length > 0) await this.#names.remove(new Set(doomed.map(({ threadId }) => threadId)));
    await posix.unlink(this.#intentPath(first)).catch(ignoreMissing);
  }

  /** False if someone has gone on writing one of the files that are still there. */
  async #areAsIntended(doomed: readonly Doomed[]): Promise<boolean> {
    for (const { path, size } of doomed.flatMap(({ files }) => files)) {
      const now = await sizeOf(path);
      if (now !== null && size !== null && now !== size) return false;
    }
    return true;
  }

  /**
   * What an intent names, as far as it can be a thread's rollout in this home: nothing else is ever removed. A torn
   * one names nothing: nothing had been removed by then.
   */
  #doomedIn(text: string): readonly Doomed[] {
    const threads = arrayMember(jsonObjectIn(text), 'threads').filter((thread) => isJsonObject(thread));
    return threads.flatMap((thread): readonly Doomed[] => {
      const threadId = stringMember(thread, 'threadId') ?? '';
      if (!isThreadId(threadId)) return [];
      const files = arrayMember(thread, 'files')
        .filter((file) => isJsonObject(file))
        .map((file) => ({
          path: resolve(this.#home.fromStored(stringMember(file, 'path') ?? '')),
          size: numberMember(file, 'size') ?? null,
        }))
        .filter(({ path }) => this.#home.isCollected(path) && threadOf(path) === threadId);
      return files.length === 0 ? [] : [{ threadId, files }];
    });
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

const pathsOf = (doomed: readonly Doomed[]): readonly string[] =>
  doomed.flatMap(({ files }) => files.map(({ path }) => path));

const threadOf = (path: string): ThreadId | undefined => parseRolloutFileName(basename(path))?.threadId;

function jsonObjectIn(text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** Bytes in a file; null if it is not there. */
async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await posix.stat(path)).size;
  } catch (error) {
    ignoreMissing(error);
    return null;
  }
}

async function filesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}
