import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ThreadId } from '../../../domain/ids.ts';
import type { ThreadFacts } from '../../../domain/thread-facts.ts';
import { sessionMetaOf } from '../../../domain/session-meta.ts';
import { plainPath } from '../compressed-rollout.ts';
import type { HomeLayout } from '../home-layout.ts';
import { readFirstRecord } from '../rollout-reader.ts';
import type { CatchUp } from './catch-up.ts';
import { rolloutFolders, rolloutNamesIn, seeFile, stateOfFolder, stateOfRollout } from './home-scan.ts';
import type { HomeWatcher } from './home-watcher.ts';
import {
  isReadToEnd,
  isSameFile,
  type RolloutBase,
  type RolloutRow,
  type RolloutTable,
  type SeenFile,
} from './rollout-table.ts';
import type { ThreadTable } from './thread-table.ts';

/** Files per slice of a sweep: a few milliseconds of stat calls. */
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
  readonly #watcher: HomeWatcher;
  /** Folders looked at, and the time of their last change then. */
  readonly #folders = new Map<string, number>();
  /** One reading of a rollout at a time: two would both go on from the same place. */
  readonly #readings = new Map<number, Promise<void>>();

  constructor(home: HomeLayout, rollouts: RolloutTable, threads: ThreadTable, catchUp: CatchUp, watcher: HomeWatcher) {
    this.#home = home;
    this.#rollouts = rollouts;
    this.#threads = threads;
    this.#catchUp = catchUp;
    this.#watcher = watcher;
  }

  /** Forgets files outside the home: those that a process which has ended was writing. */
  forgetAdopted(): void {
    const collections = [this.#home.sessions, this.#home.archivedSessions] as const;
    for (const row of this.#rollouts.outside(collections.map((folder) => this.#home.toStored(folder)))) {
      this.#rollouts.remove(row.id);
      this.#threads.refresh(row.threadId);
    }
  }

  /** Compares all files with their rows, newest day first. Notes what differs; reads nothing. */
  async sweep(): Promise<void> {
    const known = this.#rollouts.snapshot();
    const met = new Set<string>();
    let count = 0;
    for (const folder of rolloutFolders(this.#home)) {
      this.#remember(folder.path);
      if (!folder.isLeaf) continue;
      for (const name of rolloutNamesIn(folder.path)) {
        const path = join(folder.path, name);
        met.add(this.#home.toStored(path));
        this.#notice(path, known);
        count += 1;
        if (count % FILES_PER_SLICE === 0) await nextTurn();
      }
    }
    for (const [path, row] of known) {
      if (row.state !== 'missing' && !met.has(path)) this.#lookAgain(this.#home.fromStored(path));
    }
  }

  /** Looks into folders whose entries changed since they were last looked at. */
  refreshFolders(): void {
    for (const root of [this.#home.sessions, this.#home.archivedSessions]) {
      if (!this.#folders.has(root) && stateOfFolder(root) !== undefined) this.#folders.set(root, -1);
    }
    const changed = [...this.#folders].filter(([path, mtimeMs]) => stateOfFolder(path) !== mtimeMs);
    if (changed.length === 0) return;
    const structure = new Map([...rolloutFolders(this.#home)].map((folder) => [folder.path, folder.isLeaf]));
    const fresh = [...structure].filter(([path]) => !this.#folders.has(path)).map(([path]) => path);
    for (const path of [...changed.map(([changedPath]) => changedPath), ...fresh]) {
      const isLeaf = structure.get(path);
      if (isLeaf === undefined) this.#folders.delete(path);
      else this.#remember(path);
      if (isLeaf === true) this.#lookInto(path);
    }
  }

  /** Folders are looked into anew the next time someone asks. */
  forgetFolders(): void {
    for (const folder of this.#folders.keys()) this.#folders.set(folder, -1);
  }

  /** Looks again at single files that something said have changed. */
  refreshFiles(paths: readonly string[]): void {
    for (const path of paths) this.#lookAgain(plainPath(path));
  }

  /** After this process changed folders itself: their new times say nothing that is not known. */
  acknowledgeFolders(paths: readonly string[]): void {
    for (const folder of new Set(paths.map((path) => dirname(path)))) {
      if (this.#folders.has(folder) || this.#home.isCollected(join(folder, 'x'))) this.#remember(folder);
    }
  }

  /** Reads a rollout to its end as it is now, unless it is already. Returns its row then. */
  async bringUp(row: RolloutRow): Promise<RolloutRow | undefined> {
    this.#lookAgain(this.#home.fromStored(row.path));
    const seen = this.#rollouts.byId(row.id);
    if (seen === undefined || seen.state === 'missing') return seen;
    if (isReadToEnd(seen)) return seen;
    const reading = this.#readings.get(row.id) ?? this.#read(row.id);
    this.#readings.set(row.id, reading);
    await reading;
    return this.#rollouts.byId(row.id);
  }

  async #read(id: number): Promise<void> {
    try {
      const row = this.#rollouts.byId(id);
      if (row === undefined) return;
      const path = this.#home.fromStored(row.path);
      const first = await sliced(this.#catchUp.run(row, path, (base) => this.#inherited(base, row.threadId)));
      if (first === 'needsBase') {
        await this.#bringUpBaseOf(path);
        // What is still not read then never will be.
        const facts = (base: RolloutBase): Partial<ThreadFacts> => {
          const inherited = this.#inherited(base, row.threadId);
          return inherited === 'notReady' ? {} : inherited;
        };
        await sliced(this.#catchUp.run(row, path, facts));
      }
      this.#settle(row);
    } finally {
      this.#readings.delete(id);
    }
  }

  /**
   * What a rollout takes over from the one it continues: the first words, if they lie in the part it continues; and all
   * that is set for the whole thread, if a revert of the same thread made it.
   */
  #inherited(base: RolloutBase, threadId: ThreadId): Partial<ThreadFacts> | 'notReady' {
    const row = this.#rollouts.byRolloutId(base.rolloutId);
    if (row === undefined || row.state === 'unreadable' || row.state === 'missing') return {};
    if (row.state === 'pending' || row.facts === null) return 'notReady';
    const facts = JSON.parse(row.facts) as ThreadFacts;
    const { firstUserMessage, preview } = facts;
    const isInherited = row.firstUserOffset === null || row.firstUserOffset < base.endOffset;
    return {
      ...(isInherited ? { firstUserMessage, preview } : {}),
      ...(row.threadId === threadId ? lastingFacts(facts) : {}),
    };
  }

  async #bringUpBaseOf(path: string): Promise<void> {
    const base = this.#baseInHeader(path);
    const row = base === undefined ? undefined : this.#rollouts.byRolloutId(base);
    if (row !== undefined && !this.#goesRound(row)) await this.bringUp(row);
  }

  /** Rollouts that continue each other in a circle would wait for each other for ever. */
  #goesRound(start: RolloutRow): boolean {
    const seen = new Set<ThreadId>();
    let row: RolloutRow | undefined = start;
    while (row !== undefined) {
      if (seen.has(row.rolloutId)) return true;
      seen.add(row.rolloutId);
      const base = this.#baseInHeader(this.#home.fromStored(row.path));
      row = base === undefined ? undefined : this.#rollouts.byRolloutId(base);
    }
    return false;
  }

  #baseInHeader(path: string): ThreadId | undefined {
    const header = seeFile(this.#home, path) === undefined ? undefined : readFirstRecord(path)?.line.item;
    return header === undefined ? undefined : sessionMetaOf(header)?.historyBase?.rolloutId;
  }

  /** A rollout whose header names another thread than its file is nobody's. */
  #settle(row: RolloutRow): void {
    const read = this.#rollouts.byId(row.id);
    if (read?.state === 'indexed' && this.#home.isCollected(this.#home.fromStored(read.path))) {
      const facts = read.facts === null ? null : (JSON.parse(read.facts) as ThreadFacts);
      const named = facts?.header?.threadId;
      if (named !== undefined && named !== read.threadId) {
        this.#rollouts.setUnreadable(row.id, `its session metadata names thread ${named}`);
      }
    }
    this.#threads.refresh(row.threadId);
  }

  #remember(folder: string): void {
    const mtimeMs = statSync(folder, { throwIfNoEntry: false })?.mtimeMs;
    if (mtimeMs === undefined) return;
    this.#folders.set(folder, mtimeMs);
    this.#watcher.watchFolder(folder);
  }

  #lookInto(folder: string): void {
    for (const name of rolloutNamesIn(folder)) {
      const path = join(folder, name);
      const row = this.#rollouts.byPath(this.#home.toStored(path));
      if (row === undefined || row.state === 'missing') this.#lookAgain(path);
    }
    for (const row of this.#rollouts.inFolder(this.#home.toStored(folder))) {
      this.#lookAgain(this.#home.fromStored(row.path));
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
    this.#rollouts.setMissing(row.id);
    this.#threads.refresh(row.threadId);
  }

  /** A file outside the home is live, and comes before one of the same rollout inside. */
  #isAdopted(row: RolloutRow): boolean {
    const path = this.#home.fromStored(row.path);
    return !this.#home.isCollected(path) && stateOfRollout(path) !== undefined;
  }

  #see(file: SeenFile): void {
    const before = this.#rollouts.byRolloutId(file.rolloutId);
    if (before !== undefined && before.path !== file.path && this.#isAdopted(before)) return;
    // The same rollout in both collections: the active copy is the thread's.
    if (before !== undefined && before.state !== 'missing' && file.isArchived && !before.isArchived) {
      const other = seeFile(this.#home, this.#home.fromStored(before.path));
      if (other !== undefined && before.path !== file.path) return;
    }
    const row = this.#rollouts.see(file);
    if (row.state === 'indexed') this.#threads.refresh(row.threadId);
  }
}

/** What a revert does not take back. */
function lastingFacts({
  header,
  cwd,
  modelProvider,
  git,
  memoryMode,
  namedInHistory,
}: ThreadFacts): Partial<ThreadFacts> {
  return { header, cwd, modelProvider, git, memoryMode, namedInHistory };
}

/** A file that is known by what it holds, whatever it is called. */
function seeAdopted(row: RolloutRow | undefined, path: string): SeenFile | undefined {
  const state = row === undefined ? undefined : stateOfRollout(path);
  if (row === undefined || state === undefined) return undefined;
  const { rolloutId, threadId, isArchived, nameMs } = row;
  return { rolloutId, threadId, path: row.path, isArchived, nameMs, ...state };
}

/** Runs to the end, letting other work in between slices. */
async function sliced<T>(work: Generator<void, T>): Promise<T> {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    await nextTurn();
  }
}
