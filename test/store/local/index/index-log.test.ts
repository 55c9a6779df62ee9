import { renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, it } from 'vitest';
import type { ThreadId } from '../../../../src/domain/ids.ts';
import { HomeLayout } from '../../../../src/store/local/home-layout.ts';
import { COMPILED } from '../../../support/compiled.ts';
import { writeRollout } from '../../../support/home-files.ts';
import { everyThread, openIndex } from '../../../support/open-index.ts';
import { start } from '../../../support/process.ts';
import { someThreadId } from '../../../support/records.ts';
import { tempFolder } from '../../../support/temp-home.ts';

/** The log (WAL) of an index, and the changes that go through it. */

const ROOT = join(import.meta.dirname, '../../../..');
const MIB = 1_048_576;

/** It is taken in every 16 MiB, and a change comes on top. */
const MOST = 22 * MIB;

const indexFile = (home: string): string => new HomeLayout(home).index;
const sizeOfLog = (home: string): number => statSync(`${indexFile(home)}-wal`, { throwIfNoEntry: false })?.size ?? 0;

function writeNames(home: string, ids: readonly ThreadId[], nameOf: (number: number) => string): void {
  const lines = ids.map((id, number) =>
    JSON.stringify({ id, thread_name: nameOf(number), updated_at: '2026-03-05T00:00:00.000Z' }),
  );
  const { nameIndex } = new HomeLayout(home);
  writeFileSync(`${nameIndex}.new`, `${lines.join('\n')}\n`);
  renameSync(`${nameIndex}.new`, nameIndex);
}

it('INDEX-14 however many names come at once, the log of an index stays small', async () => {
  const home = tempFolder();
  const { threadId } = writeRollout(home);
  const ids = [...Array.from({ length: 30_000 }, someThreadId), threadId];
  writeNames(home, ids, (number) => `${number}`.padStart(1_500));
  expect(statSync(new HomeLayout(home).nameIndex).size).toBeGreaterThan(2 * MOST);
  const index = openIndex(home);
  expect((await everyThread(index)).map(({ name }) => name)).toEqual(['30000'.padStart(1_500)]);
  expect(sizeOfLog(home)).toBeLessThan(MOST);
  // All of them are other names now; then there are none.
  writeNames(home, ids, (number) => `again ${number}`.padStart(1_500));
  expect((await everyThread(index)).map(({ name }) => name)).toEqual(['again 30000'.padStart(1_500)]);
  rmSync(new HomeLayout(home).nameIndex);
  expect((await everyThread(index)).map(({ name }) => name)).toEqual([null]);
  expect(sizeOfLog(home)).toBeLessThan(MOST);
});

it.each<[string, (home: string, ids: readonly ThreadId[]) => void]>([
  ['as it was', () => {}],
  ['gone', (home) => rmSync(new HomeLayout(home).nameIndex)],
  ['another one', (home, ids) => writeNames(home, ids.slice(700), (number) => `other ${number}`)],
  ['as it was before', (home) => renameSync(join(home, 'before'), new HomeLayout(home).nameIndex)],
])('INDEX-18 an index that was killed between names has all of them, from a file that is %s', async (_, becomes) => {
  const home = tempFolder();
  const threads = Array.from({ length: 8 }, () => writeRollout(home).threadId);
  const others = Array.from({ length: 1_400 }, someThreadId);
  // Some of the threads stand in each part.
  const ids = others.flatMap((id, number) => (number % 175 === 0 ? [id, threads[number / 175] ?? id] : [id]));
  const index = openIndex(home);
  writeNames(home, ids, (number) => `before ${number}`);
  await everyThread(index);
  await index.close();
  renameSync(new HomeLayout(home).nameIndex, join(home, 'before'));
  writeNames(home, ids, (number) => `name ${number}`);
  const script = `
    import Database from 'better-sqlite3';
    const { prepare } = Database.prototype;
    let left = 700;
    Database.prototype.prepare = function (sql) {
      const statement = prepare.call(this, sql);
      const { run } = statement;
      statement.run = (...values) => {
        if (sql.includes('INTO names')) left -= 1;
        if (left === 0) process.kill(process.pid, 'SIGKILL');
        return run.apply(statement, values);
      };
      return statement;
    };
    const { HomeLayout, openIndexInline } = await import('${COMPILED}');
    const index = openIndexInline({ home: new HomeLayout('${home}'), defaultModelProvider: 'default-provider' });
    await index.whenReady();`;
  const args = ['--input-type=module', '-e', script];
  expect(await start(process.execPath, args, { cwd: ROOT }).exited).toBe('SIGKILL');
  expect(namesLike(home, 'name %')).toBe(500);

  becomes(home, ids);
  const survivor = openIndex(home);
  const found = await everyThread(survivor);
  await survivor.close();
  rmSync(new HomeLayout(home).own, { recursive: true });
  expect(found).toEqual(await everyThread(openIndex(home)));
  expect(found).toHaveLength(8);
});

/** What has come into the index of a process that was killed. */
function namesLike(home: string, pattern: string): number {
  const database = new Database(indexFile(home));
  const count = database.prepare('SELECT count(*) FROM names WHERE name LIKE ?').pluck().get(pattern) as number;
  database.close();
  return count;
}
