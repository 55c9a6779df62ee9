import { basename, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { errnoOf } from '../../../domain/errors.ts';
import type { ThreadId } from '../../../domain/ids.ts';
import type { ThreadFacts } from '../../../domain/thread-facts.ts';
import { sessionMetaOf, type SessionMeta } from '../../../domain/session-meta.ts';
import { parseRolloutFileName } from '../../../domain/rollout-file-name.ts';
import { plainPath } from '../compressed-rollout.ts';
import type { HomeLayout } from '../home-layout.ts';
import { readFirstRecord } from '../rollout-reader.ts';
import { SLICE_MS, type CatchUp, type CatchUpResult, type InheritFacts } from './catch-up.ts';
import { storedJson } from './database.ts';
import { isDated, rolloutFolders, rolloutNamesIn, seeFile, stateOfRollout } from './home-scan.ts';
import type { HomeWatcher } from './home-watcher.ts';
import { InheritedFacts } from './inherited-facts.ts';
import { KnownFolders } from './known-folders.ts';
import { isReadToEnd, isSameFile, type RolloutBase, type RolloutRow, type SeenFile } from './rollout-row.ts';
import type { RolloutTable } from './rollout-table.ts';
import type { ThreadTable } from './thread-table.ts';

/** Files per slice of a sweep, and per transaction: a few milliseconds of stat calls. */
const FILES_PER_SLICE = 200;

/**
 * Keeps the rows of rollouts in step with the files: finds files that came, moved or went, and reads what was
 * added to them. Work is cut into slices; between them the thread serves requests.
 */
export class RolloutSync {
  readonly #home: HomeLayout;
  readonly #rollouts: RolloutTable;
  readonly #threads: ThreadTable;
  readonly #catchUp: CatchUp;
  readonly #inherited: InheritedFacts;
  /** What they tell of comes into the rows. */
  readonly folders: KnownFolders;
  /** One reading of a rollout at a time: two would both go on from the same place. */
  readonly #readings = new Map<number, Promise<void>>();
  #isStopped = false;

  constructor(home: HomeLayout, rollouts: RolloutTable, threads: ThreadTable, catchUp: CatchUp, watcher: HomeWatcher) {
    this.#home = home;
    this.#rollouts = rollouts;
    this.#threads = threads;
    this.#catchUp = catchUp;
    this.#inherited = new InheritedFacts(rollouts);
    this.folders = new KnownFolders(home, watcher, (folder, wasWatched) => this.#lookInto(folder, wasWatched));
  }

  /** No more slices of work: the database is about to be closed. What is under way ends where it is. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Forgets files outside the home: they stand for their threads only while these are live, and none is at a start. */
  forgetAdopted(): void {
    for (const [path, row] of this.#rollouts.snapshot()) {
      if (this.#home.isCollected(this.#home.fromStored(path))) continue;
      this.#rollouts.atomically(() => {
        const threadId = this.#rollouts.byId(row.id)?.threadId;
        this.#rollouts.remove(row.id);
        if (threadId !== undefined) this.#threads.refresh(threadId);
      });
    }
  }

  /** Compares all files with their rows, newest day first. Notes what differs; reads nothing. */
  async sweep(): Promise<void> {
    this.folders.watchHome();
    const known = this.#rollouts.snapshot();
    const met = new Set<string>();
    for (const folder of rolloutFolders(this.#home)) {
      this.folders.remember(folder);
      if (folder.depth > 0) continue;
      await this.#inSlices(rolloutNamesIn(folder.path), (name) => {
        const path = join(folder.path, name);
        met.add(this.#home.toStored(path));
        this.#notice(path, known);
      });
    }
    const gone = [...known].filter(([path, row]) => row.state !== 'missing' && !met.has(path));
    await this.#inSlices(gone, ([path]) => this.#lookAgain(this.#home.fromStored(path)));
  }

  /** Looks again at single files that something said have changed. */
  refreshFiles(paths: readonly string[]): void {
    for (const path of paths) this.#lookAgain(plainPath(path));
  }

  /** Looks at what a watcher has named: files, or folders that came and went. */
  refreshNamed(paths: readonly string[]): void {
    this.refreshFiles(paths.filter((path) => parseRolloutFileName(basename(path)) !== undefined));
    if (paths.some((path) => this.folders.has(path) || isDated(basename(path)))) this.folders.refresh();
  }

  /** Reads a rollout to its end as it is now, unless it is already. Returns its row then. */
  async bringUp(row: RolloutRow): Promise<RolloutRow | undefined> {
    for (;;) {
      this.#lookAgain(this.#home.fromStored(row.path));
      const seen = this.#rollouts.byId(row.id);
      if (seen === undefined || seen.state === 'missing') return seen;
      if (isReadToEnd(seen)) return seen;
      const earlier = this.#readings.get(row.id);
      if (earlier === undefined) break;
      // It may have begun before the file grew to what it is now.
      await earlier;
    }
    const reading = this.#read(row.id);
    this.#readings.set(row.id, reading);
    await reading;
    return this.#rollouts.byId(row.id);
  }

  /**
   * As {@link bringUp}, for rows with these ids. Short files, which most are, share transactions: what a change of the
   * database costs besides is more than to read one of them.
   */
  async bringUpAll(ids: readonly number[]): Promise<void> {
    const waiting = [...ids];
    while (waiting.length > 0 && !this.#isStopped) {
      const long = this.#rollouts.atomically(() => this.#readSome(waiting));
      if (long !== undefined) await this.bringUp(long);
      await nextTurn();
    }
  }

  /** A file that a header says belongs to other threads: as a fork, or as the child of one. */
  isRelated(path: string): boolean {
    const header = this.#headerOf(path);
    return header !== undefined && (header.historyBase !== null || header.parentThreadId !== null);
  }

  /** Reads for about a slice, and takes from the list what it meets. @returns a row that takes longer, or has to wait for others */
  #readSome(waiting: number[]): RolloutRow | undefined {
    const deadline = Date.now() + SLICE_MS;
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      const row = this.#rollouts.byId(id);
      if (row === undefined) continue;
      if (this.#readings.has(id)) return row;
      this.#lookAgain(this.#home.fromStored(row.path));
      const seen = this.#rollouts.byId(id);
      if (seen === undefined || seen.state === 'missing') continue;
      const reading = this.#reading(seen, (base) => this.#inherited.of(base, seen));
      const step = reading.next();
      reading.return('done');
      if (step.done !== true || step.value === 'needsBase') return seen;
      if (Date.now() > deadline) break;
    }
    return undefined;
  }

  async #read(id: number): Promise<void> {
    try {
      const row = this.#rollouts.byId(id);
      if (row === undefined) return;
      const first = await this.#sliced(this.#reading(row, (base) => this.#inherited.of(base, row)));
      if (first === 'needsBase') {
        for (const needed of this.#neededBy(row)) if (!this.#waitsFor(needed, row)) await this.bringUp(needed);
        // What is still not read then never will be.
        const facts = (base: RolloutBase): Partial<ThreadFacts> => {
          const inherited = this.#inherited.of(base, row);
          return inherited === 'notReady' ? {} : inherited;
        };
        await this.#sliced(this.#reading(row, facts));
      }
    } finally {
      this.#readings.delete(id);
    }
  }

  #reading(row: RolloutRow, inherit: InheritFacts): Generator<void, CatchUpResult> {
    return this.#catchUp.run(row, this.#home.fromStored(row.path), inherit, () => this.#settle(row));
  }

  /** What has to be read before a rollout that continues another one. */
  #neededBy(row: RolloutRow): readonly RolloutRow[] {
    const base = this.#baseInHeader(this.#home.fromStored(row.path));
    if (base === undefined) return [];
    return [this.#rollouts.byRolloutId(base), this.#inherited.rolloutBefore(row)].filter(
      (needed) => needed !== undefined,
    );
  }

  /** Rollouts that need each other in a circle would wait for each other for ever. */
  #waitsFor(start: RolloutRow, other: RolloutRow): boolean {
    const seen = new Set<number>();
    const next = [start];
    for (let row = next.pop(); row !== undefined; row = next.pop()) {
      if (row.id === other.id) return true;
      if (seen.has(row.id)) continue;
      seen.add(row.id);
      next.push(...this.#neededBy(row));
    }
    return false;
  }

  #baseInHeader(path: string): ThreadId | undefined {
    return this.#headerOf(path)?.historyBase?.rolloutId;
  }

  #headerOf(path: string): SessionMeta | undefined {
    if (seeFile(this.#home, path) === undefined) return undefined;
    try {
      const header = readFirstRecord(path)?.line.item;
      return header === undefined ? undefined : sessionMetaOf(header);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return undefined;
    }
  }

  /** A rollout whose header names another thread than its file is nobody's. */
  #settle(row: RolloutRow): void {
    const read = this.#rollouts.byId(row.id);
    if (read?.state === 'indexed' && this.#home.isCollected(this.#home.fromStored(read.path))) {
      const facts = read.facts === null ? null : storedJson<ThreadFacts>(read.facts);
      const named = facts?.header?.threadId;
      if (named !== undefined && named !== read.threadId) {
        this.#rollouts.setUnreadable(row.id, `its session metadata names thread ${named}`);
      }
    }
    this.#threads.refresh(row.threadId);
  }

  /**
   * Finds what came and what went, by name. What else became of files is told by a watcher; so of a folder that was not
   * watched until now all are looked at.
   */
  #lookInto(folder: string, wasWatched: boolean): void {
    const there = new Set(rolloutNamesIn(folder));
    const known = new Set(this.#rollouts.inFolder(this.#home.toStored(folder)).map((path) => basename(path)));
    for (const name of new Set([...known, ...there])) {
      if (!wasWatched || known.has(name) !== there.has(name)) this.#lookAgain(join(folder, name));
    }
  }

  #notice(path: string, known: ReturnType<RolloutTable['snapshot']>): void {
    const row = known.get(this.#home.toStored(path));
    const file = seeFile(this.#home, path);
    if (file === undefined) return;
    if (row === undefined || row.state === 'missing' || !isSameFile(row, file)) this.#see(file);
  }

  #lookAgain(path: string): void {
    const row = this.#rollouts.byPath(this.#home.toStored(path));
    if (row === undefined && !this.#home.isCollected(path)) return;
    const file = seeFile(this.#home, path) ?? seeAdopted(row, path);
    if (file !== undefined) {
      if (row === undefined || row.state === 'missing' || !isSameFile(row, file)) this.#see(file);
      return;
    }
    if (row === undefined || row.state === 'missing') return;
    const copy = this.#copyOf(row);
    if (copy !== undefined) {
      this.#see(copy);
      return;
    }
    this.#rollouts.atomically(() => {
      this.#rollouts.setMissing(row.id);
      this.#threads.refresh(row.threadId);
    });
  }

  /** The same rollout in the other collection, where it has been moved or copied to. */
  #copyOf(row: RolloutRow): SeenFile | undefined {
    const name = parseRolloutFileName(basename(row.path));
    if (name === undefined) return undefined;
    return [this.#home.activePath(name), this.#home.archivedPath(name)]
      .filter((path) => this.#home.toStored(path) !== row.path)
      .map((path) => seeFile(this.#home, path))
      .find((file) => file !== undefined);
  }

  #see(file: SeenFile): void {
    this.#rollouts.atomically(() => {
      const before = this.#rollouts.byRolloutId(file.rolloutId);
      if (before !== undefined && this.#standsFor(before, file)) return;
      const row = this.#rollouts.see(file, before);
      const isTouched = before?.inode === file.inode && before.indexedSize === file.size && file.size > 0;
      if (isTouched && this.#catchUp.isRewritten(row, this.#home.fromStored(row.path))) this.#rollouts.reset(row.id);
      // Nothing is known of a new file, unless it takes the place of another one of its thread.
      if (before !== undefined || file.rolloutId !== file.threadId) this.#threads.refresh(file.threadId);
    });
  }

  /**
   * True if the file that a row knows is there still, and is the thread's before another file of the same rollout:
   * an adopted one, an active one before an archived one, one where its name says it lies before any other.
   */
  #standsFor(row: RolloutRow, file: SeenFile): boolean {
    const known = this.#home.fromStored(row.path);
    if (row.state === 'missing' || row.path === file.path || stateOfRollout(known) === undefined) return false;
    return this.#rank(row.path) <= this.#rank(file.path);
  }

  #rank(stored: string): string {
    const path = this.#home.fromStored(stored);
    const name = parseRolloutFileName(basename(path));
    if (!this.#home.isCollected(path)) return '0';
    const isInPlace = name !== undefined && (path === this.#home.activePath(name) || this.#home.isArchived(path));
    return `${this.#home.isArchived(path) ? '2' : '1'}${isInPlace ? '0' : '1'}${path}`;
  }

  async #inSlices<T>(things: readonly T[], look: (thing: T) => void): Promise<void> {
    for (let start = 0; start < things.length && !this.#isStopped; start += FILES_PER_SLICE) {
      this.#rollouts.atomically(() => {
        for (const thing of things.slice(start, start + FILES_PER_SLICE)) look(thing);
      });
      await nextTurn();
    }
  }

  /** Runs to the end, letting other work in between slices. */
  async #sliced(work: Generator<void, CatchUpResult>): Promise<CatchUpResult> {
    for (;;) {
      const step = work.next();
      if (step.done === true) return step.value;
      await nextTurn();
      if (this.#isStopped) work.return('done');
    }
  }
}

/** A file that is known by what it holds, whatever it is called. */
function seeAdopted(row: RolloutRow | undefined, path: string): SeenFile | undefined {
  const state = row === undefined ? undefined : stateOfRollout(path);
  if (row === undefined || state === undefined) return undefined;
  const { rolloutId, threadId, isArchived, nameMs } = row;
  return { rolloutId, threadId, path: row.path, isArchived, nameMs, ...state };
}
