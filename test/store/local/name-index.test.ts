import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { ThreadId } from '../../../src/domain/ids.ts';
import { NameIndex } from '../../../src/store/local/name-index.ts';
import { diskCalls } from '../../support/disk-calls.ts';
import { failing, once, type Fault } from '../../support/failing-disk.ts';
import { storedThread, useLocalStore } from '../../support/local-threads.ts';
import { otherProcess } from '../../support/lock-child.ts';
import { someThreadId, T0 } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

const entry = (threadId: ThreadId, name: string, at = '2026-03-04T05:06:07Z'): string =>
  `${JSON.stringify({ id: threadId, thread_name: name, updated_at: at })}\n`;

function useNames(): { names: NameIndex; path: string; text: () => string } {
  const folder = tempFolder();
  const path = join(folder, 'session_index.jsonl');
  return { names: new NameIndex(path, `${path}.lock`), path, text: () => readFileSync(path, 'utf8') };
}

it('NAME-1 the last entry of a thread is its name, whatever the times say, whoever wrote it', async () => {
  const home = tempFolder();
  const path = join(home, 'session_index.jsonl');
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'legacy', ['hello']);
  const { threadId: other } = await storedThread(store, 'paginated', ['hi']);
  const nameOf = async (id: ThreadId): Promise<string | null> => (await store.readThread(id)).name;

  await store.updateThreadMetadata(threadId, { name: 'by Skein' });
  appendFileSync(path, entry(other, 'of the other') + entry(threadId, 'by Codex', '2001-01-01T00:00:00.123456789Z'));
  expect([await nameOf(threadId), await nameOf(other)]).toEqual(['by Codex', 'of the other']);
  expect(await store.updateThreadMetadata(threadId, { name: 'by Skein again' })).toMatchObject({
    name: 'by Skein again',
  });
  appendFileSync(path, entry(threadId, 'hello'));
  expect(await nameOf(threadId)).toBeNull();
  appendFileSync(path, entry(threadId, '   '));
  expect(await nameOf(threadId)).toBeNull();
  // An entry of a thread that is nowhere hides nothing and makes nothing.
  const nowhere = someThreadId();
  appendFileSync(path, entry(nowhere, 'of the other'));
  await expect(store.readThread(nowhere)).rejects.toMatchObject({ code: 'notFound' });
  // Nor does one of a rollout that cannot be read.
  const broken = someThreadId();
  mkdirSync(join(home, 'sessions/2026/03/04'), { recursive: true });
  writeFileSync(join(home, `sessions/2026/03/04/rollout-2026-03-04T05-06-07-${broken}.jsonl`), 'no record\n');
  appendFileSync(path, entry(broken, 'of the other'));
  const named = async (titleContains: string): Promise<readonly ThreadId[]> => {
    const query = { sortKey: 'createdAt', direction: 'desc', limit: 9, isArchived: false, titleContains } as const;
    return (await store.listThreads(query)).data.map((thread) => thread.id);
  };
  expect(await named('of the other')).toEqual([other]);
  // A name that was given up finds nothing.
  expect(await named('by Skein')).toEqual([]);
});

it('NAME-2 a torn entry and lines that are none cost only themselves', async () => {
  const home = tempFolder();
  const path = join(home, 'session_index.jsonl');
  const store = await useLocalStore(home);
  const { threadId } = await storedThread(store, 'legacy', ['hello']);
  const bad = 'no json\n[]\n{"id":5}\n{"id":"x","thread_name":"y"}\n\n\u0000\u0000\n';
  writeFileSync(path, bad + entry(threadId, 'kept') + entry(threadId, 'torn off').slice(0, 60));
  expect(await store.readThread(threadId)).toMatchObject({ name: 'kept' });
  const before = readFileSync(path, 'utf8');
  await store.updateThreadMetadata(threadId, { name: 'behind it' });
  expect(await store.readThread(threadId)).toMatchObject({ name: 'behind it' });
  expect(readFileSync(path, 'utf8').startsWith(`${before}\n{`)).toBe(true);
  // A whole entry counts without its newline, too.
  appendFileSync(path, entry(threadId, 'unterminated').trimEnd());
  expect(await store.readThread(threadId)).toMatchObject({ name: 'unterminated' });
});

it('NAME-3 removing names leaves every other byte as it is', async () => {
  const { names, path, text } = useNames();
  const [gone, kept] = [someThreadId(), someThreadId()];
  const rest = [entry(kept, 'one'), 'no json\r\n', '\n', entry(kept, 'two'), '{"id":"torn'];
  writeFileSync(path, [rest[0], entry(gone, 'a'), rest[1], rest[2], entry(gone, 'b'), rest[3], rest[4]].join(''));
  await names.remove(new Set([gone]));
  expect(text()).toBe(rest.join(''));
  const inode = readdirSync(join(path, '..'));
  await names.remove(new Set([gone, someThreadId()]));
  expect(text()).toBe(rest.join(''));
  expect(readdirSync(join(path, '..'))).toEqual(inode);
});

it('NAME-4 however many names are given at once, here and in another process, while others are removed, none is lost', async () => {
  const { names, path, text } = useNames();
  const doomed = Array.from({ length: 10 }, () => someThreadId());
  for (const id of doomed) await names.append(id, 'doomed', T0);
  const ids = Array.from({ length: 100 }, () => someThreadId());
  const other = await otherProcess(
    `const names = new NameIndex(args[0], args[0] + '.lock');
     void (async () => {
       for (let count = 0; count < 30; count += 1) await names.append(args[1], 'theirs ' + count, 0);
       console.log('all written');
     })();`,
    [path, someThreadId()],
  );
  await Promise.all([
    ...ids.map((id, index) => names.append(id, `mine ${index}`, T0)),
    ...doomed.map((id) => names.remove(new Set([id]))),
  ]);
  await other.said(/all written/);
  const found = text()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).thread_name as string);
  expect(found.filter((name) => name.startsWith('mine'))).toEqual(ids.map((_, index) => `mine ${index}`));
  expect(found.filter((name) => name.startsWith('theirs'))).toEqual(
    Array.from({ length: 30 }, (_, n) => `theirs ${n}`),
  );
  expect(found.filter((name) => name === 'doomed')).toEqual([]);
});

it('NAME-5 a name that cannot be written is refused and leaves no trace, and a failed removal loses nothing', async () => {
  const { names, path, text } = useNames();
  const [first, second] = [someThreadId(), someThreadId()];
  await failing('fsync', 'EIO', async () => {
    await expect(names.append(first, 'lost', T0)).rejects.toMatchObject({ code: 'EIO' });
  });
  expect(text()).toBe('');
  await names.append(someThreadId(), 'of a third', T0);
  await names.append(first, 'kept', T0);
  const before = text();
  for (const fault of ['ENOSPC', 'half, then ENOSPC'] as const) {
    await failing('write', fault, async () => {
      await expect(names.append(second, 'lost', T0)).rejects.toMatchObject({ code: 'ENOSPC' });
    });
    expect(text()).toBe(before);
    await failing('write', fault, async () => {
      await expect(names.remove(new Set([first]))).rejects.toMatchObject({ code: 'ENOSPC' });
    });
    expect(text()).toBe(before);
  }
  const refused = failing('fdatasync', 'EIO', () => names.append(second, 'lost', T0), once());
  await expect(refused).rejects.toMatchObject({ code: 'EIO' });
  expect(text()).toBe(before);
  await names.append(second, 'written', T0);
  await names.remove(new Set([first]));
  expect(text()).toContain('"written"');
  expect(text()).not.toContain('"kept"');
  expect(existsSync(join(path, '../.session_index.jsonl.new'))).toBe(false);
});

it('NAME-7 what is cut off of a refused name is cut off for good, or the refusal is uncertain', async () => {
  const { names, path, text } = useNames();
  const [first, second] = [someThreadId(), someThreadId()];
  await names.append(first, 'kept', T0);
  const before = text();
  const add = (): Promise<void> => names.append(second, 'refused', T0);
  for (const refused of [
    () => failing('write', 'half, then ENOSPC', add),
    () => failing('fdatasync', 'EIO', add, once()),
  ]) {
    const calls = await diskCalls(join(path, '..'), () => refused().catch(() => {}));
    expect(calls).toEqual(['ftruncate session_index.jsonl', 'fdatasync session_index.jsonl']);
    expect(text()).toBe(before);
  }
  const unsynced = failing('fdatasync', 'EIO', add);
  await expect(unsynced).rejects.toMatchObject({ code: 'uncertain', detail: { errno: 'EIO' } });
  const uncut = failing('ftruncate', 'EIO', () => failing('fdatasync', 'EIO', add, once()));
  await expect(uncut).rejects.toMatchObject({ code: 'uncertain', detail: { errno: 'EIO' } });
});

it.each<[string, (names: NameIndex, third: ThreadId) => Promise<void>]>([
  ['written', (names, third) => names.append(third, 'of a third', T0)],
  ['removed', (names, third) => names.remove(new Set([third]))],
])('NAME-7 what could not be cut off of a refused name goes before the next one is %s', async (_, next) => {
  const { names, path, text } = useNames();
  const [first, second, third] = [someThreadId(), someThreadId(), someThreadId()];
  await names.append(third, 'earlier', T0);
  await names.append(first, 'kept', T0);
  const refused = (call: 'write' | 'fdatasync', fault: Fault): Promise<unknown> => {
    const add = (): Promise<void> => names.append(second, 'refused', T0);
    return expect(failing('ftruncate', 'EIO', () => failing(call, fault, add))).rejects.toMatchObject({
      code: 'uncertain',
    });
  };
  for (const others of ['', entry(second, 'by Codex'), 'no json\n']) {
    await refused('fdatasync', 'EIO');
    expect(text()).toContain('"refused"');
    appendFileSync(path, others);
    await next(names, third);
    expect(text()).not.toContain('"refused"');
    expect(text()).toContain(others);
  }
  // Torn, it goes as far as nothing was added to it.
  const before = text();
  await refused('write', 'half, then ENOSPC');
  expect(text().length).toBeGreaterThan(before.length);
  await names.remove(new Set([second]));
  expect(text()).toBe(before.replace(entry(second, 'by Codex'), ''));
  // A file that others have written anew is theirs.
  await refused('fdatasync', 'EIO');
  const anew = `${'x'.repeat(text().length - 1)}\n${entry(first, 'by Codex')}`;
  writeFileSync(path, anew);
  await next(names, third);
  expect(text().startsWith(anew)).toBe(true);
});

it('NAME-8 a name that is synced is given, and one that is refused is refused, whatever closing the files says', async () => {
  const { names, text } = useNames();
  const [first, second] = [someThreadId(), someThreadId()];
  await failing('close', 'EIO', () => names.append(first, 'given', T0));
  expect(text()).toContain('"given"');
  const add = (): Promise<void> => names.append(second, 'refused', T0);
  const uncut = failing('close', 'ENOSPC', () => failing('fdatasync', 'EIO', add));
  await expect(uncut).rejects.toMatchObject({ code: 'uncertain', detail: { errno: 'EIO' } });
});
