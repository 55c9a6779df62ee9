import { setImmediate as nextTick } from 'node:timers/promises';
import type { Random } from '../random.ts';

/**
 * Lets calls that wait at the same time go on one after the other, in an order that a seed repeats: which of them a
 * kernel would do first is chance.
 */
export class CallOrder {
  readonly #random: Random;
  readonly #waiting: (() => void)[] = [];
  #isChoosing = false;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Resolves when it is the caller's turn: nothing else is under way then. */
  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (!this.#isChoosing) void this.#choose();
    });
  }

  async #choose(): Promise<void> {
    this.#isChoosing = true;
    while (this.#waiting.length > 0) {
      // Whoever had the last turn goes on until it waits again.
      do await nextTick();
      while (isDiskAtWork());
      this.#waiting.splice(this.#random.below(this.#waiting.length), 1)[0]?.();
    }
    this.#isChoosing = false;
  }
}

const isDiskAtWork = (): boolean => process.getActiveResourcesInfo().some((resource) => resource.startsWith('FSReq'));
