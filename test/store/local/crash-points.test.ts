import { appendFileSync, cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ThreadId } from '../../../src/domain/ids.ts';
import type { HistoryMode } from '../../../src/domain/session-meta.ts';
import { settingsAppliedItem } from '../../../src/domain/thread-settings.ts';
import type { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { filesBelow, openLocalStore } from '../../support/local-store.ts';
import { forkThread, listed, say, storedThread, wordsIn } from '../../support/local-threads.ts';
import { record } from '../../support/records.ts';
import { SETTINGS } from '../../support/runtime.ts';
import { workAndDie, type Death } from '../../support/mortal-store.ts';
import { tempFolder } from '../../support/temp-home.ts';

/**
 * The daemon is killed at every single change that an operation makes to the disk. The next one finds everything as it was
 * before or as it is after, never in between, and can do it again.
 */

const MODES: readonly HistoryMode[] = ['legacy', 'paginated'];

interface Scene {
  readonly prepare: (store: LocalThreadStore) => Promise<readonly ThreadId[]>;
  readonly work: (store: LocalThreadStore, ids: readonly ThreadId[]) => Promise<unknown>;
  /** All that can be known of these threads, as JSON-able values that tell before and after apart. */
  readonly look: (store: LocalThreadStore, ids: readonly ThreadId[]) => Promise<unknown>;
  /** Rollouts of the home that should be elsewhere once the work was done again. */
  readonly isAstray?: (path: string) => boolean;
}

async function withStore<T>(home: string, use: (store: LocalThreadStore) => Promise<T>): Promise<T> {
  const store = await openLocalStore(home);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** Nothing that a crash may leave is left for good. */
function expectTidy(home: string): void {
  expect(filesBelow(join(home, 'skein')).filter((path) => path.startsWith('deletions/'))).toEqual([]);
  expect(readdirSync(join(home, 'thread-writer-locks'))).toEqual(['.coordination.lock']);
}

/** @returns the calls at which the work was killed */
async function dieEverywhere({ prepare, work, look, isAstray = () => false }: Scene): Promise<readonly string[]> {
  const template = tempFolder();
  const ids = await withStore(template, prepare);
  const before = await withStore(template, (store) => look(store, ids));
  let done: unknown;
  const dying = async (n: number, death: Death): Promise<readonly string[]> => {
    const home = tempFolder();
    cpSync(template, home, { recursive: true, preserveTimestamps: true });
    const made = await workAndDie(home, n, death, (store) => work(store, ids));
    // Done again, or for the first time, it comes to the same end, whether it had an effect or not.
    const [found, after] = await withStore(home, async (store) => {
      const first = await look(store, ids);
      if (n < Number.POSITIVE_INFINITY) await work(store, ids).catch(() => {});
      return [first, await look(store, ids)];
    });
    done ??= after;
    const where = `killed ${death} change ${n + 1}, behind ${made.join(', ')}`;
    expect([before, done], where).toContainEqual(found);
    expect(after, where).toEqual(done);
    expect(done).not.toEqual(before);
    if (n < Number.POSITIVE_INFINITY) expectTidy(home);
    expect(filesBelow(home).filter(isAstray)).toEqual([]);
    return made;
  };
  const calls = await dying(Number.POSITIVE_INFINITY, 'before');
  for (const [n, call] of calls.entries()) {
    await dying(n, 'before');
    if (call === 'write') await dying(n, 'torn');
  }
  return calls;
}

const facts = async (store: LocalThreadStore, threadId: ThreadId): Promise<unknown> => {
  const thread = await store.readThread(threadId, { includeArchived: true }).catch(() => null);
  if (thread === null) return null;
  const { name, memoryMode, git, archivedAtMs, preview } = thread;
  return { name, memoryMode, git, isArchived: archivedAtMs !== null, preview, words: await wordsIn(store, threadId) };
};

const looked = async (store: LocalThreadStore, ids: readonly ThreadId[]): Promise<unknown> => ({
  threads: await Promise.all(ids.map((id) => facts(store, id))),
  active: (await listed(store)).filter((id) => ids.includes(id)).toSorted(),
  archived: (await listed(store, true)).filter((id) => ids.includes(id)).toSorted(),
});

/** A thread of three rollouts. */
async function revertedTwice(store: LocalThreadStore): Promise<readonly ThreadId[]> {
  const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b', 'c']);
  await store.updateThreadMetadata(threadId, { name: 'of three files' });
  await store.revertThread(threadId, turnIds[2] ?? '');
  await store.revertThread(threadId, turnIds[1] ?? '');
  return [threadId];
}

describe('killed at any change of the disk', () => {
  it.each(MODES)('PATCH-1 a patch is there whole or not at all after a crash at any point (%s)', async (mode) => {
    const deaths = await dieEverywhere({
      prepare: async (store) => [(await storedThread(store, mode, ['a'])).threadId],
      work: (store, [id]) =>
        store.updateThreadMetadata(id as ThreadId, { name: 'new', memoryMode: 'disabled', gitInfo: { sha: 'abc' } }),
      look: looked,
    });
    expect(deaths).toContain('write');
  });

  it('PLACE-1 archive and unarchive move a thread of several files whole or not at all', async () => {
    const archive = await dieEverywhere({
      prepare: revertedTwice,
      work: (store, [id]) => store.archiveThreads([id as ThreadId]),
      look: looked,
      isAstray: (path) => path.startsWith('sessions/'),
    });
    const unarchive = await dieEverywhere({
      prepare: async (store) => {
        const ids = await revertedTwice(store);
        await store.archiveThreads([ids[0] as ThreadId]);
        return ids;
      },
      work: (store, [id]) => store.unarchiveThread(id as ThreadId),
      look: looked,
      isAstray: (path) => path.startsWith('archived_sessions/'),
    });
    for (const calls of [archive, unarchive]) expect(calls.filter((call) => call === 'rename').length).toBe(3);
  });

  it('PLACE-2 a deletion that was begun is finished at the next start, or was never begun', async () => {
    const deaths = await dieEverywhere({
      prepare: async (store) => {
        const [first] = await revertedTwice(store);
        const child = await forkThread(store, first as ThreadId, 'paginated');
        await say(store, child.id, 'paginated', 'of the fork');
        await store.shutdownThread(child.id);
        return [first as ThreadId, child.id];
      },
      work: (store, [first, child]) => store.deleteThreads([first as ThreadId, child as ThreadId]),
      look: looked,
    });
    expect(deaths.filter((call) => call === 'unlink').length).toBeGreaterThan(4);
  });

  it('PLACE-3 a revert has happened, with the records that come with it, or has not', async () => {
    const turns: string[] = [];
    const deaths = await dieEverywhere({
      prepare: async (store) => {
        const { threadId, turnIds } = await storedThread(store, 'paginated', ['a', 'b']);
        turns.push(...turnIds);
        return [threadId];
      },
      work: (store, [id]) => {
        const item = settingsAppliedItem(id as ThreadId, { ...SETTINGS, model: 'the last one chosen' });
        return store.revertThread(id as ThreadId, turns[1] ?? '', [record(item)]);
      },
      look: async (store, [id]) => [
        await looked(store, [id as ThreadId]),
        (await store.readThread(id as ThreadId)).model,
      ],
    });
    expect(deaths).toContain('rename');
  });

  it.each(MODES)('PLACE-4 a fork appears with its history and its name, or not at all (%s)', async (mode) => {
    const deaths = await dieEverywhere({
      prepare: async (store) => {
        const { threadId } = await storedThread(store, mode, ['a', 'b']);
        await store.updateThreadMetadata(threadId, { name: 'the source' });
        return [threadId];
      },
      work: (store, [id]) => forkThread(store, id as ThreadId, mode),
      look: async (store, [source]) => {
        const forks = (await listed(store)).filter((id) => id !== source);
        const [first = null] = await Promise.all(forks.map((id) => facts(store, id)));
        return { source: await facts(store, source as ThreadId), fork: first };
      },
    });
    expect(deaths).toContain('rename');
  });
});

it('PLACE-5 names of other threads and lines that are none survive a crash in a deletion', async () => {
  const template = tempFolder();
  const odd = '{"id":"not a thread","thread_name":1}\nno json\n';
  const [doomed, other] = await withStore(template, async (store) => {
    const [first, second] = [await storedThread(store, 'legacy', ['a']), await storedThread(store, 'legacy', ['b'])];
    await store.updateThreadMetadata(first.threadId, { name: 'doomed' });
    await store.updateThreadMetadata(second.threadId, { name: 'other' });
    return [first.threadId, second.threadId] as const;
  });
  appendFileSync(join(template, 'session_index.jsonl'), odd);
  for (let n = 0, isDone = false; !isDone; n += 1) {
    const home = tempFolder();
    cpSync(template, home, { recursive: true, preserveTimestamps: true });
    isDone = (await workAndDie(home, n, 'torn', (store) => store.deleteThreads([doomed]))).length < n;
    await withStore(home, async (store) => {
      expect(await store.readThread(other)).toMatchObject({ name: 'other' });
    });
    expect(readFileSync(join(home, 'session_index.jsonl'), 'utf8').endsWith(odd)).toBe(true);
  }
});
