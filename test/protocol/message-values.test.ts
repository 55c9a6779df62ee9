import { array, assert, constantFrom, property } from 'fast-check';
import { expect, it } from 'vitest';
import { isLaborious } from '../../src/protocol/message-values.ts';

/** Texts that end, or seem to, wherever they are looked at another way. */
const parts = constantFrom('"', '\\', ',', '[', '{', 'é', 'x'.repeat(61), 'x'.repeat(253), 'x'.repeat(1_000));
const texts = array(array(parts, { maxLength: 12 }), { minLength: 1, maxLength: 8 });

it('CONN-24 what stands in a text is not counted, however long it is and whatever is escaped in it', () => {
  assert(
    property(texts, (made) => {
      const said = made.map((some) => some.join(''));
      // A bracket, and a comma before each but the first.
      const json = Buffer.from(JSON.stringify(said));
      expect(isLaborious(json, said.length)).toBe(false);
      expect(isLaborious(json, said.length - 1)).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});
