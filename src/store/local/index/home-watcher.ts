import { watch, type FSWatcher } from 'node:fs';
import { join } from 'node:path';

/**
 * Hears from the operating system which files in watched folders change, and collects their paths. Best effort:
 * where watching is impossible (limits, network file systems) it says so, and sweeps take its place.
 */
export class HomeWatcher {
  readonly #watchers = new Map<string, { readonly inode: number; readonly watcher: FSWatcher }>();
  readonly #changed = new Set<string>();
  readonly #onChange: () => void;
  #hasFailed = false;

  /** @param onChange called after paths were added to what {@link take} returns */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** False once any folder could not be watched. */
  get isComplete(): boolean {
    return !this.#hasFailed;
  }

  /** @param inode of the folder as it is now: another one of the same name is watched anew */
  watchFolder(folder: string, inode: number): void {
    if (this.#hasFailed || this.#watchers.get(folder)?.inode === inode) return;
    this.unwatchFolder(folder);
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        this.#changed.add(name === null ? folder : join(folder, name));
        this.#onChange();
      });
      watcher.on('error', () => this.#fail());
      this.#watchers.set(folder, { inode, watcher });
    } catch {
      this.#fail();
    }
  }

  unwatchFolder(folder: string): void {
    this.#watchers.get(folder)?.watcher.close();
    this.#watchers.delete(folder);
  }

  /** The paths that changed since the last call. */
  take(): readonly string[] {
    const paths = [...this.#changed];
    this.#changed.clear();
    return paths;
  }

  /** Stops watching all folders; they can be watched again. */
  forget(): void {
    this.close();
    this.#changed.clear();
  }

  close(): void {
    for (const { watcher } of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #fail(): void {
    this.#hasFailed = true;
    this.close();
  }
}
