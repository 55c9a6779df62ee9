import { join } from 'node:path';
import type { SkeinError } from '../../../src/domain/errors.ts';
import type { Random } from '../random.ts';
import type { DiskLog, Refused } from './disk-log.ts';
import type { Promised } from './promises.ts';

/** Where names and marks stand. */
export const NAMES = 'session_index.jsonl';
export const MARKS = 'skein_threads.jsonl';

/** What a disk refuses of a write, and of taking it back. */
const REFUSALS: readonly (readonly Refused[])[] = [
  ['write'],
  ['fdatasync'],
  ['write', 'ftruncate'],
  ['write', 'fdatasync'],
  ['fdatasync', 'ftruncate'],
  ['fdatasync', 'fdatasync'],
];

/** What is said of a change that was tried. */
type Outcome = 'done' | 'refused' | 'uncertain';

/** A disk that may refuse some of what is written to the files of names and marks, and what is promised then. */
export class RefusingDisk {
  readonly #home: string;
  readonly #log: DiskLog;
  /** Chooses what is refused. */
  readonly #random: Random | undefined;
  readonly #isOverlapping: boolean;
  #failing: string | undefined;

  /** @param random chooses what is refused; left out: nothing */
  constructor(home: string, log: DiskLog, random: Random | undefined, isOverlapping: boolean) {
    this.#home = home;
    this.#log = log;
    this.#random = random;
    this.#isOverlapping = isOverlapping;
  }

  get moment(): number {
    return this.#log.entries.length;
  }

  /** The file of which something is refused while several things are under way. */
  get failing(): string | undefined {
    return this.#failing;
  }

  /** Another process works on it. */
  isOpenedAnew(): void {
    this.#failing = undefined;
  }

  /** Refuses something of one of the files, mostly, while several things are done. */
  async overlapping(work: () => Promise<void>): Promise<void> {
    if (this.#random?.chance(0.7) !== true) return work();
    this.#failing = this.#random.pick([NAMES, MARKS]);
    const refused = this.#random.pick(REFUSALS);
    await this.#log.refusing(join(this.#home, this.#failing), refused, work);
    this.#failing = undefined;
  }

  /** Changes something in a file of the home, which the disk may refuse. */
  async tryTo<T>(
    [promised, value]: [Promised<T>, T],
    file: string,
    work: () => Promise<unknown>,
    isDurable = true,
  ): Promise<Outcome> {
    const mayRefuse = !this.#isOverlapping && this.#random?.chance(0.4) === true;
    const refused = mayRefuse ? (this.#random?.pick(REFUSALS) ?? []) : [];
    const before = promised.now;
    const version = promised.begin(value, this.moment);
    try {
      await (refused.length === 0 ? work() : this.#log.refusing(join(this.#home, file), refused, work));
      if (isDurable) promised.settle(this.moment, version);
      return 'done';
    } catch (error) {
      const isExpected = refused.length > 0 || (this.#failing === file && isRefusal(error));
      if (!isExpected) throw error;
      // Else either may be found from now on.
      const isUncertain = (error as SkeinError).code === 'uncertain';
      if (isUncertain) promised.begin(before, this.moment);
      else promised.refuse(this.moment, version);
      return isUncertain ? 'uncertain' : 'refused';
    }
  }
}

/** What the disk has refused, and said so. */
export const isRefusal = (error: unknown): boolean =>
  String(error).includes('injected') || (error as SkeinError).code === 'uncertain';
