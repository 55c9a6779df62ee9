/** What a queue writes to: a socket that says how much of what it took has not left yet. */
export interface OutboundSink {
  /** Bytes taken and not yet given to the system. */
  readonly bufferedAmount: number;
  /** @param done called when the bytes have left, or cannot */
  send(text: string, done: () => void): void;
}

/** A message on its way to one client. */
export type Outbound =
  /** Answers and requests: never dropped (D11). */
  | { readonly kind: 'must'; readonly text: string }
  /** News of a thread: dropped only if the client cannot follow, and then it is told so. */
  | { readonly kind: 'news'; readonly text: string; readonly threadId: string | null }
  /** Part of a growing message. Parts of one message in a row become one when the client is slow. */
  | {
      readonly kind: 'delta';
      readonly threadId: string;
      readonly key: string;
      readonly delta: string;
      readonly render: (delta: string) => string;
      readonly text: string;
    };

export interface OutboundLimits {
  /** Given to the socket at once, bytes. */
  readonly inFlightBytes: number;
  /** Waiting here beyond that, bytes: the most that one slow client costs. */
  readonly queuedBytes: number;
}

export const DEFAULT_OUTBOUND_LIMITS: OutboundLimits = { inFlightBytes: 1024 * 1024, queuedBytes: 16 * 1024 * 1024 };

/**
 * The messages to one client, in order, bounded in bytes (D11, F8). While the client keeps up, messages pass straight
 * through. When it does not, they wait here; deltas of one message melt together; beyond the bound news are dropped,
 * and when the client reads again it is told for which threads, so that it can resume them.
 */
export class OutboundQueue {
  readonly #sink: OutboundSink;
  readonly #limits: OutboundLimits;
  readonly #resync: (threadIds: readonly (string | null)[], dropped: number) => readonly string[];
  #waiting: Outbound[] = [];
  #waitingBytes = 0;
  #droppedOf = new Set<string | null>();
  #droppedCount = 0;
  #totalDropped = 0;
  #whenEmpty: (() => void)[] = [];

  /** @param resync the messages that tell a client what it has missed */
  constructor(
    sink: OutboundSink,
    resync: (threadIds: readonly (string | null)[], dropped: number) => readonly string[],
    limits: OutboundLimits = DEFAULT_OUTBOUND_LIMITS,
  ) {
    this.#sink = sink;
    this.#resync = resync;
    this.#limits = limits;
  }

  /** Bytes waiting here and in the socket. */
  get bytes(): number {
    return this.#waitingBytes + this.#sink.bufferedAmount;
  }

  /** As much waits as may, answers included: those are never dropped, so nothing more should be asked. */
  get isFull(): boolean {
    return this.#waitingBytes >= this.#limits.queuedBytes;
  }

  /** Messages dropped since the connection began. */
  get dropped(): number {
    return this.#totalDropped;
  }

  push(message: Outbound): void {
    if (this.#waiting.length === 0 && this.#sink.bufferedAmount < this.#limits.inFlightBytes) {
      this.#send(message.text);
      return;
    }
    const merged = this.#merge(message);
    if (merged) return;
    const bytes = Buffer.byteLength(message.text);
    if (message.kind !== 'must' && this.#waitingBytes + bytes > this.#limits.queuedBytes) {
      this.#droppedOf.add(message.threadId);
      this.#droppedCount += 1;
      this.#totalDropped += 1;
      return;
    }
    this.#waiting.push(message);
    this.#waitingBytes += bytes;
  }

  /** Resolves when nothing waits here any more: the socket has the rest, or the client is gone. */
  whenEmpty(): Promise<void> {
    if (this.#waiting.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.push(resolve));
  }

  /** Lets go of everything: the client is gone. */
  clear(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#emptied();
  }

  #emptied(): void {
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  #merge(message: Outbound): boolean {
    const last = this.#waiting.at(-1);
    if (message.kind !== 'delta' || last?.kind !== 'delta' || last.key !== message.key) return false;
    const delta = last.delta + message.delta;
    const merged = { ...last, delta, text: last.render(delta) };
    const grown = Buffer.byteLength(message.delta);
    if (this.#waitingBytes + grown > this.#limits.queuedBytes) return false;
    this.#waiting[this.#waiting.length - 1] = merged;
    this.#waitingBytes += grown;
    return true;
  }

  #send(text: string): void {
    this.#sink.send(text, () => this.#drain());
  }

  #drain(): void {
    while (this.#waiting.length > 0 && this.#sink.bufferedAmount < this.#limits.inFlightBytes) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#waitingBytes = this.#waiting.length === 0 ? 0 : this.#waitingBytes - Buffer.byteLength(next.text);
      this.#send(next.text);
    }
    if (this.#waiting.length > 0) return;
    this.#tellDropped();
    this.#emptied();
  }

  #tellDropped(): void {
    if (this.#droppedCount === 0) return;
    const told = this.#resync([...this.#droppedOf], this.#droppedCount);
    this.#droppedOf = new Set();
    this.#droppedCount = 0;
    for (const text of told) this.#send(text);
  }
}
