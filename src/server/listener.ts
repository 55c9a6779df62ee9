import { lstat } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { errnoOf, internal } from '../domain/errors.ts';
import { refusalOf, type AccessRules } from './access.ts';
import type { ListenAddress } from './addresses.ts';
import type { OutboundSink } from './outbound-queue.ts';
import { listenOnSocketFile } from './socket-file.ts';

/** What comes in over one connection, and how it is ended. */
export interface Peer {
  /** A text frame. */
  onText: (text: string) => void;
  /** False while so much is on its way to the client that nothing more is taken from it. */
  canTakeMore: () => boolean;
  /** Resolves when everything for the client has been given to its socket. */
  whenSent: () => Promise<void>;
  onClose: () => void;
}

/** Called for each client that was let in; returns what takes its frames. */
export type OnConnect = (sink: OutboundSink, transport: string) => Peer;

export interface ListenerOptions {
  readonly address: ListenAddress;
  readonly access: AccessRules;
  readonly onConnect: OnConnect;
  /** False while the daemon is not ready to serve. */
  readonly isReady: () => boolean;
  /** A refused client, for the log. */
  readonly onRefused: (reason: string) => void;
  /** The system could not give a client its connection; others can still come. */
  readonly onProblem: (message: string, error: unknown) => void;
  /** The file of the Unix socket has gone: nobody can come in here any more, those that have stay. Told once. */
  readonly onVanished?: () => void;
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

/** A socket file that somebody has removed is missed for this long at most (F27), ms. */
const SOCKET_CHECK_INTERVAL_MS = 2_500;

/** More sockets than this on one listener are a defect of a client. */
const MAX_CONNECTIONS = 2_048;

/** How long clients may take to read what is on its way to them when the listener closes. */
const CLOSE_TIMEOUT_MS = 3_000;

/** The daemon goes down; clients may come back. */
export const CLOSE_GOING_AWAY = 1001;

/** The client has not answered pings. It may come back. */
export const CLOSE_SILENT = 4408;

/** One address that clients connect to: WebSocket on any path, and the two health paths over plain HTTP. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #http: Server;
  readonly #websockets: WebSocketServer;
  readonly #peers = new Map<WebSocket, Peer>();
  readonly #alive = new WeakSet<WebSocket>();
  #heartbeat: NodeJS.Timeout | undefined;
  #socketCheck: NodeJS.Timeout | undefined;
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
    });
    this.#http.maxConnections = MAX_CONNECTIONS;
    this.#websockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false });
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
    clearInterval(this.#socketCheck);
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    const ends = [...this.#peers].map(([websocket, peer]) => endPeer(websocket, peer, code, reason));
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
      this.#socketCheck = setInterval(() => this.#checkSocket(address.path), SOCKET_CHECK_INTERVAL_MS).unref();
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
    this.#heartbeat = setInterval(() => this.#ping(), PING_INTERVAL_MS).unref();
  }

  #plainRequest(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? '/').split('?')[0];
    const isHealth = path === '/readyz' || path === '/healthz';
    const refusal = this.#refusal(request, isHealth ? 'health' : 'upgrade');
    if (refusal !== undefined) {
      respond(response, refusal.status, refusal.text);
      return;
    }
    if (!isHealth) respond(response, 400, "Connection header did not include 'upgrade'");
    else if (request.method !== 'GET' && request.method !== 'HEAD') respond(response, 405, '');
    else respond(response, path === '/readyz' && !this.#options.isReady() ? 503 : 200, '');
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const refusal = this.#refusal(request, 'upgrade');
    if (refusal !== undefined) {
      const { status, text } = refusal;
      const reason = { 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden' }[status];
      const length = Buffer.byteLength(text);
      // After an upgrade request nobody else looks after the socket: neither its errors nor its end.
      socket.on('error', () => socket.destroy());
      socket.end(
        `HTTP/1.1 ${status} ${reason}\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: ${length}\r\n\r\n${text}`,
        () => socket.destroy(),
      );
      return;
    }
    this.#websockets.handleUpgrade(request, socket, head, (websocket) => this.#connected(websocket, request));
  }

  #connected(websocket: WebSocket, request: IncomingMessage): void {
    const { address } = this.#options;
    const transport =
      address.kind === 'unix' ? 'unix' : `ws ${request.socket.remoteAddress}:${request.socket.remotePort}`;
    const sink: OutboundSink = {
      get bufferedAmount() {
        return websocket.bufferedAmount;
      },
      send: (text, done) => {
        websocket.send(text, () => {
          done();
          if (websocket.isPaused && peer.canTakeMore()) websocket.resume();
        });
      },
    };
    const peer = this.#options.onConnect(sink, transport);
    this.#peers.set(websocket, peer);
    this.#alive.add(websocket);
    websocket.on('pong', () => this.#alive.add(websocket));
    websocket.on('message', (data: Buffer, isBinary: boolean) => {
      this.#alive.add(websocket);
      // Binary frames are no messages, whatever they hold.
      if (!isBinary) peer.onText(data.toString('utf8'));
      // A client that asks and does not read the answers waits for itself (D11).
      if (!peer.canTakeMore()) websocket.pause();
    });
    // A protocol error ends the connection; 'close' follows.
    websocket.on('error', () => {});
    websocket.on('close', () => {
      this.#peers.delete(websocket);
      peer.onClose();
    });
  }

  #refusal(request: IncomingMessage, asks: 'upgrade' | 'health'): ReturnType<typeof refusalOf> {
    const { access, address, onRefused } = this.#options;
    const refusal = refusalOf(request, access, asks, address.kind === 'unix');
    if (refusal !== undefined) {
      onRefused(
        `${refusal.status} ${refusal.text || 'origin is not allowed'} from ${request.socket.remoteAddress ?? 'unix'}`,
      );
    }
    return refusal;
  }

  #checkSocket(path: string): void {
    lstat(path, (error) => {
      if (errnoOf(error) !== 'ENOENT' || !this.#http.listening) return;
      clearInterval(this.#socketCheck);
      // Closing removes the file, so it must come before there is another one.
      this.#http.close();
      this.#options.onVanished?.();
    });
  }

  #ping(): void {
    for (const websocket of this.#websockets.clients) {
      // A client that reads nothing now is slow, not gone: what it may cost is bounded. Of one that is not read from
      // no pong can come. Should its machine be gone, the system notices that what is on its way does not arrive.
      if (websocket.isPaused || websocket.bufferedAmount > 0) this.#alive.add(websocket);
      else if (this.#alive.delete(websocket)) websocket.ping();
      else {
        // Should it still be there, it learns why.
        websocket.close(CLOSE_SILENT, 'no answer to pings');
        websocket.terminate();
      }
    }
  }
}

/** Closes a connection in good order: what is on its way first, then the closing handshake. */
async function endPeer(websocket: WebSocket, peer: Peer, code: number, reason: string): Promise<void> {
  const closed = new Promise<void>((resolve) => websocket.once('close', () => resolve()));
  await peer.whenSent();
  // A client that was not read from for a while must be, to see its end of the handshake.
  if (websocket.isPaused) websocket.resume();
  websocket.close(code, reason);
  await closed;
}

function respond(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
