import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { LastPorts } from '../../src/daemon/last-ports.ts';
import { connected, startDaemon } from '../support/daemon.ts';
import { skein, startInBackground } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';

const ANY_PORTS = ['--listen', 'ws://127.0.0.1:0', '--listen', 'ws://127.0.0.1:0', '--auth', 'none'];

it('LIFE-24 an address that may have any port has the same after a restart and a kill', async () => {
  const home = tempFolder();
  const { listen, pid } = (await startInBackground(home, ['--json', ...ANY_PORTS])).json;
  expect(new Set(listen).size).toBe(2);
  const restarted = (await skein(home, ['restart', '--json'])).json;
  expect(restarted.pid).not.toBe(pid);
  expect(restarted.listen).toEqual(listen);
  await (await connected(listen[1])).call('thread/loaded/list', {});
  process.kill(restarted.pid, 'SIGKILL');
  // A port that is asked for by its number is not for the other one.
  const next = await startDaemon(home, ['--listen', 'ws://127.0.0.1:0', '--listen', listen[0]]);
  expect(next.info.listen).toEqual([listen[1], listen[0]]);
});

it('LIFE-24 a port that somebody else has taken since gives way to a free one, which is kept in its place', async () => {
  const home = tempFolder();
  const before = await startDaemon(home);
  await before.stop();
  const other = createServer().listen(Number(new URL(before.url).port), '127.0.0.1');
  await once(other, 'listening');
  onTestFinished(() => void other.close());
  const second = await startDaemon(home);
  expect(second.url).toMatch(/^ws:\/\/127\.0\.0\.1:[1-9]\d*$/);
  expect(second.url).not.toBe(before.url);
  await second.stop();
  expect((await startDaemon(home)).url).toBe(second.url);
});

it.each(['', '{"a":1}', '["ws://127.0.0.1:99999"]', '["unix:///x",7]', '["ws://127.0.0.2:4500"]'])(
  'LIFE-24 what is remembered is no more than a wish: %s',
  async (text) => {
    const path = join(tempFolder(), 'last-ports.json');
    writeFileSync(path, text);
    const wanted = { kind: 'ws', host: '127.0.0.1', port: 0 } as const;
    const asked: unknown[] = [];
    await LastPorts.read(path, [wanted]).listen(wanted, async (address) => {
      asked.push(address);
      return address;
    });
    expect(asked).toEqual([wanted]);
  },
);
