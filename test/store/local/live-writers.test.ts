import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SkeinError } from '../../../src/domain/errors.ts';
import type { ThreadId } from '../../../src/domain/ids.ts';
import type { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { failing } from '../../support/failing-disk.ts';
import {
  append,
  createThread,
  forkThread,
  say,
  storedThread,
  useLocalStore,
  wordsIn,
} from '../../support/local-threads.ts';
import { event, someThreadId } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

type Operation = (store: LocalThreadStore, threadId: ThreadId, turnId: string) => Promise<unknown>;

const OPERATIONS: Readonly<Record<string, Operation>> = {
  create: (store, id) => createThread(store, 'paginated', {}, id),
  resume: (store, threadId) => store.resumeThread({ threadId, includeArchived: true }),
  shutdown: (store, id) => store.shutdownThread(id),
  discard: (store, id) => store.discardThread(id),
  archive: (store, id) => store.archiveThreads([id]),
  unarchive: (store, id) => store.unarchiveThread(id),
  delete: (store, id) => store.deleteThreads([id]),
  fork: async (store, id) => store.shutdownThread((await forkThread(store, id, 'paginated')).id),
  revert: (store, id, turnId) => store.revertThread(id, turnId),
  patch: (store, id) => store.updateThreadMetadata(id, { memoryMode: 'disabled', name: 'patched' }),
  append: (store, id) => append(store, id, [event('agent_message', { message: 'x' })]),
};

const NAMES = Object.keys(OPERATIONS);

const operation = (name: string): Operation => OPERATIONS[name] ?? (() => Promise.reject(new Error(name)));

const isLive = async (store: LocalThreadStore, id: ThreadId): Promise<boolean> =>
  store.flushThread(id, 'process').then(
    () => true,
    () => false,
  );

describe('whatever is done to one thread at once', () => {
  it.each(NAMES)(
    'LOCAL-2 is done one after the other, with one writer at most, whose lock is held (%s and others)',
    async (first) => {
      const home = tempFolder();
      const store = await useLocalStore(home);
      // Both orders of a pair are in one round, so each pair is met once.
      for (const second of NAMES.slice(NAMES.indexOf(first))) {
        for (const startsLive of [false, true]) {
          const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b']);
          if (startsLive) await store.resumeThread({ threadId });
          const results = await Promise.allSettled(
            [first, second, first].map((name) => operation(name)(store, threadId, turnIds[1] ?? '')),
          );
          const what = `${first}, ${second} (${startsLive ? 'live' : 'cold'})`;
          for (const result of results) {
            if (result.status === 'fulfilled') continue;
            expect(result.reason, what).toBeInstanceOf(SkeinError);
            const { code, message } = result.reason as SkeinError;
            // Only what an append meets whose thread is just let go is nobody's mistake and no refusal.
            const isEnd = /has ended|was discarded/.test(message);
            expect(code === 'internal' ? isEnd : true, `${what}: ${message}`).toBe(true);
          }
          const live = await isLive(store, threadId);
          expect(existsSync(join(home, 'thread-writer-locks', `${threadId}.lock`)), what).toBe(live);
          if (live) await store.shutdownThread(threadId);
          const words = await wordsIn(store, threadId).catch(() => null);
          const mayBeGone = [first, second].includes('delete') && words === null;
          expect(mayBeGone ? ['a', 're: a'] : words?.slice(0, 2), what).toEqual(['a', 're: a']);
          await store.createThread({
            threadId,
            historyMode: 'paginated',
            cwd: '/',
            createdAtMs: 0,
            header: async () => ({}),
          });
          await store.discardThread(threadId);
        }
      }
      expect(readdirSync(join(home, 'thread-writer-locks'))).toEqual(['.coordination.lock']);
    },
  );
});

it('LOCAL-3 archive waits for a fork of its thread, which never keeps the thread from being written', async () => {
  const store = await useLocalStore(tempFolder());
  const { threadId: source } = await storedThread(store, 'paginated', ['a']);
  const done: string[] = [];
  let goOn = (): void => {};
  const header = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const child = someThreadId();
  await store.resumeThread({ threadId: source });
  const forking = store
    .forkThread({
      threadId: child,
      sourceId: source,
      boundary: { kind: 'latest' },
      historyMode: 'paginated',
      cwd: '/work/project',
      createdAtMs: 0,
      header: async () => {
        await header;
        return { id: child, cwd: '/work/project', session_id: child };
      },
    })
    .then(() => done.push('forked'));
  await say(store, source, 'paginated', 'b');
  done.push('written');
  const archiving = store
    .shutdownThread(source)
    .then(() => store.archiveThreads([source]))
    .then(() => done.push('archived'));
  // Another thread goes all that way meanwhile, twice.
  for (const text of ['x', 'y']) {
    const { threadId: other } = await storedThread(store, 'paginated', [text]);
    await store.archiveThreads([other]);
  }
  expect(done).toEqual(['written']);
  goOn();
  await Promise.all([forking, archiving]);
  expect(done).toEqual(['written', 'forked', 'archived']);
  expect(await wordsIn(store, child)).toEqual(['a', 're: a']);
  expect(await wordsIn(store, source)).toEqual(['a', 're: a', 'b', 're: b']);
});

it('LOCAL-4 what is appended while a thread is shut down is stored or refused, and goes into no other file', async () => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  for (let round = 0; round < 15; round += 1) {
    const threadId = await createThread(store, 'legacy');
    await append(store, threadId, [event('agent_message', { message: 'first' })]);
    const acknowledged: string[] = [];
    const over = { isIt: false };
    const shutdown = store.shutdownThread(threadId).finally(() => {
      over.isIt = true;
    });
    const appends: Promise<void>[] = [];
    for (let count = 0; !over.isIt && count < 500; count += 1) {
      const message = `${round}/${count}`;
      const appending = append(store, threadId, [event('agent_message', { message })]);
      appends.push(
        appending.then(
          () => void acknowledged.push(message),
          () => {},
        ),
      );
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all([shutdown, ...appends]);
    const path = (await store.readThread(threadId)).path ?? '';
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n').slice(2);
    expect(lines.map((line) => JSON.parse(line).payload.message)).toEqual(acknowledged);
  }
});

it('LOCAL-5 a thread is let go even if its file cannot be closed', async () => {
  const store = await useLocalStore(tempFolder());
  for (const end of ['shutdownThread', 'discardThread'] as const) {
    const threadId = await createThread(store, 'legacy');
    await say(store, threadId, 'legacy', 'a');
    const { path } = await store.readThread(threadId);
    await store.flushThread(threadId, 'power');
    let isFailed = false;
    // The first close is the rollout's own. It fails as close(2) does: the descriptor is gone all the same.
    await failing(
      'close',
      'EIO',
      () => store[end](threadId),
      () => {
        const isFirst = !isFailed;
        isFailed = true;
        return isFirst;
      },
    );
    await store.resumeThread({ threadId });
    await say(store, threadId, 'legacy', 'b');
    expect((await store.readThread(threadId)).path).toBe(path);
    await store.shutdownThread(threadId);
  }
});
