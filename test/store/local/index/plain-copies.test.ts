import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { ThreadId } from '../../../../src/domain/ids.ts';
import { stateOfRollout } from '../../../../src/store/local/index/home-scan.ts';
import { PlainCopies } from '../../../../src/store/local/index/plain-copies.ts';
import type { RolloutRow } from '../../../../src/store/local/index/rollout-row.ts';
import { filesBelow } from '../../../support/local-store.ts';
import { someThreadId } from '../../../support/records.ts';
import { tempFolder } from '../../../support/temp-home.ts';
import { zstdFrame } from '../../../support/zstd.ts';

const home = (): { readonly folder: string; readonly copies: string } => {
  const folder = tempFolder();
  return { folder, copies: join(folder, 'plain') };
};

/** A compressed rollout of so many bytes, and what a row says of it. */
function compressedRow(folder: string, size: number, rolloutId: ThreadId = someThreadId()): RolloutRow {
  const path = join(folder, `${rolloutId}.jsonl`);
  writeFileSync(`${path}.zst`, zstdFrame(Buffer.alloc(size, 'x')));
  const state = stateOfRollout(path);
  return { id: 1, rolloutId, path, ...state, fileSize: size } as RolloutRow;
}

it('ZST-23 copies stay within their bound: those not used for longest go, those being read stay, the last one always', async () => {
  const { folder, copies: place } = home();
  const copies = new PlainCopies(place, (row) => row.path, 250);
  const [one, two, three] = [compressedRow(folder, 100), compressedRow(folder, 100), compressedRow(folder, 100)];
  const kept = (): readonly string[] => (existsSync(place) ? filesBelow(place) : []);
  const namesOf = (...rows: readonly RolloutRow[]): readonly string[] =>
    rows.map(({ rolloutId }) => `${rolloutId}.jsonl`).toSorted();
  const use = async (...rows: readonly RolloutRow[]): Promise<void> => (await copies.hold(rows, true))();

  await use(one);
  await use(two);
  await use(one);
  await use(three);
  expect(kept()).toEqual(namesOf(one, three));

  const release = await copies.hold([one], true);
  await use(two);
  await use(three);
  expect(kept()).toEqual(namesOf(one, three));
  expect(readFileSync(copies.readablePath(one), 'utf8')).toBe('x'.repeat(100));
  await release();

  const large = compressedRow(folder, 10_000);
  const releaseLarge = await copies.hold([large, one], true);
  expect(statSync(copies.readablePath(large)).size).toBe(10_000);
  expect(statSync(copies.readablePath(one)).size).toBe(100);
  await releaseLarge();
  expect(kept()).toEqual(namesOf(one));
  await use(large);
  expect(kept()).toEqual(namesOf(large));
});

it('ZST-23 a copy is made once for many readers, and again if its file was replaced or it is gone', async () => {
  const { folder, copies: place } = home();
  mkdirSync(place);
  writeFileSync(join(place, 'left by another.jsonl'), 'x');
  const copies = new PlainCopies(place, (row) => row.path);
  const row = compressedRow(folder, 100);
  const releases = await Promise.all([copies.hold([row], true), copies.hold([row], true), copies.hold([row], false)]);
  expect(filesBelow(place)).toEqual([`${row.rolloutId}.jsonl`]);
  for (const release of releases) await release();

  rmSync(place, { recursive: true });
  await (
    await copies.hold([row], true)
  )();
  expect(filesBelow(place)).toHaveLength(1);

  const replaced = compressedRow(folder, 50, row.rolloutId);
  await expect(copies.hold([row], true).then((release) => release())).resolves.toBeUndefined();
  await (
    await copies.hold([replaced], true)
  )();
  expect(statSync(copies.readablePath(replaced)).size).toBe(50);
  expect(() => copies.readablePath(row)).toThrow('replaced');
  await expect(copies.hold([{ ...replaced, inode: replaced.inode + 1 }], true)).rejects.toThrow('replaced');
  await copies.dropUnless(() => false);
  expect(filesBelow(place)).toEqual([]);
});
