import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { failing } from '../../support/failing-disk.ts';
import { filesBelow } from '../../support/local-store.ts';
import { forkThread, listed, storedThread, useLocalStore, wordsIn } from '../../support/local-threads.ts';
import { tempFolder } from '../../support/temp-home.ts';

const rolloutsIn = (home: string): readonly string[] =>
  filesBelow(home).filter((path) => path.endsWith('.jsonl') && path.includes('rollout-'));

it('PLACE-8 archive lays all files of a thread flat into the archive, and unarchive back into the folders of their days', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b', 'c']);
  const { path } = await store.readThread(threadId);
  expect(dirname(path ?? '')).toBe(
    join(home, 'sessions', ...(/(\d{4})-(\d{2})-(\d{2})T/.exec(path ?? '') ?? []).slice(1)),
  );
  await store.revertThread(threadId, turnIds[2] ?? '');
  await store.revertThread(threadId, turnIds[1] ?? '');
  const before = rolloutsIn(home);
  expect(before.length).toBe(3);
  await store.archiveThreads([threadId]);
  expect(rolloutsIn(home)).toEqual(before.map((file) => join('archived_sessions', basename(file))).toSorted());
  expect(await wordsIn(store, threadId)).toEqual(['a', 're: a']);
  await store.unarchiveThread(threadId);
  expect(rolloutsIn(home)).toEqual(before);
});

it('PLACE-9 a move that fails is taken back, and one that would hide another file is refused', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b']);
  await store.revertThread(threadId, turnIds[1] ?? '');
  const before = rolloutsIn(home);
  const [first = '', second = ''] = before;
  for (const file of [first, second]) {
    await failing(
      'rename',
      'EIO',
      () => expect(store.archiveThreads([threadId])).rejects.toMatchObject({ detail: { errno: 'EIO' } }),
      ([from]) => from === join(home, file),
    );
    expect(rolloutsIn(home)).toEqual(before);
    expect(await listed(store)).toEqual([threadId]);
  }
  const inTheWay = join(home, 'archived_sessions', basename(first));
  writeFileSync(inTheWay, 'in the way');
  await expect(store.archiveThreads([threadId])).rejects.toMatchObject({ code: 'conflict' });
  expect(existsSync(join(home, first))).toBe(true);
  expect(readdirSync(join(home, 'archived_sessions'))).toEqual([basename(first)]);
  expect(await wordsIn(store, threadId)).toEqual(['a', 're: a']);
});

it('PLACE-11 a move that cannot be taken back either is refused as uncertain', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'paginated', ['a']);
  const isBack = ([from]: readonly unknown[]): boolean => String(from).includes('archived_sessions');
  const isThere = (): boolean => rolloutsIn(home).some((path) => path.startsWith('archived_sessions'));
  const archived = (): Promise<unknown> => failing('rename', 'EIO', () => store.archiveThreads([threadId]), isBack);
  const refused = failing('fsync', 'EIO', archived, isThere);
  await expect(refused).rejects.toMatchObject({ code: 'uncertain', detail: { errno: 'EIO' } });
  expect(await listed(store, true)).toEqual([threadId]);
  await store.unarchiveThread(threadId);
  expect(await wordsIn(store, threadId)).toEqual(['a', 're: a']);
});

it.each([
  ['fork', 'fdatasync'],
  ['fork', 'fsync'],
  ['revert', 'fdatasync'],
  ['revert', 'fsync'],
] as const)('PLACE-12 a %s whose file cannot be synced leaves none, whichever %s fails', async (kind, call) => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b']);
  const before = rolloutsIn(home);
  const work = (): Promise<unknown> =>
    kind === 'fork' ? forkThread(store, threadId, 'paginated') : store.revertThread(threadId, turnIds[1] ?? '');
  let refusals = 0;
  for (let isDone = false; !isDone;) {
    let calls = 0;
    // Once more as it is tried again; when the file is taken away the disk works.
    const fails = (): boolean => (calls += 1) === refusals + 1 || calls === refusals + 2;
    const refusal = await failing(call, 'EIO', work, fails).then(
      () => undefined,
      (error: unknown) => error,
    );
    isDone = refusal === undefined;
    if (isDone) break;
    refusals += 1;
    expect(refusal).toMatchObject({ code: 'internal', detail: { errno: 'EIO' } });
    expect(rolloutsIn(home)).toEqual(before);
    expect(await wordsIn(store, threadId)).toEqual(['a', 're: a', 'b', 're: b']);
  }
  expect(refusals).toBeGreaterThan(1);
});
