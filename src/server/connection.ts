import { nanoid } from 'nanoid';
import type { ThreadId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import {
  encodeError,
  encodeNotification,
  encodeRequest,
  encodeResult,
  type ErrorBody,
  type RequestId,
} from '../protocol/envelope.ts';
import { OutboundQueue, type OutboundSink } from './outbound-queue.ts';

/** Who a client said it is. */
export interface ClientIdentity {
  readonly name: string;
  readonly version: string;
  readonly isExperimental: boolean;
  /** Notifications that it does not want, by exact name. */
  readonly optedOut: ReadonlySet<string>;
}

/** What a client has told of itself: nothing yet, or who it is. */
export type ConnectionPhase =
  | { readonly phase: 'new' }
  | { readonly phase: 'initialized'; readonly client: ClientIdentity };

/** A notification as it goes to many: made once, in the form that every connection sends. */
export interface Broadcast {
  readonly method: string;
  readonly threadId: ThreadId | null;
  readonly text: string;
  /** Not for clients that have not asked for the experimental protocol. */
  readonly isExperimental?: boolean;
  /** For a part of a growing message. */
  readonly delta?: { readonly key: string; readonly delta: string; readonly render: (delta: string) => string };
}

/** One client's connection: who it is, and what is on its way to it. */
export class Connection {
  readonly id = `conn_${nanoid(10)}`;
  /** How it came: `ws 127.0.0.1:1234`, `unix`. */
  readonly transport: string;
  readonly openedAtMs: number;
  readonly #outbound: OutboundQueue;
  readonly #now: () => number;
  #phase: ConnectionPhase = { phase: 'new' };
  #pendingRequests = 0;
  #isClosed = false;

  constructor(sink: OutboundSink, transport: string, now: () => number) {
    this.transport = transport;
    this.#now = now;
    this.openedAtMs = now();
    this.#outbound = new OutboundQueue(sink, (threadId, dropped) => this.#missed(threadId, dropped));
  }

  get phase(): ConnectionPhase {
    return this.#phase;
  }

  /** Bytes on their way to the client. */
  get queuedBytes(): number {
    return this.#outbound.bytes;
  }

  /** False while the client does not read what it has asked for. */
  get canTakeMore(): boolean {
    return !this.#outbound.isFull;
  }

  get droppedMessages(): number {
    return this.#outbound.dropped;
  }

  /** Requests taken and not answered. */
  get pendingRequests(): number {
    return this.#pendingRequests;
  }

  initialize(client: ClientIdentity): void {
    this.#phase = { phase: 'initialized', client };
  }

  beginRequest(): void {
    this.#pendingRequests += 1;
  }

  /** @throws if the answer is more than a text can hold; it is not given then */
  answer(id: RequestId, result: unknown): void {
    const text = encodeResult(id, result);
    this.#pendingRequests -= 1;
    this.#outbound.push({ kind: 'must', text });
  }

  refuse(id: RequestId, error: ErrorBody): void {
    this.#pendingRequests -= 1;
    this.#outbound.push({ kind: 'must', text: encodeError(id, error) });
  }

  /** A request of the server. Never dropped while it is open, whatever the client has opted out of. */
  ask(requestId: number, method: string, params: JsonObject): void {
    this.#outbound.push({ kind: 'request', requestId, text: encodeRequest(requestId, method, params) });
  }

  /** A request of the server needs no answer any more: if it has not left yet, it never will. */
  askNoMore(requestId: number): void {
    this.#outbound.withdraw(requestId);
  }

  /** A notification to this client alone. */
  notify(method: string, params: JsonObject): void {
    this.broadcast({ method, threadId: null, text: encodeNotification(method, params, this.#now()) });
  }

  /** A notification that others get too. Nothing if the client has not introduced itself, or does not want it. */
  broadcast({ method, threadId, text, delta, isExperimental = false }: Broadcast): void {
    if (this.#phase.phase === 'new' || this.#phase.client.optedOut.has(method)) return;
    if (isExperimental && !this.#phase.client.isExperimental) return;
    if (delta === undefined || threadId === null) this.#outbound.push({ kind: 'news', text, threadId });
    else this.#outbound.push({ kind: 'delta', text, threadId, ...delta });
  }

  /** Resolves when everything for the client has been given to its socket. */
  whenSent(): Promise<void> {
    return this.#outbound.whenEmpty();
  }

  /** The client is gone; requests of it may still be under way. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The client is gone. */
  close(): void {
    this.#isClosed = true;
    this.#outbound.clear();
  }

  #missed(threadId: string | null, dropped: number): string {
    const message = `This connection was too slow: ${dropped} notifications were dropped. Call thread/resume to see the thread as it is now.`;
    return encodeNotification('warning', { threadId, message }, this.#now());
  }
}
