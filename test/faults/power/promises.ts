/** A value, from when on it may be found, and from when on nothing older may. */
interface Version<T> {
  readonly value: T;
  readonly begun: number;
  durable: number;
  /** It was refused: from then on it may not be found. */
  refused: number;
}

/**
 * What may be found of one value after a loss of power, by moment: a moment is a length of the log of the disk.
 * A change that was begun may be found; one that was acknowledged as durable must be, or a later one; one that was refused must not.
 */
export class Promised<T> {
  readonly #versions: Version<T>[];

  constructor(initial: T) {
    this.#versions = [{ value: initial, begun: 0, durable: 0, refused: Number.POSITIVE_INFINITY }];
  }

  /** As it is if nothing is lost. */
  get now(): T {
    return this.#last.value;
  }

  begin(value: T, moment: number): void {
    this.#versions.push({
      value,
      begun: moment,
      durable: Number.POSITIVE_INFINITY,
      refused: Number.POSITIVE_INFINITY,
    });
  }

  /** All that was begun is on stable storage. */
  settle(moment: number): void {
    this.#last.durable = Math.min(this.#last.durable, moment);
  }

  /** The last change that was begun is refused, and leaves nothing. */
  refuse(moment: number): void {
    this.#last.refused = moment;
  }

  /** Oldest first; the first is what was certain at that moment. */
  possibleAt(moment: number): readonly T[] {
    const begun = this.#versions.filter((version) => version.begun <= moment && moment < version.refused);
    const certain = begun.findLastIndex(({ durable }) => durable <= moment);
    return begun.slice(certain).map(({ value }) => value);
  }

  get #last(): Version<T> {
    return this.#versions.findLast(({ refused }) => refused === Number.POSITIVE_INFINITY) as Version<T>;
  }
}
