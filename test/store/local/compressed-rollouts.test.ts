import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { ThreadId } from '../../../src/domain/ids.ts';
import type { HistoryMode } from '../../../src/domain/session-meta.ts';
import type { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { filesBelow, homeHoldsNothingOf, openLocalStore } from '../../support/local-store.ts';
import { query, recordTypesOf, saidIn, say, storeThread } from '../../support/stored-threads.ts';
import { headerPayload, someThreadId, T0 } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { addCompressed, compress, zstdFrame } from '../../support/zstd.ts';

const MODES: readonly HistoryMode[] = ['legacy', 'paginated'];

let home: string;
let store: LocalThreadStore;

beforeEach(async () => {
  home = tempFolder();
  store = await openLocalStore(home);
  onTestFinished(() => store.close());
});

/** Another store over the same home, as after a restart. */
const reopen = async (): Promise<void> => {
  await store.close();
  store = await openLocalStore(home);
};

const rollouts = (): readonly string[] => filesBelow(home).filter((path) => path.includes('rollout-'));
const copies = (): readonly string[] => filesBelow(join(home, 'skein')).filter((path) => path.startsWith('plain/'));
const stored = (path: string): string => path.slice(home.length + 1);

describe('reading', () => {
  it.each(MODES)('ZST-1 is listed, read and searched under its plain path, and stays as it is (%s)', async (mode) => {
    const { threadId, path } = await storeThread(store, mode, ['first words', 'second words']);
    const before = await store.readThread(threadId);
    const types = await recordTypesOf(store, threadId);
    compress(path);
    const bytes = readFileSync(`${path}.zst`);

    const expectAll = async (): Promise<void> => {
      expect(await store.readThread(threadId)).toEqual({ ...before, path });
      expect((await store.listThreads(query())).data).toEqual([before]);
      const found = (await store.searchThreads({ query: query(), term: 'SECOND' })).data;
      expect(found).toMatchObject([{ thread: { path }, snippet: expect.stringContaining('second words') }]);
      expect(await saidIn(store, threadId)).toEqual(['first words', 'second words']);
      expect(await recordTypesOf(store, threadId)).toEqual(types);
      expect(await store.readThreadByPath(path)).toEqual(before);
      expect(await store.readThreadByPath(`${path}.zst`)).toEqual(before);
    };
    await expectAll();
    // An index that never saw the plain file.
    await store.close();
    rmSync(join(home, 'skein'), { recursive: true });
    store = await openLocalStore(home);
    await expectAll();

    expect(rollouts()).toEqual([stored(`${path}.zst`)]);
    expect(readFileSync(`${path}.zst`).equals(bytes)).toBe(true);
  });

  it('ZST-2 with both files there it is listed once, and the plain file counts', async () => {
    const { threadId, path } = await storeThread(store, 'paginated', ['older']);
    addCompressed(path);
    await store.resumeThread({ threadId });
    await say(store, threadId, 'paginated', 'newer');
    await store.shutdownThread(threadId);
    await reopen();
    expect((await store.listThreads(query())).data).toHaveLength(1);
    expect(await saidIn(store, threadId)).toEqual(['older', 'newer']);
    rmSync(path);
    expect(await saidIn(store, threadId)).toEqual(['older']);
  });

  it('ZST-3 what compressing leaves half done is no thread', async () => {
    const { threadId, path } = await storeThread(store, 'legacy', ['words']);
    const other = path.replace(threadId, someThreadId());
    for (const name of [`${other}.zst.tmp`, `${other}.zst.1234`, `${other}.tmp`])
      writeFileSync(name, zstdFrame(readFileSync(path)));
    await reopen();
    expect((await store.listThreads(query())).data.map(({ id }) => id)).toEqual([threadId]);
  });

  it('ZST-4 once indexed only pages and searches unpack it, pages to a private copy and searches to none that stays', async () => {
    const { threadId, path } = await storeThread(store, 'paginated', ['words']);
    await store.readThread(threadId);
    compress(path);
    await reopen();
    await store.whenIndexed();
    const { bytesRead } = (await store.inspect())['index'] as { bytesRead: number };
    expect(bytesRead).toBe(0);
    await store.listThreads(query());
    await store.readThread(threadId);
    await store.updateThreadMetadata(threadId, {});
    await store.searchThreads({ query: query(), term: 'words' });
    expect(copies()).toEqual([]);
    await store.listTurns({ threadId, limit: 1, direction: 'asc', itemsView: 'full' });
    expect(copies()).toEqual([`plain/${threadId}.jsonl`]);
    expect(statSync(join(home, 'skein', `plain/${threadId}.jsonl`)).mode & 0o777).toBe(0o600);
    await store.searchThreads({ query: query(), term: 'words' });
    expect(copies()).toEqual([`plain/${threadId}.jsonl`]);
  });

  it('ZST-5 a copy goes with its thread, is made again when it is gone, and does not outlive the store', async () => {
    const [one, other] = [
      await storeThread(store, 'paginated', ['one']),
      await storeThread(store, 'legacy', ['other']),
    ];
    for (const { path } of [one, other]) compress(path);
    expect(await saidIn(store, one.threadId)).toEqual(['one']);
    expect(await saidIn(store, other.threadId)).toEqual(['other']);
    await store.deleteThreads([one.threadId]);
    await store.listThreads(query());
    await expect.poll(copies).toEqual([`plain/${other.threadId}.jsonl`]);
    rmSync(join(home, 'skein/plain'), { recursive: true });
    expect(await saidIn(store, other.threadId)).toEqual(['other']);
    expect(copies()).toHaveLength(1);
    await store.close();
    expect(copies()).toEqual([]);
    store = await openLocalStore(home);
  });

  it('ZST-6 a compressed file that was replaced is read anew', async () => {
    const { threadId, path } = await storeThread(store, 'paginated', ['old words']);
    compress(path);
    expect(await saidIn(store, threadId)).toEqual(['old words']);
    const time = statSync(`${path}.zst`).mtime;
    const text = readFileSync(join(home, 'skein/plain', `${threadId}.jsonl`), 'utf8');

    const replace = (words: string, at: Date): void => {
      const bytes = zstdFrame(Buffer.from(text.replaceAll('old words', words)));
      rmSync(`${path}.zst`);
      writeFileSync(`${path}.zst`, bytes);
      utimesSync(`${path}.zst`, at, at);
    };
    replace('new words', new Date(T0));
    expect(await saidIn(store, threadId)).toEqual(['new words']);
    expect(await store.readThread(threadId)).toMatchObject({ preview: 'new words', updatedAtMs: T0 });
    // Even if it took the place of a plain file and has the time of that one.
    await store.resumeThread({ threadId });
    await store.shutdownThread(threadId);
    utimesSync(path, time, time);
    await store.readThread(threadId);
    writeFileSync(`${path}.zst`, '');
    replace('quite other words', time);
    rmSync(path);
    expect(await saidIn(store, threadId)).toEqual(['quite other words']);
    expect(await store.readThread(threadId)).toMatchObject({ preview: 'quite other words' });
  });

  it('ZST-7 bytes that are no text, late in the file, keep neither its header nor its other records from being read', async () => {
    const { threadId, path } = await storeThread(store, 'legacy', ['words']);
    writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from([0xff, 0xfe, 0x80, 0x0a])]));
    // Told apart from what the index may have read by its time, which is kept by whoever compresses.
    const later = statSync(path).mtimeMs / 1_000 + 1;
    utimesSync(path, later, later);
    compress(path);
    await reopen();
    expect(await store.readThread(threadId)).toMatchObject({ preview: 'words' });
    await store.whenIndexed();
    expect(await store.inspect()).toMatchObject({ index: { defects: 1, unreadable: 0 } });
    expect(await saidIn(store, threadId)).toEqual(['words']);
  });

  it('ZST-8 a damaged file is left alone, is said to be damaged, and keeps no other thread from being found', async () => {
    const [good, bad] = [
      await storeThread(store, 'legacy', ['good words']),
      await storeThread(store, 'legacy', ['bad words']),
    ];
    for (const { path } of [good, bad]) compress(path);
    const whole = readFileSync(`${bad.path}.zst`);
    const damaged = whole.subarray(0, whole.length - 40);
    writeFileSync(`${bad.path}.zst`, damaged);
    await reopen();
    expect((await store.listThreads(query())).data.map(({ id }) => id)).toEqual([good.threadId]);
    expect((await store.searchThreads({ query: query(), term: 'words' })).data).toHaveLength(1);
    const refusal = { code: 'internal', message: expect.stringContaining('is damaged') };
    await expect(store.readThread(bad.threadId)).rejects.toMatchObject(refusal);
    await expect(store.resumeThread({ threadId: bad.threadId })).rejects.toMatchObject(refusal);
    expect(readFileSync(`${bad.path}.zst`).equals(damaged)).toBe(true);
    expect(rollouts()).toHaveLength(2);
    writeFileSync(`${bad.path}.zst`, whole);
    expect(await saidIn(store, bad.threadId)).toEqual(['bad words']);
  });

  it('ZST-9 what is being read goes on when the file is compressed, and made plain, under the reader', async () => {
    const { threadId, path } = await storeThread(store, 'paginated', ['first', 'second']);
    const types = await recordTypesOf(store, threadId);
    const reader = store.loadHistory(threadId)[Symbol.asyncIterator]();
    expect((await reader.next()).done).toBe(false);
    compress(path);
    let count = 1;
    while ((await reader.next()).done !== true) count += 1;
    expect(count).toBe(types.length);
    expect(await saidIn(store, threadId)).toEqual(['first', 'second']);
    const page = await store.listTurns({ threadId, limit: 1, direction: 'asc', itemsView: 'full' });
    writeFileSync(path, readFileSync(join(home, 'skein/plain', `${threadId}.jsonl`)));
    rmSync(`${path}.zst`);
    const next = await store.listTurns({
      threadId,
      limit: 1,
      direction: 'asc',
      itemsView: 'full',
      ...(page.nextCursor === null ? {} : { cursor: page.nextCursor }),
    });
    expect(next.data).toHaveLength(1);
  });
});

describe('writing', () => {
  it.each(MODES)(
    'ZST-10 a resume makes it plain again with its permissions, and counts as an update (%s)',
    async (mode) => {
      const { threadId, path } = await storeThread(store, mode, ['before']);
      chmodSync(path, 0o640);
      utimesSync(path, new Date(T0), new Date(T0));
      const text = readFileSync(path);
      compress(path);
      await reopen();
      expect(await store.readThread(threadId)).toMatchObject({ updatedAtMs: T0 });
      const resumed = await store.resumeThread({ threadId });
      expect(resumed.updatedAtMs).toBeGreaterThan(T0);
      expect(rollouts()).toEqual([stored(path)]);
      expect(readFileSync(path).equals(text)).toBe(true);
      expect(statSync(path).mode & 0o777).toBe(0o640);
      await say(store, threadId, mode, 'after');
      await store.shutdownThread(threadId);
      expect(await saidIn(store, threadId)).toEqual(['before', 'after']);
    },
  );

  it.each(MODES)('ZST-11 a change of metadata makes it plain again first, and goes to its end (%s)', async (mode) => {
    const { threadId, path } = await storeThread(store, mode, ['words']);
    chmodSync(path, 0o600);
    const text = readFileSync(path, 'utf8');
    compress(path);
    const patched = await store.updateThreadMetadata(threadId, { memoryMode: 'disabled' });
    expect(patched).toMatchObject({ memoryMode: 'disabled', path });
    expect(rollouts()).toEqual([stored(path)]);
    expect(readFileSync(path, 'utf8').startsWith(text)).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await reopen();
    expect(await store.readThread(threadId)).toMatchObject({ memoryMode: 'disabled', preview: 'words' });
  });

  it('ZST-12 what a crash left of making it plain is removed, and never taken for the thread', async () => {
    const { threadId, path } = await storeThread(store, 'paginated', ['words']);
    compress(path);
    const left = join(dirname(path), `.${path.slice(dirname(path).length + 1)}.plain`);
    writeFileSync(left, 'half a line');
    await reopen();
    expect(await saidIn(store, threadId)).toEqual(['words']);
    await store.resumeThread({ threadId });
    expect(rollouts()).toEqual([stored(path)]);
    expect(existsSync(left)).toBe(false);
  });

  it('ZST-13 a fork makes all that it continues plain, with the times it had', async () => {
    const root = await storeThread(store, 'paginated', ['of the root']);
    const forkOf = (sourceId: ThreadId, threadId: ThreadId): Promise<unknown> =>
      store.forkThread({
        threadId,
        sourceId,
        boundary: { kind: 'latest' },
        historyMode: 'paginated',
        cwd: '/work/project',
        createdAtMs: T0,
        header: async () => headerPayload(threadId, 'paginated'),
      });
    const [child, grandchild] = [someThreadId(), someThreadId()];
    await forkOf(root.threadId, child);
    await say(store, child, 'paginated', 'of the child');
    await store.shutdownThread(child);
    const { path: childPath } = await store.readThread(child);
    for (const path of [root.path, childPath ?? '']) {
      utimesSync(path, new Date(T0), new Date(T0));
      compress(path);
    }
    const times = async (): Promise<readonly number[]> =>
      Promise.all([root.threadId, child].map(async (id) => (await store.readThread(id)).updatedAtMs));
    expect(await times()).toEqual([T0, T0]);
    expect(await saidIn(store, child)).toEqual(['of the root', 'of the child']);

    await forkOf(child, grandchild);
    expect(rollouts().filter((path) => path.endsWith('.zst'))).toEqual([]);
    expect(await times()).toEqual([T0, T0]);
    await say(store, grandchild, 'paginated', 'of the grandchild');
    // Codex leaves alone what is referred to; if anyone does not, it can still be read.
    compress(root.path);
    expect(await saidIn(store, grandchild)).toEqual(['of the root', 'of the child', 'of the grandchild']);
    await expect(store.deleteThreads([root.threadId])).rejects.toMatchObject({ code: 'invalidRequest' });
  });

  it('ZST-25 the history of a fork is read when what it continues was compressed since', async () => {
    const root = await storeThread(store, 'paginated', ['of the root']);
    const threadId = someThreadId();
    await store.forkThread({
      threadId,
      sourceId: root.threadId,
      boundary: { kind: 'latest' },
      historyMode: 'paginated',
      cwd: '/work/project',
      createdAtMs: T0,
      header: async () => headerPayload(threadId, 'paginated'),
    });
    const before = await recordTypesOf(store, threadId);
    compress(root.path);
    expect(await recordTypesOf(store, threadId)).toEqual(before);
  });

  it('ZST-14 a revert makes what it continues plain, and the thread has both files', async () => {
    const { threadId, path } = await storeThread(store, 'paginated', ['kept', 'taken back']);
    const [, second] = (await store.listTurns({ threadId, limit: 9, direction: 'asc', itemsView: 'notLoaded' })).data;
    utimesSync(path, new Date(T0), new Date(T0));
    compress(path);
    await store.revertThread(threadId, second?.id ?? '');
    expect(existsSync(path)).toBe(true);
    expect(Math.trunc(statSync(path).mtimeMs)).toBe(T0);
    expect(await saidIn(store, threadId)).toEqual(['kept']);
    for (const file of rollouts()) compress(join(home, file));
    expect(await saidIn(store, threadId)).toEqual(['kept']);
    await store.archiveThreads([threadId]);
    expect(rollouts().map((file) => file.split('/')[0])).toEqual(['archived_sessions', 'archived_sessions']);
    expect(await saidIn(store, threadId)).toEqual(['kept']);
    await store.deleteThreads([threadId]);
    expect(rollouts()).toEqual([]);
  });

  it.each(['compressed', 'both'])('ZST-15 archive and unarchive move files as they are (%s)', async (forms) => {
    const { threadId, path } = await storeThread(store, 'legacy', ['words']);
    addCompressed(path);
    if (forms === 'compressed') rmSync(path);
    const active = rollouts();
    const archived = active.map((file) => join('archived_sessions', basename(file)));
    expect(active).toHaveLength(forms === 'both' ? 2 : 1);
    await store.archiveThreads([threadId]);
    expect(rollouts()).toEqual(archived);
    expect((await store.listThreads(query({ isArchived: true }))).data).toMatchObject([{ id: threadId }]);
    expect((await store.listThreads(query())).data).toEqual([]);
    expect(await saidIn(store, threadId)).toEqual(['words']);
    await reopen();
    const shown = await store.unarchiveThread(threadId);
    expect(rollouts()).toEqual(active);
    expect(shown).toMatchObject({ archivedAtMs: null, preview: 'words' });
    expect(shown.updatedAtMs).toBeGreaterThan(T0);
    expect(await saidIn(store, threadId)).toEqual(['words']);
  });

  it('ZST-16 deletion removes every copy, plain and compressed, active and archived', async () => {
    const { threadId, path } = await storeThread(store, 'paginated', ['words']);
    addCompressed(path);
    const archive = join(home, 'archived_sessions');
    mkdirSync(archive);
    for (const file of [path, `${path}.zst`]) copyFileSync(file, join(archive, basename(file)));
    await reopen();
    expect(await saidIn(store, threadId)).toEqual(['words']);
    await store.deleteThreads([threadId]);
    expect(homeHoldsNothingOf(home, threadId)).toBe(true);
    expect((await store.listThreads(query())).data).toEqual([]);
  });
});
