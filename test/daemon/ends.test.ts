import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import type { DiskFault } from '../faults/preload/disk-fault.ts';
import { SwitchedDaemons, type SwitchedDaemon } from '../faults/switched-daemon.ts';
import { connected, startDaemon } from '../support/daemon.ts';
import { connectDebug } from '../support/debug-lines.ts';
import { eventually } from '../support/eventually.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { tempFolder } from '../support/temp-home.ts';

/** An echo of this takes longer than a disk takes to fail. */
const LONG = Array.from({ length: 20_000 }, (_, index) => index).join(' ');

/** Rollouts can be written no more. */
const BROKEN: DiskFault = {
  kind: 'error',
  calls: ['write', 'writev'],
  path: 'rollout-',
  after: 0,
  errno: 'EIO',
};

/** What is written to rollouts does not come back. */
const HANGING: DiskFault = { ...BROKEN, kind: 'hang' };

interface Spoken {
  readonly daemon: SwitchedDaemon;
  readonly client: RpcClient;
  readonly threadId: string;
  /** The code and the reason that the client is closed with. */
  readonly closed: Promise<readonly [number, string]>;
}

/** A daemon whose disk breaks when words of a user are stored and their answer is not. */
async function brokenInMidTurn(home: string, fault: DiskFault, shutdownSeconds: number): Promise<Spoken> {
  const daemon = await new SwitchedDaemons(onTestFinished).start(home, [
    '--set',
    `limits.shutdownSeconds=${shutdownSeconds}`,
  ]);
  const client = await connected(`unix://${daemon.info.socket}`);
  const closed = once(client.socket, 'close').then(([code, reason]) => [Number(code), String(reason)] as const);
  const threadId = (await client.call('thread/start', {})).thread.id;
  const input = [{ type: 'text', text: LONG, text_elements: [] }];
  await client.call('turn/start', { threadId, input });
  await daemon.inject(fault);
  return { daemon, client, threadId, closed };
}

/** The answer is told, and could not be written. */
async function whenRefused({ daemon, client, threadId }: Spoken): Promise<void> {
  await client.notification('turn/completed');
  const debug = await connectDebug(daemon.info.debugSocket ?? '');
  await eventually(async () => {
    const { threads } = (await debug.call('snapshot')).result;
    expect(threads.find((thread: Json) => thread.threadId === threadId)).toMatchObject({
      persistence: 'recovering',
      turn: 'idle',
    });
  });
}

/** What a daemon that comes later knows of a thread. */
async function turnsAfter(home: string, threadId: string): Promise<readonly Json[]> {
  const client = await (await startDaemon(home)).connect();
  return (await client.call('thread/turns/list', { threadId, itemsView: 'full' })).data;
}

const textsOf = ([turn]: readonly Json[]): readonly string[] =>
  turn.items.map(({ type, text, content }: Json) => (type === 'userMessage' ? content[0].text : text));

const logOf = (home: string): string => readFileSync(daemonFiles(home).log, 'utf8');

it('LIFE-33 what the disk refused for a while is written by the end, though that comes before the next attempt', async () => {
  const home = tempFolder();
  const spoken = await brokenInMidTurn(home, BROKEN, 20);
  await whenRefused(spoken);
  const { daemon, client, threadId } = spoken;
  expect(await daemon.inject(null)).toBeGreaterThan(0);
  expect(await daemon.stop('SIGTERM')).toBe(0);
  const answer = client.notifications
    .filter(({ method }) => method === 'item/agentMessage/delta')
    .map(({ params }) => params.delta)
    .join('');
  const turns = await turnsAfter(home, threadId);
  expect(turns).toMatchObject([{ status: 'completed' }]);
  expect(textsOf(turns)).toEqual([LONG, answer]);
});

it('LIFE-34 what could not be saved by the end is told, and the exit code says so', async () => {
  const home = tempFolder();
  const spoken = await brokenInMidTurn(home, BROKEN, 20);
  await whenRefused(spoken);
  const { daemon, threadId, closed } = spoken;
  expect(await daemon.stop('SIGTERM')).toBe(1);
  expect(await closed).toEqual([1001, 'the daemon has stopped']);
  const loss = new RegExp(`what was said last in 1 thread could not be saved: ${threadId} \\([^)]*EIO`);
  expect(daemon.output()).toMatch(loss);
  expect(logOf(home)).toMatch(loss);
  expect(textsOf(await turnsAfter(home, threadId))[0]).toBe(LONG);
});

it('LIFE-35 an end that hangs on the disk is cut off in time, and clients are told first', async () => {
  const healthy = await startDaemon(tempFolder());
  const from = performance.now();
  expect(await healthy.stop('SIGTERM')).toBe(0);
  const healthyMs = performance.now() - from;

  const home = tempFolder();
  const { daemon, threadId, closed } = await brokenInMidTurn(home, HANGING, 0.5);
  daemon.child.kill('SIGTERM');
  await daemon.said(/waiting for 1 running turn/);
  const cutFrom = performance.now();
  expect(await daemon.stop('SIGTERM')).toBe(1);
  // At least a moment, lest a very quick healthy end makes this a matter of milliseconds.
  expect((performance.now() - cutFrom) / Math.max(healthyMs, 100)).toBeLessThan(15);
  expect(await closed).toEqual([1001, 'the daemon has stopped']);
  const loss = `what was said last in 1 thread could not be saved: ${threadId} (the disk has not answered)`;
  expect(daemon.output()).toContain(loss);
  expect(logOf(home)).toContain(loss);
  expect(textsOf(await turnsAfter(home, threadId))[0]).toBe(LONG);
});

it('LIFE-36 an end that hangs says so, and another signal cuts it off at once', async () => {
  const home = tempFolder();
  const { daemon, threadId, closed } = await brokenInMidTurn(home, HANGING, 10);
  daemon.child.kill('SIGTERM');
  await daemon.said(/waiting for 1 running turn/);
  const from = performance.now();
  daemon.child.kill('SIGTERM');
  await daemon.said(/the end takes long \(closing threads\); stop again to end at once, without what is not saved/);
  const cutFrom = performance.now();
  expect(await daemon.stop('SIGTERM')).toBe(1);
  // What was waited is a fifth of its time; threads alone would be waited for half of it more.
  expect((performance.now() - cutFrom) / (cutFrom - from)).toBeLessThan(2);
  expect(await closed).toEqual([1001, 'the daemon has stopped']);
  const loss = `what was said last in 1 thread could not be saved: ${threadId} (the disk has not answered)`;
  expect(daemon.output()).toContain(loss);
  expect(logOf(home)).toContain(loss);
});
