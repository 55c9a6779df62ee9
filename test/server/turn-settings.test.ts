import { expect, it } from 'vitest';
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

/** Puts a thread away and back, which leaves it unloaded. */
async function unloaded(client: RpcClient, threadId: string): Promise<void> {
  await client.call('thread/archive', { threadId });
  await client.call('thread/unarchive', { threadId });
}
