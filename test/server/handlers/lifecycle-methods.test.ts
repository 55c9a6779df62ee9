import { expect, it } from 'vitest';
import { startDaemon } from '../../support/daemon.ts';
import { tempFolder } from '../../support/temp-home.ts';

it('ERR-9 of several who want the same thread at once there are none: all resume it, and reverts wait for each other', async () => {
  const daemon = await startDaemon(tempFolder());
  const clients = await Promise.all([daemon.connect(), daemon.connect(), daemon.connect()]);
  const [client] = clients;
  const { thread } = await client.call('thread/start', { historyMode: 'paginated', cwd: '/' });
  const threadId: string = thread.id;
  const turns: string[] = [];
  for (const words of ['one', 'two', 'three', 'four']) turns.push((await client.turn(threadId, words)).id);
  await client.call('thread/archive', { threadId });
  await client.call('thread/unarchive', { threadId });

  const resumed = await Promise.all(
    [...clients, ...clients].map((each) => each.answer('thread/resume', { threadId, excludeTurns: true })),
  );
  expect(resumed.filter(({ error }) => error !== undefined)).toEqual([]);
  const loaded = await client.call('thread/loaded/list', {});
  expect(loaded.data).toEqual([threadId]);

  const [, , third, fourth] = turns;
  const reverts = [fourth, third, 'nope', fourth];
  const answers = await Promise.all(
    reverts.map((beforeTurnId, index) =>
      (clients[index] ?? client).answer('thread/revert', { threadId, beforeTurnId }),
    ),
  );
  expect(answers.map(({ error }) => error?.message ?? 'done')).toEqual([
    'done',
    'done',
    'turn not found: nope',
    `turn not found: ${fourth}`,
  ]);
  const left = await client.call('thread/turns/list', { threadId, sortDirection: 'asc' });
  expect(left.data.map(({ id }: { readonly id: string }) => id)).toEqual(turns.slice(0, 2));
  expect(await client.turn(threadId, 'and on')).toMatchObject({ status: 'completed' });
});
