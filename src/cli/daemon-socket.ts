import { createConnection, type Socket } from 'node:net';
import type { DaemonInfo } from '../domain/daemon-files.ts';
import { CliError, EXIT } from './exit-code.ts';
import { fullDaemon, silentDaemon } from './hints.ts';

/** A daemon that does not take a connection in this time is not well. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** More is no answer to a handshake. */
const MAX_HEAD_BYTES = 16 * 1024;

/** The key and the answer to it that RFC 6455 has as its example: they keep caches away, and a socket file has none. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

const REQUEST = [
  'GET / HTTP/1.1',
  'Host: localhost',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  `Sec-WebSocket-Key: ${KEY}`,
  '\r\n',
].join('\r\n');

/**
 * Opens a WebSocket on a daemon's Unix socket. The caller reads and writes its frames.
 * @returns undefined if nobody listens there
 * @throws CliError if what listens does not speak WebSocket, or says nothing
 */
export function openDaemonSocket(daemon: Pick<DaemonInfo, 'socket' | 'pid' | 'home'>): Promise<Socket | undefined> {
  const path = daemon.socket;
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    let head = Buffer.alloc(0);
    let isConnected = false;
    const done = (): void => {
      clearTimeout(timer);
      socket.off('data', read);
      socket.off('close', ended);
    };
    const failWith = (error: CliError): void => {
      done();
      socket.destroy();
      reject(error);
    };
    const fail = (why: string): void => failWith(new CliError(EXIT.failure, `${why} (${path})`));
    const ended = (): void => {
      if (isConnected) fail('the daemon has ended the connection before it was open');
      else {
        done();
        resolve(undefined);
      }
    };
    const read = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end === -1 && head.length < MAX_HEAD_BYTES) return;
      const text = head.toString('latin1', 0, Math.max(end, 0));
      if (text.startsWith('HTTP/1.1 503 ')) {
        failWith(fullDaemon(daemon));
        return;
      }
      if (!text.startsWith('HTTP/1.1 101 ') || !text.includes(ACCEPT)) {
        fail(`what answers is no daemon: ${text.split('\r\n')[0] ?? ''}`);
        return;
      }
      done();
      socket.pause();
      const rest = head.subarray(end + 4);
      if (rest.length > 0) socket.unshift(rest);
      resolve(socket);
    };
    const timer = setTimeout(
      () => failWith(silentDaemon(daemon, 'it does not take the connection')),
      HANDSHAKE_TIMEOUT_MS,
    );
    socket.on('data', read);
    socket.on('close', ended);
    // 'close' follows.
    socket.on('error', () => {});
    socket.once('connect', () => {
      isConnected = true;
      socket.write(REQUEST);
    });
  });
}
