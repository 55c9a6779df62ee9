import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { once } from 'node:events';
import { expect, it, onTestFinished } from 'vitest';
import { lockHome } from '../../src/daemon/home-lock.ts';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import { connected, SKEIN, startDaemon } from '../support/daemon.ts';
import { start } from '../support/process.ts';
import { rawRequest } from '../support/raw-http.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { skein } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';

/** An echo of this takes longer than a signal takes to arrive. */
const LONG = Array.from({ length: 120_000 }, (_, index) => index).join(' ');

/** Begins a turn. Waiting for its answer would give it time to end on a machine that has much else to do. */
async function beginTurn(client: RpcClient, text: string): Promise<{ readonly threadId: string; readonly turn: Json }> {
  const threadId = (await client.call('thread/start', {})).thread.id;
  const { turn } = await client.call('turn/start', { threadId, input: [{ type: 'text', text, text_elements: [] }] });
  return { threadId, turn };
}

const completedTurn = async (client: RpcClient): Promise<Json> =>
  (await client.notification('turn/completed')).params.turn;

it('LIFE-15 a signal ends an idle daemon, tells its clients, and leaves the home free', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const client = await daemon.connect();
  const closed = once(client.socket, 'close');
  expect(await daemon.stop('SIGTERM')).toBe(0);
  const [code, reason] = await closed;
  expect([code, String(reason)]).toEqual([1001, 'the daemon has stopped']);
  const { folder, lock } = daemonFiles(home);
  expect(readdirSync(folder).filter((name) => /sock|daemon\.json/.test(name))).toEqual([]);
  lockHome(lock).release();
});

it('LIFE-16 a signal lets running turns end, tells clients so, and others are served until then', async () => {
  const daemon = await startDaemon(tempFolder());
  const client = await daemon.connect();
  const { threadId } = await beginTurn(client, LONG);
  daemon.child.kill('SIGTERM');
  await daemon.said(/waiting for 1 running turn/);
  const { params } = await client.notification('warning');
  expect(params).toEqual({ threadId: null, message: expect.stringContaining('in 60 s at the latest') });
  const other = await daemon.connect();
  expect((await other.call('thread/read', { threadId })).thread.id).toBe(threadId);
  expect((await rawRequest(Number(new URL(daemon.url).port), 'GET', '/readyz', { host: 'localhost' })).status).toBe(
    200,
  );
  expect((await completedTurn(client)).status).toBe('completed');
  expect(await daemon.exited).toBe(0);
});

it('LIFE-17 a second signal interrupts running turns and stores that', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const client = await daemon.connect();
  const { threadId } = await beginTurn(client, LONG);
  daemon.child.kill('SIGTERM');
  await daemon.said(/waiting for 1 running turn/);
  daemon.child.kill('SIGTERM');
  expect((await completedTurn(client)).status).toBe('interrupted');
  expect(await daemon.exited).toBe(0);
  const again = await (await startDaemon(home)).connect();
  const { data } = await again.call('thread/turns/list', { threadId });
  expect(data).toMatchObject([{ status: 'interrupted' }]);
});

it('LIFE-27 signals that come up to the last moment change nothing about the end', async () => {
  // However busy the machine is, a healthy end takes less than a fifth of this.
  const { child, exited } = await startDaemon(tempFolder(), ['--set', 'limits.shutdownSeconds=60']);
  while (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM');
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await exited).toBe(0);
});

it('LIFE-18 the time that turns are waited for has an end', async () => {
  const daemon = await startDaemon(tempFolder(), ['--set', 'limits.drainSeconds=0.05']);
  const client = await daemon.connect();
  await beginTurn(client, LONG);
  daemon.child.kill('SIGTERM');
  expect((await completedTurn(client)).status).toBe('interrupted');
  expect(await daemon.exited).toBe(0);
});

it('LIFE-19 after a kill every acknowledged word is there, and the cut-off turn is interrupted', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const client = await daemon.connect();
  const { threadId } = await beginTurn(client, LONG);
  await daemon.stop('SIGKILL');
  const again = await (await startDaemon(home)).connect();
  const { data } = await again.call('thread/turns/list', { threadId, itemsView: 'full' });
  expect(data).toMatchObject([{ status: 'interrupted', items: [{ type: 'userMessage', content: [{ text: LONG }] }] }]);
  await again.call('thread/resume', { threadId, excludeTurns: true });
  expect(await again.turn(threadId, 'and on')).toMatchObject({ status: 'completed' });
});

it('LIFE-20 a start that fails half-way leaves nothing behind', async () => {
  const home = tempFolder();
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  onTestFinished(async () => {
    taken.close();
    await once(taken, 'close');
  });
  const { port } = taken.address() as AddressInfo;
  const failed = await skein(home, ['run', '--listen', `ws://127.0.0.1:${port}`]);
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain(`127.0.0.1:${port}`);
  expect(failed.stderr).toContain('EADDRINUSE');
  expect(failed.stderr).not.toContain('    at ');
  const { folder, lock } = daemonFiles(home);
  expect(readdirSync(folder).filter((name) => /sock|daemon\.json/.test(name))).toEqual([]);
  lockHome(lock).release();
});

it('LIFE-21 says how to connect, and that the model is none', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home, ['--listen', 'ws://127.0.0.1:0', '--listen', `unix://${home}/other.sock`]);
  const { info } = daemon;
  expect(info.listen).toEqual([expect.stringMatching(/^ws:\/\/127\.0\.0\.1:[1-9]\d*$/), `unix://${home}/other.sock`]);
  expect(existsSync(join(home, 'other.sock'))).toBe(true);
  expect(JSON.parse(readFileSync(daemonFiles(home).info, 'utf8'))).toEqual(info);
  await daemon.stop();
  const forPeople = await startText(home);
  expect(forPeople).toContain(`serves ${home}`);
  expect(forPeople).toContain(daemonFiles(home).token);
  expect(forPeople).toContain('The model is echo');
  expect(forPeople).toContain('npx skein send');
});

it('LIFE-22 the token stands in its file and nowhere else', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const { token, folder } = daemonFiles(home);
  const secret = readFileSync(token, 'utf8').trim();
  expect(secret.length).toBeGreaterThanOrEqual(43);
  const client = await daemon.connect();
  await client.refusal('thread/read', { threadId: 'x' });
  await (await connected(daemon.url, { token: secret })).close();
  await daemon.stop();
  const others = readdirSync(folder).filter((name) => name !== 'token');
  expect(others.filter((name) => readFileSync(join(folder, name)).includes(secret))).toEqual([]);
  expect(daemon.output()).not.toContain(secret);
});

it('LIFE-25 while running turns are waited for no other begins, and those that run can be steered', async () => {
  const daemon = await startDaemon(tempFolder());
  const client = await daemon.connect();
  const idle = (await client.call('thread/start', {})).thread.id;
  const { threadId, turn } = await beginTurn(client, LONG);
  daemon.child.kill('SIGTERM');
  await daemon.said(/waiting for 1 running turn/);
  const input = [{ type: 'text', text: 'and more', text_elements: [] }];
  for (const [method, params] of [
    ['turn/start', { threadId: idle, input }],
    ['thread/shellCommand', { threadId: idle, command: 'true' }],
    ['thread/compact/start', { threadId }],
  ] as const) {
    const { code, message, data } = await client.refusal(method, params);
    expect([code, message]).toEqual([-32001, 'the daemon is stopping; try again when it is back']);
    expect(data.kind).toBe('overloaded');
  }
  await client.call('turn/steer', { threadId, input, expectedTurnId: turn.id });
  expect(await completedTurn(client)).toMatchObject({ id: turn.id, status: 'completed' });
  expect(await daemon.exited).toBe(0);
});

/** What `skein run` says to people. */
async function startText(home: string): Promise<string> {
  const running = start(process.execPath, [SKEIN, 'run', '--home', home]);
  await running.said(/Ctrl-C stops/);
  await running.stop('SIGINT');
  return running.output();
}

it('LIFE-23 a file that may not grow is a write that is refused: reads go on, and nothing is lost or torn', async () => {
  const home = tempFolder();
  const before = await startDaemon(home);
  const writer = await before.connect();
  const threadId = (await writer.call('thread/start', {})).thread.id;
  await writer.turn(threadId, 'words');
  expect(await before.stop()).toBe(0);
  // 400 KiB for any file: less than a message, more than the daemon needs for itself.
  const limited = start('sh', [
    '-c',
    'ulimit -f 800; exec "$@"',
    'sh',
    process.execPath,
    SKEIN,
    'run',
    '--json',
    '--home',
    home,
  ]);
  const [line] = await limited.said(/^\{.*\}\n/m);
  const client = await connected(`unix://${JSON.parse(line).socket}`);
  const { thread } = await client.call('thread/resume', { threadId });
  const bytes = readFileSync(thread.path);
  const input = [{ type: 'text', text: 'x'.repeat(500_000), text_elements: [] }];
  expect(await client.refusal('turn/start', { threadId, input })).toMatchObject({
    code: -32603,
    data: { kind: 'internal', errno: 'EFBIG' },
  });
  expect(readFileSync(thread.path).equals(bytes)).toBe(true);
  expect((await client.call('thread/turns/list', { threadId })).data).toHaveLength(1);
  expect((await client.turn(threadId, 'shorter words')).status).toBe('completed');
  expect((await client.call('thread/list', {})).data).toMatchObject([{ id: threadId, preview: 'words' }]);
  expect(await limited.stop()).toBe(0);
});
