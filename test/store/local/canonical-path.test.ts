import {
  appendFileSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SkeinError } from '../../../src/domain/errors.ts';
import type { ThreadId } from '../../../src/domain/ids.ts';
import type { HistoryMode } from '../../../src/domain/session-meta.ts';
import type { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { openLocalStore } from '../../support/local-store.ts';
import {
  createThread,
  forkThread,
  listed,
  say,
  storedThread,
  useLocalStore,
  wordsIn,
} from '../../support/local-threads.ts';
import { workAndDie } from '../../support/mortal-store.ts';
import { tempFolder } from '../../support/temp-home.ts';

const MODES: readonly HistoryMode[] = ['legacy', 'paginated'];

/** A rollout outside a home, of a thread that the home does not know, under its proper name. */
async function rolloutElsewhere(mode: HistoryMode): Promise<{ threadId: ThreadId; path: string }> {
  const store = await openLocalStore(tempFolder());
  const { threadId } = await storedThread(store, mode, ['outside']);
  const from = (await store.readThread(threadId)).path ?? '';
  const path = join(tempFolder(), basename(from));
  copyFileSync(from, path);
  await store.close();
  return { threadId, path };
}

const recordsIn = async (store: LocalThreadStore, threadId: ThreadId, includeArchived = false): Promise<number> => {
  let count = 0;
  for await (const _line of store.loadHistory(threadId, { includeArchived })) count += 1;
  return count;
};

const pathOf = async (store: LocalThreadStore, threadId: ThreadId): Promise<string> =>
  (await store.readThread(threadId, { includeArchived: true })).path ?? '';

it.each(MODES)(
  'LOCAL-6 a rollout outside the home is a thread of it while it is live, in its own file (%s)',
  async (mode) => {
    const home = tempFolder();
    const store = await useLocalStore(home);
    const { threadId, path } = await rolloutElsewhere(mode);
    expect(await store.readThreadByPath(path)).toMatchObject({ id: threadId, preview: 'outside', path });
    await expect(store.readThread(threadId)).rejects.toMatchObject({ code: 'notFound' });

    expect(await store.resumeThread({ threadId, path })).toMatchObject({ id: threadId, path, preview: 'outside' });
    await say(store, threadId, mode, 'goes on');
    expect(await recordsIn(store, threadId)).toBe(1 + 2 * 6);
    await store.updateThreadMetadata(threadId, { name: 'from outside', memoryMode: 'disabled' });
    expect(await store.readThread(threadId)).toMatchObject({ path, name: 'from outside', memoryMode: 'disabled' });
    expect(await listed(store)).toEqual([threadId]);
    expect(await wordsIn(store, threadId)).toEqual(['outside', 're: outside', 'goes on', 're: goes on']);
    // A copy can be made of it, but no reference that would lead nowhere later.
    const fork = forkThread(store, threadId, mode).then(
      (child) => wordsIn(store, child.id),
      (error: SkeinError) => error.code,
    );
    const copy = ['outside', 're: outside', 'goes on', 're: goes on'];
    expect(await fork).toEqual(mode === 'legacy' ? copy : 'invalidRequest');
    for (const refused of [() => store.archiveThreads([threadId]), () => store.deleteThreads([threadId])]) {
      await expect(refused()).rejects.toMatchObject({ code: 'conflict' });
    }
    await store.shutdownThread(threadId);
    await expect(store.readThread(threadId)).rejects.toMatchObject({ code: 'notFound' });
    expect(await listed(store)).not.toContain(threadId);
    expect(readFileSync(path, 'utf8')).toContain('goes on');
    expect(await store.readThreadByPath(path)).toMatchObject({ name: 'from outside', memoryMode: 'disabled' });
  },
);

it('LOCAL-7 with the same rollout inside and outside, the live one counts, whatever happens in the home, and then the inside one', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'paginated', ['inside']);
  const inside = await pathOf(store, threadId);
  const outside = join(tempFolder(), basename(inside));
  copyFileSync(inside, outside);
  await expect(store.readThreadByPath(outside)).rejects.toMatchObject({
    code: 'invalidRequest',
    message: expect.stringContaining(inside),
  });
  const before = readFileSync(inside);

  await store.resumeThread({ threadId, path: outside });
  await say(store, threadId, 'paginated', 'said outside');
  // The home changes: the file inside is touched, and somebody else begins a thread on the same day.
  const { threadId: other, path: theirs } = await rolloutElsewhere('paginated');
  utimesSync(inside, new Date(), new Date());
  copyFileSync(theirs, join(dirname(inside), basename(theirs)));
  expect((await listed(store)).toSorted()).toEqual([threadId, other].toSorted());
  expect(await wordsIn(store, threadId)).toEqual(['inside', 're: inside', 'said outside', 're: said outside']);
  expect(await pathOf(store, threadId)).toBe(outside);
  await store.updateThreadMetadata(threadId, { memoryMode: 'disabled' });
  expect(readFileSync(inside)).toEqual(before);

  await store.shutdownThread(threadId);
  expect(await store.readThread(threadId)).toMatchObject({ path: inside, memoryMode: 'enabled' });
  expect(await wordsIn(store, threadId)).toEqual(['inside', 're: inside']);
});

it('LOCAL-8 a path that leads to no rollout of the thread is refused, and nothing of it stays', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'paginated', ['a']);
  const { threadId: strange, path } = await rolloutElsewhere('legacy');
  await expect(store.resumeThread({ threadId, path })).rejects.toMatchObject({
    code: 'invalidRequest',
    message: `the rollout belongs to thread ${strange}, not ${threadId}`,
  });
  await expect(store.readThread(strange)).rejects.toMatchObject({ code: 'notFound' });
  expect(await listed(store)).toEqual([threadId]);
  for (const nothing of [
    home,
    dirname(path),
    '/no/such/file',
    'sessions',
    '../x',
    '/dev/null',
    `${path}/x`,
    'a\0b',
    'x'.repeat(5_000),
  ]) {
    for (const refused of [
      () => store.resumeThread({ threadId, path: nothing }),
      () => store.readThreadByPath(nothing),
    ]) {
      await expect(refused(), nothing).rejects.toMatchObject({ code: 'invalidRequest' });
    }
  }
  // Of a live one nothing is forgotten.
  await store.resumeThread({ threadId: strange, path });
  await expect(store.resumeThread({ threadId, path })).rejects.toMatchObject({ code: 'invalidRequest' });
  expect(await store.readThread(strange)).toMatchObject({ path });
  await store.shutdownThread(strange);
  await store.resumeThread({ threadId });
});

describe('a path in the home', () => {
  it('LOCAL-9 leads to its thread however it is spelled, linked or relative', async () => {
    const real = tempFolder();
    const home = join(tempFolder(), 'linked');
    symlinkSync(real, home);
    mkdirSync(join(real, 'big disk'));
    symlinkSync(join(real, 'big disk'), join(home, 'sessions'));
    const store = await useLocalStore(home);
    const { threadId } = await storedThread(store, 'paginated', ['a']);
    const path = await pathOf(store, threadId);
    const link = join(tempFolder(), 'link.jsonl');
    symlinkSync(path, link);
    const spellings = [
      path,
      relative(home, path),
      join(real, 'big disk', relative(join(home, 'sessions'), path)),
      `${home}/sessions/../${relative(home, path)}`,
      link,
    ];
    for (const spelling of spellings) {
      expect((await store.readThreadByPath(spelling)).path, spelling).toBe(path);
      expect((await store.resumeThread({ threadId, path: spelling })).path, spelling).toBe(path);
      await say(store, threadId, 'paginated', 'b');
      await store.shutdownThread(threadId);
      expect(await pathOf(store, threadId)).toBe(path);
    }
    expect(await listed(store)).toEqual([threadId]);
    expect(await wordsIn(store, threadId)).toHaveLength(2 + 2 * spellings.length);
  });

  it('LOCAL-10 that is not where the thread goes on is refused: words said there would not be seen', async () => {
    const store = await useLocalStore(tempFolder());
    const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b']);
    const old = await pathOf(store, threadId);
    await store.revertThread(threadId, turnIds[1] ?? '');
    await expect(store.resumeThread({ threadId, path: old })).rejects.toMatchObject({
      code: 'invalidRequest',
      message: expect.stringContaining(await pathOf(store, threadId)),
    });
    await store.resumeThread({ threadId, path: await pathOf(store, threadId) });
  });

  it('LOCAL-11 is archived by where it lies, and then resumed only by those who want that', async () => {
    const home = tempFolder();
    const store = await useLocalStore(home);
    const { threadId } = await storedThread(store, 'paginated', ['a']);
    const active = await pathOf(store, threadId);
    await store.archiveThreads([threadId]);
    const path = await pathOf(store, threadId);
    await expect(store.resumeThread({ threadId, path })).rejects.toMatchObject({ code: 'notFound' });
    await expect(store.readThreadByPath(path)).rejects.toMatchObject({ code: 'invalidRequest' });
    await expect(store.resumeThread({ threadId, path: active })).rejects.toMatchObject({ code: 'invalidRequest' });
    await store.resumeThread({ threadId, path, includeArchived: true });
    await say(store, threadId, 'paginated', 'b');
    await expect(store.readThread(threadId)).rejects.toMatchObject({ code: 'notFound' });
    await expect(recordsIn(store, threadId)).rejects.toMatchObject({ code: 'notFound' });
    expect(await recordsIn(store, threadId, true)).toBe(1 + 2 * 6);
    await store.shutdownThread(threadId);
    expect(await listed(store, true)).toEqual([threadId]);
    // Somebody else puts it back, by hand.
    renameSync(path, active);
    expect(await listed(store)).toEqual([threadId]);
    expect(await store.readThread(threadId)).toMatchObject({ archivedAtMs: null, path: active });
  });
});

it('LOCAL-12 a rollout outside the home that was live when the daemon was killed is no thread of the next one', async () => {
  const home = tempFolder();
  const { threadId, path } = await rolloutElsewhere('paginated');
  const { threadId: both, path: copy } = await rolloutElsewhere('paginated');
  const inside = join(home, 'sessions/2026/03/04', basename(copy));
  mkdirSync(dirname(inside), { recursive: true });
  cpSync(copy, inside);
  appendFileSync(copy, 'only outside\n');
  await workAndDie(home, 0, 'before', async (store) => {
    await store.resumeThread({ threadId, path }).catch(() => {});
  });
  // Locks are changes of the disk, too: these two are taken whole, and then it dies.
  await workAndDie(home, 1_000, 'before', async (store) => {
    await store.resumeThread({ threadId, path });
    await store.resumeThread({ threadId: both, path: copy });
    expect((await listed(store)).toSorted()).toEqual([threadId, both].toSorted());
  });
  const store = await useLocalStore(home);
  expect(await listed(store)).toEqual([both]);
  await expect(store.readThread(threadId)).rejects.toMatchObject({ code: 'notFound' });
  expect(await pathOf(store, both)).toBe(inside);
  await store.deleteThreads([both]);
  expect(readFileSync(copy, 'utf8')).toContain('only outside');
  await createThread(store, 'paginated', {}, threadId);
});
