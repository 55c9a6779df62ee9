/**
 * Work that others should not have to wait for, in turns: between two pieces the event loop sees to everything else,
 * and whoever brings many waits behind those who bring few. Of each owner in the order in which it was brought.
 */
export class Turns<K> {
  readonly #waiting = new Map<K, (() => void)[]>();
  #isDue = false;

  /** Never begins at once. @param work must not throw */
  add(owner: K, work: () => void): void {
    const own = this.#waiting.get(owner);
    if (own === undefined) this.#waiting.set(owner, [work]);
    else own.push(work);
    this.#schedule();
  }

  isWaiting(owner: K): boolean {
    return this.#waiting.has(owner);
  }

  /** Forgets what has not begun. */
  clear(owner: K): void {
    this.#waiting.delete(owner);
  }

  #schedule(): void {
    if (this.#isDue || this.#waiting.size === 0) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.#next();
      this.#schedule();
    });
  }

  #next(): void {
    for (const [owner, own] of this.#waiting) {
      const work = own.shift();
      // To the end of the line, and out of it with the last piece.
      this.#waiting.delete(owner);
      if (own.length > 0) this.#waiting.set(owner, own);
      work?.();
      return;
    }
  }
}
