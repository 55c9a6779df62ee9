import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { PlainAgain } from '../../../../src/store/local/index/plain-again.ts';
import { filesBelow } from '../../../support/local-store.ts';
import { someThreadId } from '../../../support/records.ts';
import { tempFolder } from '../../../support/temp-home.ts';
import { zstdFrame } from '../../../support/zstd.ts';

const newPath = (): string => {
  const folder = join(tempFolder(), 'sessions/2026/03/04');
  mkdirSync(folder, { recursive: true });
  return join(folder, `rollout-2026-03-04T05-06-07-${someThreadId()}.jsonl`);
};

it('ZST-24 a plain file that comes while one is being made is not replaced, and the compressed one stays', async () => {
  const path = newPath();
  const compressed = zstdFrame(Buffer.from('from the compressed file\n'));
  writeFileSync(`${path}.zst`, compressed);
  const restoring = new PlainAgain().restore(path, 'now', () => expect.unreachable());
  writeFileSync(path, 'from someone else\n');
  expect(await restoring).toBe(false);
  expect(readFileSync(path, 'utf8')).toBe('from someone else\n');
  expect(readFileSync(`${path}.zst`).equals(compressed)).toBe(true);
  expect(filesBelow(dirname(path))).toHaveLength(2);
});

it('ZST-24 it is made once for all who ask, and the compressed file goes when the plain one is there', async () => {
  const path = newPath();
  writeFileSync(`${path}.zst`, zstdFrame(Buffer.from('words\n')));
  const again = new PlainAgain();
  const sizes: number[] = [];
  const atThatMoment: boolean[] = [];
  const restore = (): Promise<boolean> =>
    again.restore(path, 'keep', (size) => {
      sizes.push(size);
      atThatMoment.push(existsSync(path), existsSync(`${path}.zst`));
    });
  expect(await Promise.all([restore(), restore()])).toEqual([true, true]);
  expect(sizes).toEqual([6]);
  expect(atThatMoment).toEqual([true, true]);
  expect(filesBelow(dirname(path))).toHaveLength(1);
  expect(await restore()).toBe(false);
  expect(readFileSync(path, 'utf8')).toBe('words\n');
});
