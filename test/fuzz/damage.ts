import { isUtf8 } from 'node:buffer';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';

/** One thing that happens to the lines of a file. Places are counted modulo what is there. */
type Damage =
  | {
      readonly do: 'flip' | 'insert';
      readonly line: number;
      readonly at: number;
      readonly bit: number;
      readonly what: string;
    }
  | { readonly do: 'double' | 'end in CR' | 'join with next' | 'swap with next' | 'remove'; readonly line: number }
  | { readonly do: 'put before'; readonly line: number; readonly what: string };

/** A file after it was damaged. */
export interface Damaged {
  readonly bytes: Buffer;
  /** Lines that nothing has happened to, in the order in which they stand there now. */
  readonly untouched: readonly string[];
}

interface Line {
  readonly bytes: Buffer;
  readonly isUntouched: boolean;
}

const INTO_LINES = ['\0\0\0\0', '\u2028', '\r', '"', '\\', '}', '\n', '\xff', 'bad utf8'];
const BETWEEN_LINES = [
  '',
  ' \t\r',
  '\ufeff',
  '\0'.repeat(5_000),
  '{"torn":',
  '[]',
  'null',
  '{}',
  '{"type":"t","payload":[]}',
  '{"__proto__":{"type":"t"}}',
  `"${'x'.repeat(70_000)}"`,
];

const place = fc.nat(60);
const anyDamage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({
    do: fc.constantFrom('flip' as const, 'insert' as const),
    line: place,
    at: fc.nat(400),
    bit: fc.nat(7),
    what: fc.constantFrom(...INTO_LINES),
  }),
  fc.record({
    do: fc.constantFrom(
      'double' as const,
      'end in CR' as const,
      'join with next' as const,
      'swap with next' as const,
      'remove' as const,
    ),
    line: place,
  }),
  fc.record({ do: fc.constant('put before' as const), line: place, what: fc.constantFrom(...BETWEEN_LINES) }),
);

/** What of a file can be damaged, how, and how many bytes its end has lost: none more often than not. */
export const damages = fc.record({
  done: fc.array(anyDamage, { maxLength: 6 }),
  lost: fc.oneof(fc.constant(0), fc.constant(1), fc.nat(2_000)),
});

export type Damages = typeof damages extends fc.Arbitrary<infer T> ? T : never;

const FIXTURES = join(import.meta.dirname, '../fixtures/rollouts');

/** Rollouts that Codex has written, and such as it would not. */
export const fixtures: readonly string[] = readdirSync(FIXTURES).map((name) =>
  readFileSync(join(FIXTURES, name), 'utf8'),
);

/** What is left of a text whose lines are damaged one after the other, and whose end is lost then. */
export function damaged(text: string, { done, lost }: Damages): Damaged {
  let lines: readonly Line[] = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => ({ bytes: Buffer.from(line), isUntouched: true }));
  for (const each of done) lines = withDamage(lines, each);
  const bytes = Buffer.concat(lines.flatMap((line) => [line.bytes, Buffer.from('\n')]));
  const end = Math.max(0, bytes.length - lost);
  let offset = 0;
  const untouched = lines.filter((line) => {
    offset += line.bytes.length + 1;
    // A line that only lost its newline is whole.
    return line.isUntouched && offset - 1 <= end;
  });
  return { bytes: bytes.subarray(0, end), untouched: untouched.map((line) => line.bytes.toString()) };
}

function withDamage(lines: readonly Line[], damage: Damage): readonly Line[] {
  const at = lines.length === 0 ? 0 : damage.line % lines.length;
  const [line, next] = [lines[at], lines[at + 1]];
  const touched = (bytes: Buffer): Line => ({ bytes, isUntouched: false });
  if (damage.do === 'put before') return lines.toSpliced(at, 0, touched(Buffer.from(damage.what)));
  if (line === undefined) return lines;
  switch (damage.do) {
    case 'flip':
    case 'insert':
      return lines.toSpliced(
        at,
        1,
        touched(damage.do === 'flip' ? flipped(line.bytes, damage) : inserted(line.bytes, damage)),
      );
    case 'double':
      return lines.toSpliced(at, 0, line);
    case 'end in CR':
      return lines.toSpliced(at, 1, touched(Buffer.concat([line.bytes, Buffer.from('\r')])));
    case 'join with next':
      return next === undefined ? lines : lines.toSpliced(at, 2, touched(Buffer.concat([line.bytes, next.bytes])));
    case 'swap with next':
      return next === undefined ? lines : lines.toSpliced(at, 2, next, line);
    case 'remove':
      return lines.toSpliced(at, 1);
  }
}

function flipped(line: Buffer, { at, bit }: { readonly at: number; readonly bit: number }): Buffer {
  const bytes = Buffer.from(line);
  if (bytes.length > 0) bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << bit);
  return bytes;
}

function inserted(line: Buffer, { at, what }: { readonly at: number; readonly what: string }): Buffer {
  const cut = at % (line.length + 1);
  const foreign = what === 'bad utf8' ? Buffer.from([0xc3, 0x28, 0xff]) : Buffer.from(what);
  return Buffer.concat([line.subarray(0, cut), foreign, line.subarray(cut)]);
}

/** A record and what is none, by the plainest reading of a file (SPEC READ-1, READ-3, READ-4). */
export interface PlainReading {
  /** The values of lines that are records. */
  readonly records: readonly Record<string, unknown>[];
  readonly defects: number;
  /** Bytes behind the last newline that are no record. */
  readonly tornBytes: number;
}

export function plainReading(bytes: Buffer): PlainReading {
  const lines: Buffer[] = [];
  for (let start = 0; start <= bytes.length;) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  const [tail = Buffer.alloc(0), ...whole] = [lines.pop(), ...lines];
  const found = whole.filter((line) => !/^[ \t\r]*$/.test(line.toString('latin1'))).map(recordIn);
  const last = recordIn(tail);
  return {
    records: [...found, last].filter((record) => record !== undefined),
    defects: found.filter((record) => record === undefined).length,
    tornBytes: last === undefined ? tail.length : 0,
  };
}

function recordIn(line: Buffer): Record<string, unknown> | undefined {
  if (!isUtf8(line)) return undefined;
  try {
    const value: unknown = JSON.parse(line.toString());
    const isObject = (each: unknown): each is Record<string, unknown> =>
      typeof each === 'object' && each !== null && !Array.isArray(each);
    return isObject(value) && typeof value['type'] === 'string' && isObject(value['payload']) ? value : undefined;
  } catch {
    return undefined;
  }
}
