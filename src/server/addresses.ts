import { isIP } from 'node:net';
import { invalidRequest } from '../domain/errors.ts';
import { isLoopbackName } from './access.ts';

/** Where a listener waits for clients. */
export type ListenAddress =
  | { readonly kind: 'ws'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** A longer path is cut without a word by the system, and two long ones collide (F27). */
export const MAX_SOCKET_PATH_BYTES = 103;

/** Reads `ws://IP:PORT` or `unix://PATH`. @throws invalidRequest that says what an address looks like */
export function parseListenAddress(text: string): ListenAddress {
  if (text.startsWith('unix://')) {
    const path = text.slice('unix://'.length);
    if (!path.startsWith('/')) throw invalidRequest(`unix:// needs an absolute path: ${text}`);
    assertSocketPath(path);
    return { kind: 'unix', path };
  }
  const match = /^ws:\/\/(\[[^\]]+\]|[^:/]+):(\d{1,5})\/?$/.exec(text);
  if (match === null) throw invalidRequest(`cannot listen on ${text}: use ws://IP:PORT or unix://PATH`);
  const [, host = '', portText = ''] = match;
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const port = Number(portText);
  if (port > 65_535) throw invalidRequest(`port ${port} does not exist: ${text}`);
  if (bare !== 'localhost' && isIP(bare) === 0) throw invalidRequest(`${bare} is not an IP address: ${text}`);
  return { kind: 'ws', host: bare, port };
}

/** @throws invalidRequest if the system would cut the path */
export function assertSocketPath(path: string): void {
  const length = Buffer.byteLength(path);
  if (length > MAX_SOCKET_PATH_BYTES) {
    throw invalidRequest(`a socket path may have ${MAX_SOCKET_PATH_BYTES} bytes, this one has ${length}: ${path}`);
  }
}

/** True if only this machine can reach it. */
export const isLocalAddress = (address: ListenAddress): boolean =>
  address.kind === 'unix' || isLoopbackName(address.host);

export const formatListenAddress = (address: ListenAddress): string => {
  if (address.kind === 'unix') return `unix://${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `ws://${host}:${address.port}`;
};
