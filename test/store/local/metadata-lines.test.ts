import { appendFileSync, cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { JsonObject } from '../../../src/domain/json.ts';
import type { HistoryMode } from '../../../src/domain/session-meta.ts';
import { posix } from '../../../src/store/local/files.ts';
import { HomeLayout } from '../../../src/store/local/home-layout.ts';
import { openIndexInline } from '../../../src/store/local/index/index-thread.ts';
import { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { failing } from '../../support/failing-disk.ts';
import { createThread, forkThread, say, storedThread, useLocalStore, wordsIn } from '../../support/local-threads.ts';
import { openLocalStore } from '../../support/local-store.ts';
import { holdFlock, holdWriterLock } from '../../support/lock-child.ts';
import { headerPayload, T0 } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

const MODES: readonly HistoryMode[] = ['legacy', 'paginated'];

const HEADER_FACTS = {
  base_instructions: { text: 'be good' },
  dynamic_tools: [{ name: 'tool' }],
  git: { commit_hash: 'abc', branch: 'main' },
  brand_new_member: { kept: true },
};

const linesOf = (text: string): readonly JsonObject[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as JsonObject);

const namesIn = (home: string): string => {
  try {
    return readFileSync(join(home, 'session_index.jsonl'), 'utf8');
  } catch {
    return '';
  }
};

describe('the bytes of a patch', () => {
  it.each(MODES)(
    'PATCH-2 a patch adds one line that repeats the header, changed, behind all that was there (%s)',
    async (mode) => {
      const home = tempFolder();
      const store = await useLocalStore(home);
      const { threadId } = await storedThread(store, mode, ['a'], HEADER_FACTS);
      const { path } = await store.readThread(threadId);
      const file = path ?? '';
      const before = readFileSync(file, 'utf8');

      await store.updateThreadMetadata(threadId, { name: 'only named' });
      await store.updateThreadMetadata(threadId, { name: 'named again', gitInfo: {} });
      expect(readFileSync(file, 'utf8')).toBe(before);

      await store.updateThreadMetadata(threadId, { memoryMode: 'disabled', gitInfo: { branch: null }, name: 'all' });
      const after = readFileSync(file, 'utf8');
      expect(after.startsWith(before)).toBe(true);
      const added = linesOf(after.slice(before.length));
      const { base_instructions: _base, dynamic_tools: _tools, ...rest } = HEADER_FACTS;
      expect(added).toEqual([
        {
          timestamp: expect.stringMatching(/^\d{4}-.*Z$/),
          ...(mode === 'paginated' ? { ordinal: linesOf(before).length } : {}),
          type: 'session_meta',
          payload: {
            ...headerPayload(threadId, mode, rest),
            memory_mode: 'disabled',
            git: { commit_hash: 'abc' },
            thread_name: 'all',
          },
        },
      ]);
      expect(linesOf(namesIn(home)).map((line) => line['thread_name'])).toEqual(['only named', 'named again', 'all']);

      // What was there is never cut or glued: a torn line stays one of its own.
      appendFileSync(file, '{"timestamp":"torn');
      await store.updateThreadMetadata(threadId, { gitInfo: { sha: null } });
      const last = readFileSync(file, 'utf8');
      expect(last.startsWith(`${after}{"timestamp":"torn\n{`)).toBe(true);
      expect(linesOf(last.slice(after.length).split('\n').slice(1).join('\n'))).toMatchObject([
        { type: 'session_meta', payload: { git: {}, memory_mode: 'disabled' } },
      ]);
      expect(await store.readThread(threadId)).toMatchObject({ git: null, memoryMode: 'disabled', name: 'all' });
    },
  );

  it('PATCH-3 of a live thread goes behind what is queued, and numbers go on behind it', async () => {
    const store = await useLocalStore(tempFolder());
    const threadId = await createThread(store, 'paginated');
    await store.updateThreadMetadata(threadId, { memoryMode: 'disabled' });
    const saying = say(store, threadId, 'paginated', 'a');
    const patching = store.updateThreadMetadata(threadId, { gitInfo: { sha: 'x' } });
    await Promise.all([saying, patching, say(store, threadId, 'paginated', 'b')]);
    await say(store, threadId, 'paginated', 'c');
    const lines = linesOf(readFileSync((await store.readThread(threadId)).path ?? '', 'utf8'));
    expect(lines.map((line) => line['ordinal'])).toEqual(lines.map((_, index) => index));
    expect(lines.filter((line) => line['type'] === 'session_meta').length).toBe(3);
    expect(await wordsIn(store, threadId)).toEqual(['a', 're: a', 'b', 're: b', 'c', 're: c']);
  });
});

it.each(MODES)('PATCH-4 a thread is patched in its own file and stays in its place (%s)', async (mode) => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const patch = { name: 'patched', memoryMode: 'disabled', gitInfo: { sha: 's' } } as const;
  const expected = { name: 'patched', memoryMode: 'disabled', git: { sha: 's', branch: null, originUrl: null } };

  const { threadId: cold } = await storedThread(store, mode, ['cold']);
  expect(await store.updateThreadMetadata(cold, patch)).toMatchObject({ ...expected, archivedAtMs: null });

  const lazy = await createThread(store, mode);
  expect(await store.updateThreadMetadata(lazy, patch)).toMatchObject({ ...expected, historyMode: mode });

  const { threadId: archived } = await storedThread(store, mode, ['archived']);
  await store.archiveThreads([archived]);
  const inArchive = { ...expected, archivedAtMs: expect.any(Number) };
  expect(await store.updateThreadMetadata(archived, patch)).toMatchObject(inArchive);

  const { threadId: liveArchived } = await storedThread(store, mode, ['live in the archive']);
  await store.archiveThreads([liveArchived]);
  await store.resumeThread({ threadId: liveArchived, includeArchived: true });
  const after = await store.updateThreadMetadata(liveArchived, patch);
  expect(after).toMatchObject(inArchive);
  expect(after.path).toContain('archived_sessions');
  await say(store, liveArchived, mode, 'goes on');
  await store.shutdownThread(liveArchived);
  expect(await store.readThread(liveArchived, { includeArchived: true })).toMatchObject(inArchive);
  await expect(store.readThread(liveArchived)).rejects.toMatchObject({ code: 'notFound' });

  const elsewhere = join(tempFolder(), 'somebody.jsonl');
  const { threadId: external } = await storedThread(store, mode, ['outside']);
  cpSync((await store.readThread(external)).path ?? '', elsewhere);
  await store.deleteThreads([external]);
  await store.resumeThread({ threadId: external, path: elsewhere });
  expect(await store.updateThreadMetadata(external, patch)).toMatchObject({ ...expected, path: elsewhere });
  expect(linesOf(readFileSync(elsewhere, 'utf8')).at(-1)).toMatchObject({ payload: { memory_mode: 'disabled' } });
});

it('PATCH-5 a rollout whose header names another thread is refused, and nothing is written', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'legacy', ['a']);
  const { threadId: other } = await storedThread(store, 'legacy', ['b']);
  const [path, otherPath] = [(await store.readThread(threadId)).path ?? '', (await store.readThread(other)).path ?? ''];
  await store.close();
  writeFileSync(path, readFileSync(otherPath));
  const again = await useLocalStore(home);
  for (const patch of [{ memoryMode: 'disabled' }, { name: 'x' }, { gitInfo: { sha: 'x' } }] as const) {
    await expect(again.updateThreadMetadata(threadId, patch)).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining(`names thread ${other}`),
    });
  }
  expect(readFileSync(path)).toEqual(readFileSync(otherPath));
  expect(namesIn(home)).toBe('');
});

it('PATCH-6 while another process writes the thread a patch of its history is refused by name, and nothing is written', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'paginated', ['a']);
  const file = (await store.readThread(threadId)).path ?? '';
  const before = readFileSync(file);
  const other = await holdWriterLock(join(home, 'thread-writer-locks'), threadId);
  await expect(
    store.updateThreadMetadata(threadId, { name: 'not this', memoryMode: 'disabled' }),
  ).rejects.toMatchObject({ code: 'conflict', detail: { holder: `pid ${other.child.pid} (skein)` } });
  expect(readFileSync(file)).toEqual(before);
  expect(namesIn(home)).toBe('');
  await other.stop('SIGKILL');
  await store.updateThreadMetadata(threadId, { name: 'this', memoryMode: 'disabled' });
});

it('PATCH-7 a patch that the disk refuses leaves no part of it and nothing open, and can be given again', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const patch = { name: 'new', memoryMode: 'disabled', gitInfo: { sha: 's' } } as const;
  for (const isLive of [false, true]) {
    for (const fault of ['ENOSPC', 'half, then ENOSPC'] as const) {
      const { threadId } = await storedThread(store, 'paginated', ['a']);
      if (isLive) await store.resumeThread({ threadId });
      const before = await store.readThread(threadId);
      const bytes = readFileSync(before.path ?? '');
      const isLine = ([, data]: readonly unknown[]): boolean => String(data).includes('session_meta');
      await failing(
        'write',
        fault,
        () =>
          expect(store.updateThreadMetadata(threadId, patch)).rejects.toMatchObject({
            code: 'internal',
            detail: { errno: 'ENOSPC' },
          }),
        isLine,
      );
      expect(await store.readThread(threadId)).toMatchObject({ name: null, memoryMode: 'enabled', git: null });
      expect(readFileSync(before.path ?? '').subarray(0, bytes.length)).toEqual(bytes);
      expect(await store.updateThreadMetadata(threadId, patch)).toMatchObject({ name: 'new', git: { sha: 's' } });
      const lines = linesOf(readFileSync(before.path ?? '', 'utf8'));
      expect(lines.map((line) => line['ordinal'])).toEqual(lines.map((_, index) => index));
      if (isLive) await store.shutdownThread(threadId);
    }
  }
  expect(await store.inspect()).toMatchObject({ openFiles: 0 });
});

it('PATCH-8 a patch that stands in the history is done, even if the name index cannot be written, which follows', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b']);
  const isName = ([, data]: readonly unknown[]): boolean => String(data).startsWith('{"id"');
  const patched = await failing(
    'write',
    'ENOSPC',
    () => store.updateThreadMetadata(threadId, { name: 'in the history', memoryMode: 'disabled' }),
    isName,
  );
  expect(patched).toMatchObject({ name: 'in the history', memoryMode: 'disabled' });
  expect(namesIn(home)).toBe('');
  expect(await forkThread(store, threadId, 'paginated')).toMatchObject({ name: 'in the history' });
  // A revert begins a new file, which does not say the name.
  await store.revertThread(threadId, turnIds[1] ?? '');
  expect(await store.readThread(threadId)).toMatchObject({ name: 'in the history', memoryMode: 'disabled' });
  expect(namesIn(home)).toContain(`{"id":"${threadId}","thread_name":"in the history"`);

  await failing(
    'write',
    'ENOSPC',
    () => store.updateThreadMetadata(threadId, { name: 'second', gitInfo: { sha: 's' } }),
    isName,
  );
  expect(await store.updateThreadMetadata(threadId, { memoryMode: 'enabled' })).toMatchObject({ name: 'second' });
  expect(linesOf(namesIn(home)).at(-1)).toMatchObject({ id: threadId, thread_name: 'second' });
});

it('PATCH-9 a name given later counts, even if the clock was set back in between', async () => {
  const home = tempFolder();
  let now = T0;
  const index = openIndexInline({ home: new HomeLayout(home), defaultModelProvider: 'default-provider' });
  const store = await LocalThreadStore.open({ home, index, now: () => now });
  onTestFinished(() => store.close());
  const { threadId } = await storedThread(store, 'legacy', ['a']);
  await store.updateThreadMetadata(threadId, { name: 'first', memoryMode: 'disabled' });
  now -= 3_600_000;
  expect(await store.updateThreadMetadata(threadId, { name: 'second' })).toMatchObject({ name: 'second' });
  expect(await store.updateThreadMetadata(threadId, { memoryMode: 'enabled' })).toMatchObject({ name: 'second' });
  expect(await store.updateThreadMetadata(threadId, { name: 'third', memoryMode: 'disabled' })).toMatchObject({
    name: 'third',
  });
  now -= 3_600_000;
  expect(await store.updateThreadMetadata(threadId, { name: 'fourth' })).toMatchObject({ name: 'fourth' });
  // Whoever reads all of it at once comes to the same.
  await store.close();
  rmSync(new HomeLayout(home).own, { recursive: true });
  const again = await openLocalStore(home);
  onTestFinished(() => again.close());
  expect(await again.readThread(threadId, { includeArchived: true })).toMatchObject({ name: 'fourth' });
});

it('PATCH-10 what another process has changed until the thread is ours is kept', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'legacy', ['a']);
  const file = (await store.readThread(threadId)).path ?? '';
  const theirs = {
    type: 'session_meta',
    payload: headerPayload(threadId, 'legacy', { git: { commit_hash: 'theirs' } }),
  };
  const calls = posix as unknown as { open: (...args: readonly unknown[]) => Promise<unknown> };
  const { open } = calls;
  onTestFinished(() => {
    calls.open = open;
  });
  // At the last moment before the lock is taken.
  calls.open = (...args) => {
    if (String(args[0]).endsWith(`${threadId}.lock`)) {
      appendFileSync(file, `${JSON.stringify({ timestamp: '2026-03-04T05:06:08.000Z', ...theirs })}\n`);
    }
    return open(...args);
  };
  const after = await store.updateThreadMetadata(threadId, { gitInfo: { branch: 'ours' } });
  expect(after.git).toEqual({ sha: 'theirs', branch: 'ours', originUrl: null });
});

it('PATCH-11 the name index is waited for while another process writes it', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'legacy', ['a']);
  const { threadId: other } = await storedThread(store, 'legacy', ['b']);
  const holder = await holdFlock(join(home, 'session_index.jsonl.lock'));
  const done: string[] = [];
  const naming = store.updateThreadMetadata(threadId, { name: 'waited for' }).then(() => done.push('named'));
  await store.updateThreadMetadata(other, { memoryMode: 'disabled' }).then(() => done.push('patched'));
  await holder.stop('SIGKILL');
  await naming;
  expect(done).toEqual(['patched', 'named']);
  expect(await store.readThread(threadId)).toMatchObject({ name: 'waited for' });
});
