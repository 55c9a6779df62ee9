import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

/** Who may come in (D12). The same rules hold on every listener and every path. */
export interface AccessRules {
  /** Null: no token is asked for. */
  readonly token: string | null;
  /** Browsers send an Origin; none is let in unless it stands here. */
  readonly allowedOrigins: readonly string[];
  /** Names besides those of this machine that a Host header may carry. */
  readonly allowedHosts: readonly string[];
}

/** Why a request is not let in: an HTTP status and the text that clients of the peer know. */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 503;
  readonly text: string;
}

/**
 * Decides about a request by its headers alone.
 * @param asks what the request wants: `health` reveals nothing but that the daemon runs, and needs no token
 * @param isLocalSocket a Unix socket: the file's permissions are its Host
 */
export function refusalOf(
  request: Pick<IncomingMessage, 'headers'>,
  rules: AccessRules,
  asks: 'upgrade' | 'health',
  isLocalSocket: boolean,
): Refusal | undefined {
  const { origin, host, authorization } = request.headers;
  if (origin !== undefined && !rules.allowedOrigins.includes(origin)) return { status: 403, text: '' };
  if (!isLocalSocket && !isAllowedHost(host, rules.allowedHosts)) {
    return { status: 403, text: `host is not allowed: ${printable(host ?? '')}` };
  }
  if (rules.token === null || asks === 'health') return undefined;
  return tokenRefusal(authorization, rules.token);
}

/** True for names and addresses that only mean this machine: a name that merely begins like one is not (F21). */
export function isAllowedHost(host: string | undefined, allowedHosts: readonly string[]): boolean {
  if (host === undefined) return false;
  const name = host.replace(/:\d+$/, '').toLowerCase();
  return isLoopbackName(name) || allowedHosts.some((allowed) => allowed.toLowerCase() === name);
}

/** True for `localhost`, `::1` (bracketed or not) and 127.0.0.0/8. */
export function isLoopbackName(name: string): boolean {
  const bare = name.replace(/^\[(.*)\]$/, '$1');
  if (bare === 'localhost' || bare === '::1') return true;
  return isIP(bare) === 4 && bare.startsWith('127.');
}

function tokenRefusal(authorization: string | undefined, token: string): Refusal | undefined {
  if (authorization === undefined) return { status: 401, text: 'missing websocket bearer token' };
  const match = /^bearer +(.*)$/i.exec(authorization);
  if (match === null) return { status: 401, text: 'invalid authorization header' };
  return isSame(match[1] ?? '', token) ? undefined : { status: 401, text: 'invalid websocket bearer token' };
}

/** Compares in the same time whatever the texts: hashes have one length. */
function isSame(given: string, wanted: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(given), hash(wanted));
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 100);
