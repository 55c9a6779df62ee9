import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import { formatListenAddress, isLocalAddress, parseListenAddress } from '../../src/server/addresses.ts';
import { skein } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';

const LOCAL = ['ws://127.0.0.1:0', 'ws://127.1.2.3:65535', 'ws://localhost:80', 'ws://[::1]:0', 'unix:///run/x.sock'];
const OPEN = ['ws://0.0.0.0:0', 'ws://[::]:1', 'ws://192.168.1.5:80', 'ws://[fe80::1]:80', 'ws://[::ffff:127.0.0.1]:1'];

it('ACC-5 an address is that of this machine or an open one, and nothing is taken for an address that is none', () => {
  for (const text of [...LOCAL, ...OPEN]) expect(formatListenAddress(parseListenAddress(text))).toBe(text);
  expect(LOCAL.map((text) => isLocalAddress(parseListenAddress(text)))).toEqual(LOCAL.map(() => true));
  expect(OPEN.map((text) => isLocalAddress(parseListenAddress(text)))).toEqual(OPEN.map(() => false));
  for (const [text, reason] of [
    ['ws://example.com:80', 'example.com is not an IP address'],
    ['ws://127.evil.com:80', '127.evil.com is not an IP address'],
    ['ws://0:80', '0 is not an IP address'],
    ['ws://127.0.0.1:65536', 'port 65536 does not exist'],
    ['ws://127.0.0.1', 'use ws://IP:PORT or unix://PATH'],
    ['ws://127.0.0.1:80/path', 'use ws://IP:PORT or unix://PATH'],
    ['wss://127.0.0.1:80', 'use ws://IP:PORT or unix://PATH'],
    ['ws://:80', 'use ws://IP:PORT or unix://PATH'],
    ['unix://relative.sock', 'unix:// needs an absolute path'],
    [`unix:///${'x'.repeat(103)}`, 'a socket path may have 103 bytes, this one has 104'],
    [`unix:///${'ä'.repeat(52)}`, 'a socket path may have 103 bytes, this one has 105'],
  ]) {
    expect(() => parseListenAddress(text ?? '')).toThrow(reason);
  }
});

it('ACC-6 a daemon does not start on an open address without authentication', async () => {
  const home = tempFolder();
  for (const address of ['ws://0.0.0.0:0', 'ws://[::]:0']) {
    const { code, stderr } = await skein(home, ['run', '--auth', 'none', '--listen', address]);
    expect(code).toBe(2);
    expect(stderr).toContain(`refusing to listen on ${address} without authentication`);
  }
  expect(existsSync(daemonFiles(home).folder)).toBe(false);
});
