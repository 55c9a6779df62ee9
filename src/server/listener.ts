import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { internal } from '../domain/errors.ts';
import { refusalOf, type AccessRules, type Refusal } from './access.ts';
import type { ListenAddress } from './addresses.ts';
import { ClientSocket, type Peer } from './client-socket.ts';
import type { InboundBudget } from './inbound-budget.ts';
import type { OutboundSink } from './outbound-queue.ts';
import { listenOnSocketFile, watchSocketFile } from './socket-file.ts';
import type { Turns } from './turns.ts';

/** Called for each client that was let in; returns what takes its frames. */
export type OnConnect = (sink: OutboundSink, transport: string) => Peer;

export interface ListenerOptions {
  readonly address: ListenAddress;
  readonly access: AccessRules;
  readonly onConnect: OnConnect;
  /** False while the daemon is not ready to serve. */
  readonly isReady: () => boolean;
  /** Why nobody more is let in now; undefined while there is room. */
  readonly whyFull: () => string | undefined;
  /** Shared by all listeners of a daemon. */
  readonly inbound: InboundBudget<ClientSocket>;
  /** Shared by all listeners of a daemon. */
  readonly turns: Turns<ClientSocket>;
  /** How long a client may take to introduce itself, ms. */
  readonly initializeTimeoutMs: number;
  /** A client that was not let in, for the log. */
  readonly onRefused: (reason: string) => void;
  /** A client that was let go, for the log. */
  readonly onDismissed: (reason: string) => void;
  /** The system could not give a client its connection; others can still come. */
  readonly onProblem: (message: string, error: unknown) => void;
  /** The file of the Unix socket has gone: nobody can come in here any more, those that have stay. Told once. */
  readonly onVanished?: () => void;
  /** Sent with each answer to what is asked without an upgrade. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How long a client may take for its handshake, ms. Default: 10 s. */
  readonly handshakeTimeoutMs?: number;
}

/** A whole message, fragments together; above it the connection ends. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** A client that does not finish its handshake in this time is let go (slowloris). */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** The system looks for handshakes that take too long this often in their time. */
const HANDSHAKE_CHECKS = 4;

/** A half-open connection is found after two silent intervals (F11). */
const PING_INTERVAL_MS = 20_000;

/** Sockets of one listener, those included that only knock. More are a defect of a client. */
const MAX_SOCKETS = 2_048;

/** How long clients may take to read what is on its way to them when the listener closes. */
const CLOSE_TIMEOUT_MS = 3_000;

/** The daemon goes down; clients may come back. */
export const CLOSE_GOING_AWAY = 1001;

/** One address that clients connect to: WebSocket on any path, and the two health paths over plain HTTP. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #http: Server;
  readonly #websockets: WebSocketServer;
  readonly #clients = new Set<ClientSocket>();
  #heartbeat: NodeJS.Timeout | undefined;
  #stopWatching = (): void => {};
  #address: ListenAddress;

  private constructor(options: ListenerOptions) {
    this.#options = options;
    this.#address = options.address;
    const { handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS } = options;
    this.#http = createServer({
      headersTimeout: handshakeTimeoutMs,
      requestTimeout: handshakeTimeoutMs,
      connectionsCheckingInterval: handshakeTimeoutMs / HANDSHAKE_CHECKS,
      // Whether a Host is needed is decided in one place.
      requireHostHeader: false,
      // A small message does not wait until the one before it has been acknowledged.
      noDelay: true,
    });
    this.#http.maxConnections = MAX_SOCKETS;
    // What is asked without an upgrade is a question, no conversation: of many at once no more than one is worked at.
    this.#http.maxRequestsPerSocket = 1;
    this.#websockets = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_MESSAGE_BYTES,
      perMessageDeflate: false,
      // Of a client that sends many messages at once one is taken, then others have their turn.
      allowSynchronousEvents: false,
    });
    this.#http.on('request', (request, response) => this.#plainRequest(request, response));
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Listens. @throws internal if the address cannot be had */
  static async open(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    await listener.#listen();
    return listener;
  }

  /** With the port that the system chose, if it was 0. */
  get address(): ListenAddress {
    return this.#address;
  }

  /** Takes no more clients, ends those there are with a code once they have what was sent to them, and is gone. */
  async close(code: number, reason: string): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#stopWatching();
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    const ends = [...this.#clients].map((client) => client.end(code, reason));
    await new Promise<void>((resolve) => {
      const timeout = setTimeout(resolve, CLOSE_TIMEOUT_MS);
      void Promise.all(ends).then(() => {
        clearTimeout(timeout);
        resolve();
      });
    });
    for (const websocket of this.#websockets.clients) websocket.terminate();
    this.#http.closeAllConnections();
    await closed;
  }

  async #listen(): Promise<void> {
    const { address } = this.#options;
    if (address.kind === 'unix') {
      await listenOnSocketFile(this.#http, address.path);
      this.#stopWatching = watchSocketFile(this.#http, address.path, () => this.#options.onVanished?.());
    } else {
      await new Promise<void>((resolve, reject) => {
        const failed = (error: Error): void => reject(internal(`cannot listen on ${JSON.stringify(address)}`, error));
        this.#http.once('error', failed);
        this.#http.listen(address.port, address.host, () => {
          this.#http.off('error', failed);
          resolve();
        });
      });
      this.#address = { ...address, port: (this.#http.address() as AddressInfo).port };
    }
    // A connection that cannot be accepted, for want of descriptors mostly, is no reason to end.
    this.#http.on('error', (error) => this.#options.onProblem('a connection could not be accepted', error));
    this.#heartbeat = setInterval(() => this.#pingAll(), PING_INTERVAL_MS).unref();
  }

  #plainRequest(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? '/').split('?')[0];
    const isHealth = path === '/readyz' || path === '/healthz';
    const refusal = this.#refusal(request, isHealth ? 'health' : 'upgrade');
    if (refusal !== undefined) {
      respond(response, refusal.status, refusal.text);
      return;
    }
    for (const [name, value] of Object.entries(this.#options.headers ?? {})) response.setHeader(name, value);
    if (!isHealth) respond(response, 400, "Connection header did not include 'upgrade'");
    else if (request.method !== 'GET' && request.method !== 'HEAD') respond(response, 405, '');
    else respond(response, path === '/readyz' && !this.#options.isReady() ? 503 : 200, '');
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const refusal = this.#refusal(request, 'upgrade') ?? this.#refusalForWantOfRoom(request);
    if (refusal === undefined) {
      this.#websockets.handleUpgrade(request, socket, head, (websocket) => this.#connected(websocket, request));
      return;
    }
    const { status, text } = refusal;
    const reason = STATUS_TEXTS[status];
    const length = Buffer.byteLength(text);
    // After an upgrade request nobody else looks after the socket: neither its errors nor its end.
    socket.on('error', () => socket.destroy());
    socket.end(
      `HTTP/1.1 ${status} ${reason}\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: ${length}\r\n\r\n${text}`,
      () => socket.destroy(),
    );
  }

  #connected(websocket: WebSocket, { socket }: IncomingMessage): void {
    const { address, onConnect, onDismissed, inbound, turns, initializeTimeoutMs } = this.#options;
    const transport = address.kind === 'unix' ? 'unix' : `ws ${socket.remoteAddress}:${socket.remotePort}`;
    const client = new ClientSocket({
      websocket,
      socket,
      inbound,
      turns,
      initializeTimeoutMs,
      connect: (sink) => onConnect(sink, transport),
      onDismissed: (reason) => onDismissed(`${reason}, from ${transport}`),
      onGone: () => this.#clients.delete(client),
    });
    this.#clients.add(client);
  }

  #refusal(request: IncomingMessage, asks: 'upgrade' | 'health'): Refusal | undefined {
    const { access, address } = this.#options;
    return this.#noted(request, refusalOf(request, access, asks, address.kind === 'unix'));
  }

  #refusalForWantOfRoom(request: IncomingMessage): Refusal | undefined {
    const text = this.#options.whyFull();
    return text === undefined ? undefined : this.#noted(request, { status: 503, text });
  }

  #noted(request: IncomingMessage, refusal: Refusal | undefined): Refusal | undefined {
    if (refusal !== undefined) {
      const { status, text } = refusal;
      this.#options.onRefused(
        `${status} ${text || 'origin is not allowed'} from ${request.socket.remoteAddress ?? 'unix'}`,
      );
    }
    return refusal;
  }

  #pingAll(): void {
    for (const client of this.#clients) client.ping();
  }
}

const STATUS_TEXTS = { 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 503: 'Service Unavailable' };

function respond(response: ServerResponse, status: number, text: string): void {
  const length = Buffer.byteLength(text);
  // No place among the sockets is held by someone who does not read, or asks again and again.
  response.writeHead(status, { connection: 'close', 'content-type': 'text/plain', 'content-length': length });
  response.end(text);
}
