import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { LineSplitter, type FileLine } from '../../../src/store/local/line-splitter.ts';
import { cutIntoLines, someBytes } from '../../support/lines.ts';

/** All lines of a stream that comes in the given pieces; each piece is spoilt once its lines are taken. */
function split(pieces: readonly Buffer[], maxLineBytes: number, offset = 0): readonly FileLine[] {
  const splitter = new LineSplitter(offset, maxLineBytes);
  const lines = pieces.flatMap((piece) => {
    const chunk = Buffer.from(piece);
    const taken = [...splitter.push(chunk)].map(({ offset: at, length, bytes }) => ({
      offset: at,
      length,
      bytes: bytes && Buffer.from(bytes),
    }));
    chunk.fill(0x0a);
    return taken;
  });
  const tail = splitter.tail();
  return tail === undefined ? lines : [...lines, tail];
}

it('READ-1 lines end at 0x0A and nowhere else, in whatever pieces the bytes come', () => {
  fc.assert(
    fc.property(
      someBytes,
      fc.array(fc.nat(40)),
      fc.integer({ min: 1, max: 30 }),
      fc.nat(1_000),
      (bytes, cuts, max, at) => {
        const edges = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b), bytes.length];
        const pieces = edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
        expect(split(pieces, max, at)).toEqual(cutIntoLines(bytes, max, at));
      },
    ),
  );
});

it('READ-1 what looks like an end of line elsewhere is content', () => {
  const content = Buffer.from('a\rb\u2028c\u2029d\u0085e\0f\vg\fh\r', 'utf8');
  expect(split([Buffer.concat([content, Buffer.from('\n')])], 100)).toEqual([
    { offset: 0, length: content.length, bytes: content },
  ]);
});
