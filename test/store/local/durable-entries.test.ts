import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, it } from 'vitest';
import type { ThreadId } from '../../../src/domain/ids.ts';
import { posix } from '../../../src/store/local/files.ts';
import { NameIndex } from '../../../src/store/local/name-index.ts';
import { OrganizationFile } from '../../../src/store/local/organization-file.ts';
import { diskCalls } from '../../support/disk-calls.ts';
import { createThread, forkThread, say, storedThread, useLocalStore } from '../../support/local-threads.ts';
import { someThreadId, T0 } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { folderOf, numbered, plannedPath, plannedWriter, resumedWriter } from '../../support/writers.ts';

/** The home that a planned path lies in. */
const homeOf = (path: string): string => join(folderOf(path), '../..');

it('WRITE-28 a rollout is on stable storage before it has its name', async () => {
  const path = plannedPath();
  const writer = plannedWriter(path);
  const unfinished = 'sessions/04/.rollout-of-a-test.jsonl.new';
  const calls = await diskCalls(homeOf(path), () => writer.append(numbered(1), 'process'));
  expect(calls.filter((call) => !call.startsWith('unlink'))).toEqual([
    `fdatasync ${unfinished}`,
    `rename ${unfinished}`,
  ]);
  await writer.close();
});

it('WRITE-29 a writer’s first power sync takes in all folders to the home, whoever made them; that is done once', async () => {
  const path = plannedPath();
  mkdirSync(folderOf(path), { recursive: true });
  const folders = ['fsync sessions/04', 'fsync sessions', 'fsync '];
  const writer = plannedWriter(path);
  const first = await diskCalls(homeOf(path), () => writer.append(numbered(1), 'power'));
  expect(first.slice(-3)).toEqual(folders);
  await writer.close();
  const next = await resumedWriter(path);
  const append = (n: number, durability: 'power' | 'process') => (): Promise<void> =>
    next.append(numbered(n), durability);
  const sync = 'fdatasync sessions/04/rollout-of-a-test.jsonl';
  expect(await diskCalls(homeOf(path), append(2, 'power'))).toEqual([sync, ...folders]);
  expect(await diskCalls(homeOf(path), append(3, 'power'))).toEqual([sync]);
  // A handle that was closed to make room has changed nothing.
  await next.releaseHandle();
  expect(await diskCalls(homeOf(path), append(4, 'power'))).toEqual([sync]);
  expect(await diskCalls(homeOf(path), append(5, 'process'))).toEqual([]);
  await next.close();
  const idle = await resumedWriter(path);
  expect(await diskCalls(homeOf(path), () => idle.close())).toEqual([]);
});

it('PLACE-13 what a fork or a revert refers to is on stable storage, and found there, before it is', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const threadId = await createThread(store, 'paginated');
  await say(store, threadId, 'paginated', 'a');
  const turnId = await say(store, threadId, 'paginated', 'b');
  const path = relative(home, (await store.readThread(threadId)).path ?? '');
  for (const branch of [
    () => forkThread(store, threadId, 'paginated'),
    () => store.shutdownThread(threadId).then(() => store.revertThread(threadId, turnId)),
  ]) {
    const calls = await diskCalls(home, branch);
    const named = calls.findIndex((call) => call.startsWith('rename'));
    const before = calls.slice(0, named);
    for (const call of [`fdatasync ${path}`, `fsync ${dirname(path)}`, 'fsync ']) expect(before).toContain(call);
  }
});

it('PLACE-14 the folders that threads are moved into are on stable storage before', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'paginated', ['a']);
  const path = relative(home, (await store.readThread(threadId)).path ?? '');
  const archived = await diskCalls(home, () => store.archiveThreads([threadId]));
  expect(archived).toEqual(['fsync ', `rename ${path}`, 'fsync archived_sessions', `fsync ${dirname(path)}`]);
  const back = await diskCalls(home, () => store.unarchiveThread(threadId));
  const above = [dirname(dirname(path)), dirname(dirname(dirname(path))), 'sessions', ''];
  expect(back.slice(0, 4)).toEqual(above.map((folder) => `fsync ${folder}`));
  expect(back[4]).toMatch(/^rename archived_sessions/);
});

it('DEL-15 what is written down is found after a loss of power before the first file goes, whoever made its folder', async () => {
  const home = tempFolder();
  mkdirSync(join(home, 'skein/deletions'), { recursive: true });
  const store = await useLocalStore(home);
  const threads = [await storedThread(store, 'legacy', ['a']), await storedThread(store, 'legacy', ['b'])] as const;
  expect(await removalOf(threads[0].threadId)).toEqual([
    'fsync skein',
    'fsync ',
    'fdatasync',
    'rename',
    'fsync skein/deletions',
  ]);
  expect(await removalOf(threads[1].threadId)).toEqual(['fdatasync', 'rename', 'fsync skein/deletions']);

  /** Up to the first file that goes; without the names of intents. */
  async function removalOf(threadId: ThreadId): Promise<readonly string[]> {
    const calls = await diskCalls(home, () => store.deleteThreads([threadId]));
    const gone = calls.findIndex((call) => call.startsWith('unlink'));
    return calls.slice(0, gone).map((call) => (call.includes('.json') ? (call.split(' ')[0] ?? '') : call));
  }
});

it('NAME-6 whoever first adds a name sees to it that the name index is found after a loss of power, also if others made it', async () => {
  const home = tempFolder();
  const path = join(home, 'session_index.jsonl');
  writeFileSync(path, '{}\n');
  const names = new NameIndex(path, `${path}.lock`);
  const name = (): Promise<void> => names.append(someThreadId(), 'a name', T0);
  expect(await diskCalls(home, name)).toEqual(['fdatasync session_index.jsonl', 'fsync ']);
  expect(await diskCalls(home, name)).toEqual(['fdatasync session_index.jsonl']);
  writeFileSync(join(home, 'theirs'), '{}\n');
  await posix.rename(join(home, 'theirs'), path);
  expect(await diskCalls(home, name)).toEqual(['fdatasync session_index.jsonl', 'fsync ']);
});

it('ORG-9 a power write is found after a loss of power, whoever made the file; another write syncs nothing', async () => {
  const home = tempFolder();
  const store = await OrganizationFile.open(join(home, 'skein_threads.jsonl'));
  const write = (durability: 'power' | 'process') => (): Promise<void> =>
    store.write([{ kind: 'readState', key: 'a', value: '1' }], durability);
  expect(await diskCalls(home, write('process'))).toEqual([]);
  expect(await diskCalls(home, write('power'))).toEqual(['fdatasync skein_threads.jsonl', 'fsync ']);
  expect(await diskCalls(home, write('power'))).toEqual(['fdatasync skein_threads.jsonl']);
});
