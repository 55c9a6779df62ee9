/** A value, from when on it may be found, and from when on nothing older may. */
export interface Version<T> {
  readonly value: T;
  readonly begun: number;
  durable: number;
  /** It was refused: from then on it may not be found. */
  refused: number;
  /** The same without a change before it that was refused. */
  instead?: Version<T>;
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
    return this.last.value;
  }

  /** Begins a change; others may be under way, and are done before it. */
  begin(value: T, moment: number): Version<T> {
    const version = {
      value,
      begun: moment,
      durable: Number.POSITIVE_INFINITY,
      refused: Number.POSITIVE_INFINITY,
    };
    this.#versions.push(version);
    return version;
  }

  /** Another process goes on from what it finds. */
  isFound(value: T, moment: number): void {
    if (this.now !== value) this.begin(value, moment);
  }

  /** All that was begun up to a change is on stable storage; those behind it may be or not. */
  settle(moment: number, version: Version<T> = this.last): void {
    let now = version;
    while (now.instead !== undefined) now = now.instead;
    now.durable = Math.min(now.durable, moment);
  }

  /** A change is refused, and leaves nothing. */
  refuse(moment: number, version: Version<T> = this.last): void {
    version.refused = moment;
  }

  /** A change is refused, and those that were begun behind it stand without it. */
  withdraw(moment: number, version: Version<T>, without: (value: T) => T): void {
    const behind = this.#versions.slice(this.#versions.indexOf(version) + 1);
    this.refuse(moment, version);
    for (const one of behind.filter(({ refused }) => refused === Number.POSITIVE_INFINITY)) {
      this.refuse(moment, one);
      one.instead = this.begin(without(one.value), moment);
    }
  }

  /** All that was begun by then and not refused, also what others have taken the place of. */
  begunBy(moment: number): readonly T[] {
    return this.#versions.filter(({ begun, refused }) => begun <= moment && moment < refused).map(({ value }) => value);
  }

  /** Oldest first; the first is what was certain at that moment. */
  possibleAt(moment: number): readonly T[] {
    const begun = this.#versions.filter((version) => version.begun <= moment && moment < version.refused);
    const certain = begun.findLastIndex(({ durable }) => durable <= moment);
    return begun.slice(certain).map(({ value }) => value);
  }

  /** The last change that was begun and not refused. */
  get last(): Version<T> {
    return this.#versions.findLast(({ refused }) => refused === Number.POSITIVE_INFINITY) as Version<T>;
  }
}
