/** What a queue writes to: a socket that says how much of what it took has not left yet. */
export interface OutboundSink {
  /** Bytes taken and not yet given to the system. */
  readonly bufferedAmount: number;
  /** @param done called when the bytes have left, or cannot */
  send(text: string, done: () => void): void;
}

/** A message on its way to one client. */
export type Outbound =
  /** Answers: never dropped (D11). */
  | { readonly kind: 'must'; readonly text: string }
  /** A request of the server: never dropped while somebody waits for its answer. */
  | { readonly kind: 'request'; readonly requestId: number; readonly text: string }
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

/** Parts melt together up to this size: a frame that any client takes. */
const MAX_MERGED_BYTES = 256 * 1024;

/** Parts kept apart at most: many short texts take more than one of their length. */
const MAX_PARTS = 1_024;

/** Entries already sent that may stand before the others, before the array is cut. */
const MAX_SENT_ENTRIES = 1_024;

/** What waits, with what it will take. */
type Entry =
  | { readonly kind: 'text'; readonly text: string; readonly bytes: number; readonly requestId?: number }
  | {
      readonly kind: 'delta';
      readonly key: string;
      readonly render: (delta: string) => string;
      /** In order. */
      parts: string[];
      bytes: number;
    }
  /** The place of the first message of a thread that was dropped: there the client is told. */
  | { readonly kind: 'notice'; readonly threadId: string | null; readonly bytes: 0 };

export interface OutboundQueueOptions {
  readonly sink: OutboundSink;
  /** The message that tells a client that it has missed something. */
  readonly resync: (threadId: string | null, dropped: number) => string;
  /** Unix ms. */
  readonly now: () => number;
  /** Something has left, so that there may be room. */
  readonly onLeft?: () => void;
  readonly limits?: OutboundLimits;
}

/**
 * The messages to one client, in order, bounded in bytes (D11, F8). While the client keeps up, messages pass straight
 * through. When it does not, they wait here, and deltas of one message melt together. Beyond the bound news are
 * dropped: of a thread that has lost some, all, until the client has been told. So what it gets of a thread is whole
 * up to the notice, and goes on after it.
 */
export class OutboundQueue {
  readonly #sink: OutboundSink;
  readonly #limits: OutboundLimits;
  readonly #options: OutboundQueueOptions;
  #entries: (Entry | undefined)[] = [];
  /** Entries before this one have been sent: taking them off one by one would move all others each time. */
  #first = 0;
  #waitingBytes = 0;
  /** Threads that have lost news and of which the client does not know it yet, with how many. */
  readonly #missed = new Map<string | null, number>();
  #totalDropped = 0;
  /** When something began to be on its way, or has left. */
  #movedAtMs = 0;
  #isClosed = false;
  #whenEmpty: (() => void)[] = [];

  constructor(options: OutboundQueueOptions) {
    this.#options = options;
    this.#sink = options.sink;
    this.#limits = options.limits ?? DEFAULT_OUTBOUND_LIMITS;
  }

  /** Bytes waiting here and in the socket. */
  get bytes(): number {
    return this.#waitingBytes + this.#sink.bufferedAmount;
  }

  /** As much is on its way as may wait, answers included: those are never dropped, so nothing more should be asked. */
  get isFull(): boolean {
    return this.bytes >= this.#limits.queuedBytes;
  }

  /** Since when nothing of what is on its way has left, Unix ms; null while nothing is. */
  get stalledSinceMs(): number | null {
    return this.bytes === 0 ? null : this.#movedAtMs;
  }

  /** Messages dropped since the connection began. */
  get dropped(): number {
    return this.#totalDropped;
  }

  push(message: Outbound): void {
    if (this.#isClosed) return;
    if (this.#isEmpty && this.#sink.bufferedAmount < this.#limits.inFlightBytes) {
      this.#send(message.text);
      return;
    }
    if (message.kind === 'must') {
      this.#wait({ kind: 'text', text: message.text, bytes: Buffer.byteLength(message.text) });
      return;
    }
    if (message.kind === 'request') {
      const { requestId, text } = message;
      this.#wait({ kind: 'text', text, bytes: Buffer.byteLength(text), requestId });
      return;
    }
    if (this.#missed.has(message.threadId)) this.#drop(message.threadId);
    else if (!this.#merge(message)) this.#waitOrDrop(message);
  }

  /** Takes a request back that has not left yet: a client that does not read costs no more than what is open. */
  withdraw(requestId: number): void {
    for (let at = this.#first; at < this.#entries.length; at += 1) {
      const entry = this.#entries[at];
      if (entry?.kind !== 'text' || entry.requestId !== requestId) continue;
      this.#entries[at] = undefined;
      this.#waitingBytes -= entry.bytes;
    }
  }

  /** Resolves when nothing waits here any more: the socket has the rest, or the client is gone. */
  whenEmpty(): Promise<void> {
    if (this.#isEmpty) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.push(resolve));
  }

  /** Lets go of everything, now and from now on: the client is gone. */
  clear(): void {
    this.#isClosed = true;
    this.#entries = [];
    this.#first = 0;
    this.#waitingBytes = 0;
    this.#missed.clear();
    this.#emptied();
  }

  get #isEmpty(): boolean {
    return this.#first === this.#entries.length;
  }

  #emptied(): void {
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  #wait(entry: Entry): void {
    this.#entries.push(entry);
    this.#waitingBytes += entry.bytes;
  }

  #waitOrDrop(message: Exclude<Outbound, { kind: 'must' | 'request' }>): void {
    const bytes = Buffer.byteLength(message.text);
    if (this.#waitingBytes + bytes > this.#limits.queuedBytes) this.#drop(message.threadId);
    else if (message.kind === 'news') this.#wait({ kind: 'text', text: message.text, bytes });
    else {
      const { key, delta, render } = message;
      this.#wait({ kind: 'delta', key, parts: [delta], render, bytes });
    }
  }

  #drop(threadId: string | null): void {
    const missed = this.#missed.get(threadId) ?? 0;
    if (missed === 0) this.#wait({ kind: 'notice', threadId, bytes: 0 });
    this.#missed.set(threadId, missed + 1);
    this.#totalDropped += 1;
  }

  #merge(message: Outbound): boolean {
    const last = this.#entries.at(-1);
    if (message.kind !== 'delta' || last?.kind !== 'delta' || last.key !== message.key) return false;
    // As it will stand in JSON, without its quotation marks.
    const grown = Buffer.byteLength(JSON.stringify(message.delta)) - 2;
    if (last.bytes + grown > MAX_MERGED_BYTES || this.#waitingBytes + grown > this.#limits.queuedBytes) return false;
    last.parts.push(message.delta);
    if (last.parts.length === MAX_PARTS) last.parts = [last.parts.join('')];
    last.bytes += grown;
    this.#waitingBytes += grown;
    return true;
  }

  #send(text: string): void {
    if (this.#sink.bufferedAmount === 0) this.#movedAtMs = this.#options.now();
    this.#sink.send(text, () => {
      this.#movedAtMs = this.#options.now();
      this.#drain();
      this.#options.onLeft?.();
    });
  }

  #drain(): void {
    while (!this.#isEmpty && this.#sink.bufferedAmount < this.#limits.inFlightBytes) {
      const next = this.#next();
      if (next === undefined) continue;
      if (next.kind === 'notice') this.#tellMissed(next.threadId);
      else this.#send(next.kind === 'text' ? next.text : next.render(next.parts.join('')));
    }
    if (this.#isEmpty) this.#emptied();
  }

  #next(): Entry | undefined {
    const next = this.#entries[this.#first];
    this.#entries[this.#first] = undefined;
    this.#first += 1;
    this.#waitingBytes -= next?.bytes ?? 0;
    if (this.#isEmpty || this.#first > Math.max(MAX_SENT_ENTRIES, this.#entries.length / 2)) {
      this.#entries = this.#entries.slice(this.#first);
      this.#first = 0;
    }
    return next;
  }

  #tellMissed(threadId: string | null): void {
    const dropped = this.#missed.get(threadId) ?? 0;
    this.#missed.delete(threadId);
    this.#send(this.#options.resync(threadId, dropped));
  }
}
