import { createHash } from 'node:crypto';
import { SkeinError } from '../domain/errors.ts';
import { change, type ChosenSetting } from '../domain/organization.ts';
import type { ThreadSettings } from '../domain/thread-settings.ts';
import { Mutex } from '../store/mutex.ts';
import type { OrganizationStore } from '../store/organization-store.ts';

/** What is chosen, by setting; null takes a choice back. */
export type Choices = Readonly<Partial<Record<ChosenSetting, string | null>>>;

/** What clients have chosen for new threads to begin with, over what the operator has configured. */
export class ChosenDefaults {
  readonly #store: OrganizationStore;
  readonly #mutex = new Mutex();
  #chosen: Readonly<Partial<Record<ChosenSetting, string>>>;

  constructor(store: OrganizationStore) {
    this.#store = store;
    const chosen = [...store.entries].filter(({ kind }) => kind === 'default');
    this.#chosen = Object.fromEntries(chosen.map(({ key, value }) => [key, value as string]));
  }

  /** Only what is chosen. */
  get chosen(): Readonly<Partial<Record<ChosenSetting, string>>> {
    return this.#chosen;
  }

  /** Another one whenever something else is chosen; who chooses may say which one they saw. */
  get version(): string {
    const sorted = Object.entries(this.#chosen).toSorted(([a], [b]) => (a < b ? -1 : 1));
    return `sha256:${createHash('sha256').update(JSON.stringify(sorted)).digest('hex')}`;
  }

  /** What threads begin with. */
  over(configured: ThreadSettings): ThreadSettings {
    const { model, model_reasoning_effort: reasoningEffort } = this.#chosen;
    return {
      ...configured,
      model: model ?? configured.model,
      reasoningEffort: reasoningEffort ?? configured.reasoningEffort,
    };
  }

  /**
   * Makes or takes back all of these choices, or none. Durable when it returns, and in effect only then.
   * @returns the version that came of it
   * @throws invalidRequest if something else was chosen than the caller saw
   */
  choose(choices: Choices, expectedVersion: string | null): Promise<string> {
    return this.#mutex.run(async () => {
      if (expectedVersion !== null && expectedVersion !== this.version) {
        const message = 'Configuration was modified since last read. Fetch latest version and retry.';
        throw new SkeinError('invalidRequest', message, { data: { config_write_error_code: 'configVersionConflict' } });
      }
      const changes = Object.entries(choices).map(([key, value]) => change('default', key, value));
      await this.#store.write(changes, 'power');
      const chosen = Object.entries({ ...this.#chosen, ...choices }).filter(([, value]) => value !== null);
      this.#chosen = Object.fromEntries(chosen) as Partial<Record<ChosenSetting, string>>;
      return this.version;
    });
  }
}
