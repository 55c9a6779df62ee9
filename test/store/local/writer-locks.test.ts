import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { WriterLocks } from '../../../src/store/local/writer-locks.ts';
import { failing } from '../../support/failing-disk.ts';
import { createThread, forkThread, say, storedThread, useLocalStore } from '../../support/local-threads.ts';
import { holdFlock, holdWriterLock } from '../../support/lock-child.ts';
import { someThreadId } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

/** Locks of a folder, and what lies in it. */
function useLocks(folder = tempFolder()): { locks: WriterLocks; folder: string; files: () => readonly string[] } {
  const locks = new WriterLocks(folder);
  onTestFinished(() => locks.close());
  return { locks, folder, files: () => readdirSync(folder).filter((name) => name !== '.coordination.lock') };
}

it('LOCK-1 a thread that another process writes is refused with its pid and name, and free when that ends', async () => {
  const { locks, folder, files } = useLocks();
  const threadId = someThreadId();
  const other = await holdWriterLock(folder, threadId);
  const holder = `pid ${other.child.pid} (skein)`;
  const message = `thread ${threadId} already has an active writer: ${holder}`;
  await expect(locks.acquire(threadId)).rejects.toMatchObject({ code: 'conflict', message, detail: { holder } });
  await other.stop('SIGKILL');
  const lock = await locks.acquire(threadId);
  await lock.release();
  await lock.release();
  expect(files()).toEqual([]);
});

it('LOCK-2 the holder is named as the kernel knows it, not as a dead one has signed', async () => {
  const { locks, folder } = useLocks();
  const [signed, unsigned] = [someThreadId(), someThreadId()];
  const path = (threadId: string): string => join(folder, `${threadId}.lock`);
  // A pid that lives, but holds nothing here.
  writeFileSync(path(signed), `{"pid":${process.pid},"product":"skein"}\n`);
  writeFileSync(path(unsigned), '');
  for (const threadId of [signed, unsigned]) {
    const other = await holdFlock(path(threadId));
    const holder = new RegExp(`^pid ${other.child.pid} \\(`);
    await expect(locks.acquire(threadId)).rejects.toMatchObject({ detail: { holder: expect.stringMatching(holder) } });
    await other.stop('SIGKILL');
  }
});

it('LOCK-3 lock files of the dead are swept when the folder is first used, and held ones are not', async () => {
  const { locks, folder, files } = useLocks();
  const [stale, held, mine] = [someThreadId(), someThreadId(), someThreadId()];
  const other = await holdWriterLock(folder, held);
  writeFileSync(join(folder, `${stale}.lock`), '{"pid":1,"product":"skein"}\n');
  writeFileSync(join(folder, 'notes.txt'), 'of somebody');
  const lock = await locks.acquire(mine);
  expect(files().toSorted()).toEqual([`${held}.lock`, `${mine}.lock`, 'notes.txt'].toSorted());
  await lock.release();
  await expect(locks.acquire(held)).rejects.toMatchObject({ code: 'conflict' });
  await other.stop('SIGKILL');
});

it('LOCK-4 a lock is taken only while nobody removes lock files, and its file removed only while nobody takes one', async () => {
  const { locks, folder, files } = useLocks();
  const threadId = someThreadId();
  await (await locks.acquire(threadId)).release();

  const remover = await holdFlock(join(folder, '.coordination.lock'), 'exclusive');
  let isTaken = false;
  const taking = locks.acquire(threadId).then((lock) => {
    isTaken = true;
    return lock;
  });
  // As long as it takes to take ten others.
  const { locks: elsewhere } = useLocks();
  for (let count = 0; count < 10; count += 1) await (await elsewhere.acquire(threadId)).release();
  expect(isTaken).toBe(false);
  await remover.stop('SIGKILL');
  const lock = await taking;

  const taker = await holdFlock(join(folder, '.coordination.lock'), 'shared');
  await lock.release();
  expect(files()).toEqual([`${threadId}.lock`]);
  await taker.stop('SIGKILL');
  await (await locks.acquire(threadId)).release();
  expect(files()).toEqual([]);
});

it('LOCK-5 the folder of locks may be removed meanwhile', async () => {
  const folder = join(tempFolder(), 'locks');
  const { locks, files } = useLocks(folder);
  const threadId = someThreadId();
  await (await locks.acquire(threadId)).release();
  rmSync(folder, { recursive: true });
  const lock = await locks.acquire(threadId);
  expect(files()).toEqual([`${threadId}.lock`]);
  const other = await holdWriterLock(folder, someThreadId());
  await other.stop('SIGKILL');
  await lock.release();
});

it.runIf(process.platform === 'linux')('LOCK-6 child processes keep no lock', async () => {
  const { locks, folder } = useLocks();
  const threadId = someThreadId();
  const path = join(folder, `${threadId}.lock`);
  const lock = await locks.acquire(threadId);

  // An ordinary child, such as git, gets no descriptor of a lock.
  const child = spawn('sleep', ['60']);
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'spawn');
  const links = (pid: number | 'self'): readonly string[] =>
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return [];
      }
    });
  expect(links('self')).toContain(path);
  expect(links(child.pid ?? 0).filter((link) => link.startsWith(folder))).toEqual([]);

  // One that was given it all the same, as between fork and exec, keeps the file open, but not the lock.
  const fd = readdirSync('/proc/self/fd').find((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`) === path;
    } catch {
      return false;
    }
  });
  const heir = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', Number(fd)] });
  onTestFinished(() => void heir.kill('SIGKILL'));
  await once(heir, 'spawn');
  // Somebody else takes a lock in the folder just now: the file stays.
  const taker = await holdFlock(join(folder, '.coordination.lock'), 'shared');
  await lock.release();
  expect(links(heir.pid ?? 0)).toContain(path);
  await (await locks.acquire(threadId)).release();
  await taker.stop('SIGKILL');
});

it('LOCK-7 shutdown, discard, and whatever fails to open give the lock back and remove its file', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const locked = (): readonly string[] =>
    readdirSync(join(home, 'thread-writer-locks')).filter((name) => !name.startsWith('.'));

  const first = await createThread(store, 'paginated');
  await say(store, first, 'paginated', 'a');
  const second = await createThread(store, 'legacy');
  expect(locked()).toEqual([`${first}.lock`, `${second}.lock`].toSorted());
  expect(readFileSync(join(home, 'thread-writer-locks', `${first}.lock`), 'utf8')).toContain(`"pid":${process.pid}`);
  await store.shutdownThread(first);
  await store.discardThread(second);
  expect(locked()).toEqual([]);

  await expect(store.resumeThread({ threadId: someThreadId() })).rejects.toMatchObject({ code: 'notFound' });
  await expect(store.resumeThread({ threadId: first, path: '/no/such/file' })).rejects.toMatchObject({
    code: 'invalidRequest',
  });
  await expect(forkThread(store, first, 'paginated', { kind: 'throughTurn', turnId: 'none' })).rejects.toMatchObject({
    code: 'invalidRequest',
  });
  const refused = store.forkThread({
    threadId: someThreadId(),
    sourceId: first,
    boundary: { kind: 'latest' },
    historyMode: 'paginated',
    cwd: '/work/project',
    createdAtMs: 0,
    header: () => Promise.reject(new Error('no header')),
  });
  await expect(refused).rejects.toThrow('no header');
  for (const work of [
    () => store.archiveThreads([first]),
    () => store.unarchiveThread(first),
    () => store.updateThreadMetadata(first, { memoryMode: 'disabled' }),
    () => store.revertThread(first, 'none').catch(() => {}),
    () => store.deleteThreads([first]),
  ]) {
    await work();
    expect(locked()).toEqual([]);
  }
});

it('LOCK-8 a thread whose lock another process holds is refused for every way of writing it, and stays as it is', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b']);
  const { threadId: archived } = await storedThread(store, 'legacy', ['c']);
  const { threadId: free } = await storedThread(store, 'legacy', ['d']);
  await store.archiveThreads([archived]);
  const before = await store.readThread(threadId);
  const bytes = readFileSync(before.path ?? '');
  const folder = join(home, 'thread-writer-locks');
  const others = [await holdWriterLock(folder, threadId), await holdWriterLock(folder, archived)];
  const absent = someThreadId();
  others.push(await holdWriterLock(folder, absent));

  for (const refused of [
    () => createThread(store, 'paginated', {}, threadId),
    () => store.resumeThread({ threadId }),
    () => store.updateThreadMetadata(threadId, { memoryMode: 'disabled' }),
    () => store.archiveThreads([threadId]),
    () => store.archiveThreads([free, threadId]),
    () => store.archiveThreads([free, absent]),
    () => store.unarchiveThread(archived),
    () => store.revertThread(threadId, turnIds[1] ?? ''),
    () => store.deleteThreads([threadId]),
    () => store.deleteThreads([free, threadId]),
    // Somebody has it open and has not written yet.
    () => store.deleteThreads([free, absent]),
  ]) {
    await expect(refused()).rejects.toMatchObject({
      code: 'conflict',
      detail: { holder: expect.stringMatching(/^pid \d+ \(skein\)$/) },
    });
  }
  expect(await store.readThread(threadId)).toEqual(before);
  expect(readFileSync(before.path ?? '')).toEqual(bytes);
  expect(await store.readThread(free)).toMatchObject({ preview: 'd' });
  expect(await store.readThread(archived, { includeArchived: true })).toMatchObject({ preview: 'c' });
  expect(existsSync(join(home, 'skein', 'deletions'))).toBe(false);

  // What writes another thread, or only a name, goes on.
  expect(await store.updateThreadMetadata(threadId, { name: 'named all the same' })).toMatchObject({
    name: 'named all the same',
  });
  const child = await forkThread(store, threadId, 'paginated');
  expect(child).toMatchObject({ forkedFromId: threadId, preview: 'a' });
  for (const other of others) await other.stop('SIGKILL');
  await store.resumeThread({ threadId });
});

it('LOCK-9 a thousand threads live at once, each locked, with few files open beside the locks', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const ids = Array.from({ length: 1_000 }, () => someThreadId());
  await Promise.all(ids.map((id) => createThread(store, 'paginated', {}, id)));
  await Promise.all(ids.slice(0, 400).map((id) => store.persistThread(id, 'process')));
  const descriptors = process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0;
  expect(descriptors).toBeLessThan(1_000 + 256 + 100);
  expect(readdirSync(join(home, 'thread-writer-locks')).length).toBe(1_001);
  await Promise.all(ids.map((id) => store.discardThread(id)));
  expect(readdirSync(join(home, 'thread-writer-locks'))).toEqual(['.coordination.lock']);
});

it.each(['unlink', 'open'] as const)(
  'LOCK-10 a lock is given back though %s fails: the file stays, and holds nobody',
  async (call) => {
    const { locks, folder, files } = useLocks();
    const threadId = someThreadId();
    const lock = await locks.acquire(threadId);
    // Its folder is looked at anew.
    if (call === 'open') rmSync(join(folder, '.coordination.lock'));
    await failing(call, 'EIO', () => lock.release());
    expect(files()).toEqual([`${threadId}.lock`]);
    const again = await locks.acquire(threadId);
    await again.release();
    expect(files()).toEqual([]);
  },
);
