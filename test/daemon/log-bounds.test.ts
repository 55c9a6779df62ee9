import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { RotatingFile, createLogger } from '../../src/daemon/log.ts';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import { connected, startDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { rawRequest, UPGRADE } from '../support/raw-http.ts';
import type { Json } from '../support/rpc-client.ts';
import { skein, startInBackground } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';

/** The least that can be configured. */
const BOUND = 10_000;

const logsIn = (folder: string): readonly string[] =>
  readdirSync(folder)
    .filter((name) => name.startsWith('daemon.log'))
    .toSorted()
    .toReversed();

const linesIn = (folder: string): readonly Json[] =>
  logsIn(folder)
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

const bytesOf = (path: string): number => statSync(path).size;

it('LIFE-30 a log has the bound and the number of files that are configured, also if they were more before', async () => {
  const home = tempFolder();
  const { folder } = daemonFiles(home);
  let refused = 0;
  /** Runs a daemon on which others knock, and are refused. */
  const knockAt = async (keptFiles: number, times: number): Promise<void> => {
    const set = ['--set', `log.maxFileBytes=${BOUND}`, '--set', `log.keptFiles=${keptFiles}`];
    const daemon = await startDaemon(home, set);
    for (const last = refused + times; refused < last;) {
      refused += 1;
      const host = `${refused}.${'example'.repeat(10)}`;
      expect((await rawRequest(Number(new URL(daemon.url).port), 'GET', '/', { ...UPGRADE, host })).status).toBe(403);
    }
    await daemon.stop();
  };
  await knockAt(3, 250);
  const kept = logsIn(folder);
  expect(kept).toEqual(['daemon.log.3', 'daemon.log.2', 'daemon.log.1', 'daemon.log']);
  const sizes = kept.map((name) => bytesOf(join(folder, name)));
  expect(Math.max(...sizes)).toBeLessThanOrEqual(BOUND);
  expect(Math.min(...sizes.slice(0, 3))).toBeGreaterThan(BOUND * 0.9);
  // The newest, each once and in order.
  const told = linesIn(folder).flatMap(({ msg }) => /not allowed: (\d+)\./.exec(msg)?.[1] ?? []);
  expect(told.map(Number)).toEqual(Array.from({ length: told.length }, (_, at) => refused - told.length + 1 + at));
  expect(told.length).toBeGreaterThan(100);
  expect(told.length).toBeLessThan(refused);

  await knockAt(1, 60);
  expect(logsIn(folder)).toEqual(['daemon.log.1', 'daemon.log']);
  await knockAt(0, 60);
  expect(logsIn(folder)).toEqual(['daemon.log']);
  expect(bytesOf(join(folder, 'daemon.log'))).toBeLessThanOrEqual(BOUND);
});

it.each([
  ['of one long word', 'x'.repeat(200_000)],
  ['of characters that are three bytes each', '\u20ac'.repeat(100_000)],
  ['of characters that are spelled', '\u0001"\\\n'.repeat(50_000)],
  ['of characters that are two units each', '\u{1f40b}'.repeat(60_000)],
])('LIFE-31 a line that is too long is cut, and is a line of JSON: %s', (_, text) => {
  for (const [maxBytes, most] of [
    [BOUND, BOUND],
    [1_000_000, 65_536],
  ] as const) {
    const folder = tempFolder();
    const path = join(folder, 'daemon.log');
    const file = new RotatingFile(path, maxBytes, 1);
    onTestFinished(() => file.close());
    const log = createLogger('info', file);
    log.info('before');
    log.error({ err: new Error(text) }, 'what is said of it');
    log.info({ more: text }, text);
    log.info('after');
    const lines = linesIn(folder);
    const cut = { beginning: expect.stringContaining('{"level":'), lineBytes: expect.any(Number) };
    expect(lines).toMatchObject(
      [
        { level: 30, msg: 'before' },
        { level: 50, msg: 'what is said of it', pid: process.pid, ...cut },
        { level: 30, msg: expect.stringContaining(text.slice(0, 500)), pid: process.pid, ...cut },
        { level: 30, msg: 'after' },
        // Older ones may be gone for want of room.
      ].slice(-lines.length),
    );
    expect(lines.length).toBeGreaterThan(1);
    const lengths = lines.map((line) => Buffer.byteLength(`${JSON.stringify(line)}\n`));
    expect(Math.max(...lengths)).toBeLessThanOrEqual(most);
    // As much as there is room for.
    expect(Math.max(...lengths)).toBeGreaterThan(most / 5);
    expect(Math.max(...logsIn(folder).map((name) => bytesOf(join(folder, name))))).toBeLessThanOrEqual(maxBytes);
  }
});

it('LIFE-32 what a background daemon prints is begun anew at each start, and is little', async () => {
  const home = tempFolder();
  const { folder, output, socket } = daemonFiles(home);
  await startInBackground(home);
  await skein(home, ['stop']);
  writeFileSync(output, 'what others have said\n'.repeat(10_000));
  await startInBackground(home);
  const printed = readFileSync(output, 'utf8');
  expect(printed).toContain('serves');
  expect(printed).not.toContain('what others have said');
  // What it has to say later goes to the log, however much that is.
  const client = await connected(`unix://${socket}`);
  for (let number = 0; number < 50; number += 1) client.send({ id: 'no request of the daemon', result: {} });
  const { thread } = await client.call('thread/start', {});
  expect(readFileSync(output, 'utf8')).toBe(printed);
  expect(readdirSync(folder)).toContain('daemon.log');

  // As another start does that comes too late.
  truncateSync(output);
  await client.call('thread/shellCommand', { threadId: thread.id, command: 'sleep 600' });
  const stopping = skein(home, ['stop']);
  await eventually(() => expect(readFileSync(output, 'utf8')).toMatch(/^waiting for 1 running turn/));
  await skein(home, ['stop', '--now']);
  await stopping;
});
