import { describe, expect, it } from 'vitest';
import { rawRequest, UPGRADE, type RawAddress } from '../support/raw-http.ts';
import { startServer, type RunningServer } from '../support/server.ts';

const TOKEN = 'the-right-token';
const LISTED = 'https://listed.example';

/** What comes with a request, and what it leads to: on a WebSocket port, on the health paths, on a Unix socket. */
interface Row {
  readonly case: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly upgrade: readonly [number, string];
  readonly health: readonly [number, string];
  readonly unix: readonly [number, string];
}

const local = { host: '127.0.0.1' };
const right = { ...local, authorization: `Bearer ${TOKEN}` };
const WELCOME = { upgrade: [101, ''], health: [200, ''], unix: [101, ''] } as const;
const NO_ORIGIN = { upgrade: [403, ''], health: [403, ''], unix: [403, ''] } as const;
const wrongHost = (host: string): Omit<Row, 'case' | 'headers'> => ({
  upgrade: [403, `host is not allowed: ${host}`],
  health: [403, `host is not allowed: ${host}`],
  unix: [101, ''],
});
const noToken = (text: string): Omit<Row, 'case' | 'headers'> => ({ ...WELCOME, upgrade: [401, text] });

const ROWS: readonly Row[] = [
  { case: 'the right token', headers: right, ...WELCOME },
  { case: 'a lower-case scheme', headers: { ...local, authorization: `bearer ${TOKEN}` }, ...WELCOME },
  { case: 'no token', headers: local, ...noToken('missing websocket bearer token') },
  {
    case: 'a wrong token',
    headers: { ...local, authorization: 'Bearer wrong' },
    ...noToken('invalid websocket bearer token'),
  },
  {
    case: 'a beginning of the token',
    headers: { ...local, authorization: `Bearer ${TOKEN.slice(0, -1)}` },
    ...noToken('invalid websocket bearer token'),
  },
  {
    case: 'another scheme',
    headers: { ...local, authorization: `Basic ${TOKEN}` },
    ...noToken('invalid authorization header'),
  },
  {
    case: 'a scheme without a token',
    headers: { ...local, authorization: 'Bearer' },
    ...noToken('invalid authorization header'),
  },
  { case: 'a foreign origin', headers: { ...right, origin: 'https://evil.example' }, ...NO_ORIGIN },
  { case: 'the origin null', headers: { ...right, origin: 'null' }, ...NO_ORIGIN },
  { case: 'the origin of this machine', headers: { ...right, origin: 'http://127.0.0.1' }, ...NO_ORIGIN },
  { case: 'a listed origin', headers: { ...right, origin: LISTED }, ...WELCOME },
  {
    case: 'a listed origin without a token',
    headers: { ...local, origin: LISTED },
    ...noToken('missing websocket bearer token'),
  },
  { case: 'a foreign host', headers: { ...right, host: 'evil.example' }, ...wrongHost('evil.example') },
  {
    case: 'a host that begins like this machine',
    headers: { ...right, host: '127.evil.com:80' },
    ...wrongHost('127.evil.com:80'),
  },
  {
    case: 'a host that ends like this machine',
    headers: { ...right, host: 'evil.localhost' },
    ...wrongHost('evil.localhost'),
  },
  { case: 'a short address', headers: { ...right, host: '127.1' }, ...wrongHost('127.1') },
  { case: 'no host', headers: { authorization: `Bearer ${TOKEN}` }, ...wrongHost('') },
  { case: 'localhost', headers: { ...right, host: 'LocalHost:1234' }, ...WELCOME },
  { case: 'the IPv6 loopback', headers: { ...right, host: '[::1]:1234' }, ...WELCOME },
  { case: 'another loopback address', headers: { ...right, host: '127.8.9.10' }, ...WELCOME },
  { case: 'a listed host', headers: { ...right, host: 'skein.EXAMPLE:1' }, ...WELCOME },
];

const guarded = (): Promise<RunningServer> =>
  startServer({ access: { token: TOKEN, allowedOrigins: [LISTED], allowedHosts: ['Skein.example'] } });

const upgrade = async (
  address: RawAddress,
  headers: Row['headers'],
  path = '/',
): Promise<readonly [number, string]> => {
  const { status, body } = await rawRequest(address, 'GET', path, { ...UPGRADE, ...headers });
  return [status, body];
};

const plain = async (
  address: RawAddress,
  method: string,
  path: string,
  headers: Row['headers'],
): Promise<readonly [number, string]> => {
  const { status, body } = await rawRequest(address, method, path, headers);
  return [status, body];
};

describe('who is let in', () => {
  it.each(ROWS)(
    'ACC-1 $case: WebSocket, health and Unix socket',
    async ({ headers, upgrade: expected, health, unix }) => {
      const { port, socket } = await guarded();
      expect(await upgrade(port, headers)).toEqual(expected);
      // A health path is no way around the rules of an upgrade.
      expect(await upgrade(port, headers, '/readyz')).toEqual(expected);
      for (const path of ['/readyz', '/healthz?x=1']) expect(await plain(port, 'GET', path, headers)).toEqual(health);
      expect(await upgrade(socket, headers)).toEqual(unix);
      const onUnix = unix[0] === 101 ? [200, ''] : unix;
      expect(await plain(socket, 'GET', '/readyz', headers)).toEqual(onUnix);
    },
  );
});

it('ACC-2 without an upgrade only the health paths answer, to GET and HEAD', async () => {
  const { port, socket } = await guarded();
  const noUpgrade = [400, "Connection header did not include 'upgrade'"];
  for (const address of [port, socket]) {
    for (const path of ['/readyz', '/healthz']) {
      expect(await plain(address, 'HEAD', path, right)).toEqual([200, '']);
      expect(await plain(address, 'POST', path, { ...right, 'content-length': '0' })).toEqual([405, '']);
      expect(await plain(address, 'DELETE', path, right)).toEqual([405, '']);
    }
    for (const path of ['/', '/readyz/', '/readyz/../x', '*']) {
      expect(await plain(address, 'GET', path, right)).toEqual(noUpgrade);
    }
    expect((await plain(address, 'POST', '/', { ...right, 'content-length': '0' }))[0]).toBe(400);
  }
  expect(await plain(port, 'GET', '/', local)).toEqual([401, 'missing websocket bearer token']);
});

it('ACC-3 /readyz says whether the daemon serves yet, /healthz that it runs', async () => {
  let isReady = false;
  const { port } = await startServer({ isReady: () => isReady });
  expect(await plain(port, 'GET', '/readyz', local)).toEqual([503, '']);
  expect(await plain(port, 'GET', '/healthz', local)).toEqual([200, '']);
  isReady = true;
  expect(await plain(port, 'GET', '/readyz', local)).toEqual([200, '']);
});

it('ACC-4 refusals are logged with their reason and whence they came, and without what was presented', async () => {
  const { port, logged } = await guarded();
  await upgrade(port, { ...local, authorization: 'Bearer wrong-secret' });
  await upgrade(port, { ...right, origin: 'https://evil.example' });
  await upgrade(port, { ...right, host: `evil${'.'.repeat(500)}` });
  expect(logged[0]).toMatch(/^refused a connection: 401 invalid websocket bearer token from 127\.0\.0\.1$/);
  expect(logged[1]).toMatch(/^refused a connection: 403 origin is not allowed from/);
  expect(logged.at(-1)?.length).toBeLessThan(250);
  expect(logged.join('\n')).not.toMatch(/wrong-secret|the-right-token/);
});
