/**
 * What is held of messages that have not come whole yet, over all connections of a daemon: each may be as long as a
 * message may be, and nobody need ever send the rest.
 */
export class InboundBudget<K> {
  readonly #maxBytes: number;
  readonly #held = new Map<K, number>();
  #total = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of the message that a connection is sending. */
  of(connection: K): number {
    return this.#held.get(connection) ?? 0;
  }

  /**
   * More has come of a connection's message.
   * @returns the connection with the longest message, if all together are too much: it has to go, and is not counted
   *   from now on
   */
  add(connection: K, bytes: number): K | undefined {
    this.#held.set(connection, this.of(connection) + bytes);
    this.#total += bytes;
    if (this.#total <= this.#maxBytes) return undefined;
    const [longest] = [...this.#held].reduce((most, entry) => (entry[1] > most[1] ? entry : most));
    this.release(longest);
    return longest;
  }

  /** The message has come whole, or its connection goes. */
  release(connection: K): void {
    this.#total -= this.of(connection);
    this.#held.delete(connection);
  }
}
