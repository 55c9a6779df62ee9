/** Runs pieces of asynchronous work one at a time, in the order they came. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => {});
    return result;
  }
}

/** A {@link Mutex} per key, kept only while someone uses it. */
export class KeyedMutex<K extends string> {
  readonly #byKey = new Map<K, { readonly mutex: Mutex; users: number }>();

  async run<T>(key: K, work: () => Promise<T>): Promise<T> {
    const entry = this.#byKey.get(key) ?? { mutex: new Mutex(), users: 0 };
    this.#byKey.set(key, entry);
    entry.users += 1;
    try {
      return await entry.mutex.run(work);
    } finally {
      entry.users -= 1;
      if (entry.users === 0) this.#byKey.delete(key);
    }
  }

  /** Somebody works under this key, or waits to. */
  isInUse(key: K): boolean {
    return this.#byKey.has(key);
  }

  /** Holds several keys at once, taken in sorted order so that two holders cannot wait for each other. */
  runAll<T>(keys: readonly K[], work: () => Promise<T>): Promise<T> {
    return [...new Set(keys)]
      .toSorted((a, b) => (a < b ? -1 : 1))
      .reduceRight<() => Promise<T>>((inner, key) => () => this.run(key, inner), work)();
  }
}
