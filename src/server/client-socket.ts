import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { isLaborious } from '../protocol/message-values.ts';
import type { InboundBudget } from './inbound-budget.ts';
import type { OutboundSink } from './outbound-queue.ts';
import type { Turns } from './turns.ts';

/** What comes in over one connection, and how it is ended. */
export interface Peer {
  /** A text frame. */
  onText: (text: string) => void;
  /** False while so much is on its way to the client, or worked at for it, that nothing more is taken from it. */
  canTakeMore: () => boolean;
  /** The client has said who it is. */
  isIntroduced: () => boolean;
  /** Resolves when everything for the client has been given to its socket. */
  whenSent: () => Promise<void>;
  onClose: () => void;
}

export interface ClientSocketOptions {
  readonly websocket: WebSocket;
  /** What the WebSocket runs over. */
  readonly socket: Socket;
  readonly connect: (sink: OutboundSink) => Peer;
  readonly inbound: InboundBudget<ClientSocket>;
  /** For long messages. */
  readonly turns: Turns<ClientSocket>;
  /** How long the client may take to introduce itself, ms. */
  readonly initializeTimeoutMs: number;
  /** The client breaks a rule and is let go. */
  readonly onDismissed: (reason: string) => void;
  /** It counts no more. Told once. */
  readonly onGone: () => void;
}

/** The client has not introduced itself. */
export const CLOSE_NOT_INTRODUCED = 1008;

/** Its message is too long. */
export const CLOSE_TOO_LONG = 1009;

/** Its message is the longest of too many long ones. It may come back. */
export const CLOSE_TRY_AGAIN = 1013;

/** The client has not answered pings. It may come back. */
export const CLOSE_SILENT = 4408;

/** Before a client has said who it is, it has nothing long to say. */
const MAX_FIRST_MESSAGE_BYTES = 1024 * 1024;

/** A longer message waits for its turn among those of all clients. */
const LONG_MESSAGE_BYTES = 64 * 1024;

/** Values and names in one message: so many take about as long as the longest text that a message may hold. */
const MAX_VALUES = 128 * 1024;

/** How long a client that is let go may take to notice, ms. */
const DISMISSAL_MS = 3_000;

/** The socket of one client: takes messages while it may, and lets go of a client that breaks the rules. */
export class ClientSocket {
  readonly #options: ClientSocketOptions;
  readonly #websocket: WebSocket;
  readonly #peer: Peer;
  readonly #introduction: NodeJS.Timeout;
  #isAlive = true;
  #isGone = false;

  constructor(options: ClientSocketOptions) {
    const { websocket, socket, connect, initializeTimeoutMs } = options;
    this.#options = options;
    this.#websocket = websocket;
    const sink: OutboundSink = {
      get bufferedAmount() {
        return websocket.bufferedAmount;
      },
      send: (text, done) => {
        websocket.send(text, () => {
          done();
          this.#readOn();
        });
      },
    };
    this.#peer = connect(sink);
    this.#introduction = setTimeout(() => {
      if (!this.#peer.isIntroduced()) this.#dismiss(CLOSE_NOT_INTRODUCED, 'no initialize in time');
    }, initializeTimeoutMs).unref();
    // Heard before the messages that are in it.
    socket.prependListener('data', (chunk: Buffer) => this.#hold(chunk.length));
    websocket.on('pong', () => (this.#isAlive = true));
    websocket.on('message', (data: Buffer, isBinary: boolean) => this.#came(data, isBinary));
    // A protocol error ends the connection; 'close' follows.
    websocket.on('error', () => {});
    websocket.on('close', () => this.#gone());
  }

  /** To be called now and then. A client that has answered nothing since the last time is let go. */
  ping(): void {
    const websocket = this.#websocket;
    // A client that reads nothing now is slow, not gone: what it may cost is bounded. Of one that is not read from
    // no pong can come. Should its machine be gone, the system notices that what is on its way does not arrive.
    if (websocket.isPaused || websocket.bufferedAmount > 0) this.#isAlive = true;
    else if (this.#isAlive) {
      this.#isAlive = false;
      websocket.ping();
    } else this.#dismiss(CLOSE_SILENT, 'no answer to pings');
  }

  /** Ends the connection in good order: what is on its way first, then the closing handshake. */
  async end(code: number, reason: string): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#websocket.once('close', () => resolve()));
    await this.#peer.whenSent();
    // A client that was not read from for a while must be, to see its end of the handshake.
    if (this.#websocket.isPaused) this.#websocket.resume();
    this.#websocket.close(code, reason);
    await closed;
  }

  /** A message has come whole. */
  #came(data: Buffer, isBinary: boolean): void {
    const { inbound, turns } = this.#options;
    if (this.#isGone) return;
    this.#isAlive = true;
    const isBehindLong = turns.isWaiting(this);
    if (isBinary) {
      // Binary frames are no messages, whatever they hold.
      if (!isBehindLong) inbound.release(this);
    } else if (isBehindLong || data.length > LONG_MESSAGE_BYTES) {
      turns.add(this, () => this.#take(data));
      this.#websocket.pause();
    } else this.#take(data);
  }

  #take(data: Buffer): void {
    this.#options.inbound.release(this);
    if (isLaborious(data, MAX_VALUES)) {
      this.#dismiss(CLOSE_TOO_LONG, `a message of more than ${MAX_VALUES} values and names`);
      return;
    }
    this.#peer.onText(data.toString('utf8'));
    if (this.#peer.isIntroduced()) clearTimeout(this.#introduction);
    // A client that asks and does not read the answers waits for itself (D11).
    if (!this.#peer.canTakeMore()) this.#websocket.pause();
    else this.#readOn();
  }

  #readOn(): void {
    const isHeld = this.#options.turns.isWaiting(this) || !this.#peer.canTakeMore();
    if (this.#websocket.isPaused && !isHeld) this.#websocket.resume();
  }

  /** Something has come of a message. */
  #hold(bytes: number): void {
    const { inbound } = this.#options;
    if (this.#isGone) return;
    const longest = inbound.add(this, bytes);
    if (longest !== undefined) longest.#dismiss(CLOSE_TRY_AGAIN, 'too much is being sent to the daemon');
    if (inbound.of(this) > MAX_FIRST_MESSAGE_BYTES && !this.#peer.isIntroduced()) {
      this.#dismiss(CLOSE_TOO_LONG, 'a message of more than 1 MiB before initialize');
    }
  }

  /** Lets the client go, and tells it why if it is still there. What it sends from now on is not kept. */
  #dismiss(code: number, reason: string): void {
    const { socket, onDismissed } = this.#options;
    onDismissed(reason);
    this.#websocket.close(code, reason);
    socket.removeAllListeners('data');
    socket.resume();
    // Ended by halves, so that what it has sent and nobody reads does not take the reason from it.
    socket.end();
    setTimeout(() => this.#websocket.terminate(), DISMISSAL_MS).unref();
    this.#gone();
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    clearTimeout(this.#introduction);
    this.#options.inbound.release(this);
    this.#options.turns.clear(this);
    this.#peer.onClose();
    this.#options.onGone();
  }
}
