import { canonicalPath } from '../../../../src/store/local/canonical-path.ts';
import { HomeLayout } from '../../../../src/store/local/home-layout.ts';
import fs, {
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { newUuid, type ThreadId } from '../../../../src/domain/ids.ts';
import type { IndexApi } from '../../../../src/store/local/index/index-api.ts';
import { linesOf, sayMore, setTime, writeRollout } from '../../../support/home-files.ts';
import { everyThread, firstWords, openIndex, query } from '../../../support/open-index.ts';
import { headerPayload, someThreadId, T0, turnItems } from '../../../support/records.ts';
import { tempFolder } from '../../../support/temp-home.ts';

const DAY_MS = 86_400_000;

const listed = async (index: IndexApi, isArchived = false): Promise<readonly string[]> =>
  firstWords((await index.list(query({ isArchived }))).data);
const bytesRead = async (index: IndexApi): Promise<number> => (await index.status()).bytesRead;
const turnsOf = async (index: IndexApi, threadId: ThreadId): Promise<number> =>
  (await index.turns({ threadId, limit: 100, direction: 'asc', itemsView: 'notLoaded' })).data.length;

describe('finding files', () => {
  it('SCAN-1 what other programs add, move and remove is in the next answer', async () => {
    const home = tempFolder();
    const first = writeRollout(home, { said: ['first'] });
    const index = openIndex(home);
    await index.whenReady();
    expect(await listed(index)).toEqual(['first']);

    sayMore(first, 'more', T0 + 60_000);
    const [grown] = (await index.list(query())).data;
    expect(grown?.recencyAtMs).toBe(T0 + 60_000);

    const second = writeRollout(home, { said: ['second'], createdAtMs: T0 + 1_000 });
    expect(await listed(index)).toEqual(['second', 'first']);
    const third = writeRollout(home, { said: ['third'], createdAtMs: T0 + 400 * DAY_MS });
    expect(await listed(index)).toEqual(['third', 'second', 'first']);

    mkdirSync(join(home, 'archived_sessions'));
    renameSync(third.path, join(home, 'archived_sessions', basename(third.path)));
    expect(await listed(index)).toEqual(['second', 'first']);
    expect(await listed(index, true)).toEqual(['third']);

    rmSync(second.path);
    expect(await listed(index)).toEqual(['first']);
    rmSync(join(home, 'sessions'), { recursive: true });
    expect(await listed(index)).toEqual([]);
    writeRollout(home, { said: ['again'] });
    expect(await listed(index)).toEqual(['again']);
  });

  it('SCAN-1 a folder that was replaced is watched anew', async () => {
    const home = tempFolder();
    const thread = writeRollout(home);
    const index = openIndex(home);
    await index.whenReady();
    const folder = dirname(thread.path);
    renameSync(folder, `${folder}.old`);
    cpSync(`${folder}.old`, folder, { recursive: true });
    expect(await listed(index)).toEqual(['hello']);
    for (const atMs of [T0 + 1_000, T0 + 2_000]) {
      sayMore(thread, 'more', atMs);
      expect((await index.list(query())).data[0]?.recencyAtMs).toBe(atMs);
    }
  });

  it('SCAN-2 a file that was cut, replaced or rewritten is read anew; one that was touched is not', async () => {
    const home = tempFolder();
    const thread = writeRollout(home, { said: ['one', 'two', 'three'] });
    const { path, threadId } = thread;
    const whole = readFileSync(path);
    const index = openIndex(home);
    await index.whenReady();
    expect(await turnsOf(index, threadId)).toBe(3);

    const before = await bytesRead(index);
    setTime(path, T0 + DAY_MS);
    expect((await index.list(query())).data[0]?.updatedAtMs).toBe(T0 + DAY_MS);
    expect(await turnsOf(index, threadId)).toBe(3);
    expect((await bytesRead(index)) - before).toBeLessThan(4_096);

    const header = linesOf([{ type: 'session_meta', payload: headerPayload(threadId, 'legacy') }]);
    const turn = (said: string): string => linesOf(turnItems('legacy', threadId, said, 'ok').items);
    truncateSync(path, header.length);
    expect(await listed(index)).toEqual([]);
    expect(await turnsOf(index, threadId)).toBe(0);

    // Larger than before under the same inode: no cut is seen, only other bytes.
    writeFileSync(path, whole);
    expect(await listed(index)).toEqual(['one']);
    writeFileSync(path, header + turn('new') + turn('newer') + turn('newest') + turn('and more'));
    expect(statSync(path).size).toBeGreaterThan(whole.length);
    expect(await listed(index)).toEqual(['new']);
    expect(await turnsOf(index, threadId)).toBe(4);

    // Of the same size, and another file.
    const swapped = readFileSync(path, 'utf8').replaceAll('"new"', '"old"');
    writeFileSync(`${path}.tmp`, swapped);
    renameSync(`${path}.tmp`, path);
    expect(await listed(index)).toEqual(['old']);
  });

  it('SCAN-2 a torn end that is repaired is read on from there', async () => {
    const home = tempFolder();
    const thread = writeRollout(home);
    const whole = statSync(thread.path).size;
    fs.appendFileSync(
      thread.path,
      `{"timestamp":"2026-03-04T05:06:07.000Z","type":"event_msg","payl${'x'.repeat(2_000)}`,
    );
    const index = openIndex(home);
    await index.whenReady();
    truncateSync(thread.path, whole);
    sayMore(thread, 'more', T0 + 5_000);
    expect((await index.list(query())).data[0]?.recencyAtMs).toBe(T0 + 5_000);
    expect(await turnsOf(index, thread.threadId)).toBe(2);
  });

  it('SCAN-3 names are taken in as they are appended, replaced, torn and rewritten in place', async () => {
    const home = tempFolder();
    const [a, b] = [writeRollout(home, { said: ['a'] }), writeRollout(home, { said: ['b'], createdAtMs: T0 + 1_000 })];
    const file = join(home, 'session_index.jsonl');
    const entry = (threadId: string, name: string): string =>
      JSON.stringify({ id: threadId, thread_name: name, updated_at: '2026-03-04T06:00:00.000Z' });
    const index = openIndex(home);
    const names = async (): Promise<readonly (string | null)[]> =>
      (await index.list(query())).data.map((thread) => thread.name);
    const titled = async (title: string): Promise<number> =>
      (await index.list(query({ titleContains: title }))).data.length;
    await index.whenReady();
    expect(await names()).toEqual([null, null]);

    writeFileSync(file, `${entry(a.threadId, 'Ann')}\nno entry\n${entry(b.threadId, 'Bo')}\n`);
    expect(await names()).toEqual(['Bo', 'Ann']);
    expect(await titled('ann')).toBe(1);
    fs.appendFileSync(file, `${entry(a.threadId, 'Anna')}\n{"id":"${b.threadId}","thread_na`);
    expect(await names()).toEqual(['Bo', 'Anna']);
    fs.appendFileSync(file, `me":"torn","updated_at":""}\n`);
    expect(await names()).toEqual(['torn', 'Anna']);

    // Rewritten in place, and larger than before.
    writeFileSync(file, `${entry(b.threadId, 'Bea')}\n`.repeat(8));
    expect(await names()).toEqual(['Bea', null]);
    expect(await titled('anna')).toBe(0);
    writeFileSync(`${file}.new`, `${entry(a.threadId, 'Ada')}\n`);
    renameSync(`${file}.new`, file);
    expect(await names()).toEqual([null, 'Ada']);
    rmSync(file);
    expect(await names()).toEqual([null, null]);
  });

  it('SCAN-4 where folders cannot be watched, they are looked at when someone asks', async () => {
    const { watch } = fs;
    onTestFinished(() => {
      fs.watch = watch;
      syncBuiltinESMExports();
    });
    fs.watch = () => {
      throw Object.assign(new Error('ENOSPC: System limit for number of file watchers reached'), { code: 'ENOSPC' });
    };
    syncBuiltinESMExports();
    const home = tempFolder();
    const first = writeRollout(home, { said: ['first'] });
    const index = openIndex(home);
    await index.whenReady();
    expect(await index.status()).toMatchObject({ isWatching: false, state: 'ready' });

    const second = writeRollout(home, { said: ['second'], createdAtMs: T0 + 1_000 });
    expect(await listed(index)).toEqual(['second', 'first']);
    mkdirSync(join(home, 'archived_sessions'));
    renameSync(second.path, join(home, 'archived_sessions', basename(second.path)));
    expect(await listed(index)).toEqual(['first']);
    // What was added to a file is in every answer about its thread at once, and in lists after a while.
    sayMore(first, 'more');
    expect(await turnsOf(index, first.threadId)).toBe(2);
  });

  it('SCAN-5 of two copies the active one counts, and the other one once that is gone', async () => {
    const home = tempFolder();
    const active = writeRollout(home, { said: ['active'] });
    writeRollout(home, { threadId: active.threadId, said: ['archived'], isArchived: true });
    const index = openIndex(home);
    await index.whenReady();
    expect([await listed(index), await listed(index, true)]).toEqual([['active'], []]);
    const before = await bytesRead(index);
    await index.close();
    const again = openIndex(home);
    await again.whenReady();
    expect([await listed(again), await bytesRead(again)]).toEqual([['active'], 0]);
    expect(before).toBeGreaterThan(0);
    rmSync(active.path);
    expect([await listed(again), await listed(again, true)]).toEqual([[], ['archived']]);
  });

  it('SCAN-5 of files that one thread has after reverts the newest counts, wherever it lies', async () => {
    const home = tempFolder();
    const old = writeRollout(home, { mode: 'paginated', said: ['before'], isArchived: true });
    const index = openIndex(home);
    await index.whenReady();
    expect(await listed(index, true)).toEqual(['before']);
    const { threadId } = old;
    writeRollout(home, {
      threadId,
      rolloutId: newUuid() as ThreadId,
      mode: 'paginated',
      said: ['after'],
      createdAtMs: T0 + DAY_MS,
    });
    expect([await listed(index), await listed(index, true)]).toEqual([['after'], []]);
    expect(await index.files(threadId)).toHaveLength(2);
  });

  it('SCAN-6 a home behind a link is the same home, whichever way its files are named', async () => {
    const home = tempFolder();
    const linked = join(tempFolder(), 'home');
    symlinkSync(home, linked);
    const { path, threadId } = writeRollout(home);
    const index = openIndex(linked);
    await index.whenReady();
    const [thread] = (await index.list(query())).data;
    expect(thread?.path).toBe(path.replace(home, linked));
    const named = await canonicalPath(new HomeLayout(linked), path);
    expect((await index.locateByPath(named, false)).thread).toEqual(thread);
    sayMore({ path, threadId }, 'more', T0 + 1_000);
    expect((await index.list(query())).data[0]?.recencyAtMs).toBe(T0 + 1_000);
  });

  it('SCAN-7 a folder or file that cannot be reached hides no other', async () => {
    const home = tempFolder();
    const { path } = writeRollout(home);
    const circle = join(home, 'sessions', '2025');
    symlinkSync(circle, circle);
    const name = `rollout-2026-03-04T05-06-07-${someThreadId()}.jsonl`;
    symlinkSync(join(dirname(path), name), join(dirname(path), name));
    writeFileSync(join(home, 'sessions', '2024'), 'no folder');
    const index = openIndex(home);
    await index.whenReady();
    expect(await listed(index)).toEqual(['hello']);
    writeFileSync(join(home, 'archived_sessions'), 'no folder');
    expect(await listed(index)).toEqual(['hello']);
  });

  it('SCAN-8 a file that is named for another thread than its header is nobody’s, and other files are none', async () => {
    const home = tempFolder();
    const { path } = writeRollout(home);
    const foreign = someThreadId();
    const content = readFileSync(path);
    writeFileSync(join(dirname(path), `rollout-2026-03-04T05-06-07-${foreign}.jsonl`), content);
    writeFileSync(join(dirname(path), `.${basename(path)}.new`), content);
    writeFileSync(join(dirname(path), 'notes.jsonl'), content);
    const index = openIndex(home);
    await index.whenReady();
    expect(await everyThread(index)).toHaveLength(1);
    await expect(index.locate(foreign)).rejects.toMatchObject({ code: 'internal' });
    expect((await index.status()).unreadable).toBe(1);
  });

  it('SCAN-9 a file outside the home stands for its thread until it is let go, or the process ends', async () => {
    const [home, elsewhere] = [tempFolder(), tempFolder()];
    const inside = writeRollout(home, { said: ['inside'] });
    const outside = writeRollout(elsewhere, { threadId: inside.threadId, said: ['outside'] });
    const other = writeRollout(elsewhere, { said: ['other'], createdAtMs: T0 + 1_000 });
    const index = openIndex(home);
    await index.whenReady();
    await index.locateByPath(outside.path, true);
    await index.locateByPath(other.path, true);
    expect(await listed(index)).toEqual(['other', 'outside']);
    await index.forget(other.path);
    expect(await listed(index)).toEqual(['outside']);
    await index.close();
    const again = openIndex(home);
    await again.whenReady();
    expect(await listed(again)).toEqual(['inside']);
  });

  it('SCAN-11 what others do to a file before its folder is watched is in the next answer', async () => {
    const home = tempFolder();
    const index = openIndex(home);
    await index.whenReady();
    const ours = writeRollout(home, { said: ['ours'] });
    await index.touch([ours.path]);
    expect((await index.locate(ours.threadId))?.thread.preview).toBe('ours');
    writeRollout(home, { said: ['of another'], threadId: ours.threadId });
    expect(await listed(index)).toEqual(['of another']);
  });

  it('SCAN-10 a line that is no record costs itself only; a file without a header that can be read is nobody’s', async () => {
    const home = tempFolder();
    const { threadId, path } = writeRollout(home, { mode: 'paginated', said: [] });
    const [first, second] = [
      turnItems('paginated', threadId, 'first', 'ok'),
      turnItems('paginated', threadId, 'second', 'ok'),
    ];
    const at = (items: typeof first.items, ordinal: number): string => linesOf(items, { mode: 'paginated', ordinal });
    const undated = at(second.items, 20).replaceAll(/"timestamp":"[^"]*"/g, '"timestamp":"no time"');
    fs.appendFileSync(path, `\n\n${at(first.items, 1)}{"torn": \nno json\n\u0000\u0000\n{"ordinal":9}\n${undated}`);
    writeRollout(home, { said: ['of a later time'], header: { history_mode: 'telepathic' }, createdAtMs: T0 + 1_000 });
    const headless = writeRollout(home, { createdAtMs: T0 + 2_000 });
    writeFileSync(headless.path, linesOf(turnItems('legacy', headless.threadId, 'headless', 'ok').items));
    const index = openIndex(home);
    await index.whenReady();
    expect(await listed(index)).toEqual(['first']);
    expect(await turnsOf(index, threadId)).toBe(2);
    expect(await index.status()).toMatchObject({ indexed: 1, unreadable: 2, defects: 4 });
  });
});
