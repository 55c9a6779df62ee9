import { watch, type FSWatcher } from 'node:fs';
import { join } from 'node:path';

/**
 * Hears from the operating system which files in watched folders change, and collects their paths. Best effort:
 * where watching is impossible (limits, network file systems) it says so, and sweeps take its place.
 */
export class HomeWatcher {
  readonly #watchers = new Map<string, FSWatcher>();
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

  watchFolder(folder: string): void {
    if (this.#watchers.has(folder) || this.#hasFailed) return;
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        this.#changed.add(name === null ? folder : join(folder, name));
        this.#onChange();
      });
      watcher.on('error', () => this.#fail());
      this.#watchers.set(folder, watcher);
    } catch {
      this.#fail();
    }
  }

  /** The paths that changed since the last call. */
  take(): readonly string[] {
    const paths = [...this.#changed];
    this.#changed.clear();
    return paths;
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  #fail(): void {
    this.#hasFailed = true;
    this.close();
  }
}
