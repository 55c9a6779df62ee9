import { dirname } from 'node:path';
import type { HomeLayout } from '../home-layout.ts';
import { foldersIn, rolloutRoots, stateOfFolder, type RolloutFolder } from './home-scan.ts';
import type { HomeWatcher } from './home-watcher.ts';

/** The clock of a file system is coarse: what changed this short a time ago may change again under the same time. */
const COARSE_MS = 50;

/** A folder as it was when it was last looked at. */
interface KnownFolder extends RolloutFolder {
  readonly inode: number;
  /** Of its last change; null: to be looked at again in any case. */
  readonly mtimeMs: number | null;
}

/**
 * Looks into a folder of rollouts.
 * @param wasWatched what became of files that were there already has been told
 */
export type LookInto = (folder: string, wasWatched: boolean) => void;

/** The folders of a home that rollouts lie in: watched, and looked into when their times say that entries came or went. */
export class KnownFolders {
  readonly #home: HomeLayout;
  readonly #watcher: HomeWatcher;
  readonly #lookInto: LookInto;
  readonly #folders = new Map<string, KnownFolder>();

  constructor(home: HomeLayout, watcher: HomeWatcher, lookInto: LookInto) {
    this.#home = home;
    this.#watcher = watcher;
    this.#lookInto = lookInto;
  }

  has(path: string): boolean {
    return this.#folders.has(path);
  }

  /** False if one of the folders that all others lie in is not the one that is watched. */
  get areRootsKnown(): boolean {
    return rolloutRoots(this.#home).every(({ path }) => stateOfFolder(path)?.inode === this.#folders.get(path)?.inode);
  }

  /** Looks at all that are known, and into those whose entries have changed. */
  refresh(): void {
    this.watchHome();
    for (const folder of [...rolloutRoots(this.#home), ...this.#folders.values()]) this.#visit(folder);
  }

  /** They are looked into anew the next time. */
  forget(): void {
    for (const [path, folder] of this.#folders) this.#folders.set(path, { ...folder, mtimeMs: null });
  }

  /**
   * After this process changed folders itself: their new times say nothing that is not known. What others did in
   * them at the same time is told by the watcher; where there is none, it has to be looked for.
   */
  acknowledge(paths: readonly string[]): void {
    if (!this.#watcher.isComplete) return;
    for (const path of new Set(paths.map((file) => dirname(file)))) {
      const known = this.#folders.get(path);
      if (known !== undefined && stateOfFolder(path)?.inode === known.inode) this.remember(known);
    }
  }

  /** Until there is a folder of rollouts only the home can tell of the first one. */
  watchHome(): void {
    const { home, sessions } = this.#home;
    const state = stateOfFolder(home);
    if (stateOfFolder(sessions) !== undefined) this.#watcher.unwatchFolder(home);
    else if (state !== undefined) this.#watcher.watchFolder(home, state.inode);
  }

  /** Watches first and looks then: what happens in between is told, or seen, or both. */
  remember({ path, depth }: RolloutFolder): void {
    const before = stateOfFolder(path);
    if (before === undefined) return;
    this.#watcher.watchFolder(path, before.inode);
    const { inode, mtimeMs } = stateOfFolder(path) ?? before;
    this.#folders.set(path, { path, depth, inode, mtimeMs: Date.now() - mtimeMs < COARSE_MS ? null : mtimeMs });
  }

  #visit(folder: RolloutFolder): void {
    const { path, depth } = folder;
    const known = this.#folders.get(path);
    const now = stateOfFolder(path);
    if (now !== undefined && known?.inode === now.inode && known.mtimeMs === now.mtimeMs) return;
    if (now === undefined) {
      if (known === undefined) return;
      this.#folders.delete(path);
      this.#watcher.unwatchFolder(path);
    } else {
      this.remember(folder);
    }
    if (depth === 0) this.#lookInto(path, known?.inode === now?.inode);
    else for (const child of foldersIn(folder)) if (!this.#folders.has(child.path)) this.#visit(child);
  }
}
