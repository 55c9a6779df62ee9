import { existsSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { DebugServer } from '../../src/debug/debug-server.ts';
import type { Inspected } from '../../src/debug/snapshot.ts';
import type { Transition } from '../../src/runtime/transitions.ts';
import { eventually } from '../support/eventually.ts';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import { startDaemon } from '../support/daemon.ts';
import { connectDebug } from '../support/debug-lines.ts';
import { skein } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';

const socketOf = ({ debugSocket }: { readonly debugSocket: string | null }): string => debugSocket ?? '';

it('DBG-1 the socket is the owner’s alone, and absent if it is not wanted', async () => {
  const daemon = await startDaemon(tempFolder());
  expect(statSync(socketOf(daemon.info)).mode & 0o777).toBe(0o600);
  const without = await startDaemon(tempFolder(), ['--set', 'debugSocket=false']);
  expect(without.info.debugSocket).toBeNull();
});

it('DBG-2 snapshot shows daemon, connections, loaded threads with both states, queues and stores', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const client = await daemon.connect({ name: 'an-editor' });
  const { thread } = await client.call('thread/start', {});
  const lazy = (await client.call('thread/start', {})).thread;
  await client.turn(thread.id, 'hello');
  const debug = await connectDebug(socketOf(daemon.info));
  const { result } = await debug.call('snapshot');
  expect(result.daemon).toMatchObject({ pid: daemon.info.pid, home, version: daemon.info.version });
  expect(result.daemon.rssBytes).toBeGreaterThan(0);
  expect(result.connections).toMatchObject([
    { transport: 'unix', client: { name: 'an-editor', version: '1.0.0' }, pendingRequests: 0, droppedMessages: 0 },
  ]);
  expect(new Set(result.connections[0].watches)).toEqual(new Set([thread.id, lazy.id]));
  const [connection] = result.connections;
  expect(result.threads).toMatchObject([
    { threadId: thread.id, persistence: 'materialized', turn: 'idle', isStored: true, failure: null },
    { threadId: lazy.id, persistence: 'lazy', turn: 'idle', isStored: false, watchers: [connection.connectionId] },
  ]);
  expect(result.queues).toEqual({ outboundBytes: 0, storeBytes: 0 });
  expect(result.stores).toMatchObject([{ kind: 'local', home, index: {}, writers: [{}, {}] }]);
});

it('DBG-3 thread shows its last transitions with time, event and cause', async () => {
  const daemon = await startDaemon(tempFolder());
  const client = await daemon.connect();
  const { thread } = await client.call('thread/start', {});
  const turn = await client.turn(thread.id, 'hello');
  expect(turn.status).toBe('completed');
  const debug = await connectDebug(socketOf(daemon.info));
  const { result } = await debug.call('thread', { threadId: thread.id });
  expect(result).toMatchObject({ threadId: thread.id, path: thread.path, historyMode: 'paginated' });
  const { transitions } = result;
  expect(transitions[0]).toMatchObject({ from: 'opening/idle', to: 'lazy/idle', seq: 1 });
  expect(transitions[1]).toMatchObject({ event: 'turn.start', from: 'lazy/idle', to: 'lazy/running' });
  expect(transitions[1].cause).toMatch(/^turn\/start of conn_\S+ \(test-client\)$/);
  const numbers = transitions.map(({ seq }: { seq: number }) => seq);
  expect(numbers).toEqual(numbers.toSorted((a: number, b: number) => a - b));
  expect(transitions.every(({ atMs }: { atMs: number }) => atMs >= daemon.info.startedAtMs)).toBe(true);
});

it('DBG-4 tail streams transitions of one thread or of all, to those who asked for it', async () => {
  const daemon = await startDaemon(tempFolder());
  const client = await daemon.connect();
  const [one, other] = [await client.call('thread/start', {}), await client.call('thread/start', {})];
  const [all, ofOne, silent] = [
    await connectDebug(socketOf(daemon.info)),
    await connectDebug(socketOf(daemon.info)),
    await connectDebug(socketOf(daemon.info)),
  ];
  await all.call('tail');
  await ofOne.call('tail', { threadId: one.thread.id });
  for (const { thread } of [one, other]) await client.turn(thread.id, 'hello');
  const ended = (id: string) => (line: { params?: { threadId: string; to: string; from: string } }) =>
    line.params?.threadId === id && line.params.from.endsWith('/running') && line.params.to.endsWith('/idle');
  await ofOne.line(ended(one.thread.id));
  await all.line(ended(other.thread.id));
  await silent.call('snapshot');
  const idsIn = (debug: typeof all): Set<string> =>
    new Set(debug.received.filter(({ method }) => method === 'transition').map(({ params }) => params.threadId));
  expect(idsIn(all)).toEqual(new Set([one.thread.id, other.thread.id]));
  expect(idsIn(ofOne)).toEqual(new Set([one.thread.id]));
  expect(idsIn(silent)).toEqual(new Set());
});

it('DBG-5 changes nothing, and says which methods there are', async () => {
  const daemon = await startDaemon(tempFolder());
  const debug = await connectDebug(socketOf(daemon.info));
  for (const method of ['thread/start', 'shutdown', 'constructor']) {
    expect((await debug.call(method, {})).error).toMatchObject({
      code: -32600,
      message: `there is no method ${method}: use snapshot, thread, audit or tail`,
    });
  }
  expect((await debug.call('thread', {})).error.message).toBe('thread needs a threadId');
  expect((await debug.call('thread', { threadId: 'x' })).error.message).toContain('invalid thread id');
  const unknown = '01890000-0000-7000-8000-000000000000';
  expect((await debug.call('thread', { threadId: unknown })).error).toMatchObject({ data: { kind: 'notFound' } });
});

it('DBG-6 answers line by line whatever comes in which pieces, and ends what is no line', async () => {
  const daemon = await startDaemon(tempFolder());
  const debug = await connectDebug(socketOf(daemon.info));
  debug.write('garbage\n{"id":1,"method":"snap');
  debug.write('shot"}\n{"id":2,"method":"nothing"}\n');
  await debug.line(({ id }) => id === 2);
  expect(debug.received.map(({ id }) => id)).toEqual([1, 2]);
  const closed = once(debug.socket, 'close');
  debug.write('x'.repeat(100_000));
  await closed;
  const next = await connectDebug(socketOf(daemon.info));
  expect((await next.call('snapshot')).result.daemon.pid).toBe(daemon.info.pid);
});

it('DBG-7 a listener that does not read is told how many transitions it has missed', async () => {
  const path = join(tempFolder(), 'debug.sock');
  let tell: (transition: Transition) => void = () => {};
  const registry = {
    onTransition: (listener: typeof tell) => {
      tell = listener;
      return () => {};
    },
  };
  const server = await DebugServer.listen(path, { manager: { registry } } as unknown as Inspected);
  onTestFinished(() => server.close());
  const debug = await connectDebug(path);
  await debug.call('tail');
  const transition = { threadId: 't', atMs: 0, event: 'e', cause: 'c'.repeat(200), from: 'a', to: 'b' };
  const count = 20_000;
  debug.socket.pause();
  for (let seq = 1; seq <= count; seq += 1) tell({ ...transition, seq });
  debug.socket.resume();
  const { params } = await debug.line(({ method }) => method === 'dropped');
  const told = debug.received.filter(({ method }) => method === 'transition').map((line) => line.params.seq);
  expect(params.dropped).toBeGreaterThan(0);
  // Those that came are the first ones, without a gap.
  expect(told).toEqual(Array.from({ length: count - params.dropped }, (_, index) => index + 1));
});

/** A debug socket over a daemon of which a test plays what it looks at. */
async function listenOver(inspected: object): Promise<string> {
  const path = join(tempFolder(), 'debug.sock');
  const server = await DebugServer.listen(path, inspected as unknown as Inspected);
  onTestFinished(() => server.close());
  return path;
}

it('DBG-8 a client that goes away while its questions are answered leaves no listener behind', async () => {
  let [listeners, asked]: [number, number] = [0, 0];
  let release: () => void = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const registry = {
    onTransition: () => {
      listeners += 1;
      return () => (listeners -= 1);
    },
  };
  const store = {
    inspect: async () => {
      asked += 1;
      await held;
      return {};
    },
  };
  const path = await listenOver({
    info: {},
    manager: { registry, store, loaded: [] },
    server: { connections: [] },
  });
  const leaver = await connectDebug(path);
  leaver.write('{"id":1,"method":"tail"}\n');
  await leaver.line(({ id }) => id === 1);
  expect(listeners).toBe(1);
  leaver.write('{"id":2,"method":"snapshot"}\n{"id":3,"method":"tail"}\n');
  await eventually(() => expect(asked).toBe(1));
  leaver.socket.destroy();
  await eventually(() => expect(listeners).toBe(0));
  release();
  // Whatever came after the answer has been dealt with when another client is answered.
  await (await connectDebug(path)).call('snapshot');
  expect(listeners).toBe(0);
});

it('DBG-9 a client that asks without reading is answered no more than it reads', async () => {
  let asked = 0;
  const big = 'x'.repeat(100_000);
  const inspect = (): Promise<object> => {
    asked += 1;
    return Promise.resolve({ big });
  };
  const path = await listenOver({ info: {}, manager: { store: { inspect }, loaded: [] }, server: { connections: [] } });
  const debug = await connectDebug(path);
  debug.socket.pause();
  const count = 500;
  for (let id = 1; id <= count; id += 1) debug.write(`{"id":${id},"method":"snapshot"}\n`);
  const other = await connectDebug(path);
  let before = -1;
  while (asked !== before) {
    before = asked;
    await other.call('thread', {});
  }
  expect(asked).toBeLessThan(count / 2);
  debug.socket.resume();
  await debug.line(({ id }) => id === count);
  expect(debug.received.map(({ id }) => id)).toEqual(Array.from({ length: count }, (_, index) => index + 1));
});

it('DBG-10 something else in the place of the socket is left alone', async () => {
  const path = join(tempFolder(), 'debug.sock');
  writeFileSync(path, 'precious');
  await expect(DebugServer.listen(path, {} as Inspected)).rejects.toMatchObject({ code: 'invalidRequest' });
  expect(readFileSync(path, 'utf8')).toBe('precious');
});

it('DBG-11 of each connection it shows what is on its way, since when, what is unanswered, and whether it is read from', async () => {
  const daemon = await startDaemon(tempFolder());
  const client = await daemon.connect();
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'x'.repeat(1_000_000));
  const debug = await connectDebug(socketOf(daemon.info));
  const connection = async (): Promise<unknown> => (await debug.call('snapshot')).result.connections[0];
  const atRest = { queuedBytes: 0, stalledSinceMs: null, droppedMessages: 0, pendingRequests: 0, isReadFrom: true };
  expect(await connection()).toMatchObject(atRest);
  const since = Date.now();
  client.socket.pause();
  const count = 15;
  for (let id = 0; id < count; id += 1) {
    client.send({ id: `long ${id}`, method: 'thread/read', params: { threadId: thread.id, includeTurns: true } });
  }
  await eventually(async () => expect(await connection()).toMatchObject({ isReadFrom: false }));
  const stalled = (await connection()) as Record<string, number>;
  expect(stalled['queuedBytes']).toBeGreaterThan(16_000_000);
  expect(stalled['stalledSinceMs']).toBeGreaterThanOrEqual(since);
  expect(stalled['pendingRequests']).toBeGreaterThan(0);
  client.socket.resume();
  await client.frame('the last answer', ({ id }) => id === `long ${count - 1}`);
  await eventually(async () => expect(await connection()).toMatchObject(atRest));
});

it('DBG-12 audit tells what the store finds when it holds its lists against its files', async () => {
  const daemon = await startDaemon(tempFolder());
  const client = await daemon.connect();
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'hello');
  const debug = await connectDebug(socketOf(daemon.info));
  const { findings, ...counts } = (await debug.call('audit')).result;
  expect(findings).toEqual([]);
  expect(counts).toEqual({ histories: 1, threads: 1, pending: 0, missing: 0, stale: 0, duplicate: 0, unreadable: 0 });
});

it('DBG-13 who comes when 16 are connected takes the place of the one that has asked nothing for longest', async () => {
  const home = tempFolder();
  const path = socketOf((await startDaemon(home)).info);
  const [follower, patient, ...silent] = await Promise.all(Array.from({ length: 16 }, () => connectDebug(path)));
  await follower?.call('tail');
  await patient?.call('snapshot');
  const gone = (): number => silent.filter(({ socket }) => socket.closed).length;
  const answer = await skein(home, ['debug', 'snapshot', '--json']);
  expect([answer.code, answer.stderr]).toEqual([0, '']);
  await eventually(() => expect(gone()).toBe(1));
  // Whoever has left makes room for the next.
  const next = await connectDebug(path);
  await next.call('snapshot');
  expect(gone()).toBe(1);
  const followers = await Promise.all(Array.from({ length: 15 }, () => connectDebug(path)));
  for (const one of followers) await one.call('tail');
  await eventually(() => expect([gone(), patient?.socket.closed, next.socket.closed]).toEqual([14, true, true]));
  expect(follower?.socket.closed).toBe(false);
  const last = await connectDebug(path);
  await last.call('snapshot');
  await eventually(() => expect(follower?.socket.closed).toBe(true));
  expect(followers.filter(({ socket }) => socket.closed)).toEqual([]);
});

it('DBG-13 who is being answered stays, however many come', async () => {
  let release: () => void = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  let asked = 0;
  const audit = async (): Promise<object> => {
    asked += 1;
    await held;
    return {};
  };
  const path = await listenOver({ manager: { store: { audit } } });
  const asker = await connectDebug(path);
  asker.write('{"id":1,"method":"audit"}\n');
  await eventually(() => expect(asked).toBe(1));
  const others = await Promise.all(Array.from({ length: 40 }, () => connectDebug(path)));
  await eventually(() => expect(others.filter(({ socket }) => !socket.closed)).toHaveLength(15));
  release();
  expect((await asker.line(({ id }) => id === 1)).result).toEqual({});
});

it('DBG-14 between two lines of a client all others have their turn, however many it sends at once', async () => {
  const found: string[] = [];
  const path = await listenOver({ manager: { find: (id: string) => void found.push(id) } });
  const [many, one] = [await connectDebug(path), await connectDebug(path)];
  const [theirs, own] = ['01890000-0000-7000-8000-000000000001', '01890000-0000-7000-8000-000000000002'];
  const count = 500;
  const line = (id: number): string => `{"id":${id},"method":"thread","params":{"threadId":"${theirs}"}}\n`;
  many.write(Array.from({ length: count }, (_, index) => line(index + 1)).join(''));
  await one.call('thread', { threadId: own });
  expect(found.indexOf(own)).toBeLessThan(10);
  await many.line(({ id }) => id === count);
  expect(found).toHaveLength(count + 1);
});

it('DBG-15 who has to make room for others is told so', async () => {
  const path = await listenOver({});
  const [first] = await Promise.all(Array.from({ length: 17 }, () => connectDebug(path)));
  const { params } = (await first?.line(({ method }) => method === 'evicted')) ?? {};
  expect(params.reason).toContain('more than 16');
  await eventually(() => expect(first?.socket.closed).toBe(true));
});

it('DBG-17 a socket file that somebody has removed is made again, and who looks already stays', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const path = socketOf(daemon.info);
  const before = await connectDebug(path);
  await before.call('tail');
  const madeAgain = `the debug socket ${path} had been removed and was made again`;
  for (let times = 1; times <= 2; times += 1) {
    unlinkSync(path);
    await eventually(() =>
      expect(readFileSync(daemonFiles(home).log, 'utf8').split(madeAgain)).toHaveLength(times + 1),
    );
  }
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const after = await connectDebug(path);
  expect((await after.call('snapshot')).result.daemon.pid).toBe(daemon.info.pid);
  const { thread } = await (await daemon.connect()).call('thread/start', {});
  expect((await before.line(({ method }) => method === 'transition')).params.threadId).toBe(thread.id);
  expect((await skein(home, ['debug', 'snapshot'])).code).toBe(0);
  expect(await daemon.stop()).toBe(0);
  expect(existsSync(path)).toBe(false);
});
