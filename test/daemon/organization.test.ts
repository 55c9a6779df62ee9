import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { PINNED_SECTION } from '../../src/domain/organization.ts';
import { codexBinary } from '../support/codex-binary.ts';
import { startDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { enqueue, idsIn, queuedWords, saidWords } from '../support/organized.ts';
import { start } from '../support/process.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { tempFolder } from '../support/temp-home.ts';

/** What people set around threads, with the daemon as a process of its own. */

const KILLS = 3;

async function drained(client: RpcClient, threadId: string): Promise<void> {
  await eventually(async () => {
    expect(await queuedWords(client, threadId)).toEqual([]);
    expect((await client.call('thread/read', { threadId })).thread.status.type).toBe('idle');
  });
}

it('QUEUE-7 every message that was acknowledged makes one turn, however often the daemon is killed', async () => {
  const home = tempFolder();
  const acknowledged: string[] = [];
  let threadId: string | undefined;
  for (let round = 0; round < KILLS; round += 1) {
    const daemon = await startDaemon(home);
    const client = await daemon.connect();
    threadId ??= (await client.call('thread/start', {})).thread.id as string;
    if (round > 0) await client.call('thread/resume', { threadId, excludeTurns: true });
    // Killed behind another number of changes of the queue each time: while one is added, taken, begun or answered.
    let changes = 0;
    const killed = client
      .notification('thread/queue/changed', () => (changes += 1) > round + 1)
      .then(() => daemon.stop('SIGKILL'));
    for (let n = 0; n < 4; n += 1) {
      const text = `message ${round}.${n}`;
      await enqueue(client, threadId, text).then(
        () => acknowledged.push(text),
        () => {},
      );
    }
    await killed;
  }
  const client = await (await startDaemon(home)).connect();
  if (threadId === undefined) throw new Error('no thread was started');
  await client.call('thread/resume', { threadId, excludeTurns: true });
  await drained(client, threadId);
  const said = await saidWords(client, threadId);
  expect(acknowledged.length).toBeGreaterThan(KILLS);
  expect(said.toSorted()).toEqual([...new Set(said)].toSorted());
  expect(said).toEqual(expect.arrayContaining(acknowledged));
});

it('ORG-8 what is set survives the removal of Skein’s own folder', async () => {
  const home = tempFolder();
  const first = await startDaemon(home);
  const client = await first.connect();
  const ids: string[] = [];
  for (const text of ['a', 'b', 'c']) {
    const { thread } = await client.call('thread/start', {});
    await client.turn(thread.id, text);
    ids.push(thread.id);
  }
  const [a = '', b = '', c = ''] = ids;
  const { section } = await client.call('threadSection/create', { name: 'work' });
  for (const threadId of [c, a]) await client.call('thread/section/move', { threadId, sectionId: PINNED_SECTION.id });
  await client.call('thread/section/move', { threadId: b, sectionId: section.id });
  const { readState } = await client.call('thread/read', { threadId: a });
  const read = { threadId: a, operation: { type: 'read' }, expectedRevision: readState.revision };
  const marked = (await client.call('thread/readState/update', read)).readState;
  await client.call('thread/archive', { threadId: b });
  await client.call('thread/unarchive', { threadId: b });
  await enqueue(client, b, 'for later');
  const look = async (of: RpcClient): Promise<Json> => ({
    pinned: await idsIn(of, PINNED_SECTION.id),
    work: await idsIn(of, section.id),
    sections: (await of.call('threadSection/list', {})).data,
    queued: (await of.call('thread/queue/list', { threadId: b })).data,
    marks: (await of.call('thread/list', {})).readStates,
  });
  const before = await look(client);
  expect(before).toMatchObject({ pinned: [c, a], work: [b], queued: [{ clientUserMessageId: 'client for later' }] });
  expect(before.marks[a]).toEqual(marked);
  await first.stop('SIGKILL');
  rmSync(join(home, 'skein'), { recursive: true });
  const second = await startDaemon(home);
  expect(await look(await second.connect())).toEqual(before);
});

it('QUEUE-11 the queue command of Codex works', async () => {
  const [home, codexHome] = [tempFolder(), tempFolder()];
  const daemon = await startDaemon(home, ['--auth', 'none']);
  const client = await daemon.connect();
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'first');
  const from = client.frames.length;
  const codex = start(
    codexBinary(),
    ['queue', '--remote', daemon.url, '--thread', thread.id, '--message', 'from the command line'],
    { env: { PATH: process.env['PATH'], HOME: codexHome, CODEX_HOME: codexHome }, cwd: codexHome },
  );
  expect(await codex.exited, codex.output()).toBe(0);
  await client.notification('turn/completed', undefined, from);
  expect(await saidWords(client, thread.id)).toEqual(['first', 'from the command line']);
});
