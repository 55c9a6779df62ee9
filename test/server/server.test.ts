import { once } from 'node:events';
import { existsSync, unlinkSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { expect, it, onTestFinished, vi } from 'vitest';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import { eventually } from '../support/eventually.ts';
import { SKEIN, connected } from '../support/daemon.ts';
import { GatedStore } from '../support/gated-store.ts';
import { HandModel } from '../support/hand-model.ts';
import { gate, interceptedStore } from '../support/intercepted-store.ts';
import { start } from '../support/process.ts';
import { rawRequest, UPGRADE } from '../support/raw-http.ts';
import { RpcClient } from '../support/rpc-client.ts';
import { startServer } from '../support/server.ts';
import { tempFolder } from '../support/temp-home.ts';

const MIB = 1024 * 1024;

it('NOTE-6 a client is not told what it has opted out of, and nothing before it has introduced itself', async () => {
  const server = await startServer();
  const [all, some, silent] = [
    await server.connect(),
    await server.connect({ optOut: ['item/agentMessage/delta', 'thread/started', 'deprecationNotice', 'no/such'] }),
    await server.connect({ isInitialized: false }),
  ];
  const { thread } = await all.call('thread/start', {});
  await all.turn(thread.id, 'hello');
  await some.call('thread/resume', { threadId: thread.id });
  const before = some.frames.length;
  await all.turn(thread.id, 'hello again');
  await some.notification('turn/completed', () => true, before);
  const of = (client: RpcClient): Set<string> => new Set(client.methods(thread.id));
  expect(of(all)).toContain('item/agentMessage/delta');
  expect(of(all)).toContain('thread/started');
  expect([...of(some)].filter((method) => /delta|started$|deprecation/.test(method))).toEqual([
    'turn/started',
    'item/started',
  ]);
  expect(await silent.refusal('thread/loaded/list', {})).toMatchObject({ message: 'Not initialized' });
  expect(silent.notifications).toEqual([]);
});

it('OUT-9 a client that does not read costs its bound, holds up nobody, and learns what it has missed', async () => {
  const model = new HandModel();
  const server = await startServer({ model });
  const [reader, stalled] = [await server.connect(), await server.connect()];
  const { thread } = await reader.call('thread/start', {});
  const threadId = thread.id;
  await reader.call('turn/start', { threadId, input: [{ type: 'text', text: 'tell me more' }] });
  await stalled.call('thread/resume', { threadId });
  const connection = server.server.connections.at(-1);
  stalled.socket.pause();
  const call = await model.call();
  const count = 2_000;
  const word = `${'x'.repeat(15_999)} `;
  await call.emit({ type: 'messageStarted', itemId: 'm' });
  for (let sent = 0; sent < count; sent += 1) {
    await call.emit({ type: 'messageDelta', itemId: 'm', delta: word });
    expect(connection?.queuedBytes).toBeLessThan(18 * 1024 * 1024);
    // Sockets get their turn, as they do between the words of a real model.
    if (sent % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await call.emit({ type: 'messageCompleted', itemId: 'm', text: 'the whole' });
  await call.end();
  await reader.notification('turn/completed');
  const deltas = (client: RpcClient): number =>
    client.notifications
      .filter(({ method }) => method === 'item/agentMessage/delta')
      .reduce((sum, { params }) => sum + params.delta.length, 0);
  expect(deltas(reader)).toBe(count * word.length);
  stalled.socket.resume();
  const notice = await stalled.notification('warning');
  expect(notice.params).toMatchObject({ threadId, message: expect.stringContaining('thread/resume') });
  expect(connection?.droppedMessages).toBeGreaterThan(0);
  expect(deltas(stalled)).toBeGreaterThan(0);
  expect(deltas(stalled)).toBeLessThan(count * word.length);
  // What comes after the notice is not what was missed: that is in the thread.
  const { thread: resumed } = await stalled.call('thread/resume', { threadId });
  expect(resumed.turns.at(-1)).toMatchObject({ status: 'completed', items: [{}, { id: 'm', text: 'the whole' }] });
  await reader.call('turn/start', { threadId, input: [{ type: 'text', text: 'and now' }] });
  await stalled.notification('turn/started', ({ turn }) => turn.id !== resumed.turns.at(-1).id);
  const next = await model.call();
  await next.end();
});

it('OUT-10 of a flood of requests as many are worked at as may be, the others are refused, and each is answered once', async () => {
  const store = new GatedStore();
  const server = await startServer({ store });
  const client = await server.connect();
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'hello');
  const held = store.hold();
  const count = 1_000;
  const first = client.frames.length;
  for (let id = 0; id < count; id += 1) {
    client.send({ id: `flood ${id}`, method: 'thread/turns/list', params: { threadId: thread.id } });
  }
  await client.frame('the last refusal', ({ id }) => id === `flood ${count - 1}`);
  expect(server.server.connections[0]?.pendingRequests).toBe(256);
  held.release();
  await client.call('thread/loaded/list', {});
  const answers = client.frames.slice(first).filter(({ id }) => String(id).startsWith('flood'));
  expect(new Set(answers.map(({ id }) => id)).size).toBe(count);
  expect(answers).toHaveLength(count);
  const refused = answers.filter(({ error }) => error !== undefined);
  expect(refused).toHaveLength(count - 256);
  expect(refused[0].error).toMatchObject({ code: -32_001, message: 'Server overloaded; retry later.' });
});

it('OUT-12 answers that hold history are made one after the other, and only while there is room', async () => {
  const server = await startServer();
  const [client, other] = [await server.connect(), await server.connect()];
  const [asking] = server.server.connections;
  const { thread } = await client.call('thread/start', {});
  const size = MIB;
  await client.turn(thread.id, 'x'.repeat(size));
  client.socket.pause();
  const count = 14;
  const first = client.frames.length;
  for (let id = 0; id < count; id += 1) {
    const method = id % 2 === 0 ? 'thread/read' : 'thread/resume';
    client.send({ id: `long ${id}`, method, params: { threadId: thread.id, includeTurns: true } });
  }
  // The rest waits in its lane, or is not even read.
  await eventually(() => expect(asking?.queuedBytes).toBeGreaterThan(16 * MIB));
  let most = 0;
  for (let time = 0; time < 100; time += 1) {
    await other.call('thread/loaded/list', {});
    most = Math.max(most, asking?.queuedBytes ?? 0);
  }
  // The question and its echo are in each answer.
  expect(most).toBeGreaterThan(16 * MIB);
  expect(most).toBeLessThan(16 * MIB + 2.1 * size);
  client.socket.resume();
  await client.frame('the last answer', ({ id }) => id === `long ${count - 1}`);
  const answers = client.frames.slice(first).filter(({ id, method }) => id !== undefined && method === undefined);
  expect(answers.map(({ id }) => id)).toEqual(Array.from({ length: count }, (_, id) => `long ${id}`));
  for (const { result } of answers) expect(result.thread.turns[0].items[0].content[0].text).toHaveLength(size);
});

it('OUT-15 answers with history that a client has asked for and not got are not made when it is gone', async () => {
  const store = new GatedStore();
  const server = await startServer({ store });
  const [client, leaver] = [await server.connect(), await server.connect()];
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'hello');
  const reads = vi.spyOn(store, 'listTurns');
  const held = store.hold();
  for (let id = 0; id < 100; id += 1) {
    leaver.send({ id: `long ${id}`, method: 'thread/read', params: { threadId: thread.id, includeTurns: true } });
  }
  await eventually(() => expect(server.server.connections[1]?.pendingRequests).toBe(100));
  await leaver.close();
  await eventually(() => expect(server.server.connections).toHaveLength(1));
  held.release();
  await client.call('thread/read', { threadId: thread.id, includeTurns: true });
  expect(reads).toHaveBeenCalledTimes(2);
});

it('OUT-15 nor does anyone wait for those that wait for a look at a thread themselves', async () => {
  const reads = vi.fn<() => void>();
  const store = interceptedStore(new MemoryThreadStore({ defaultModelProvider: 'hand' }), (name) => {
    if (name.startsWith('list')) reads();
  });
  const server = await startServer({ store });
  const client = await server.connect();
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'hello');
  const held = gate();
  const isHeld = server.manager.get(thread.id).steadily(() => held.passed);
  const leavers = await Promise.all(Array.from({ length: 20 }, () => server.connect()));
  for (const leaver of leavers)
    leaver.send({ id: 'late', method: 'thread/resume', params: { threadId: thread.id, excludeTurns: true } });
  const waiting = (): number => server.server.connections.filter(({ pendingRequests }) => pendingRequests > 0).length;
  await eventually(() => expect(waiting()).toBe(leavers.length));
  await Promise.all(leavers.map((leaver) => leaver.close()));
  await eventually(() => expect(server.server.connections).toHaveLength(1));
  reads.mockClear();
  held.open();
  await isHeld;
  await client.call('thread/resume', { threadId: thread.id, excludeTurns: true });
  expect(reads).toHaveBeenCalledTimes(2);
  expect(server.logged.filter((line) => line.includes('failed'))).toEqual([]);
});

it('OUT-15 nor is the history of a fork read whose client is gone', async () => {
  const [reads, forking, held] = [vi.fn<() => void>(), vi.fn<() => void>(), gate()];
  const store = interceptedStore(new MemoryThreadStore({ defaultModelProvider: 'hand' }), async (name) => {
    if (name.startsWith('list')) reads();
    if (name !== 'forkThread') return;
    forking();
    await held.passed;
  });
  const server = await startServer({ store });
  const [client, leaver] = [await server.connect(), await server.connect()];
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'hello');
  leaver.send({ id: 'late', method: 'thread/fork', params: { threadId: thread.id } });
  await eventually(() => expect(forking).toHaveBeenCalledTimes(1));
  await leaver.close();
  await eventually(() => expect(server.server.connections).toHaveLength(1));
  reads.mockClear();
  held.open();
  const started = await client.notification('thread/started', (params) => params.thread.forkedFromId === thread.id);
  expect(started.params.thread.preview).toBe('hello');
  // Whether its source is in the middle of a turn.
  expect(reads).toHaveBeenCalledTimes(1);
});

it('OUT-15 nor is a fork made whose client is gone before it is begun', async () => {
  const [held, looked, forking] = [gate(), vi.fn<() => void>(), vi.fn<() => void>()];
  let isHeld = false;
  const store = interceptedStore(new MemoryThreadStore({ defaultModelProvider: 'hand' }), async (name) => {
    if (name === 'forkThread') forking();
    if (name !== 'readThread' || !isHeld) return;
    looked();
    await held.passed;
  });
  const server = await startServer({ store });
  const [client, leaver] = [await server.connect(), await server.connect()];
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'hello');
  isHeld = true;
  leaver.send({ id: 'late', method: 'thread/fork', params: { threadId: thread.id } });
  await eventually(() => expect(looked).toHaveBeenCalledTimes(1));
  await leaver.close();
  await eventually(() => expect(server.server.connections).toHaveLength(1));
  isHeld = false;
  held.open();
  await client.call('thread/fork', { threadId: thread.id });
  expect(forking).toHaveBeenCalledTimes(1);
  expect(server.logged.filter((line) => line.includes('failed'))).toEqual([]);
});

it('CONN-16 as many clients are let in as may be, over all addresses, and one that leaves makes room', async () => {
  const server = await startServer({ maxConnections: 3 });
  const clients = [await server.connect(), await server.connect(), await connected(`unix://${server.socket}`)];
  const reason = '3 clients are connected, as many as may be (limits.connections)';
  for (const address of [server.port, server.socket]) {
    expect(await rawRequest(address, 'GET', '/', { host: 'localhost', ...UPGRADE })).toEqual({
      status: 503,
      body: reason,
    });
    expect((await rawRequest(address, 'GET', '/readyz', { host: 'localhost' })).status).toBe(200);
  }
  expect(server.logged).toContain(`refused a connection: 503 ${reason} from 127.0.0.1`);
  await clients[2]?.close();
  await eventually(() => expect(server.server.connections).toHaveLength(2));
  await server.connect();
});

it('OUT-16 of lists and searches of all threads one each is made at a time for a client, however many it asks for', async () => {
  const [begun, held] = [new Map<string, number>(), gate()];
  const store = interceptedStore(new MemoryThreadStore({ defaultModelProvider: 'hand' }), (name) => {
    if (name !== 'listThreads' && name !== 'searchThreads') return undefined;
    begun.set(name, (begun.get(name) ?? 0) + 1);
    return held.passed;
  });
  const server = await startServer({ store });
  const [client, other] = [await server.connect(), await server.connect()];
  const count = 50;
  for (let id = 0; id < count; id += 1) {
    client.send({ id: `list ${id}`, method: 'thread/list', params: {} });
    client.send({ id: `search ${id}`, method: 'thread/search', params: { searchTerm: 'x' } });
  }
  await client.call('thread/loaded/list', {});
  expect(Object.fromEntries(begun)).toEqual({ listThreads: 1, searchThreads: 1 });
  const listed = other.call('thread/list', {});
  await eventually(() => expect(begun.get('listThreads')).toBe(2));
  held.open();
  await listed;
  for (const what of ['list', 'search']) await client.frame('the last', ({ id }) => id === `${what} ${count - 1}`);
  expect(Object.fromEntries(begun)).toEqual({ listThreads: count + 1, searchThreads: count });
});

it('CONN-20 nothing is read from a client while its requests under way take too much', async () => {
  const store = new GatedStore();
  const server = await startServer({ store });
  const [client, other] = [await server.connect(), await server.connect()];
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'hello');
  const held = store.hold();
  const count = 5;
  for (let id = 0; id < count; id += 1) {
    const params = { threadId: thread.id, whatever: 'x'.repeat(9 * MIB) };
    client.send({ id: `long ${id}`, method: 'thread/turns/list', params });
  }
  const [asking] = server.server.connections;
  await eventually(() => expect(asking?.canTakeMore).toBe(false));
  for (let time = 0; time < 200; time += 1) await other.call('thread/loaded/list', {});
  expect(asking?.pendingRequests).toBe(2);
  held.release();
  for (let id = 0; id < count; id += 1) await client.frame('an answer', (frame) => frame.id === `long ${id}`);
  expect(asking?.pendingRequests).toBe(0);
});

it('CONN-13 a daemon that runs out of descriptors takes clients again as soon as it has some', async () => {
  const home = tempFolder();
  const running = start('bash', [
    '-c',
    'ulimit -n 200; exec "$0" "$@"',
    process.execPath,
    SKEIN,
    'run',
    '--json',
    '--home',
    home,
  ]);
  const [line] = await running.said(/^\{.*\}\n/m);
  const { socket: path } = JSON.parse(line) as { readonly socket: string };
  const sockets: Socket[] = [];
  onTestFinished(() => sockets.forEach((socket) => socket.destroy()));
  for (let count = 0; count < 300; count += 1) {
    const socket = createConnection(path);
    socket.on('error', () => {});
    sockets.push(socket);
  }
  await eventually(() => expect(sockets.some(({ closed }) => closed)).toBe(true));
  for (const socket of sockets) socket.destroy();
  await eventually(async () => {
    await (await RpcClient.connect(`unix://${path}`)).close();
  });
  const client = await connected(`unix://${path}`);
  expect((await client.call('thread/loaded/list', {})).data).toEqual([]);
  expect(await running.stop()).toBe(0);
  expect(daemonFiles(home).socket).toBe(path);
});

it('CONN-14 a socket file that somebody has removed is made again, and those who had come by it stay', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  const { socket, logged, server } = await startServer();
  const before = await connected(`unix://${socket}`);
  vi.advanceTimersByTime(2_500);
  await before.call('thread/loaded/list', {});
  for (let time = 0; time < 2; time += 1) {
    unlinkSync(socket);
    vi.advanceTimersByTime(2_500);
    await eventually(() => expect(existsSync(socket)).toBe(true));
  }
  const after = await connected(`unix://${socket}`);
  for (const client of [before, after]) expect((await client.call('thread/loaded/list', {})).data).toEqual([]);
  await eventually(() =>
    expect(logged).toContain(`the socket of unix://${socket} had been removed and was made again`),
  );
  const ends = [before, after].map((client) => once(client.socket, 'close'));
  await server.close('the end');
  for (const [code, reason] of await Promise.all(ends)) expect([code, String(reason)]).toEqual([1001, 'the end']);
  expect(existsSync(socket)).toBe(false);
});

it('SUB-10 of clients that break off at any point nothing stays behind', async () => {
  const store = new GatedStore();
  const server = await startServer({ store });
  const keeper = await server.connect();
  const { thread } = await keeper.call('thread/start', {});
  await keeper.turn(thread.id, 'hello');
  for (let round = 0; round < 10; round += 1) {
    const clients = await Promise.all(Array.from({ length: 20 }, () => server.connect()));
    for (const [index, client] of clients.entries()) {
      client.send({ id: 'x', method: 'thread/resume', params: { threadId: thread.id } });
      if (index % 3 === 0) await client.frame('the answer', ({ id }) => id === 'x');
      client.socket.terminate();
    }
    await eventually(() => expect(server.server.connections).toHaveLength(1));
  }
  await keeper.turn(thread.id, 'hello again');
  expect([...server.server.subscriptions.watchersOf(thread.id)]).toEqual(server.server.connections);
});
