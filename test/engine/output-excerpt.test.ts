import { array, assert, integer, nat, pre, property, string } from 'fast-check';
import { expect, it } from 'vitest';
import { excerptOf, OutputExcerpt } from '../../src/engine/output-excerpt.ts';

it('SHELL-5 what fits is kept as it is, however it comes in pieces', () => {
  assert(
    property(string({ unit: 'binary' }), array(nat(40), { maxLength: 8 }), (text, cuts) => {
      const bytes = Buffer.from(text, 'utf8');
      const excerpt = new OutputExcerpt(bytes.length + 2);
      let from = 0;
      for (const cut of [...cuts, bytes.length]) {
        excerpt.add(bytes.subarray(from, from + cut));
        from = Math.min(bytes.length, from + cut);
      }
      expect(excerpt.text).toBe(bytes.toString('utf8'));
    }),
  );
});

it('SHELL-5 of what does not, beginning and end are, in whole characters, with the count of what is missing', () => {
  const texts = string({ unit: 'grapheme', minLength: 30, maxLength: 300 });
  assert(
    property(texts, integer({ min: 8, max: 60 }), integer({ min: 1, max: 50 }), (text, max, piece) => {
      const bytes = Buffer.from(text, 'utf8');
      pre(bytes.length > max && bytes.toString('utf8') === text);
      const excerpt = new OutputExcerpt(max);
      for (let from = 0; from < bytes.length; from += piece) excerpt.add(bytes.subarray(from, from + piece));
      const [head = '', missing = '', tail = ''] = excerpt.text.split(/\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n/);
      expect(text.startsWith(head)).toBe(true);
      expect(text.endsWith(tail)).toBe(true);
      const kept = Buffer.byteLength(head) + Buffer.byteLength(tail);
      expect(kept).toBeLessThanOrEqual(max);
      expect(kept + Number(missing)).toBe(bytes.length);
      // A character is four bytes at most: at each side no more than three are lost to it, one to an odd bound.
      expect(kept).toBeGreaterThanOrEqual(max - 7);
    }),
  );
});

it('SHELL-5 a much longer text costs its bound', () => {
  expect(excerptOf('a'.repeat(1_000_000), 10)).toBe('aaaaa\n[... 999990 bytes left out ...]\naaaaa');
});
