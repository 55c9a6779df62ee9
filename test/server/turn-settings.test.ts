import { expect, it } from 'vitest';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import { gate, interceptedStore } from '../support/intercepted-store.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { startServer } from '../support/server.ts';

const settings = { model: 'other', reasoning_effort: 'high', developer_instructions: 'be kind' };

/** Changes, with what they do to settings as clients see them. */
const CHANGES: readonly (readonly [change: object, shown: object])[] = [
  [
    { collaborationMode: { mode: 'plan', settings } },
    { model: 'other', effort: 'high', collaborationMode: { mode: 'plan', settings } },
  ],
  [
    { collaborationMode: { mode: 'code', settings }, model: 'x', effort: 'low' },
    { model: 'other', collaborationMode: { mode: 'default', settings } },
  ],
  [
    { permissions: ':workspace' },
    { activePermissionProfile: { id: ':workspace' }, sandboxPolicy: { type: 'workspaceWrite' } },
  ],
  [
    { sandboxPolicy: { type: 'readOnly', networkAccess: true } },
    { activePermissionProfile: null, sandboxPolicy: { networkAccess: true } },
  ],
  [{ serviceTier: 'fast' }, { serviceTier: 'priority' }],
  [{ serviceTier: null }, { serviceTier: 'default' }],
  [
    { cwd: '/var', approvalPolicy: 'untrusted' },
    { cwd: '/var', approvalPolicy: 'untrusted' },
  ],
];

it('SET-13 a turn changes how its thread is run as a change without one does, and a resume restores it', async () => {
  const server = await startServer();
  const client = await server.connect();
  const changed = async (change: object, make: (threadId: string) => Promise<unknown>): Promise<readonly Json[]> => {
    const { thread } = await client.call('thread/start', {});
    const from = client.frames.length;
    await client.turn(thread.id, 'stored');
    await make(thread.id);
    const told = await client.notification('thread/settings/updated', ({ threadId }) => threadId === thread.id, from);
    await unloaded(client, thread.id);
    const { cwd, sandbox, activePermissionProfile, collaborationMode, serviceTier } = await client.call(
      'thread/resume',
      {
        threadId: thread.id,
      },
    );
    const { threadSettings: shown } = told.params;
    expect(
      { cwd, sandboxPolicy: sandbox, activePermissionProfile, collaborationMode, serviceTier },
      JSON.stringify(change),
    ).toEqual({
      cwd: shown.cwd,
      sandboxPolicy: shown.sandboxPolicy,
      activePermissionProfile: shown.activePermissionProfile,
      collaborationMode: shown.collaborationMode,
      serviceTier: shown.serviceTier,
    });
    return shown;
  };
  for (const [change, shown] of CHANGES) {
    const [byTurn, without] = [
      await changed(change, (threadId) => client.turn(threadId, 'words', change)),
      await changed(change, (threadId) => client.call('thread/settings/update', { threadId, ...change })),
    ];
    expect(byTurn).toEqual(without);
    expect(byTurn).toMatchObject(shown);
  }
});

/** Changes a thread's settings while it is held up in a call of its store, with nothing loaded. */
async function changedDuring(call: string, method: string, paramsOf: (lastTurnId: string) => object = () => ({})) {
  const [reached, held] = [gate(), gate()];
  const store = interceptedStore(new MemoryThreadStore({ defaultModelProvider: 'hand' }), (name) => {
    if (name !== call) return undefined;
    reached.open();
    return held.passed;
  });
  const client = await (await startServer({ store })).connect();
  const { thread } = await client.call('thread/start', {});
  const threadId: string = thread.id;
  await client.turn(threadId, 'stays');
  const last = await client.turn(threadId, 'goes');
  const taken = client.call(method, { threadId, ...paramsOf(last.id) });
  await reached.passed;
  const from = client.frames.length;
  const changed = client.answer('thread/settings/update', { threadId, model: 'other' });
  // What is asked behind it has been answered, so the change has come.
  await client.call('thread/loaded/list', {});
  held.open();
  await taken;
  return { client, threadId, from, answer: await changed };
}

it('SET-14 a change that comes in the middle of a revert is answered and told behind it', async () => {
  const { client, from, answer } = await changedDuring('revertThread', 'thread/revert', (beforeTurnId) => ({
    beforeTurnId,
  }));
  expect(answer.result).toEqual({});
  const told = await client.notification('thread/settings/updated', () => true, from);
  expect(told.params.threadSettings.model).toBe('other');
  const order = client.frames.slice(from).map(({ method }) => method);
  expect(order.indexOf('thread/reverted')).toBeGreaterThan(-1);
  expect(order.indexOf('thread/reverted')).toBeLessThan(order.indexOf('thread/settings/updated'));
});

it('SET-14 a thread that is being deleted is not found for a change', async () => {
  const { threadId, answer } = await changedDuring('deleteThreads', 'thread/delete');
  expect(answer.error).toMatchObject({ message: `thread not found: ${threadId}` });
});

/** Puts a thread away and back, which leaves it unloaded. */
async function unloaded(client: RpcClient, threadId: string): Promise<void> {
  await client.call('thread/archive', { threadId });
  await client.call('thread/unarchive', { threadId });
}
