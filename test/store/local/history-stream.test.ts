import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { findRecord, openStretch, readStretch } from '../../../src/store/local/history-stream.ts';
import { tempFolder } from '../../support/temp-home.ts';

const line = (n: number): string => JSON.stringify({ timestamp: '', type: 't', payload: { n } });

async function numbersIn(path: string, endOffset: number): Promise<readonly unknown[]> {
  const numbers: unknown[] = [];
  for await (const { item } of readStretch(await openStretch({ path, endOffset }))) numbers.push(item.payload['n']);
  return numbers;
}

it('READ-16 a stretch of a history ends where it ends, bad lines left out, whatever comes behind', async () => {
  const path = join(tempFolder(), 'rollout.jsonl');
  const lines = Array.from({ length: 20_000 }, (_, n) => (n % 7 === 3 ? `{"bad ${n}` : line(n)));
  const text = `${lines.join('\n')}\n`;
  writeFileSync(path, text);
  const good = (count: number): readonly number[] => [...lines.keys()].slice(0, count).filter((n) => n % 7 !== 3);
  expect(text.length).toBeGreaterThan(2 * 256 * 1024);
  expect(await numbersIn(path, Number.POSITIVE_INFINITY)).toEqual(good(lines.length));
  const firstTen = lines.slice(0, 10).join('\n').length;
  expect(await numbersIn(path, firstTen + 1)).toEqual(good(10));
  expect(await numbersIn(path, firstTen)).toEqual(good(10));
  expect(await numbersIn(path, firstTen - 1)).toEqual(good(9));
  expect(await numbersIn(path, 0)).toEqual([]);
});

it('READ-16 whoever stops reading leaves no file open', async () => {
  const path = join(tempFolder(), 'rollout.jsonl');
  writeFileSync(path, [line(1), line(2), line(3)].join('\n'));
  const before = readdirSync('/dev/fd').length;
  expect((await findRecord(path, ({ item }) => item.payload['n'] === 2))?.item.payload).toEqual({ n: 2 });
  expect(await findRecord(path, () => false)).toBeUndefined();
  expect(readdirSync('/dev/fd').length).toBe(before);
});
