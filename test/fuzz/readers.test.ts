import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { array, assert, asyncProperty, constantFrom, nat, property, tuple } from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SkeinError } from '../../src/domain/errors.ts';
import { decodeLine, type RolloutLine } from '../../src/domain/rollout-line.ts';
import { openStretch, readStretch } from '../../src/store/local/history-stream.ts';
import { MAX_LINE_BYTES } from '../../src/store/local/line-splitter.ts';
import { readLinesBackwards } from '../../src/store/local/reverse-reader.ts';
import { eventOf, readFirstRecord, readRollout, type ReadEvent } from '../../src/store/local/rollout-reader.ts';
import { readTail } from '../../src/store/local/rollout-tail.ts';
import { someBytes } from '../support/lines.ts';
import { zstdFrame } from '../support/zstd.ts';
import { damaged, damages, fixtures, plainReading } from './damage.ts';
import { FUZZ_TIMEOUT_MS, runs } from './runs.ts';

/** What is left of rollouts, through everything that reads lines, against the plainest reading of them. */

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'skein-fuzz-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Read {
  readonly lines: readonly RolloutLine[];
  readonly defects: number;
  readonly tornBytes: number;
}

function forwards(path: string, chunkBytes: number): Read {
  const reader = readRollout(path, 0, Number.POSITIVE_INFINITY, chunkBytes);
  const events: ReadEvent[] = [];
  for (;;) {
    const step = reader.next();
    if (step.done === true) return { ...summaryOf(events), tornBytes: step.value.tornBytes };
    events.push(step.value);
  }
}

const summaryOf = (events: readonly ReadEvent[]): Omit<Read, 'tornBytes'> => ({
  lines: events.flatMap((event) => (event.type === 'record' ? [event.record.line] : [])),
  defects: events.filter((event) => event.type === 'defect').length,
});

async function backwards(bytes: Buffer): Promise<Omit<Read, 'tornBytes'>> {
  const read = async (buffer: Buffer, position: number): Promise<number> => bytes.copy(buffer, 0, position);
  const events: ReadEvent[] = [];
  for await (const line of readLinesBackwards(read, bytes.length, MAX_LINE_BYTES)) {
    const event = eventOf(line);
    // What is torn at the end is no defect yet.
    if (event !== undefined && !(event.type === 'defect' && line.offset + line.length === bytes.length))
      events.unshift(event);
  }
  return summaryOf(events);
}

async function streamed(path: string): Promise<readonly RolloutLine[]> {
  const lines: RolloutLine[] = [];
  for await (const line of readStretch(await openStretch({ path, endOffset: statSync(path).size }))) lines.push(line);
  return lines;
}

async function tailOrRefusal(path: string, lines: readonly RolloutLine[]): Promise<void> {
  const last = lines.at(-1);
  const nextOrdinal = last === undefined ? 0 : last.ordinal === undefined ? undefined : last.ordinal + 1;
  const expected = { size: statSync(path).size, nextOrdinal };
  const found = await readTail(path, 'paginated').catch((error: unknown) => {
    if (!(error instanceof SkeinError)) throw error;
    return { size: expected.size, nextOrdinal: undefined };
  });
  expect({ size: found.size, nextOrdinal: found.nextOrdinal }).toEqual(expected);
}

async function assertReadPlainly(bytes: Buffer, untouched: readonly string[], chunkBytes: number): Promise<void> {
  const { records, defects, tornBytes } = plainReading(bytes);
  const path = join(folder, 'rollout.jsonl');
  writeFileSync(path, bytes);
  const plain = forwards(path, chunkBytes);
  const kept = plain.lines.map(({ item: { type, payload }, ordinal, timestamp }) => ({
    type,
    payload,
    ordinal,
    timestamp,
  }));
  expect(kept).toEqual(
    records.map(({ type, payload, ordinal, timestamp }) => ({
      type,
      payload,
      ordinal: Number.isSafeInteger(ordinal) ? ordinal : undefined,
      timestamp: typeof timestamp === 'string' ? timestamp : '',
    })),
  );
  expect([plain.defects, plain.tornBytes]).toEqual([defects, tornBytes]);
  const texts = plain.lines.map((line) => JSON.stringify(line));
  let from = 0;
  for (const line of untouched) {
    const decoded = decodeLine(Buffer.from(line));
    // Some lines of fixtures never were records.
    if (decoded.ok) from = texts.indexOf(JSON.stringify(decoded.line), from) + 1 || Number.NaN;
    expect(from).not.toBeNaN();
  }
  expect(await backwards(bytes)).toEqual({ lines: plain.lines, defects });
  expect(await streamed(path)).toEqual(plain.lines);
  expect(readFirstRecord(path)?.line).toEqual(plain.lines[0]);
  await tailOrRefusal(path, plain.lines);
  rmSync(path);
  writeFileSync(`${path}.zst`, zstdFrame(bytes));
  expect(forwards(path, chunkBytes)).toEqual(plain);
  rmSync(`${path}.zst`);
}

function failureOf(work: () => unknown): unknown {
  try {
    work();
    return undefined;
  } catch (error) {
    return error;
  }
}

const chunkBytes = constantFrom(61, 1_000, 65_536);

it(
  'FUZZ-2 whatever happened to a rollout, every way of reading it has all lines that nothing happened to, in order, and counts the bad ones',
  async () => {
    const holds = asyncProperty(constantFrom(...fixtures), damages, chunkBytes, async (text, what, chunk) => {
      const { bytes, untouched } = damaged(text, what);
      await assertReadPlainly(bytes, untouched, chunk);
    });
    await assert(holds, runs(150));
  },
  FUZZ_TIMEOUT_MS,
);

it(
  'FUZZ-2 bytes of any kind are read to their end',
  async () => {
    const holds = asyncProperty(someBytes, chunkBytes, (bytes, chunk) => assertReadPlainly(bytes, [], chunk));
    await assert(holds, runs(150));
  },
  FUZZ_TIMEOUT_MS,
);

it(
  'FUZZ-3 a compressed rollout whose bytes are damaged is read as far as it goes, or refused by name',
  () => {
    const holds = property(
      constantFrom(...fixtures),
      array(tuple(nat(), nat(7)), { maxLength: 3 }),
      nat(300),
      (text, flips, lost) => {
        const frame = zstdFrame(Buffer.from(text));
        for (const [at, bit] of flips) frame[at % frame.length] = (frame[at % frame.length] ?? 0) ^ (1 << bit);
        const path = join(folder, 'damaged.jsonl');
        writeFileSync(`${path}.zst`, frame.subarray(0, Math.max(0, frame.length - lost)));
        expect(failureOf(() => forwards(path, 65_536))).toSatisfy(
          (error) => error === undefined || error instanceof SkeinError,
        );
      },
    );
    assert(holds, runs(200));
  },
  FUZZ_TIMEOUT_MS,
);
