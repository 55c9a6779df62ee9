import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { Random } from '../../random.ts';

/** What a process of hostile clients is told. */
export interface Orders {
  readonly socket: string;
  readonly debugSocket: string;
  readonly port: number;
  readonly token: string;
  /** A thread that they may do anything to. */
  readonly threadId: string;
  /** A rollout outside the home, which no path may lead to. */
  readonly outside: string;
  /** A file of requests with places for tricks (test/support/trick-requests.ts). */
  readonly tricks: string;
  readonly seed: number;
  readonly times: number;
  /** How often to connect and break off besides. */
  readonly cuts: number;
}

export const orders = JSON.parse(process.argv[2] ?? '{}') as Orders;

/** The debug socket has no port: with this share of all others half of them come over TCP. */
const TCP_SHARE = 0.55;

/** How long one may take to notice that the other side has ended the connection in good order. */
const GOODBYE_MS = 100;

export const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const overTcp = new WeakSet<Socket>();

/** A connection without a word said, where WebSockets and the health paths are. */
export async function raw(random: Random): Promise<Socket> {
  const isTcp = random.chance(TCP_SHARE);
  const socket = isTcp ? createConnection(orders.port, '127.0.0.1') : createConnection(orders.socket);
  if (isTcp) overTcp.add(socket);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

export async function debug(): Promise<Socket> {
  const socket = createConnection(orders.debugSocket);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** A client of the protocol, introduced unless it is not to be. */
export async function connect(random: Random, isIntroduced = true): Promise<WebSocket> {
  const isTcp = random.chance(TCP_SHARE);
  const address = isTcp ? `ws://127.0.0.1:${orders.port}/` : `ws+unix://${orders.socket}:/`;
  const headers = { authorization: `Bearer ${orders.token}` };
  const websocket = new WebSocket(address, { headers, perMessageDeflate: false });
  websocket.on('error', () => {});
  await once(websocket, 'open');
  if (isTcp) overTcp.add(socketOf(websocket));
  if (isIntroduced) {
    websocket.send('{"id":0,"method":"initialize","params":{"clientInfo":{"name":"hostile","version":"1"}}}');
    await once(websocket, 'message');
  }
  return websocket;
}

/** What a WebSocket runs over. */
export const socketOf = (websocket: WebSocket): Socket =>
  (websocket as unknown as { readonly _socket: Socket })._socket;

export const ask = (socket: WebSocket, method: string, params: unknown, id: unknown = 1): void =>
  socket.send(JSON.stringify({ id, method, params }));

/** Ends a connection, over TCP in good order or with a reset. @returns how */
export async function breakOff(random: Random, connection: WebSocket | Socket): Promise<string> {
  const socket = connection instanceof WebSocket ? socketOf(connection) : connection;
  if (!overTcp.has(socket)) {
    socket.destroy();
    return 'ends: Unix socket';
  }
  if (random.chance(0.5)) {
    socket.resetAndDestroy();
    return 'ends: TCP, reset';
  }
  socket.resume().end();
  await Promise.race([socket.closed ? undefined : once(socket, 'close'), later(GOODBYE_MS)]);
  socket.destroy();
  return 'ends: TCP, FIN';
}
