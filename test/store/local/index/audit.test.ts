import { copyFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { expect, it, onTestFinished, vi } from 'vitest';
import { MAX_FINDINGS, type StoreAudit } from '../../../../src/domain/store-audit.ts';
import { HomeLayout } from '../../../../src/store/local/home-layout.ts';
import { sayMore, writeRollout } from '../../../support/home-files.ts';
import { everyThread, firstWords, openIndex } from '../../../support/open-index.ts';
import { tempFolder } from '../../../support/temp-home.ts';

const WELL = { pending: 0, missing: 0, stale: 0, duplicate: 0, unreadable: 0, findings: [] };

/** What was found, as `kind: file or thread`. */
const found = ({ findings }: StoreAudit): readonly string[] =>
  findings.map(({ kind, place }) => `${kind}: ${basename(place)}`).toSorted();

/** An index of a home that was changed by hand while nobody had it open. */
async function auditedAfter(home: string, change: (database: Database.Database) => void): Promise<StoreAudit> {
  const before = openIndex(home);
  await before.whenReady();
  await before.close();
  const database = new Database(new HomeLayout(home).index);
  change(database);
  database.close();
  return audited(home);
}

async function audited(home: string): Promise<StoreAudit> {
  const index = openIndex(home);
  await index.whenReady();
  return index.audit();
}

it('INDEX-16 an audit finds what lists have wrong of threads that were read', async () => {
  const home = tempFolder();
  const [first, second, third] = [writeRollout(home), writeRollout(home), writeRollout(home)];
  expect(await audited(home)).toEqual({ ...WELL, histories: 3, threads: 3 });
  const nobody = '01890000-0000-7000-8000-000000000000';
  const audit = await auditedAfter(home, (database) => {
    database.prepare('DELETE FROM threads WHERE thread_id = ?').run(first.threadId);
    database.prepare(`UPDATE threads SET title = 'other' WHERE thread_id = ?`).run(second.threadId);
    database
      .prepare(
        'INSERT INTO threads SELECT ?, 99, archived, shown, created_ms, updated_ms, recency_ms, provider, sources, cwd, parent_id, title FROM threads WHERE thread_id = ?',
      )
      .run(nobody, third.threadId);
  });
  expect(found(audit)).toEqual(
    [`missing: ${basename(first.path)}`, `stale: ${basename(second.path)}`, `stale: ${nobody}`].toSorted(),
  );
  expect(audit).toMatchObject({ histories: 3, threads: 3, missing: 1, stale: 2 });
});

it('INDEX-16 an audit finds files that are twice, and those that cannot be read', async () => {
  const home = tempFolder();
  const [{ path }, { path: broken }] = [writeRollout(home), writeRollout(home)];
  writeFileSync(broken, 'no rollout\n');
  const archived = join(home, 'archived_sessions', basename(path));
  mkdirSync(dirname(archived));
  copyFileSync(path, archived);
  const audit = await audited(home);
  expect(audit).toMatchObject({ histories: 2, threads: 1, missing: 0, stale: 0, duplicate: 1, unreadable: 1 });
  expect(found(audit)).toEqual([`duplicate: ${basename(path)}`, `unreadable: ${basename(broken)}`].toSorted());
  expect(audit.findings.find(({ kind }) => kind === 'duplicate')?.detail).toContain(path.slice(0, 20));
});

it('INDEX-16 an audit finds what the system has not told of, and leaves files and lists as they are', async () => {
  // Every ten seconds lists look at all folders, and this test is slower on a busy machine.
  vi.useFakeTimers({ toFake: ['Date'] });
  onTestFinished(() => void vi.useRealTimers());
  const [home, elsewhere] = [tempFolder(), tempFolder()];
  const kept = writeRollout(home, { said: ['kept'] });
  const gone = writeRollout(home, { said: ['gone'] });
  const day = dirname(kept.path);
  // The day is a link, and another folder takes the place of one above what it leads to: nobody is told of that.
  const [before, after] = [join(elsewhere, 'here'), join(elsewhere, 'there')];
  for (const folder of [before, after]) mkdirSync(folder);
  renameSync(day, join(before, 'day'));
  symlinkSync(join(before, 'day'), day);
  const index = openIndex(home);
  await index.whenReady();
  mkdirSync(join(after, 'day'));
  const { path: added } = writeRollout(tempFolder());
  for (const path of [kept.path, added]) copyFileSync(path, join(after, 'day', basename(path)));
  renameSync(before, join(elsewhere, 'away'));
  renameSync(after, before);
  const listed = firstWords(await everyThread(index));
  for (let time = 1; time <= 2; time += 1) {
    const audit = await index.audit();
    expect(found(audit)).toEqual(
      [`missing: ${basename(added)}`, `stale: ${basename(gone.path)}`, `stale: ${basename(kept.path)}`].toSorted(),
    );
  }
  expect(firstWords(await everyThread(index))).toEqual(listed);
  expect(readFileSync(join(day, basename(kept.path)))).toEqual(
    readFileSync(join(elsewhere, 'away', 'day', basename(kept.path))),
  );
});

it('INDEX-16 an audit counts all, tells the first, and takes nothing for wrong that changes meanwhile', async () => {
  const home = tempFolder();
  const count = MAX_FINDINGS + 20;
  for (let made = 0; made < count; made += 1) writeRollout(home);
  const audit = await auditedAfter(home, (database) => database.exec('DELETE FROM threads'));
  expect(audit).toMatchObject({ histories: count, threads: 0, missing: count });
  expect(audit.findings).toHaveLength(MAX_FINDINGS);
  const index = openIndex(tempFolder());
  await index.whenReady();
  expect(await index.audit()).toEqual({ ...WELL, histories: 0, threads: 0 });
  const other = tempFolder();
  const grown = writeRollout(other);
  const growing = openIndex(other);
  await growing.whenReady();
  const asked = growing.audit();
  for (let more = 0; more < 5; more += 1) sayMore(grown, 'and more');
  expect(await asked).toMatchObject({ missing: 0, stale: 0, duplicate: 0 });
});
