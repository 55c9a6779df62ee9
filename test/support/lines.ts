import * as fc from 'fast-check';
import type { FileLine } from '../../src/store/local/line-splitter.ts';

/** Bytes that are rich in newlines and other things that cut or spoil lines. */
export const someBytes = fc
  .array(fc.oneof(fc.constantFrom(0x0a, 0x0d, 0x00, 0x7b, 0x22, 0xff), fc.nat(255)), { maxLength: 120 })
  .map((bytes) => Buffer.from(bytes));

/** The lines of a text, by the simplest rule: what readers must agree with. Nothing behind the last newline is no line. */
export function cutIntoLines(bytes: Buffer, maxLineBytes: number, offset = 0): readonly FileLine[] {
  const lines: FileLine[] = [];
  let start = 0;
  while (start < bytes.length) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    const content = Buffer.from(bytes.subarray(start, end));
    const isTooLong = content.length > maxLineBytes;
    lines.push({ offset: offset + start, length: content.length, bytes: isTooLong ? null : content });
    start = end + 1;
  }
  return lines;
}
