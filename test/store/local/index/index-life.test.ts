import fs, {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import * as fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { newUuid, type ThreadId } from '../../../../src/domain/ids.ts';
import { localTimeOf } from '../../../../src/domain/rollout-file-name.ts';
import type { ThreadQuery } from '../../../../src/domain/thread-query.ts';
import { HomeLayout } from '../../../../src/store/local/home-layout.ts';
import type { IndexApi } from '../../../../src/store/local/index/index-api.ts';
import type { openIndexThread as OpenIndexThread } from '../../../../src/store/local/index/index-thread.ts';
import { COMPILED } from '../../../support/compiled.ts';
import { sayMore, setTime, writeRollout, type WrittenRollout } from '../../../support/home-files.ts';
import { allPages, everyThread, firstWords, openIndex, query } from '../../../support/open-index.ts';
import { start } from '../../../support/process.ts';
import { someThreadId, T0 } from '../../../support/records.ts';
import { tempFolder } from '../../../support/temp-home.ts';

const DAY_MS = 86_400_000;
const ROOT = join(import.meta.dirname, '../../../..');
const indexFile = (home: string): string => new HomeLayout(home).index;

/** Everything that an index says of a home. */
async function allAnswers(index: IndexApi): Promise<unknown> {
  await index.whenReady();
  const threads = await everyThread(index);
  const orders: string[][] = [];
  for (const sortKey of ['createdAt', 'updatedAt', 'recencyAt'] as const) {
    orders.push((await allPages(index, query({ sortKey, limit: 3 }))).map(({ id }) => id));
  }
  const titles = await Promise.all(
    threads.map(({ name, preview }) => index.list(query({ titleContains: name ?? preview }))),
  );
  const turns = await Promise.all(
    threads.map(({ id }) => index.turns({ threadId: id, limit: 100, direction: 'asc', itemsView: 'full' })),
  );
  return { threads, orders, titles, turns };
}

/** A home with threads of all kinds. */
function variedHome(count = 12): { readonly home: string; readonly threads: readonly WrittenRollout[] } {
  const home = tempFolder();
  const threads = Array.from({ length: count }, (_, number) =>
    writeRollout(home, {
      mode: number % 3 === 0 ? 'paginated' : 'legacy',
      said: [`first of ${number}`, 'second'],
      createdAtMs: T0 + number * DAY_MS,
      isArchived: number % 5 === 4,
    }),
  );
  const names = threads
    .filter((_, number) => number % 2 === 0)
    .map(({ threadId }, number) =>
      JSON.stringify({ id: threadId, thread_name: `name ${number}`, updated_at: '2026-03-05T00:00:00.000Z' }),
    );
  writeFileSync(join(home, 'session_index.jsonl'), `${names.join('\n')}\n`);
  return { home, threads };
}

describe('the life of an index', () => {
  it('INDEX-3 the first answer of a cold index is that of a built one, whatever is asked', async () => {
    const thread = fc.record({
      number: fc.integer({ min: 0, max: 5 }),
      day: fc.integer({ min: 0, max: 40 }),
      writtenAfter: fc.integer({ min: 0, max: 30 }),
      isArchived: fc.boolean(),
      revertedAfter: fc.option(fc.integer({ min: 1, max: 30 })),
      cwd: fc.constantFrom('/a', '/b'),
    });
    const asked = fc.record({
      sortKey: fc.constantFrom('createdAt' as const, 'updatedAt' as const, 'recencyAt' as const),
      direction: fc.constantFrom('asc' as const, 'desc' as const),
      limit: fc.integer({ min: 1, max: 4 }),
      isArchived: fc.boolean(),
      cwds: fc.constantFrom(undefined, ['/a']),
      afterDay: fc.option(fc.integer({ min: 0, max: 60 })),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(thread, { minLength: 1, maxLength: 14 }), asked, async (threads, wish) => {
        const home = tempFolder();
        for (const { number, day, writtenAfter, isArchived, revertedAfter, cwd } of threads) {
          const createdAtMs = T0 + day * DAY_MS;
          const header = { cwd };
          const said = number === 0 ? [] : [`word ${number}`];
          const first = { mode: 'paginated', said, createdAtMs, header } as const;
          const mtimeMs = createdAtMs + writtenAfter * DAY_MS;
          const { threadId } = writeRollout(home, { ...first, isArchived, mtimeMs });
          if (revertedAfter === null) continue;
          const later = createdAtMs + revertedAfter * DAY_MS;
          const rolloutId = newUuid() as ThreadId;
          // Named for its own day, while its header says when the thread began.
          const { path } = writeRollout(home, { ...first, threadId, rolloutId, isArchived: !isArchived });
          const name = { threadId, rolloutId, localTime: localTimeOf(later), isCompressed: false };
          const layout = new HomeLayout(home);
          const place = isArchived ? layout.activePath(name) : layout.archivedPath(name);
          mkdirSync(dirname(place), { recursive: true });
          renameSync(path, place);
          setTime(place, later);
        }
        const { afterDay, cwds, ...rest } = wish;
        const wanted: ThreadQuery = {
          ...rest,
          ...(cwds === undefined ? {} : { cwds }),
          ...(afterDay === null ? {} : { after: { keyMs: T0 + afterDay * DAY_MS, id: null } }),
        };
        const index = openIndex(home);
        const first = await index.list(wanted);
        await index.whenReady();
        expect(first).toEqual(await index.list(wanted));
        await index.close();
      }),
      { numRuns: 40 },
    );
  });

  const damages: Readonly<Record<string, (path: string) => unknown>> = {
    'its header is noise': (path) => overwrite(path, 0, 512),
    'all but its first page is noise': (path) => overwrite(path, 4_096),
    'the second half is noise': (path) => overwrite(path, Math.floor(readFileSync(path).length / 8_192) * 4_096),
    'it was cut': (path) => fs.truncateSync(path, 6_000),
    'it is empty': (path) => fs.truncateSync(path, 0),
    'it is another file': (path) => writeFileSync(path, 'not a database\n'.repeat(1_000)),
    'it is a folder': (path) => {
      rmSync(path);
      mkdirSync(path);
    },
    'it has a newer version': (path) => sqlite(path, 'PRAGMA user_version = 99'),
    'a table is gone': (path) => sqlite(path, 'DROP TABLE items'),
    'it holds broken JSON': (path) => sqlite(path, `UPDATE rollouts SET facts = '{"header'`),
    'another program has locked it': (path) => sqlite(path, 'BEGIN EXCLUSIVE', 'and stays'),
  };
  it.each(Object.entries(damages))(
    'INDEX-4 an index is set aside and rebuilt, and nothing is lost: %s',
    async (what, damage) => {
      const { home, threads } = variedHome();
      const index = openIndex(home);
      const before = await allAnswers(index);
      await index.close();
      await damage(indexFile(home));
      const damaged = what === 'it has a newer version' ? readFileSync(indexFile(home)) : undefined;
      // Both what is asked and what is read in the background meet the damage.
      const [first] = threads;
      if (first !== undefined) setTime(first.path, T0 + 500 * DAY_MS);

      const again = openIndex(home);
      const many = await Promise.all(Array.from({ length: 10 }, () => everyThread(again)));
      expect(many.every((found) => found.length === 12)).toBe(true);
      const after = await allAnswers(again);
      expect(words(after)).toEqual(words(before));
      const { setAside, problem, state, isInMemory } = await again.status();
      expect([problem, state, isInMemory]).toEqual([null, 'ready', false]);
      // An empty file is a new index.
      if (what === 'it is empty') return;
      expect(setAside).toEqual(expect.any(String));
      expect(readdirSync(dirname(indexFile(home))).some((name) => name.includes('set-aside'))).toBe(true);
      if (what !== 'it has a newer version') return;
      // Whoever wrote it finds it as it was.
      const folder = dirname(indexFile(home));
      const kept = readdirSync(folder).find((name) => name.startsWith('index.sqlite.set-aside'));
      expect(readFileSync(join(folder, kept ?? '')).equals(damaged ?? Buffer.alloc(0))).toBe(true);
    },
  );

  it('INDEX-5 where no index can be written it lives in memory, and says so', async () => {
    const { home } = variedHome();
    writeFileSync(join(home, 'skein'), 'no folder');
    const index = openIndex(home);
    expect(await everyThread(index)).toHaveLength(12);
    expect(await index.status()).toMatchObject({ isInMemory: true, setAside: expect.any(String) });
  });

  it('INDEX-5 a full disk moves the index into memory, and no answer fails', async () => {
    const { home } = variedHome(150);
    const script = `
      process.on('SIGXFSZ', () => {});
      const { HomeLayout, openIndexInline } = await import('${COMPILED}');
      const index = openIndexInline({ home: new HomeLayout('${home}'), defaultModelProvider: 'p' });
      const query = { sortKey: 'createdAt', direction: 'desc', limit: 1000, isArchived: false };
      const count = async () => (await index.list(query)).data.length;
      const first = await count();
      await index.whenReady();
      const { isInMemory, problem } = await index.status();
      console.log(JSON.stringify({ first, last: await count(), isInMemory, problem }));
      await index.close();`;
    const node = `exec "${process.execPath}" --input-type=module -e "$SCRIPT"`;
    const child = start('sh', ['-c', `ulimit -f 300; ${node}`], { env: { ...process.env, SCRIPT: script } });
    const [line] = await child.said(/^\{.*\}$/m);
    expect(JSON.parse(line)).toEqual({ first: 120, last: 120, isInMemory: true, problem: null });
  });

  it('INDEX-14 nobody holds up the log of an index by reading it: it is taken in every 16 MiB', async () => {
    const { home } = variedHome();
    const path = indexFile(home);
    await openIndex(home).close();
    const reading = 'PRAGMA journal_mode = WAL; BEGIN; SELECT * FROM threads';
    await sqlite(path, reading, 'and stays');
    const index = openIndex(home);
    expect(await everyThread(index)).toHaveLength(12);
    expect(await index.status()).toMatchObject({ setAside: expect.stringContaining('locked'), isInMemory: false });
    await expect(sqlite(path, reading, 'and stays')).rejects.toThrow('database is locked');
    const ids = Array.from({ length: 2_000 }, someThreadId);
    for (let round = 0; round < 5; round += 1) {
      const named = ids.map((id) => JSON.stringify({ id, thread_name: `${round}`.padStart(1_500) }));
      writeFileSync(join(home, 'session_index.jsonl'), `${named.join('\n')}\n`);
      await index.list(query());
    }
    expect(fs.statSync(`${path}-wal`).size).toBeLessThan(22 * 1_048_576);
  });

  it('INDEX-6 deleted or replaced under a running index, the file changes no answer, then or later', async () => {
    const { home, threads } = variedHome();
    const index = openIndex(home);
    const before = await allAnswers(index);
    rmSync(dirname(indexFile(home)), { recursive: true });
    expect(await allAnswers(index)).toEqual(before);
    mkdirSync(dirname(indexFile(home)));
    writeFileSync(indexFile(home), 'something else');
    const legacy = threads[1];
    if (legacy !== undefined) sayMore(legacy, 'more', T0 + 300 * DAY_MS);
    const grown = await allAnswers(index);
    expect(grown).not.toEqual(before);
    await index.close();
    expect(await allAnswers(openIndex(home))).toEqual(grown);
  });

  it('INDEX-7 killed between any two statements, an index goes on to the answers of a new one', async () => {
    const { home, threads } = variedHome(3);
    const script = `
      import Database from 'better-sqlite3';
      const { prepare } = Database.prototype;
      let left = Number(process.argv[1]);
      Database.prototype.prepare = function (sql) {
        const statement = prepare.call(this, sql);
        const { run } = statement;
        statement.run = (...values) => {
          left -= 1;
          if (left === 0) process.kill(process.pid, 'SIGKILL');
          return run.apply(statement, values);
        };
        return statement;
      };
      const { HomeLayout, openIndexInline } = await import('${COMPILED}');
      const index = openIndexInline({ home: new HomeLayout('${home}'), defaultModelProvider: 'default-provider' });
      await index.whenReady();
      await index.close();`;
    let killed = 0;
    for (const [round, count] of [1, 2, 3, 4, 6, 8, 10, 12, 15, 18, 22, 26].entries()) {
      change(home, threads, round);
      const args = ['--input-type=module', '-e', script, String(count)];
      const ended = await start(process.execPath, args, { cwd: ROOT }).exited;
      expect([0, 'SIGKILL']).toContain(ended);
      if (ended === 'SIGKILL') killed += 1;
      const survivor = openIndex(home);
      const answers = await allAnswers(survivor);
      await survivor.close();
      rmSync(dirname(indexFile(home)), { recursive: true });
      const fresh = openIndex(home);
      expect(answers, `killed at statement ${count}`).toEqual(await allAnswers(fresh));
      await fresh.close();
    }
    expect(killed).toBeGreaterThan(6);
  });

  it.each([
    ['in use, and the machine has gone on', 'as it was', true],
    ['in use when the machine went down', 'another start', false],
    ['closed before', 'none', true],
  ] as const)(
    'INDEX-15 an index that was %s is used again only if it cannot have read what was lost',
    async (_, boot, isKept) => {
      const { home } = variedHome(3);
      const index = openIndex(home);
      const answers = await allAnswers(index);
      if (boot === 'none') await index.close();
      else {
        // As a killed daemon leaves it.
        const folder = dirname(indexFile(home));
        const left = tempFolder();
        cpSync(folder, left, { recursive: true });
        await index.close();
        rmSync(folder, { recursive: true });
        cpSync(left, folder, { recursive: true });
      }
      if (boot === 'another start') {
        const database = new Database(indexFile(home));
        database.prepare(`UPDATE facts SET value = ? WHERE key = 'boot'`).run(boot);
        database.close();
      }
      const next = openIndex(home);
      expect(await allAnswers(next)).toEqual(answers);
      const { setAside } = await next.status();
      expect(setAside).toBe(isKept ? null : 'the index was in use when the machine went down');
      await next.close();
    },
  );

  it('INDEX-8 what was written before a question is in its answer, whatever is being read at that moment', async () => {
    const home = tempFolder();
    const said = Array.from({ length: 400 }, (_, number) => `${number} ${'lorem '.repeat(1_000)}`);
    const thread = writeRollout(home, { said });
    const index = openIndex(home);
    const turns = (): ReturnType<IndexApi['turns']> =>
      index.turns({ threadId: thread.threadId, limit: 1, direction: 'desc', itemsView: 'full' });
    const reading = turns();
    await new Promise(setImmediate);
    sayMore(thread, 'the last word');
    const [last] = (await turns()).data;
    expect(JSON.stringify(last)).toContain('the last word');
    await reading;
  });

  it('INDEX-9 a file that the system will not let be read costs itself only, and is tried again', async () => {
    const { home, threads } = variedHome(4);
    const closed = threads[2]?.path ?? '';
    const { openSync } = fs;
    onTestFinished(() => {
      fs.openSync = openSync;
      syncBuiltinESMExports();
    });
    fs.openSync = ((path: string, ...rest: []) => {
      if (path === closed) throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
      return openSync(path, ...(rest as unknown as ['r']));
    }) as typeof openSync;
    syncBuiltinESMExports();
    const index = openIndex(home);
    await index.whenReady();
    expect(await everyThread(index)).toHaveLength(3);
    expect((await index.status()).unreadable).toBe(1);
    await index.close();
    fs.openSync = openSync;
    syncBuiltinESMExports();
    expect(await everyThread(openIndex(home))).toHaveLength(4);
  });

  it('INDEX-10 an index that is closed leaves a large file where it is, and goes on there the next time', async () => {
    const home = tempFolder();
    const said = Array.from({ length: 400 }, (_, number) => `${number} ${'lorem '.repeat(1_500)}`);
    const { path } = writeRollout(home, { said });
    const index = openIndex(home);
    while ((await index.status()).bytesRead === 0) await new Promise(setImmediate);
    const atClose = (await index.status()).bytesRead;
    const closing = index.close();
    await closing;
    const size = fs.statSync(path).size;
    const again = openIndex(home);
    await again.whenReady();
    expect(atClose).toBeLessThan(size / 2);
    const { bytesRead } = await again.status();
    expect(bytesRead).toBeLessThan(size);
    expect(bytesRead).toBeGreaterThan(size / 2);
    expect(firstWords((await again.list(query())).data)[0]?.startsWith('0 lorem')).toBe(true);
  });

  it('INDEX-17 an index whose build was cut short by a kill goes on there, and reads no file again', async () => {
    const home = tempFolder();
    const files = Array.from({ length: 60 }, () => writeRollout(home, { said: ['one', 'two'] }));
    const script = `
      const { HomeLayout, openIndexInline } = await import('${COMPILED}');
      const index = openIndexInline({ home: new HomeLayout('${home}'), defaultModelProvider: 'p' });
      while ((await index.status()).indexed < 20) await new Promise(setImmediate);
      process.kill(process.pid, 'SIGKILL');`;
    const args = ['--input-type=module', '-e', script];
    expect(await start(process.execPath, args, { cwd: ROOT }).exited).toBe('SIGKILL');
    const index = openIndex(home);
    await index.whenReady();
    const { indexed, bytesRead, setAside } = await index.status();
    expect({ indexed, setAside }).toEqual({ indexed: 60, setAside: null });
    // Each is read once, and marked.
    const cost = files.map(({ path }) => fs.statSync(path).size).reduce((sum, size) => sum + size + 1_024, 0);
    expect(bytesRead).toBeLessThanOrEqual((cost * 40) / 60);
  });

  it('INDEX-11 while an index is built in its thread, this one is free', async () => {
    const home = tempFolder();
    const said = Array.from({ length: 90 }, (_, number) => `message ${number}`);
    for (let number = 0; number < 40; number += 1) writeRollout(home, { said, createdAtMs: T0 + number * 1_000 });
    const { openIndexThread } = (await import(COMPILED)) as {
      openIndexThread: typeof OpenIndexThread;
    };
    const index = openIndexThread({ home: new HomeLayout(home), defaultModelProvider: 'p' });
    onTestFinished(() => index.close());
    const before = performance.eventLoopUtilization();
    await index.whenReady();
    const { utilization } = performance.eventLoopUtilization(before);
    expect((await index.status()).indexed).toBe(40);
    expect(utilization).toBeLessThan(0.5);
  });

  it('INDEX-12 who asks a cold index for relations of threads waits for headers, not for histories', async () => {
    const home = tempFolder();
    const parent = writeRollout(home, { mode: 'paginated', said: ['parent'] });
    const header = { parent_thread_id: parent.threadId };
    const child = writeRollout(home, { said: ['child'], header });
    const base = { thread_id: parent.threadId, end_ordinal_exclusive: 1, end_byte_offset: 100 };
    const fork = writeRollout(home, { mode: 'paginated', said: ['fork'], header: { history_base: base } });
    const said = Array.from({ length: 500 }, (_, number) => `${number} ${'lorem '.repeat(4_000)}`);
    // Newest, so it is read first, and for long.
    writeRollout(home, { said, createdAtMs: T0 + DAY_MS });
    const index = openIndex(home);
    expect(await index.descendants(parent.threadId)).toEqual([child.threadId]);
    expect(await index.referrers([parent.threadId])).toEqual([fork.threadId]);
    expect(await index.status()).toMatchObject({ state: 'building', pending: 1 });
    expect(await index.descendants(someThreadId())).toEqual([]);
  });

  it('INDEX-13 files that come later are read without being asked for', async () => {
    const { home } = variedHome(2);
    const index = openIndex(home);
    await index.whenReady();
    writeRollout(home, { said: ['new'], createdAtMs: T0 + 90 * DAY_MS });
    while ((await index.status()).indexed < 3) await new Promise(setImmediate);
    await index.whenReady();
    expect((await index.status()).state).toBe('ready');
    expect(firstWords((await index.list(query({ isIndexOnly: true }))).data)[0]).toBe('new');
  });

  it('INDEX-13 the first file of a new home is read without being asked for', async () => {
    const home = tempFolder();
    const index = openIndex(home);
    await index.whenReady();
    const { threadId } = writeRollout(home);
    while ((await index.status()).indexed < 1) await new Promise(setImmediate);
    const { data } = await index.list(query({ isIndexOnly: true }));
    expect(data.map(({ id }) => id)).toEqual([threadId]);
  });

  it('INDEX-13 a file that this process has made is read, also if the system has not told of it yet', async () => {
    const home = tempFolder();
    const index = openIndex(home);
    await index.whenReady();
    const { path } = writeRollout(home);
    await index.touch([path]);
    const { state, pending } = await index.status();
    expect({ state, pending }).not.toEqual({ state: 'ready', pending: 1 });
    while ((await index.status()).indexed < 1) await new Promise(setImmediate);
  });
});

/** Another program changes something in a home. */
function change(home: string, threads: readonly WrittenRollout[], round: number): void {
  const thread = threads[(round * 7 + 1) % threads.length];
  if (thread === undefined) return;
  const name = JSON.stringify({
    id: thread.threadId,
    thread_name: `round ${round}`,
    updated_at: '2026-04-01T00:00:00Z',
  });
  appendFileSync(join(home, 'session_index.jsonl'), `${name}\n`);
  if (existsSync(thread.path) && round % 2 === 0) sayMore(thread, `round ${round}`, T0 + 100 * DAY_MS + round);
  // Another file under the same name: all that was read of the old one is void.
  const replaced = threads[(round * 3) % threads.length];
  if (replaced !== undefined && existsSync(replaced.path)) {
    const other = writeRollout(tempFolder(), {
      threadId: replaced.threadId,
      said: [`replaced ${round}`, 'a', 'b', 'c'],
    });
    renameSync(other.path, replaced.path);
  }
  const moved = threads[(round * 5) % threads.length]?.path ?? '';
  const archive = join(home, 'archived_sessions', basename(moved));
  mkdirSync(dirname(archive), { recursive: true });
  if (existsSync(moved)) renameSync(moved, archive);
  else if (existsSync(archive)) renameSync(archive, moved);
  writeRollout(home, { said: [`new ${round}`], createdAtMs: T0 + 200 * DAY_MS + round * 1_000 });
}

function overwrite(path: string, from: number, to?: number): void {
  const bytes = readFileSync(path);
  for (let at = from; at < (to ?? bytes.length); at += 1) bytes[at] = (at * 7 + 13) % 256;
  writeFileSync(path, bytes);
}

/** Another process runs SQL on a database, and ends, unless it stays. */
async function sqlite(path: string, sql: string, stays = ''): Promise<void> {
  const script = `
    const database = new (require('better-sqlite3'))(process.argv[1]);
    database.exec(process.argv[2]);
    if (process.argv[3]) { console.log('done'); setInterval(() => {}, 1000); } else { database.close(); console.log('done'); }`;
  const child = start(process.execPath, ['-e', script, path, sql, stays], { cwd: ROOT });
  await child.said(/done/);
  if (stays === '') await child.exited;
}

/** What an answer says, without the time that the test itself has changed. */
const words = (answers: unknown): unknown =>
  JSON.parse(
    JSON.stringify(answers, (key, value: unknown) => (key === 'updatedAtMs' || key === 'orders' ? null : value)),
  );
