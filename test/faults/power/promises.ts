/** A value, from when on it may be found, and from when on nothing older may. */
interface Version<T> {
  readonly value: T;
  readonly begun: number;
  durable: number;
}

/**
 * What may be found of one value after a loss of power, by moment: a moment is a length of the log of the disk.
 * A change that was begun may be found; one that was acknowledged as durable must be, or a later one.
 */
export class Promised<T> {
  readonly #versions: Version<T>[];

  constructor(initial: T) {
    this.#versions = [{ value: initial, begun: 0, durable: 0 }];
  }

  /** As it is if nothing is lost. */
  get now(): T {
    return (this.#versions.at(-1) as Version<T>).value;
  }

  begin(value: T, moment: number): void {
    this.#versions.push({ value, begun: moment, durable: Number.POSITIVE_INFINITY });
  }

  /** All that was begun is on stable storage. */
  settle(moment: number): void {
    const last = this.#versions.at(-1) as Version<T>;
    last.durable = Math.min(last.durable, moment);
  }

  /** Oldest first; the first is what was certain at that moment. */
  possibleAt(moment: number): readonly T[] {
    const begun = this.#versions.filter((version) => version.begun <= moment);
    const certain = begun.findLastIndex(({ durable }) => durable <= moment);
    return begun.slice(certain).map(({ value }) => value);
  }
}
