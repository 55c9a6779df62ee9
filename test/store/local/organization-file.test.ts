import { appendFileSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { OrganizationFile } from '../../../src/store/local/organization-file.ts';
import { mark, registerOrganizationStoreContract, setIn } from '../../contract/organization-store-contract.ts';
import { diskCalls } from '../../support/disk-calls.ts';
import { failing, once, type Fault } from '../../support/failing-disk.ts';
import { tempFolder } from '../../support/temp-home.ts';

const newPath = (): string => join(tempFolder(), 'skein_threads.jsonl');

registerOrganizationStoreContract('local', () => {
  const path = newPath();
  return { open: () => OrganizationFile.open(path) };
});

/** What the next process finds. */
const found = async (path: string): Promise<Readonly<Record<string, unknown>>> =>
  setIn(await OrganizationFile.open(path));

const state = (revision: string): object => ({ firstUnread: null, revision });

it('ORG-4 a write is there whole or not at all, wherever it was cut', async () => {
  const path = newPath();
  const store = await OrganizationFile.open(path);
  await store.write([mark('a', '1')], 'power');
  const before = readFileSync(path);
  await store.write([mark('a', '2'), mark('b', '2')], 'power');
  const after = readFileSync(path);
  for (let size = before.length; size <= after.length; size += 1) {
    writeFileSync(path, after.subarray(0, size));
    const isWhole = size === after.length;
    const expected = isWhole ? { 'readState a': state('2'), 'readState b': state('2') } : { 'readState a': state('1') };
    expect(await found(path)).toEqual(expected);
    // What goes on behind it does not complete it.
    const next = await OrganizationFile.open(path);
    await next.write([mark('c', '3')], 'power');
    expect(await found(path)).toEqual({ ...expected, 'readState c': state('3') });
  }
});

const always = (): (() => boolean) => () => true;

it.each<['write' | 'fdatasync' | 'open', Fault, typeof once]>([
  ['write', 'ENOSPC', always],
  ['write', 'half, then ENOSPC', always],
  ['fdatasync', 'EIO', once],
  ['open', 'EIO', always],
])('ORG-4 a write that the disk refuses (%s: %s) leaves nothing, and can be made again', async (call, fault, fits) => {
  const path = newPath();
  const store = await OrganizationFile.open(path);
  await store.write([mark('a', '1')], 'power');
  const refused = failing(call, fault, () => store.write([mark('a', '2')], 'power'), fits());
  await expect(refused).rejects.toMatchObject({
    code: 'internal',
    detail: { errno: fault === 'EIO' ? 'EIO' : 'ENOSPC' },
  });
  expect(setIn(store)).toEqual({ 'readState a': state('1') });
  expect(await found(path)).toEqual({ 'readState a': state('1') });
  await store.write([mark('a', '3')], 'power');
  expect(await found(path)).toEqual({ 'readState a': state('3') });
});

it('ORG-4 a first write whose folder cannot be synced leaves nothing', async () => {
  const path = newPath();
  const store = await OrganizationFile.open(path);
  const refused = failing('fsync', 'EIO', () => store.write([mark('a', '1')], 'power'));
  await expect(refused).rejects.toMatchObject({ code: 'internal', detail: { errno: 'EIO' } });
  expect(await found(path)).toEqual({});
});

it('ORG-5 lines that are none cost themselves only, and kinds that are not known are kept', async () => {
  const path = newPath();
  const later = { kind: 'later', key: 'x', value: { of: 'a later version' } };
  const lines = [
    '',
    'no json',
    '[]',
    '{"set":5}',
    '{"set":[5,{"kind":"readState"}]}',
    JSON.stringify({ set: [later] }),
  ];
  writeFileSync(path, `${lines.join('\n')}\n`);
  appendFileSync(path, Buffer.from([0xff, 0xfe, 0x0a]));
  const store = await OrganizationFile.open(path);
  await store.write([mark('a', '1')], 'power');
  const expected = { 'later x': later.value, 'readState a': state('1') };
  expect(await found(path)).toEqual(expected);
  // Written anew, too.
  truncateSync(path, 0);
  await store.write([mark('a', '1')], 'power');
  expect(await found(path)).toEqual(expected);
});

it('ORG-6 the file holds little beyond twice what is in use, however often it is written', async () => {
  const path = newPath();
  const store = await OrganizationFile.open(path);
  const large = 'x'.repeat(30_000);
  await store.write([mark('kept', large)], 'power');
  let largest = 0;
  for (let n = 0; n < 100; n += 1) {
    await store.write([mark('a', `${n}${large}`)], 'process');
    largest = Math.max(largest, statSync(path).size);
  }
  expect(largest).toBeLessThan(2 * 2 * 31_000 + 256 * 1_024 + 31_000);
  expect(await found(path)).toEqual({ 'readState kept': state(large), 'readState a': state(`99${large}`) });
  expect(readdirSync(join(path, '..'))).toEqual(['skein_threads.jsonl']);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

it('ORG-6 a file that cannot be written anew goes on as it is', async () => {
  const path = newPath();
  const store = await OrganizationFile.open(path);
  const large = 'x'.repeat(200_000);
  await failing('rename', 'EIO', async () => {
    for (let n = 0; n < 9; n += 1) await store.write([mark('a', `${n}${large}`)], 'process');
  });
  expect(await found(path)).toEqual({ 'readState a': state(`8${large}`) });
});

it('ORG-7 if the file is cut or removed under the daemon, the next write puts back all that is set', async () => {
  const path = newPath();
  const store = await OrganizationFile.open(path);
  await store.write([mark('a', '1')], 'power');
  rmSync(path);
  await store.write([mark('b', '2')], 'power');
  expect(await found(path)).toEqual({ 'readState a': state('1'), 'readState b': state('2') });
  truncateSync(path, 10);
  await store.write([mark('c', '3')], 'power');
  expect(Object.keys(await found(path))).toEqual(['readState a', 'readState b', 'readState c']);
});

it.each<['write' | 'fdatasync', Fault, typeof once]>([
  ['write', 'half, then ENOSPC', always],
  ['fdatasync', 'EIO', once],
])('ORG-10 what a refused write (%s: %s) has left is cut off for good', async (call, fault, fits) => {
  const path = newPath();
  const store = await OrganizationFile.open(path);
  await store.write([mark('a', '1')], 'power');
  const write = (): Promise<void> => store.write([mark('a', '2')], 'power');
  const refused = (): Promise<unknown> => failing(call, fault, write, fits()).catch(() => {});
  const calls = await diskCalls(join(path, '..'), refused);
  expect(calls).toEqual(['ftruncate skein_threads.jsonl', 'fdatasync skein_threads.jsonl']);
});

it('ORG-10 one that cannot be cut off for good is uncertain, and goes with the next write, as does what a failed sync may have lost', async () => {
  const path = newPath();
  const store = await OrganizationFile.open(path);
  await store.write([mark('a', '1')], 'process');
  const refused = (value: string): Promise<void> => store.write([mark('a', value)], 'power');
  const next = async (key: string): Promise<void> => {
    const anew = 'rename .skein_threads.jsonl.new';
    const write = (): Promise<void> => store.write([mark(key, '1')], 'power');
    expect(await diskCalls(join(path, '..'), write)).toContain(anew);
    expect(await diskCalls(join(path, '..'), write)).not.toContain(anew);
  };
  const uncertain = { code: 'uncertain', detail: { errno: 'EIO' } };
  const unsynced = failing('fdatasync', 'EIO', () => refused('2'));
  await expect(unsynced).rejects.toMatchObject(uncertain);
  await next('b');
  const uncut = failing('ftruncate', 'EIO', () => failing('fdatasync', 'EIO', () => refused('3'), once()));
  await expect(uncut).rejects.toMatchObject(uncertain);
  expect(await found(path)).toMatchObject({ 'readState a': state('3') });
  await next('c');
  const half = failing('write', 'half, then ENOSPC', () => failing('fdatasync', 'EIO', () => refused('3')));
  await expect(half).rejects.toMatchObject({ code: 'uncertain', detail: { errno: 'ENOSPC' } });
  await next('e');
  const cut = failing('fdatasync', 'EIO', () => refused('4'), once());
  await expect(cut).rejects.toMatchObject({ code: 'internal' });
  await next('d');
  const keys = ['a', 'b', 'c', 'd', 'e'];
  expect(await found(path)).toEqual(Object.fromEntries(keys.map((key) => [`readState ${key}`, state('1')])));
});

it('ORG-11 what was synced is set, whatever closing the file says; what was not is refused as uncertain, and goes with the next write', async () => {
  const path = newPath();
  const store = await OrganizationFile.open(path);
  const write = (value: string, durability: 'power' | 'process'): Promise<void> =>
    failing('close', 'EIO', () => store.write([mark('a', value)], durability));
  await write('1', 'power');
  expect(setIn(store)).toEqual({ 'readState a': state('1') });
  expect(await found(path)).toEqual({ 'readState a': state('1') });
  await expect(write('2', 'process')).rejects.toMatchObject({ code: 'uncertain', detail: { errno: 'EIO' } });
  expect(setIn(store)).toEqual({ 'readState a': state('1') });
  await store.write([mark('b', '1')], 'process');
  expect(await found(path)).toEqual({ 'readState a': state('1'), 'readState b': state('1') });
});

it('ORG-11 a file that is written anew is closed once, and a refusal stays what it is', async () => {
  const path = newPath();
  const store = await OrganizationFile.open(path);
  await store.write([mark('a', '1')], 'power');
  const closed: unknown[] = [];
  const noted = (args: readonly unknown[]): boolean => closed.push(args[0]) > 0;
  rmSync(path);
  // The one that is found to be another, before it is written anew.
  await failing('close', 'EIO', () => store.write([mark('b', '1')], 'power'), once());
  expect(await found(path)).toEqual({ 'readState a': state('1'), 'readState b': state('1') });
  const uncut = failing(
    'close',
    'EIO',
    () => failing('fdatasync', 'EIO', () => store.write([mark('a', '2')], 'power')),
    noted,
  );
  await expect(uncut).rejects.toMatchObject({ code: 'uncertain', detail: { errno: 'EIO' } });
  expect(closed).toHaveLength(1);
});
