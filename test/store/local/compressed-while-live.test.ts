import { existsSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, expect, it, onTestFinished } from 'vitest';
import type { HistoryMode } from '../../../src/domain/session-meta.ts';
import { HomeLayout } from '../../../src/store/local/home-layout.ts';
import { openIndexInline } from '../../../src/store/local/index/index-thread.ts';
import { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { filesBelow, openLocalStore } from '../../support/local-store.ts';
import { saidIn, say, startThread } from '../../support/stored-threads.ts';
import { T0 } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { addCompressed, compress } from '../../support/zstd.ts';

const MODES: readonly HistoryMode[] = ['legacy', 'paginated'];

let home: string;
let store: LocalThreadStore;

beforeEach(async () => {
  home = tempFolder();
  store = await openLocalStore(home);
  onTestFinished(() => store.close());
});

const rollouts = (): readonly string[] => filesBelow(home).filter((path) => path.includes('rollout-'));

/** A thread as the next process finds it. */
const saidAfterRestart = async (threadId: Parameters<typeof saidIn>[1]): Promise<readonly string[]> => {
  await store.close();
  store = await openLocalStore(home);
  return saidIn(store, threadId);
};

/** Only one rollout is kept open, so that the first of two is not. */
async function withOneOpenFile(): Promise<void> {
  await store.close();
  const index = openIndexInline({ home: new HomeLayout(home), defaultModelProvider: 'mock' });
  store = await LocalThreadStore.open({ home, index, maxOpenFiles: 1 });
}

it.each(MODES)(
  'ZST-17 an append to a live thread whose file was compressed goes on in the same history (%s)',
  async (mode) => {
    const { threadId, path } = await startThread(store, mode, ['first', 'second']);
    compress(path);
    await say(store, threadId, mode, 'third');
    expect(rollouts()).toHaveLength(1);
    compress(path);
    await store.updateThreadMetadata(threadId, { memoryMode: 'disabled' });
    compress(path);
    await say(store, threadId, mode, 'fourth');
    expect(await saidIn(store, threadId)).toEqual(['first', 'second', 'third', 'fourth']);
    await store.shutdownThread(threadId);
    expect(await saidAfterRestart(threadId)).toEqual(['first', 'second', 'third', 'fourth']);
    expect(await store.readThread(threadId)).toMatchObject({ memoryMode: 'disabled' });
  },
);

it('ZST-17 an append goes on too when the file was closed meanwhile', async () => {
  await withOneOpenFile();
  const { threadId, path } = await startThread(store, 'paginated', ['first']);
  await startThread(store, 'paginated', ['of another']);
  expect(await store.inspect()).toMatchObject({ openFiles: 1 });
  compress(path);
  await say(store, threadId, 'paginated', 'second');
  expect(await saidAfterRestart(threadId)).toEqual(['first', 'second']);
});

it('ZST-18 an append goes on in a file that others have put in the place of the open one, if it is the same rollout', async () => {
  const { threadId, path } = await startThread(store, 'paginated', ['first']);
  const text = readFileSync(path);
  rmSync(path);
  writeFileSync(path, text);
  await say(store, threadId, 'paginated', 'second');
  expect(await saidAfterRestart(threadId)).toEqual(['first', 'second']);
});

it.each(['the next append', 'the end'])(
  'ZST-19 what was written while the file was being compressed is carried over (by %s)',
  async (when) => {
    const { threadId, path } = await startThread(store, 'paginated', ['first']);
    const text = readFileSync(path);
    await say(store, threadId, 'paginated', 'second');
    // Nothing is left to be synced, which would look at the file anyway.
    await store.flushThread(threadId, 'power');
    addCompressed(path, text);
    utimesSync(`${path}.zst`, new Date(T0), new Date(T0));
    rmSync(path);
    if (when === 'the next append') await say(store, threadId, 'paginated', 'third');
    await store.shutdownThread(threadId);
    expect(await saidAfterRestart(threadId)).toEqual(
      when === 'the next append' ? ['first', 'second', 'third'] : ['first', 'second'],
    );
  },
);

it('ZST-19 a thread that was only idle stays compressed when it ends', async () => {
  const { threadId, path } = await startThread(store, 'paginated', ['first']);
  await store.flushThread(threadId, 'power');
  compress(path);
  await store.shutdownThread(threadId);
  expect(rollouts().map((file) => file.endsWith('.zst'))).toEqual([true]);
  expect(await saidAfterRestart(threadId)).toEqual(['first']);
});

it('ZST-20 an append is refused while its file is gone or is another, and goes on when it is back', async () => {
  const { threadId, path } = await startThread(store, 'paginated', ['first']);
  renameSync(path, `${path}.away`);
  await expect(say(store, threadId, 'paginated', 'refused')).rejects.toMatchObject({
    code: 'internal',
    detail: { errno: 'ENOENT' },
  });
  writeFileSync(path, 'x'.repeat(statSync(`${path}.away`).size));
  await expect(say(store, threadId, 'paginated', 'refused too')).rejects.toMatchObject({ code: 'internal' });
  renameSync(`${path}.away`, path);
  await say(store, threadId, 'paginated', 'second');
  expect(await saidAfterRestart(threadId)).toEqual(['first', 'second']);
});

it('ZST-21 nothing acknowledged is lost or doubled while someone compresses the file again and again', async () => {
  const { threadId, path } = await startThread(store, 'paginated', ['0']);
  const said = ['0'];
  const end = new AbortController();
  let compressions = 0;
  const shown: number[] = [];
  const somewhile = async (turns: number): Promise<void> => {
    for (let turn = 0; turn < turns; turn += 1) await nextTurn();
  };
  // As Codex does it: read, look whether anything has changed meanwhile, publish, remove. Once for each append, at
  // other moments of it each time.
  const adversary = async (): Promise<void> => {
    for (let seen = 0; !end.signal.aborted; await nextTurn()) {
      const before = statSync(path, { throwIfNoEntry: false });
      if (said.length === seen || before === undefined || existsSync(`${path}.zst`)) continue;
      seen = said.length;
      const text = readFileSync(path);
      await somewhile(seen % 7);
      const now = statSync(path, { throwIfNoEntry: false });
      if (now?.size !== before.size || now.ino !== before.ino || existsSync(`${path}.zst`)) continue;
      addCompressed(path, text);
      await somewhile(seen % 5);
      rmSync(path);
      compressions += 1;
    }
  };
  const under = adversary();
  try {
    for (let count = 1; count <= 60; count += 1) {
      await say(store, threadId, 'paginated', String(count));
      said.push(String(count));
      if (count % 20 === 0) shown.push((await saidIn(store, threadId)).length - said.length);
    }
  } finally {
    end.abort();
    await under;
  }
  expect(shown).toEqual([0, 0, 0]);
  expect(compressions).toBeGreaterThan(5);
  await store.shutdownThread(threadId);
  expect(await saidAfterRestart(threadId)).toEqual(said);
});
