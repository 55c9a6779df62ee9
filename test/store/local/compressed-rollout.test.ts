import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { array, assert, nat, property, uint8Array } from 'fast-check';
import { expect, it } from 'vitest';
import { rolloutBytes } from '../../../src/store/local/compressed-rollout.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { zstdFrame } from '../../support/zstd.ts';

const read = (path: string, start?: number, end?: number): Buffer =>
  // Pieces are valid until the next one only.
  Buffer.concat(Array.from(rolloutBytes(path, start, end), (bytes) => Buffer.from(bytes)));

it('ZST-22 any stretch of a compressed file reads as the same stretch of the plain one', () => {
  const path = join(tempFolder(), 'rollout.jsonl');
  const frames = array(uint8Array({ maxLength: 3_000 }), { maxLength: 4 });
  assert(
    property(frames, nat(9_000), nat(9_000), (texts, start, length) => {
      writeFileSync(`${path}.zst`, Buffer.concat(texts.map((text) => zstdFrame(Buffer.from(text)))));
      const whole = Buffer.concat(texts);
      expect(read(path).equals(whole)).toBe(true);
      expect(read(path, start).equals(whole.subarray(start))).toBe(true);
      expect(read(path, start, start + length).equals(whole.subarray(start, start + length))).toBe(true);
    }),
  );
});

it('ZST-22 a file of many blocks reads as it was, and a cut one is damaged', () => {
  const path = join(tempFolder(), 'rollout.jsonl');
  const text = Buffer.from(Array.from({ length: 60_000 }, (_, index) => `{"line":${index}}`).join('\n'));
  const frame = zstdFrame(text);
  writeFileSync(`${path}.zst`, frame);
  expect(read(path).equals(text)).toBe(true);
  expect(read(path, 500_000, 500_100).toString()).toBe(text.subarray(500_000, 500_100).toString());
  for (const length of [3, 8, 1_000, frame.length - 1]) {
    writeFileSync(`${path}.zst`, frame.subarray(0, length));
    expect(() => read(path)).toThrow('is damaged');
  }
  writeFileSync(`${path}.zst`, 'no such format at all');
  expect(() => read(path)).toThrow('is damaged');
});
