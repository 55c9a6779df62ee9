import { appendFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { ThreadId } from '../../../../src/domain/ids.ts';
import { parseThreadCursor } from '../../../../src/domain/thread-cursor.ts';
import type { ThreadPosition, ThreadSortKey } from '../../../../src/domain/thread-query.ts';
import { linesOf, sayMore, setTime, writeRollout, type WrittenRollout } from '../../../support/home-files.ts';
import { allPages, firstWords, openIndex, query } from '../../../support/open-index.ts';
import { event, headerPayload, T0, turnItems } from '../../../support/records.ts';
import { tempFolder } from '../../../support/temp-home.ts';

const KEYS: readonly ThreadSortKey[] = ['createdAt', 'updatedAt', 'recencyAt'];

/** Pages through a home in which threads are written to, come and go between pages, and while one is read. */
async function pagedBesideChanges(
  sortKey: ThreadSortKey,
  direction: 'asc' | 'desc',
): Promise<Readonly<Record<'busy' | 'quiet' | 'met' | 'come', readonly ThreadId[]>>> {
  const home = tempFolder();
  const busy: WrittenRollout[] = [];
  const going: WrittenRollout[] = [];
  const quiet: ThreadId[] = [];
  for (let number = 0; number < 36; number += 1) {
    // Few instants for many threads: pages end in the middle of them.
    const thread = writeRollout(home, { createdAtMs: T0 + (number % 3) * 1_000, mtimeMs: T0 + (number % 4) * 1_000 });
    if (number % 5 === 0) busy.push(thread);
    else if (number % 5 === 1) going.push(thread);
    else quiet.push(thread.threadId);
  }
  const index = openIndex(home);
  await index.whenReady();
  const come: ThreadId[] = [];
  let changes = 0;
  const change = (): void => {
    changes += 1;
    const written = busy[changes % busy.length];
    if (written !== undefined) sayMore(written, 'more', T0 + 60_000 + changes);
    const gone = changes % 3 === 0 ? going.pop() : undefined;
    if (gone !== undefined) rmSync(gone.path);
    if (changes % 2 === 0)
      come.push(writeRollout(home, { said: ['new'], createdAtMs: T0 + 90_000 + changes }).threadId);
  };
  const met: ThreadId[] = [];
  let after: ThreadPosition | undefined;
  for (let round = 0; ; round += 1) {
    const asked = index.list(query({ sortKey, direction, limit: 4, ...(after === undefined ? {} : { after }) }));
    // Now earlier and now later in the reading of the page.
    for (let turns = round % 8; turns > 0; turns -= 1) await nextTurn();
    change();
    const page = await asked;
    met.push(...page.data.map(({ id }) => id));
    if (page.nextCursor === null) return { busy: busy.map(({ threadId }) => threadId), quiet, met, come };
    after = parseThreadCursor(page.nextCursor);
    change();
  }
}

describe('lists', () => {
  it('QUERY-1 a cursor is an instant and an id; both forms of an instant alone mean what is strictly beyond', async () => {
    const home = tempFolder();
    for (let second = 0; second < 4; second += 1) {
      writeRollout(home, { said: [`at ${second}`], createdAtMs: T0 + second * 1_000 });
    }
    const tied = [4, 4, 4].map((second) => writeRollout(home, { said: ['tied'], createdAtMs: T0 + second * 1_000 }));
    const index = openIndex(home);
    const page = await index.list(query({ limit: 2 }));
    const largestFirst = tied
      .map(({ threadId }) => threadId)
      .toSorted()
      .toReversed();
    expect(page.data.map(({ id }) => id)).toEqual(largestFirst.slice(0, 2));
    expect(page.nextCursor).toBe(`2026-03-04T05:06:11.000Z|${largestFirst[1]}`);

    const after = async (cursor: string): Promise<readonly string[]> =>
      firstWords((await index.list(query({ after: parseThreadCursor(cursor) }))).data);
    expect(await after(page.nextCursor ?? '')).toEqual(['tied', 'at 3', 'at 2', 'at 1', 'at 0']);
    // The rest of the instant is passed over: an old cursor cannot say which of it was seen.
    expect(await after('2026-03-04T05:06:11Z')).toEqual(['at 3', 'at 2', 'at 1', 'at 0']);
    expect(await after('2026-03-04T05-06-11')).toEqual(await after('2026-03-04T05:06:11.000Z'));
    for (const wrong of ['zzz', '', '2026-03-04', `2026-03-04T05:06:11Z|x`, `${page.nextCursor}|`]) {
      expect(() => parseThreadCursor(wrong)).toThrow(`invalid cursor: ${wrong}`);
    }
  });

  it('QUERY-2 who pages while threads are written to, come and go meets every other thread exactly once; by createdAt, those that are written to as well', async () => {
    for (const sortKey of KEYS) {
      for (const direction of ['desc', 'asc'] as const) {
        const { busy, quiet, met, come } = await pagedBesideChanges(sortKey, direction);
        const timesMet = (id: ThreadId): number => met.filter((other) => other === id).length;
        const place = `${sortKey} ${direction}`;
        expect(quiet.map(timesMet), place).toEqual(quiet.map(() => 1));
        expect(Math.max(...come.map(timesMet)), place).toBeLessThanOrEqual(1);
        // In the other orders whatever is written to moves to the end, behind whoever pages or before them.
        const [least, most] = sortKey === 'createdAt' ? [1, 1] : direction === 'desc' ? [0, 1] : [1, Infinity];
        const times = busy.map(timesMet);
        expect(
          times.filter((count) => count < least || count > most),
          place,
        ).toEqual([]);
      }
    }
  });

  it('QUERY-3 a list from the index alone looks for no changes', async () => {
    const home = tempFolder();
    writeRollout(home, { said: ['known'] });
    const index = openIndex(home);
    await index.whenReady();
    writeRollout(home, { said: ['unknown'], createdAtMs: T0 + 1_000 });
    expect(firstWords((await index.list(query({ isIndexOnly: true }))).data)).toEqual(['known']);
    expect(firstWords((await index.list(query())).data)).toEqual(['unknown', 'known']);
    expect(firstWords((await index.list(query({ isIndexOnly: true }))).data)).toEqual(['unknown', 'known']);
  });

  it('QUERY-4 a thread whose header does not say when is as old as the name of its file', async () => {
    const home = tempFolder();
    writeRollout(home, { said: ['undated'], header: { timestamp: '' }, createdAtMs: T0 });
    writeRollout(home, { said: ['older'], createdAtMs: T0 - 1_000 });
    const index = openIndex(home);
    const page = await index.list(query());
    expect(page.data.map(({ preview, createdAtMs }) => [preview, createdAtMs])).toEqual([
      ['undated', T0],
      ['older', T0 - 1_000],
    ]);
  });

  it('QUERY-5 a goal is a preview, the first message is found however late it comes, and a provider stands in for none', async () => {
    const home = tempFolder();
    const { threadId, path } = writeRollout(home, { said: [] });
    const early = Array.from({ length: 300 }, (_, number) => event('token_count', { info: { number } }));
    const header = headerPayload(threadId, 'legacy');
    delete (header as Record<string, unknown>)['model_provider'];
    const goal = event('thread_goal_updated', { goal: { objective: 'the goal' } });
    const items = [{ type: 'session_meta', payload: header }, ...early, goal, ...early];
    writeFileSync(path, linesOf([...items, ...turnItems('legacy', threadId, 'late', 'ok').items]));
    const index = openIndex(home);
    const [thread] = (await index.list(query({ modelProviders: ['default-provider'] }))).data;
    expect(thread).toMatchObject({ id: threadId, preview: 'the goal', firstUserMessage: 'late', path });
    expect((await index.list(query({ modelProviders: ['mock'] }))).data).toEqual([]);
  });

  it('QUERY-6 filters of all kinds agree with each other in every order', async () => {
    const home = tempFolder();
    const parent = writeRollout(home, { said: ['parent'] });
    for (let number = 0; number < 12; number += 1) {
      writeRollout(home, {
        said: [`child ${number % 2 === 0 ? 'even' : 'odd'}`],
        createdAtMs: T0 + (number % 4) * 1_000,
        mtimeMs: T0 + ((number * 7) % 5) * 1_000,
        header: {
          cwd: number % 3 === 0 ? '/a' : '/b/',
          source: number % 2 === 0 ? 'cli' : { subagent: 'review' },
          model_provider: number % 4 === 0 ? 'p' : 'q',
          parent_thread_id: parent.threadId,
        },
      });
    }
    const index = openIndex(home);
    const filters = {
      cwds: ['/b'],
      sourceKinds: ['subAgent'],
      modelProviders: ['q'],
      titleContains: 'ODD',
      parentId: parent.threadId,
      ancestorId: parent.threadId,
    } as const;
    const all = await allPages(index, query({ parentId: parent.threadId }));
    expect(all).toHaveLength(12);
    const wanted = all.filter(
      (thread) => thread.cwd === '/b/' && thread.source !== 'cli' && thread.modelProvider === 'q',
    );
    expect(wanted.length).toBeGreaterThan(2);
    for (const sortKey of KEYS) {
      for (const direction of ['asc', 'desc'] as const) {
        const found = await allPages(index, query({ sortKey, direction, limit: 2, ...filters }));
        expect(found.map(({ id }) => id).toSorted()).toEqual(wanted.map(({ id }) => id).toSorted());
      }
    }
  });
});

describe('search', () => {
  const searchIn = (home: string): ((term: string) => Promise<readonly string[]>) => {
    const index = openIndex(home);
    return async (term) => (await index.search({ query: query(), term })).data.map(({ snippet }) => snippet);
  };

  it('QUERY-7 shows 48 characters before what was found and 96 behind it, on one line, no character cut in two', async () => {
    const home = tempFolder();
    writeRollout(home, { said: [`${'b'.repeat(60)} needle ${'a'.repeat(200)}`] });
    expect(await searchIn(home)('needle')).toEqual([`…${'b'.repeat(47)} needle ${'a'.repeat(95)}…`]);

    const other = tempFolder();
    writeRollout(other, { said: [`${'🙂'.repeat(40)}x needle\n\tand ${'🙂'.repeat(60)}`] });
    const [snippet = ''] = await searchIn(other)('needle');
    expect(snippet).toMatch(/^…(🙂)+x needle and (🙂)+…$/u);
    expect(snippet).not.toMatch(/\p{Surrogate}/u);
  });

  it('QUERY-8 finds words whatever their case and however JSON writes them', async () => {
    const home = tempFolder();
    writeRollout(home, { said: ['İİİİ Ärger: say "quoted" C:\\temp\ttab and Straße'] });
    const search = searchIn(home);
    for (const term of ['ärger', 'ÄRGER', '"QUOTED"', 'c:\\TEMP', 'temp\tTAB', 'straße', 'i̇']) {
      expect(await search(term), term).toHaveLength(1);
    }
    expect((await search('ärger'))[0]).toBe('İİİİ Ärger: say "quoted" C:\\temp tab and Straße');
    for (const term of ['item_completed', 'user_message', 'vscode', '\\n', '.*']) {
      expect(await search(term), term).toEqual([]);
    }
  });

  it('QUERY-9 a term does not reach from one message into the next, and a thread that cannot be read stops nothing', async () => {
    const home = tempFolder();
    writeRollout(home, { said: ['one', 'two'] });
    expect(await searchIn(home)('onere')).toEqual([]);
    const base = { thread_id: '01999999-9999-7999-8999-999999999999', end_ordinal_exclusive: 3, end_byte_offset: 900 };
    writeRollout(home, {
      mode: 'paginated',
      said: ['one more'],
      header: { history_base: base },
      createdAtMs: T0 + 1_000,
    });
    const index = openIndex(home);
    await index.whenReady();
    const gone = writeRollout(home, { said: ['one too'], createdAtMs: T0 + 2_000 });
    await index.list(query());
    rmSync(gone.path);
    const hits = await index.search({ query: query({ isIndexOnly: true }), term: 'one' });
    expect(hits.data.map(({ snippet }) => snippet)).toEqual(['one']);
  });

  it('QUERY-10 pages of hits hold every hit once', async () => {
    const home = tempFolder();
    for (let number = 0; number < 130; number += 1) {
      const said = [number % 2 === 0 ? `needle ${number}` : 'hay'];
      const thread = writeRollout(home, { said, createdAtMs: T0 + Math.floor(number / 10) * 1_000 });
      setTime(thread.path, T0 + (number % 7) * 1_000);
    }
    const index = openIndex(home);
    for (const sortKey of KEYS) {
      const found: string[] = [];
      let asked = query({ sortKey, limit: 9 });
      for (;;) {
        const page = await index.search({ query: asked, term: 'NEEDLE' });
        found.push(...page.data.map(({ thread }) => thread.id));
        if (page.nextCursor === null) break;
        asked = { ...asked, after: parseThreadCursor(page.nextCursor) };
      }
      expect(found).toHaveLength(65);
      expect(new Set(found).size).toBe(65);
    }
  });

  it('QUERY-11 a fork is searched as far as it goes, and not what its source has said since', async () => {
    const home = tempFolder();
    const source = writeRollout(home, { mode: 'paginated', said: ['before'] });
    const size = statSync(source.path).size;
    const later = turnItems('paginated', source.threadId, 'since', 'ok').items;
    appendFileSync(source.path, linesOf(later, { mode: 'paginated', ordinal: 7 }));
    const base = { thread_id: source.threadId, end_ordinal_exclusive: 7, end_byte_offset: size };
    const fork = writeRollout(home, { mode: 'paginated', said: [], header: { history_base: base } });
    const index = openIndex(home);
    const found = async (term: string): Promise<readonly string[]> =>
      (await index.search({ query: query(), term })).data.map(({ thread }) => thread.id).toSorted();
    expect(await found('before')).toEqual([source.threadId, fork.threadId].toSorted());
    expect(await found('since')).toEqual([source.threadId]);
  });
});
