import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeWhole } from '../../../src/store/local/whole-file.ts';
import { diskCalls } from '../../support/disk-calls.ts';
import { failing, type Fault } from '../../support/failing-disk.ts';
import { useLocalStore } from '../../support/local-threads.ts';
import { someThreadId } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

const pieces = [Buffer.from('new '), Buffer.from('content')];

it('PLACE-16 a file that is written anew has its name when it is on stable storage, and is found there', async () => {
  const folder = tempFolder();
  const path = join(folder, 'a.json');
  writeFileSync(path, 'old');
  expect(await diskCalls(folder, () => writeWhole(path, pieces))).toEqual([
    'fdatasync .a.json.new',
    'rename .a.json.new',
    'fsync ',
  ]);
  expect(readFileSync(path, 'utf8')).toBe('new content');
});

it.each<['write' | 'fdatasync' | 'rename' | 'open' | 'close', Fault]>([
  ['open', 'EIO'],
  ['write', 'half, then ENOSPC'],
  ['fdatasync', 'EIO'],
  ['close', 'EIO'],
  ['rename', 'EIO'],
])('PLACE-16 one that cannot be (%s: %s) leaves the old one, and nothing beside it', async (call, fault) => {
  const folder = tempFolder();
  const path = join(folder, 'a.json');
  writeFileSync(path, 'old');
  await expect(failing(call, fault, () => writeWhole(path, pieces))).rejects.toMatchObject({
    code: fault === 'EIO' ? 'EIO' : 'ENOSPC',
  });
  expect([readdirSync(folder), readFileSync(path, 'utf8')]).toEqual([['a.json'], 'old']);
});

it('PLACE-16 what a crash has left half made goes, and what it links to stays', async () => {
  const folder = tempFolder();
  const [path, theirs] = [join(folder, 'a.json'), join(folder, 'theirs')];
  writeFileSync(theirs, 'of someone else');
  symlinkSync(theirs, join(folder, '.a.json.new'));
  expect(await writeWhole(path, pieces)).toBe(11);
  expect(readdirSync(folder)).toEqual(['a.json', 'theirs']);
  expect([readFileSync(path, 'utf8'), readFileSync(theirs, 'utf8')]).toEqual(['new content', 'of someone else']);
  // Those of deletions by the next start: nobody may ever delete that thread again.
  const deletions = join(folder, 'skein/deletions');
  mkdirSync(deletions, { recursive: true });
  writeFileSync(join(deletions, `.${someThreadId()}.json.new`), '{"thr');
  await useLocalStore(folder);
  expect(readdirSync(deletions)).toEqual([]);
});
