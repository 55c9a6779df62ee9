import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { RpcClient, type Json } from '../support/rpc-client.ts';
import { tempFolder } from '../support/temp-home.ts';
import { startWeighed } from '../support/weighed-daemon.ts';

/** As long as it may take on a machine that has much else to do. */
const PATIENCE_MS = 120_000;

/** How a client goes, by what it has done before. */
const WAYS: readonly ((socketPath: string, threadId: string) => Promise<void>)[] = [
  async (path) => {
    const socket = createConnection(path);
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write('GET / HT');
    socket.destroy();
  },
  async (path) => (await RpcClient.connect(`unix://${path}`, { isInitialized: false })).socket.terminate(),
  async (path) => {
    const { socket } = await RpcClient.connect(`unix://${path}`, { isInitialized: false });
    socket.send('{"id":1,"method":"initialize","params":{', { fin: false });
    socket.terminate();
  },
  async (path, threadId) => {
    const client = await RpcClient.connect(`unix://${path}`);
    await client.call('thread/resume', { threadId, excludeTurns: true });
    client.send({ id: 'unanswered', method: 'thread/turns/list', params: { threadId } });
    client.socket.terminate();
  },
  async (path) => (await RpcClient.connect(`unix://${path}`)).close(),
];

it(
  'CONN-21 of clients that connect and break off, however often and at whatever point, a daemon keeps nothing',
  async () => {
    const daemon = await startWeighed();
    const { socket: path } = daemon.info;
    const keeper = await daemon.connect();
    const { thread } = await keeper.call('thread/start', {});
    await keeper.turn(thread.id, 'hello');
    const cycles = async (count: number): Promise<void> => {
      for (let done = 0; done < count; done += 20) {
        await Promise.all([...WAYS, ...WAYS, ...WAYS, ...WAYS].map((way) => way(path, thread.id)));
      }
      await keeper.turn(thread.id, 'still here');
    };
    await cycles(500);
    const before = await daemon.weigh();
    const listeners = await daemon.listeners();
    await cycles(1_000);
    await eventually(async () => {
      const after = await daemon.weigh();
      expect(after.descriptors).toBe(before.descriptors);
      expect(after.activeResources).toEqual(before.activeResources);
      expect(await daemon.listeners()).toEqual(listeners);
      expect(after.heapUsedBytes / before.heapUsedBytes).toBeLessThan(1.05);
      expect(after.rssBytes / before.rssBytes).toBeLessThan(1.2);
    });
  },
  PATIENCE_MS,
);

it(
  'SUB-11 a thousand threads that were opened and left are unloaded, their memory comes back, the one that works stays',
  async () => {
    const daemon = await startWeighed(['--set', 'limits.unloadDelaySeconds=0.5', '--set', 'durability=process']);
    const keeper = await daemon.connect();
    const loaded = async (): Promise<Json> => (await keeper.call('thread/loaded/list', {})).data;
    const openAndLeave = async (count: number): Promise<void> => {
      const client = await daemon.connect({ optOut: ['thread/closed', 'thread/status/changed'] });
      for (let opened = 0; opened < count; opened += 50) {
        const ids = await Promise.all(
          Array.from({ length: 50 }, async () => (await client.call('thread/start', {})).thread.id as string),
        );
        await Promise.all(ids.slice(0, 10).map((id) => client.turn(id, 'hi')));
      }
      await client.close();
      await eventually(async () => expect(await loaded()).toHaveLength(1));
    };
    const cwd = tempFolder();
    const file = join(cwd, 'work');
    writeFileSync(file, '');
    const worker = await daemon.connect();
    const working = (await worker.call('thread/start', { cwd })).thread.id;
    await worker.call('thread/shellCommand', { threadId: working, command: 'while [ -e work ]; do sleep 0.1; done' });
    await worker.close();
    await openAndLeave(500);
    const before = await daemon.weigh();
    await openAndLeave(1_000);
    await eventually(async () => {
      const after = await daemon.weigh();
      expect(after.heapUsedBytes / before.heapUsedBytes).toBeLessThan(1.1);
      expect(after.descriptors).toBe(before.descriptors);
      expect(after.activeResources).toEqual(before.activeResources);
    });
    expect(await loaded()).toEqual([working]);
    expect((await keeper.call('thread/read', { threadId: working })).thread.status).toMatchObject({ type: 'active' });
    rmSync(file);
    await keeper.notification('thread/closed', ({ threadId }) => threadId === working);
    expect(await loaded()).toEqual([]);
  },
  PATIENCE_MS,
);
