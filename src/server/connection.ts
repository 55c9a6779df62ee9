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
import { WorkLane } from './work-lane.ts';

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

/** Work that is done for a client one piece after the other, by what it is about. */
export type Lane = 'history' | 'list' | 'search';

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

/** A request of a client, to be answered or refused once; what comes after that is passed over. */
export interface TakenRequest {
  readonly isAnswered: boolean;
  /** @throws if the answer is more than a text can hold; it is not given then */
  answer(result: unknown): void;
  refuse(error: ErrorBody): void;
}

/** What requests may take that are worked at, in characters: beyond it nothing more is read from their client. */
const MAX_TAKEN_CHARACTERS = 16 * 1024 * 1024;

/** One client's connection: who it is, what is worked at for it, and what is on its way to it. */
export class Connection {
  readonly id = `conn_${nanoid(10)}`;
  /** How it came: `ws 127.0.0.1:1234`, `unix`. */
  readonly transport: string;
  readonly openedAtMs: number;
  readonly #outbound: OutboundQueue;
  readonly #lanes: Readonly<Record<Lane, WorkLane>>;
  readonly #now: () => number;
  #phase: ConnectionPhase = { phase: 'new' };
  #pendingRequests = 0;
  #takenCharacters = 0;
  #isClosed = false;

  constructor(sink: OutboundSink, transport: string, now: () => number) {
    this.transport = transport;
    this.#now = now;
    this.openedAtMs = now();
    const resync = (threadId: string | null, dropped: number): string => this.#missed(threadId, dropped);
    this.#outbound = new OutboundQueue({ sink, resync, now, onLeft: () => this.#eachLane((lane) => lane.proceed()) });
    const hasRoom = (): boolean => !this.#outbound.isFull;
    this.#lanes = { history: new WorkLane(hasRoom), list: new WorkLane(hasRoom), search: new WorkLane(hasRoom) };
  }

  get phase(): ConnectionPhase {
    return this.#phase;
  }

  /** Bytes on their way to the client. */
  get queuedBytes(): number {
    return this.#outbound.bytes;
  }

  /** Since when nothing that is on its way to the client has left, Unix ms; null while nothing is. */
  get stalledSinceMs(): number | null {
    return this.#outbound.stalledSinceMs;
  }

  /** False while the client does not read what it has asked for, or has asked for as much as may be worked at. */
  get canTakeMore(): boolean {
    return !this.#outbound.isFull && this.#takenCharacters < MAX_TAKEN_CHARACTERS;
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

  /** Takes a request. @param characters what it costs until it is answered */
  take(id: RequestId, characters: number): TakenRequest {
    this.#pendingRequests += 1;
    this.#takenCharacters += characters;
    let isAnswered = false;
    const send = (text: string): void => {
      isAnswered = true;
      this.#pendingRequests -= 1;
      this.#takenCharacters -= characters;
      this.#outbound.push({ kind: 'must', text });
    };
    return {
      get isAnswered() {
        return isAnswered;
      },
      answer: (result) => {
        if (!isAnswered) send(encodeResult(id, result));
      },
      refuse: (error) => {
        if (!isAnswered) send(encodeError(id, error));
      },
    };
  }

  /**
   * Does work whose answer is long, or long in the making: in each lane one after the other, and only while what is on
   * its way to the client leaves room. So a client makes the daemon hold its bound and one such answer of each lane,
   * whatever it asks for without reading, and others wait for one piece of its work, not for all. Not begun for a client
   * that is gone; the promise stays open then.
   */
  workInTurn(lane: Lane, work: () => Promise<void>): Promise<void> {
    return this.#lanes[lane].run(work);
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
    this.#eachLane((lane) => lane.clear());
    this.#outbound.clear();
  }

  #eachLane(act: (lane: WorkLane) => void): void {
    for (const lane of Object.values(this.#lanes)) act(lane);
  }

  #missed(threadId: string | null, dropped: number): string {
    const message = `This connection was too slow: ${dropped} notifications were dropped. Call thread/resume to see the thread as it is now.`;
    return encodeNotification('warning', { threadId, message }, this.#now());
  }
}
