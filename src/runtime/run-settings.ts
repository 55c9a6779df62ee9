import type { RolloutItem } from '../domain/rollout-line.ts';
import type { ThreadSettings } from '../domain/thread-settings.ts';
import type { Mutex } from '../store/mutex.ts';
import type { Durability } from '../store/thread-store.ts';
import type { ThreadEvent } from './thread-events.ts';
import type { ThreadWriter } from './thread-writer.ts';

export interface RunSettingsOptions {
  readonly writer: Pick<ThreadWriter, 'history' | 'isStored'>;
  /** Held while something is recorded and told. */
  readonly recordAndTell: Mutex;
  readonly tell: (event: ThreadEvent) => void;
}

/** How one loaded thread is run from the next turn on, and that its history says so. */
export class RunSettings {
  readonly #options: RunSettingsOptions;
  #current: ThreadSettings;
  #acknowledged: ThreadSettings;

  constructor(current: ThreadSettings, options: RunSettingsOptions) {
    this.#current = current;
    this.#acknowledged = current;
    this.#options = options;
  }

  get current(): ThreadSettings {
    return this.#current;
  }

  /** Without a change that is still being recorded, and may be refused. */
  get acknowledged(): ThreadSettings {
    return this.#acknowledged;
  }

  /** The record that says them, unless the history does already. */
  get news(): readonly RolloutItem[] {
    return this.#options.writer.history.settingsNews(this.#current);
  }

  /** Changes them at once, for a turn that is about to begin and records them. */
  use(overrides: Partial<ThreadSettings>): void {
    const changed = withOverrides(this.#current, overrides);
    if (changed === this.#current) return;
    this.#current = changed;
    this.#acknowledged = changed;
    this.#options.tell({ type: 'settingsChanged', settings: changed });
  }

  /**
   * Changes them without a turn. A thread that is stored records it before it is told; any other does when it is.
   * @param accepted called before it is told
   * @throws if it cannot be recorded: nothing has changed then
   */
  async change(overrides: Partial<ThreadSettings>, accepted: () => void): Promise<void> {
    const { writer, recordAndTell, tell } = this.#options;
    const before = this.#current;
    const changed = withOverrides(before, overrides);
    // At once: a turn that begins while this is recorded runs with it.
    this.#current = changed;
    await recordAndTell.run(async () => {
      try {
        if (writer.isStored) await this.#record(changed, 'process');
      } catch (error) {
        if (this.#current === changed) this.#current = before;
        throw error;
      }
      this.#acknowledged = changed;
      accepted();
      if (changed !== before) tell({ type: 'settingsChanged', settings: changed });
    });
  }

  /** Records them where that is news: for whatever stores the thread without a turn (SET-8). */
  record(durability: Durability): Promise<void> {
    return this.#record(this.#current, durability);
  }

  #record(settings: ThreadSettings, durability: Durability): Promise<void> {
    const { history } = this.#options.writer;
    return history.append(history.settingsNews(settings), { durability, onFailure: 'withdraw' });
  }
}

/** The same settings if nothing changes. */
function withOverrides(settings: ThreadSettings, overrides: Partial<ThreadSettings>): ThreadSettings {
  const changed = { ...settings, ...overrides };
  return JSON.stringify(changed) === JSON.stringify(settings) ? settings : changed;
}
