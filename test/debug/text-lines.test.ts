import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { TextLines } from '../../src/debug/text-lines.ts';

it('DBG-6 text has the same lines in whatever pieces it comes', () => {
  const piece = fc.string({ unit: fc.constantFrom('a', '\n', '\r', 'ü', '\u2028', '😀'), maxLength: 6 });
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const lines = new TextLines();
      const found = pieces.flatMap((one) => [...lines.push(one)]);
      const expected = pieces.join('').split('\n');
      expect(lines.pending).toBe(expected.pop()?.length);
      expect(found).toEqual(expected);
    }),
  );
});

/** As many as the longest line may have. */
const CHARACTERS = 64 * 1_024;

/** What it costs this process, µs, that characters come one by one, with a newline after so many. */
function costOf(lineLength: number): number {
  const lines = new TextLines();
  let found = 0;
  const before = process.cpuUsage();
  for (let count = 1; count <= CHARACTERS; count += 1) {
    for (const line of lines.push(count % lineLength === 0 ? '\n' : 'x')) found += line.length + 1;
  }
  const { user, system } = process.cpuUsage(before);
  expect(found).toBe(CHARACTERS);
  return user + system;
}

it('DBG-16 a long line that comes character by character costs about what as many short ones do', () => {
  const costs = Array.from({ length: 12 }, () => [costOf(64), costOf(CHARACTERS)] as const);
  const least = (which: 0 | 1): number => Math.min(...costs.map((pair) => pair[which]));
  // To look at all of a line with each of its characters costs twenty times as much and more.
  expect(least(1) / least(0)).toBeLessThan(8);
});
