import { basename } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { NO_FACTS } from '../../../src/domain/thread-facts.ts';
import type { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import type { Durability } from '../../../src/store/thread-store.ts';
import { recordingDisk, type LogEntry } from '../../faults/power/disk-log.ts';
import { losingIn } from '../../faults/scenarios/power-loss.ts';
import { createThread, forkThread, storedThread, useLocalStore } from '../../support/local-threads.ts';
import { event, record } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

const HISTORIES: readonly (readonly [number, string])[] = [[1_455_511_537, 'moved into a folder that was lost']];

it.each(HISTORIES)('POWER-1 what was acknowledged is there after a loss of power: history %d, %s', async (seed) => {
  expect(await losingIn(seed, 60, onTestFinished)).toMatchObject({ defects: [] });
});

/** What is done to the disk meanwhile, in its order, each with the name of the file or folder. */
async function callsOf(work: () => Promise<unknown>, log: readonly LogEntry[]): Promise<readonly string[]> {
  const from = log.length;
  await work();
  const names = new Map(log.flatMap((entry) => (entry.kind === 'create' ? [[entry.file, entry.path]] : [])));
  return log.slice(from).map((entry) => {
    const path = 'file' in entry ? names.get(entry.file) : 'to' in entry ? entry.to : entry.path;
    return `${entry.kind} ${basename(path ?? '').replace(/^\.(.*)\.new$/, '$1')}`;
  });
}

/** The folders that lead to a rollout of the test's clock, its own first. */
const synced = (home: string): readonly string[] =>
  ['04', '03', '2026', 'sessions', basename(home)].map((folder) => `syncFolder ${folder}`);

it('POWER-2 new content is on stable storage before it shows; the folders that lead to it are once, and then each power append costs one sync', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  await recordingDisk(async (log) => {
    const threadId = await createThread(store, 'legacy');
    const append = (durability: Durability): Promise<readonly string[]> => {
      const records = [record(event('agent_message', { message: 'more' }))];
      return callsOf(
        () => store.appendItems({ threadId, records, facts: NO_FACTS, durability, onFailure: 'keep' }),
        log,
      );
    };
    const first = await append('process');
    const name = basename((await store.readThread(threadId)).path ?? '');
    const [write, sync] = [`write ${name}`, `syncFile ${name}`];
    expect(first.slice(-5)).toEqual([`create ${name}`, write, write, sync, `rename ${name}`]);
    expect(await append('process')).toEqual([write]);
    expect(await append('power')).toEqual([write, sync, ...synced(home)]);
    expect(await append('power')).toEqual([write, sync]);
    expect(await append('process')).toEqual([write]);
  });
});

type Work = (
  store: LocalThreadStore,
  threadId: Awaited<ReturnType<typeof createThread>>,
  turnId: string,
) => Promise<unknown>;

it.each<readonly [string, Work]>([
  ['fork', (store, threadId) => forkThread(store, threadId, 'paginated')],
  ['revert', (store, threadId, turnId) => store.revertThread(threadId, turnId)],
])('POWER-3 what a %s refers to is on stable storage before it shows', async (_, work) => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  await recordingDisk(async (log) => {
    const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b']);
    const { path } = await store.readThread(threadId);
    const calls = await callsOf(() => work(store, threadId, turnIds[1] ?? ''), log);
    const shows = calls.findIndex((call) => call.startsWith('rename'));
    const before = calls.slice(0, shows);
    expect(before).toEqual(expect.arrayContaining([`syncFile ${basename(path ?? '')}`, ...synced(home)]));
  });
});

it('POWER-4 the folders that a thread moves to are on stable storage before it does', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  await recordingDisk(async (log) => {
    const { threadId } = await storedThread(store, 'paginated', ['a']);
    const name = basename((await store.readThread(threadId)).path ?? '');
    const archived = await callsOf(() => store.archiveThreads([threadId]), log);
    const [renamed, made] = [`rename ${name}`, 'mkdir archived_sessions'];
    expect(archived).toEqual([made, synced(home).at(-1), renamed, 'syncFolder archived_sessions', synced(home)[0]]);
    const unarchived = await callsOf(() => store.unarchiveThread(threadId), log);
    expect(unarchived).toEqual([...synced(home).slice(1), renamed, synced(home)[0], 'syncFolder archived_sessions']);
  });
});
