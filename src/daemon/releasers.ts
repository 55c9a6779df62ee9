import { messageOf } from '../domain/errors.ts';

/** What has been acquired and must be given back, last one first. */
export class Releasers {
  readonly #steps: { readonly name: string; readonly release: () => Promise<void> | void }[] = [];
  readonly #onFailure: (message: string, error: unknown) => void;
  #current: string | undefined;

  constructor(onFailure: (message: string, error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** Registered at the moment of acquiring, so that nothing can come in between. */
  add(name: string, release: () => Promise<void> | void): void {
    this.#steps.push({ name, release });
  }

  /** What is being given back. */
  get current(): string | undefined {
    return this.#current;
  }

  /** Gives everything back. One that fails is reported and keeps no other from its turn. */
  async releaseAll(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      this.#current = step.name;
      try {
        await step.release();
      } catch (error) {
        this.#onFailure(`closing ${step.name} failed: ${messageOf(error)}`, error);
      }
    }
    this.#current = undefined;
  }
}
