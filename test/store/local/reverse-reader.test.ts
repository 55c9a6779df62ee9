import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { FileLine } from '../../../src/store/local/line-splitter.ts';
import { eventOf } from '../../../src/store/local/rollout-reader.ts';
import { readLinesBackwards, type ReadAt } from '../../../src/store/local/reverse-reader.ts';
import { cutIntoLines, someBytes } from '../../support/lines.ts';

/** A file in memory that gives at most so many bytes at a time. */
const readerOf =
  (bytes: Buffer, mostAtOnce = Number.POSITIVE_INFINITY): ReadAt =>
  (buffer, position) =>
    Promise.resolve(bytes.copy(buffer, 0, position, Math.min(bytes.length, position + mostAtOnce)));

const linesBackwards = (bytes: Buffer, end: number, max: number, mostAtOnce?: number): Promise<readonly FileLine[]> =>
  fromAsync(readLinesBackwards(readerOf(bytes, mostAtOnce), end, max));

/** Lines as words, which compare faster than bytes. */
const digestsOf = (lines: readonly FileLine[]): readonly string[] =>
  lines.map(({ offset, length, bytes }) => `${offset} ${length} ${bytes === null ? '-' : bytes.toString('latin1')}`);

async function fromAsync<T>(source: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const element of source) all.push(element);
  return all;
}

it('READ-2 read backwards a file has the lines that it has forwards', async () => {
  await fc.assert(
    fc.asyncProperty(someBytes, fc.nat(120), fc.integer({ min: 1, max: 30 }), async (bytes, cut, max) => {
      const end = Math.min(cut, bytes.length);
      expect(await linesBackwards(bytes, end, max)).toEqual(cutIntoLines(bytes.subarray(0, end), max).toReversed());
    }),
  );
});

it('READ-2 lines across the borders of what is read at once are whole', async () => {
  const line = (length: number, fill: string): string => fill.repeat(length - 1);
  // Shorter than a piece, one that ends at its border, one over a border, one over three pieces.
  const text = [line(40_000, 'a'), line(65_536, 'b'), line(70_000, 'c'), line(200_000, 'd'), 'e'].join('\n');
  const bytes = Buffer.from(text);
  for (const end of [bytes.length, bytes.length - 1, bytes.length - 2, 65_537, 65_536, 65_535]) {
    const whole = digestsOf(cutIntoLines(bytes.subarray(0, end), 1_000_000).toReversed());
    expect(digestsOf(await linesBackwards(bytes, end, 1_000_000))).toEqual(whole);
    expect(digestsOf(await linesBackwards(bytes, end, 1_000_000, 10_000))).toEqual(whole);
  }
});

it('READ-2 bad and overlong lines are met and passed', async () => {
  const good = (ordinal: number): string => `{"timestamp":"","ordinal":${ordinal},"type":"x","payload":{}}`;
  const bytes = Buffer.from([good(1), '{"broken":', '', `{"long":"${'x'.repeat(200)}"}`, good(2), '{"torn'].join('\n'));
  const events = (await linesBackwards(bytes, bytes.length, 100)).map((line) => eventOf(line));
  expect(events.map((event) => (event?.type === 'record' ? event.record.line.ordinal : event?.defect))).toEqual([
    'notJson',
    2,
    'tooLong',
    undefined,
    'notJson',
    1,
  ]);
});

it('READ-2 a file that shrinks while it is read is an error', async () => {
  await expect(linesBackwards(Buffer.from('abc'), 10, 100)).rejects.toMatchObject({ code: 'internal' });
});
