import { expect, it, onTestFinished, vi } from 'vitest';
import type { ThreadId } from '../../src/domain/ids.ts';
import { eventually } from '../support/eventually.ts';
import { GatedStore } from '../support/gated-store.ts';
import { HandModel } from '../support/hand-model.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { startServer, type RunningServer } from '../support/server.ts';

const DELAY_MS = 5_000;

/** Time that passes when the test says so. */
function stopTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
  onTestFinished(() => void vi.useRealTimers());
}

/** A stored thread that the client watches. */
async function startThread(client: RpcClient): Promise<ThreadId> {
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'hello');
  return thread.id;
}

const watchers = ({ server }: RunningServer, threadId: ThreadId): number =>
  server.subscriptions.watchersOf(threadId).size;

const loaded = async (client: RpcClient): Promise<Json> => (await client.call('thread/loaded/list', {})).data;

/** Of one thread, what a client was told since. */
const toldSince = (client: RpcClient, threadId: string, from: number): readonly string[] =>
  client.notifications
    .slice(from)
    .filter(({ params }) => params.threadId === threadId)
    .map(({ method, params }) => `${method} ${params.status?.type ?? ''}`.trim());

it('SUB-1 whoever starts, resumes or forks a thread watches it until it leaves; whoever only speaks in it does not', async () => {
  const server = await startServer();
  const [starter, other] = [await server.connect(), await server.connect()];
  const threadId = await startThread(starter);
  await loaded(other);
  const [from, before] = [other.notifications.length, starter.frames.length];
  await other.call('turn/start', { threadId, input: [{ type: 'text', text: 'hi' }] });
  await starter.notification('turn/completed', () => true, before);
  await loaded(other);
  expect(toldSince(other, threadId, from)).toEqual(['thread/status/changed active', 'thread/status/changed idle']);
  expect(watchers(server, threadId)).toBe(1);
  await other.call('thread/resume', { threadId });
  await other.call('thread/resume', { threadId });
  expect(watchers(server, threadId)).toBe(2);
  const fork = (await other.call('thread/fork', { threadId })).thread.id;
  expect(watchers(server, fork)).toBe(1);
  const leave = async (client: RpcClient, id: string): Promise<Json> =>
    (await client.call('thread/unsubscribe', { threadId: id })).status;
  expect(await leave(other, threadId)).toBe('unsubscribed');
  expect(await leave(other, threadId)).toBe('notSubscribed');
  expect(await leave(other, '01890000-0000-7000-8000-000000000000')).toBe('notLoaded');
  expect(watchers(server, threadId)).toBe(1);
  await starter.call('thread/archive', { threadId });
  expect(watchers(server, threadId)).toBe(0);
});

it('SUB-2 a thread that nobody has watched for the delay is unloaded, and everyone is told', async () => {
  stopTime();
  const server = await startServer({ unloadDelayMs: DELAY_MS });
  const [watcher, bystander] = [await server.connect(), await server.connect()];
  const threadId = await startThread(watcher);
  await watcher.call('thread/unsubscribe', { threadId });
  await vi.advanceTimersByTimeAsync(DELAY_MS - 1);
  expect(await loaded(bystander)).toEqual([threadId]);
  const from = bystander.notifications.length;
  await vi.advanceTimersByTimeAsync(1);
  for (const client of [watcher, bystander]) await client.notification('thread/closed');
  expect(toldSince(bystander, threadId, from)).toEqual(['thread/status/changed notLoaded', 'thread/closed']);
  expect(await loaded(bystander)).toEqual([]);
  // It can be resumed as any other.
  await bystander.call('thread/resume', { threadId });
});

it('SUB-3 a watcher that comes back in time keeps it loaded, and the delay begins anew when it leaves', async () => {
  stopTime();
  const server = await startServer({ unloadDelayMs: DELAY_MS });
  const client = await server.connect();
  const threadId = await startThread(client);
  await client.call('thread/unsubscribe', { threadId });
  await vi.advanceTimersByTimeAsync(DELAY_MS - 1);
  await client.call('thread/resume', { threadId });
  await vi.advanceTimersByTimeAsync(10 * DELAY_MS);
  expect(await loaded(client)).toEqual([threadId]);
  await client.call('thread/unsubscribe', { threadId });
  await vi.advanceTimersByTimeAsync(DELAY_MS - 1);
  expect(await loaded(client)).toEqual([threadId]);
  await vi.advanceTimersByTimeAsync(1);
  await client.notification('thread/closed');
});

it('SUB-4 a running turn goes on without anyone watching, and its end begins the delay', async () => {
  stopTime();
  const model = new HandModel();
  const server = await startServer({ model, unloadDelayMs: DELAY_MS });
  const [watcher, bystander] = [await server.connect(), await server.connect()];
  const { thread } = await watcher.call('thread/start', {});
  await watcher.call('turn/start', { threadId: thread.id, input: [{ type: 'text', text: 'long work' }] });
  const call = await model.call();
  await watcher.close();
  await vi.advanceTimersByTimeAsync(100 * DELAY_MS);
  expect(await loaded(bystander)).toEqual([thread.id]);
  await call.message('m', ['done']);
  const idle = bystander.notification('thread/status/changed', ({ status }) => status.type === 'idle');
  await call.end();
  await idle;
  await vi.advanceTimersByTimeAsync(DELAY_MS - 1);
  expect(await loaded(bystander)).toEqual([thread.id]);
  await vi.advanceTimersByTimeAsync(1);
  await bystander.notification('thread/closed');
  const { data } = await bystander.call('thread/turns/list', { threadId: thread.id });
  expect(data).toMatchObject([{ status: 'completed' }]);
});

it('SUB-5 a client that is gone watches nothing, even if it went while its request was under way', async () => {
  stopTime();
  const gate = new GatedStore();
  const server = await startServer({ store: gate, unloadDelayMs: DELAY_MS });
  const [keeper, leaver] = [await server.connect(), await server.connect()];
  const threadId = await startThread(keeper);
  await keeper.call('thread/unsubscribe', { threadId });
  const reading = gate.hold();
  leaver.send({ id: 'never answered', method: 'thread/resume', params: { threadId } });
  await reading.reached;
  await leaver.close();
  await eventually(() => expect(server.server.connections).toHaveLength(1));
  reading.release();
  await eventually(() => expect(server.server.subscriptions.isWanted(threadId)).toBe(false));
  expect(watchers(server, threadId)).toBe(0);
  await vi.advanceTimersByTimeAsync(DELAY_MS);
  await keeper.notification('thread/closed');
});

it('SUB-6 a thread is not unloaded under a client that is about to watch it', async () => {
  stopTime();
  const gate = new GatedStore();
  const server = await startServer({ store: gate, unloadDelayMs: DELAY_MS });
  const client = await server.connect();
  const threadId = await startThread(client);
  await client.call('thread/unsubscribe', { threadId });
  const reading = gate.hold();
  const resumed = client.call('thread/resume', { threadId });
  await reading.reached;
  await vi.advanceTimersByTimeAsync(2 * DELAY_MS);
  reading.release();
  await resumed;
  expect(await client.turn(threadId, 'still there')).toMatchObject({ status: 'completed' });
});

it('SUB-7 while a thread is unloaded it takes no new watcher, says so, and can be resumed as soon as it is closed', async () => {
  stopTime();
  const gate = new GatedStore();
  const server = await startServer({ store: gate, unloadDelayMs: DELAY_MS });
  const client = await server.connect();
  const threadId = await startThread(client);
  await client.call('thread/unsubscribe', { threadId });
  const closing = gate.holdShutdown();
  await vi.advanceTimersByTimeAsync(DELAY_MS);
  await closing.reached;
  expect(await client.refusal('thread/resume', { threadId })).toMatchObject({
    message: `thread ${threadId} is closing; retry thread/resume after the thread is closed`,
  });
  expect(await client.refusal('turn/start', { threadId, input: [{ type: 'text', text: 'hi' }] })).toMatchObject({
    message: `thread ${threadId} is closing`,
  });
  closing.release();
  await client.notification('thread/closed');
  await client.call('thread/resume', { threadId });
  expect(await client.turn(threadId, 'again')).toMatchObject({ status: 'completed' });
});

it('SUB-8 a thread that cannot be unloaded stays, and is tried again', async () => {
  stopTime();
  const gate = new GatedStore();
  const server = await startServer({ store: gate, unloadDelayMs: DELAY_MS });
  const client = await server.connect();
  const threadId = await startThread(client);
  await client.call('thread/unsubscribe', { threadId });
  gate.failShutdowns = 1;
  await vi.advanceTimersByTimeAsync(DELAY_MS);
  await eventually(() => expect(server.logged).toContain(`thread ${threadId} could not be unloaded: the disk is full`));
  expect(await loaded(client)).toEqual([threadId]);
  // The failure was news of the thread, so it has not been quiet since.
  await vi.advanceTimersByTimeAsync(2 * DELAY_MS);
  await client.notification('thread/closed');
});

it('SUB-9 of threads that were opened and left nothing stays behind', async () => {
  stopTime();
  const server = await startServer({ unloadDelayMs: DELAY_MS });
  const bystander = await server.connect();
  const client = await server.connect();
  const ids = await Promise.all(
    Array.from({ length: 200 }, async () => (await client.call('thread/start', {})).thread.id as ThreadId),
  );
  await Promise.all(ids.slice(0, 20).map((id) => client.turn(id, 'hi')));
  expect(server.manager.loaded).toHaveLength(200);
  await client.close();
  await eventually(() => expect(server.server.connections).toHaveLength(1));
  await vi.advanceTimersByTimeAsync(DELAY_MS);
  await eventually(() => expect(server.manager.loaded).toHaveLength(0));
  expect(ids.map((id) => watchers(server, id))).toEqual(ids.map(() => 0));
  await bystander.call('thread/loaded/list', {});
  expect(bystander.methods().filter((method) => method === 'thread/closed')).toHaveLength(200);
  // The only timers left are those of requests of this test's own.
  expect(vi.getTimerCount()).toBe(0);
});
