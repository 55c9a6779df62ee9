import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ThreadId } from '../../../../src/domain/ids.ts';
import type { JsonObject } from '../../../../src/domain/json.ts';
import type { HistoryMode } from '../../../../src/domain/session-meta.ts';
import { NO_FACTS } from '../../../../src/domain/thread-facts.ts';
import { linesOf, writeRollout } from '../../../support/home-files.ts';
import { openLocalStore } from '../../../support/local-store.ts';
import { openIndex, query } from '../../../support/open-index.ts';
import { event, headerPayload, someThreadId, T0, turnItems } from '../../../support/records.ts';
import { tempFolder } from '../../../support/temp-home.ts';

const TURNS = 80;
const MEGABYTE = 1_048_576;

/** Words of about 40 KB that tell one turn from another. */
const words = (number: number): string => `word-${number} ${'lorem ipsum '.repeat(3_400)}`;

const large = (home: string, mode: HistoryMode): ReturnType<typeof writeRollout> =>
  writeRollout(home, { mode, said: Array.from({ length: TURNS }, (_, number) => words(number)) });

/** Bytes that this process has read by any system call, as far as the system tells. */
const charactersRead = (): number =>
  existsSync('/proc/self/io') ? Number(/rchar: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]) : 0;

describe.each(['legacy', 'paginated'] as const)('pages of a large %s thread', (mode) => {
  it('PAGE-1 a page of turns or items reads what it shows, wherever it lies', async () => {
    const home = tempFolder();
    const { threadId, path } = large(home, mode);
    const index = openIndex(home);
    await index.whenReady();
    expect(statSync(path).size).toBeGreaterThan(10 * MEGABYTE);

    const costs = async (page: () => Promise<{ readonly data: readonly unknown[] }>): Promise<void> => {
      const [own, all] = [(await index.status()).bytesRead, charactersRead()];
      const { data } = await page();
      expect(data).toHaveLength(5);
      const shown = JSON.stringify(data).length;
      expect((await index.status()).bytesRead - own).toBeLessThan(shown + 8_192);
      // The database is read as well, and whatever else goes on in this process.
      expect(charactersRead() - all).toBeLessThan(shown + MEGABYTE);
    };
    const half = await index.turns({ threadId, limit: TURNS / 2, direction: 'asc', itemsView: 'notLoaded' });
    const halfOfItems = await index.items({ threadId, limit: TURNS, direction: 'asc' });
    const middle = half.nextCursor ?? '';
    for (const itemsView of ['notLoaded', 'summary', 'full'] as const) {
      await costs(() => index.turns({ threadId, limit: 5, direction: 'asc', itemsView }));
      await costs(() => index.turns({ threadId, limit: 5, direction: 'desc', itemsView }));
      await costs(() => index.turns({ threadId, limit: 5, direction: 'asc', itemsView, cursor: middle }));
    }
    for (const direction of ['asc', 'desc'] as const) {
      await costs(() => index.items({ threadId, limit: 5, direction }));
      await costs(() => index.items({ threadId, limit: 5, direction, cursor: halfOfItems.nextCursor ?? '' }));
    }
  });

  it('PAGE-2 reading, listing, searching, renaming, archiving, resuming and forking read a bounded part of it', async () => {
    const home = tempFolder();
    const { threadId } = large(home, mode);
    const store = await openLocalStore(home);
    try {
      await store.whenIndexed();
      const costs = async (work: () => Promise<unknown>): Promise<void> => {
        const before = charactersRead();
        await work();
        expect(charactersRead() - before).toBeLessThan(2 * MEGABYTE);
      };
      await costs(() => store.readThread(threadId));
      await costs(() => store.listThreads(query()));
      await costs(() => store.searchThreads({ query: query({ limit: 1 }), term: 'word-3 ' }));
      await costs(() => store.updateThreadMetadata(threadId, { name: 'large' }));
      await costs(() => store.updateThreadMetadata(threadId, { memoryMode: 'disabled' }));
      await costs(() => store.archiveThreads([threadId]));
      await costs(() => store.unarchiveThread(threadId));
      await costs(() => store.resumeThread({ threadId }));
      const { turnId, items } = turnItems(mode, threadId, 'more', 'ok');
      const records = items.map((item) => ({ timestamp: new Date(T0).toISOString(), item }));
      await costs(async () => {
        await store.appendItems({ threadId, records, facts: NO_FACTS, durability: 'process', onFailure: 'keep' });
        const page = await store.listTurns({ threadId, limit: 1, direction: 'desc', itemsView: 'full' });
        expect(page.data[0]?.id).toBe(turnId);
      });
      await costs(() => store.shutdownThread(threadId));
      const forkId = someThreadId();
      const fork = (): Promise<unknown> =>
        store.forkThread({
          threadId: forkId,
          sourceId: threadId,
          boundary: { kind: 'beforeUserMessage', index: TURNS - 1 },
          historyMode: mode,
          cwd: '/work/project',
          createdAtMs: T0,
          header: async () => headerPayload(forkId, mode),
        });
      // A legacy fork is a copy.
      await (mode === 'paginated' ? costs(fork) : fork());
    } finally {
      await store.close();
    }
  });

  it('INDEX-2 after a restart nothing of an unchanged file is read again', async () => {
    const home = tempFolder();
    const { threadId } = large(home, mode);
    const index = openIndex(home);
    await index.whenReady();
    const params = { threadId, limit: 100, direction: 'asc', itemsView: 'full' } as const;
    const pages = [await index.turns(params), await index.list(query())];
    await index.close();
    const before = charactersRead();
    const again = openIndex(home);
    await again.whenReady();
    expect((await again.status()).bytesRead).toBe(0);
    expect(charactersRead() - before).toBeLessThan(MEGABYTE);
    expect([await again.turns(params), await again.list(query())]).toEqual(pages);
  });
});

it('PAGE-4 a page of items is full while there are items, whatever lies hidden between them', async () => {
  const home = tempFolder();
  const { threadId, path } = writeRollout(home, { mode: 'paginated', said: [] });
  const turnId = 'turn-1';
  const item = (type: string, id: string, members = {}): ReturnType<typeof event> =>
    event('item_completed', { thread_id: threadId, turn_id: turnId, item: { type, id, ...members } });
  const shown = (id: string): ReturnType<typeof event> =>
    item('AgentMessage', id, { content: [{ type: 'Text', text: id }] });
  const hidden = Array.from({ length: 7 }, (_, number) => item('SomethingNew', `hidden-${number}`));
  const records = [
    event('task_started', { turn_id: turnId }),
    shown('a'),
    ...hidden,
    shown('b'),
    shown('c'),
    ...hidden,
  ];
  writeFileSync(path, readFileSync(path, 'utf8') + linesOf(records, { mode: 'paginated', ordinal: 1 }));
  const index = openIndex(home);
  const idsBy = async (limit: number, direction: 'asc' | 'desc', scope = {}): Promise<readonly string[][]> => {
    const pages: string[][] = [];
    for (let cursor: string | null | undefined; cursor !== null;) {
      const page = await index.items({
        threadId,
        limit,
        direction,
        ...scope,
        ...(cursor === undefined ? {} : { cursor }),
      });
      pages.push(page.data.map((entry) => entry.item.id));
      cursor = page.nextCursor;
    }
    return pages.filter((page) => page.length > 0);
  };
  expect(await idsBy(1, 'asc')).toEqual([['a'], ['b'], ['c']]);
  expect(await idsBy(2, 'asc', { turnId })).toEqual([['a', 'b'], ['c']]);
  expect(await idsBy(1, 'desc')).toEqual([['c'], ['b'], ['a']]);
});

it('PAGE-5 a history whose source is missing, goes round in a circle or lies beyond its file is refused', async () => {
  const home = tempFolder();
  const [a, b] = [someThreadId(), someThreadId()];
  const base = (threadId: string, endOffset: number): JsonObject => ({
    history_base: { thread_id: threadId, end_ordinal_exclusive: 1, end_byte_offset: endOffset },
  });
  const rollout = (threadId: ThreadId, header: JsonObject): unknown =>
    writeRollout(home, { threadId, mode: 'paginated', header });
  const source = writeRollout(home, { mode: 'paginated' });
  rollout(a, base(b, 10));
  rollout(b, base(a, 10));
  const [missing, beyond] = [someThreadId(), someThreadId()];
  rollout(missing, base(someThreadId(), 10));
  rollout(beyond, base(source.threadId, statSync(source.path).size + 1));
  const index = openIndex(home);
  await index.whenReady();
  for (const threadId of [a, b, missing, beyond]) {
    await expect(index.turns({ threadId, limit: 5, direction: 'asc', itemsView: 'full' })).rejects.toMatchObject({
      code: 'invalidRequest',
      message: expect.stringContaining(`invalid paginated history lineage for ${threadId}`),
    });
  }
  expect((await index.list(query())).data).toHaveLength(5);
});
