import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ThreadId } from '../../../src/domain/ids.ts';
import { eventually } from '../../support/eventually.ts';
import { failing } from '../../support/failing-disk.ts';
import { homeHoldsNothingOf, openLocalStore } from '../../support/local-store.ts';
import {
  createThread,
  forkThread,
  listed,
  say,
  storedThread,
  useLocalStore,
  wordsIn,
} from '../../support/local-threads.ts';
import { holdWriterLock } from '../../support/lock-child.ts';
import { workAndDie } from '../../support/mortal-store.ts';
import { someThreadId } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

const intentsIn = (home: string): readonly string[] =>
  readdirSync(join(home, 'skein/deletions')).filter((name) => name.endsWith('.json'));

const referenced = { code: 'invalidRequest', message: expect.stringContaining('forked history still references it') };

it('DEL-4 a thread that a fork outside the set continues stays, with all of the set; inside it both go', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId: source } = await storedThread(store, 'paginated', ['a']);
  const { threadId: bystander } = await storedThread(store, 'paginated', ['b']);
  const child = await forkThread(store, source, 'paginated');
  await say(store, child.id, 'paginated', 'c');
  await store.shutdownThread(child.id);
  const grandchild = await forkThread(store, child.id, 'paginated');
  await store.shutdownThread(grandchild.id);
  await store.archiveThreads([grandchild.id]);

  await expect(store.deleteThreads([source])).rejects.toMatchObject(referenced);
  await expect(store.deleteThreads([bystander, source])).rejects.toMatchObject(referenced);
  await expect(store.deleteThreads([source, child.id])).rejects.toMatchObject(referenced);
  expect((await listed(store)).toSorted()).toEqual([source, bystander, child.id].toSorted());
  expect(await store.deleteThreads([source, grandchild.id, child.id, source])).toEqual([
    source,
    grandchild.id,
    child.id,
  ]);
  expect(await listed(store)).toEqual([bystander]);
  for (const id of [source, child.id, grandchild.id]) expect(homeHoldsNothingOf(home, id)).toBe(true);
});

it('DEL-5 a legacy fork has its own copy, and keeps nothing from being deleted', async () => {
  const store = await useLocalStore(tempFolder());
  const { threadId: source } = await storedThread(store, 'legacy', ['a']);
  const child = await forkThread(store, source, 'legacy');
  expect(await store.deleteThreads([source])).toEqual([source]);
  expect(await wordsIn(store, child.id)).toEqual(['a', 're: a']);
});

it('DEL-6 a thread goes with all its files, of every revert, plain and compressed, in both collections', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b', 'c']);
  const first = (await store.readThread(threadId)).path ?? '';
  // Goes on from a turn that the thread itself no longer shows.
  const child = await forkThread(store, threadId, 'paginated');
  await store.shutdownThread(child.id);
  await store.revertThread(threadId, turnIds[2] ?? '');
  await store.revertThread(threadId, turnIds[1] ?? '');
  await store.archiveThreads([threadId]);
  writeFileSync(`${first}.zst`, 'left over');
  mkdirSync(join(home, 'archived_sessions'), { recursive: true });
  await expect(store.deleteThreads([threadId])).rejects.toMatchObject(referenced);
  expect(readdirSync(join(home, 'archived_sessions')).length).toBe(3);
  await store.deleteThreads([child.id]);
  await store.deleteThreads([threadId]);
  expect(readdirSync(join(home, 'archived_sessions'))).toEqual([]);
  expect(existsSync(`${first}.zst`)).toBe(false);
  expect(existsSync(first)).toBe(false);
});

it('DEL-7 rollouts that cannot be read neither keep others from being deleted nor stay themselves', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'paginated', ['a']);
  const path = (await store.readThread(threadId)).path ?? '';
  const broken = someThreadId();
  const brokenPath = join(path, '..', `rollout-2026-03-04T05-06-07-${broken}.jsonl`);
  writeFileSync(brokenPath, 'nothing that could be read\n');
  await expect(store.readThread(broken)).rejects.toMatchObject({ code: 'internal' });
  expect(await store.deleteThreads([threadId])).toEqual([threadId]);
  expect(await store.deleteThreads([broken])).toEqual([broken]);
  expect(existsSync(brokenPath)).toBe(false);
});

it('DEL-8 a file that is gone already counts as removed', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'legacy', ['a']);
  const lazy = await createThread(store, 'legacy');
  await expect(store.deleteThreads([lazy])).rejects.toMatchObject({ code: 'conflict' });
  const [first, second] = await Promise.allSettled([store.deleteThreads([threadId]), store.deleteThreads([threadId])]);
  expect(first).toMatchObject({ status: 'fulfilled', value: [threadId] });
  expect(second).toMatchObject({ status: 'rejected', reason: { code: 'notFound' } });
});

describe('deletions that a crash has left', () => {
  const intentPath = (home: string, id: ThreadId): string => join(home, 'skein', 'deletions', `${id}.json`);

  /** A home where the deletion of a thread was intended, and nothing done. */
  async function intended(): Promise<{ home: string; threadId: ThreadId; path: string }> {
    const home = tempFolder();
    const store = await openLocalStore(home);
    const { threadId } = await storedThread(store, 'paginated', ['a']);
    const path = (await store.readThread(threadId)).path ?? '';
    await store.updateThreadMetadata(threadId, { name: 'mine' });
    await store.close();
    for (let n = 0; !existsSync(intentPath(home, threadId)); n += 1) {
      await workAndDie(home, n, 'before', (mortal) => mortal.deleteThreads([threadId]));
    }
    expect(existsSync(path)).toBe(true);
    return { home, threadId, path };
  }

  it('DEL-9 are dropped if somebody has gone on with the thread, or continues it, since', async () => {
    const wentOn = await intended();
    writeFileSync(wentOn.path, `${readFileSync(wentOn.path, 'utf8')}{"one":"more line"}\n`);
    const continued = await intended();
    const lines = readFileSync(continued.path, 'utf8').split('\n');
    const child = someThreadId();
    const header = JSON.parse(lines[0] ?? '');
    const base = { thread_id: continued.threadId, end_ordinal_exclusive: 7, end_byte_offset: lines.join('\n').length };
    header.ordinal = 7;
    header.payload = { ...header.payload, id: child, history_base: base };
    writeFileSync(continued.path.replace(continued.threadId, child), `${JSON.stringify(header)}\n`);
    for (const { home, threadId } of [wentOn, continued]) {
      const store = await useLocalStore(home);
      expect(await store.readThread(threadId)).toMatchObject({ preview: 'a', name: 'mine' });
      expect(existsSync(intentPath(home, threadId))).toBe(false);
    }
  });

  it('DEL-10 wait while another process writes the thread', async () => {
    const { home, threadId } = await intended();
    const other = await holdWriterLock(join(home, 'thread-writer-locks'), threadId);
    const store = await openLocalStore(home);
    expect(await store.readThread(threadId)).toMatchObject({ preview: 'a' });
    await store.close();
    await other.stop('SIGKILL');
    const again = await useLocalStore(home);
    await expect(again.readThread(threadId)).rejects.toMatchObject({ code: 'notFound' });
    expect(homeHoldsNothingOf(home, threadId)).toBe(true);
  });

  it('DEL-11 remove nothing but rollouts of the thread in this home, and keep no daemon from starting', async () => {
    const { home, threadId, path } = await intended();
    const intact = await openLocalStore(home);
    await intact.close();
    const outside = tempFolder();
    const store = await openLocalStore(home);
    const { threadId: kept } = await storedThread(store, 'legacy', ['b']);
    await store.updateThreadMetadata(kept, { name: 'kept' });
    const keptPath = (await store.readThread(kept)).path ?? '';
    await store.close();
    const victims = [
      join(outside, 'precious'),
      join(outside, `rollout-2026-03-04T05-06-07-${kept}.jsonl`),
      join(home, 'config.toml'),
      join(home, 'sessions', 'notes.txt'),
    ];
    for (const victim of victims) writeFileSync(victim, 'precious');
    symlinkSync(outside, join(home, 'link'));
    const ofKept = (paths: readonly unknown[]): unknown => ({
      threads: [{ threadId: kept, files: paths.map((file) => ({ path: file, size: 8 })) }],
    });
    const strange: readonly unknown[] = [
      '',
      '{"threads":[{"threadId":',
      null,
      5,
      { threads: 5 },
      { threads: [null, 5, { threadId: kept }, { threadId: kept, files: [null, {}, { path: 5 }] }] },
      { threads: [{ threadId: '../..', files: [{ path: victims[2], size: 8 }] }] },
      ofKept(victims),
      ofKept([
        `link/${basename(victims[1] ?? '')}`,
        `sessions/../link/${basename(victims[1] ?? '')}`,
        `sessions/../../${basename(outside)}/${basename(victims[1] ?? '')}`,
        path.replace(threadId, someThreadId()),
        'sessions',
        '.',
      ]),
      { paths: [keptPath] },
    ];
    for (const content of strange) {
      mkdirSync(join(home, 'skein', 'deletions'), { recursive: true });
      writeFileSync(intentPath(home, kept), typeof content === 'string' ? content : JSON.stringify(content));
      const next = await openLocalStore(home);
      expect(await next.readThread(kept), JSON.stringify(content)).toMatchObject({ name: 'kept', preview: 'b' });
      await next.close();
      for (const victim of victims) expect(readFileSync(victim, 'utf8')).toBe('precious');
      expect(existsSync(intentPath(home, kept))).toBe(false);
    }
    mkdirSync(intentPath(home, kept));
    writeFileSync(join(home, 'skein', 'deletions', 'notes.json'), '{}');
    const last = await useLocalStore(home);
    expect(await last.readThread(kept)).toMatchObject({ name: 'kept' });
  });
});

it('DEL-13 where nothing can be written one file can still be removed, of several none, and nothing is written down', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId: single } = await storedThread(store, 'paginated', ['a']);
  const { threadId: several, turnIds } = await storedThread(store, 'paginated', ['a', 'b']);
  await store.revertThread(several, turnIds[1] ?? '');
  await failing('write', 'ENOSPC', async () => {
    await store.deleteThreads([single]);
    await expect(store.deleteThreads([several])).rejects.toMatchObject({
      code: 'internal',
      detail: { errno: 'ENOSPC' },
    });
  });
  expect(await listed(store)).toEqual([several]);
  expect(intentsIn(home)).toEqual([]);
  expect(await wordsIn(store, several)).toEqual(['a', 're: a']);
});

it('DEL-14 once the files are gone a deletion is not refused, and the next start finishes it', async () => {
  const home = tempFolder();
  const store = await openLocalStore(home);
  const { threadId } = await storedThread(store, 'paginated', ['a']);
  await store.updateThreadMetadata(threadId, { name: 'a name' });
  const isOfNames = ([from]: readonly unknown[]): boolean => String(from).includes('session_index');
  await failing('rename', 'EIO', () => store.deleteThreads([threadId]), isOfNames);
  expect(await listed(store)).toEqual([]);
  expect(intentsIn(home)).toEqual([`${threadId}.json`]);
  await store.close();
  await useLocalStore(home);
  await eventually(() => expect(homeHoldsNothingOf(home, threadId)).toBe(true));
});

it('DEL-14 if only some files could be removed that is uncertain, and asking again goes on', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b']);
  await store.revertThread(threadId, turnIds[1] ?? '');
  let removed = 0;
  const isSecond = ([path]: readonly unknown[]): boolean =>
    existsSync(String(path)) && String(path).includes('rollout-') && (removed += 1) > 1;
  const refused = failing('unlink', 'EIO', () => store.deleteThreads([threadId]), isSecond);
  await expect(refused).rejects.toMatchObject({ code: 'uncertain', detail: { errno: 'EIO' } });
  await store.deleteThreads([threadId]);
  expect(homeHoldsNothingOf(home, threadId)).toBe(true);
});
