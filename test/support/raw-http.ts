import { createConnection, type Socket } from 'node:net';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';

/** Where a server listens: a port of 127.0.0.1, or the path of a Unix socket. */
export type RawAddress = number | string;

/** A plain connection, kept half open until the test ends, so that the other side has to end it. */
export async function rawConnection(address: RawAddress): Promise<Socket> {
  const socket =
    typeof address === 'number'
      ? createConnection({ port: address, host: '127.0.0.1', allowHalfOpen: true })
      : createConnection({ path: address, allowHalfOpen: true });
  socket.on('error', () => {});
  onTestFinished(async () => {
    if (socket.closed) return;
    const closed = once(socket, 'close');
    socket.destroy();
    await closed;
  });
  await once(socket, 'connect');
  return socket;
}

export interface RawAnswer {
  readonly status: number;
  readonly body: string;
}

/** A request byte for byte: what no well-behaved client sends. The answer is all that comes until it is complete. */
export async function rawRequest(
  address: RawAddress,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<RawAnswer> {
  const socket = await rawConnection(address);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  socket.write([`${method} ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    const [head = '', body = ''] = text.split('\r\n\r\n');
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]);
    const length = method === 'HEAD' ? 0 : Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
    if (text.includes('\r\n\r\n') && body.length >= length) return { status, body: status === 101 ? '' : body };
  }
  throw new Error(`no answer but: ${text}`);
}

/** What turns a request into the opening of a WebSocket. */
export const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
} as const;
