import { isLaborious } from '../../src/protocol/message-values.ts';

/**
 * What counting the values of a message costs beside reading it (ARCHITECTURE, "Nobody waits for a flood"): the ratio, by
 * what the message is made of. `npx tsx scripts/bench/message-values.ts`
 */

const MIB = 1024 * 1024;

const ROUNDS = 7;

const filled = (part: string, bytes: number): string => part.repeat(Math.floor(bytes / part.length));

const text = (part: string, bytes: number): string =>
  `{"id":1,"method":"m","params":{"text":"${filled(part, bytes)}"}}`;

const list = (part: string, bytes: number): string => `{"id":1,"method":"m","params":[${filled(`${part},`, bytes)}0]}`;

/** What the bytes are, and how many MiB of them. */
const MESSAGES: readonly (readonly [string, number, (bytes: number) => string])[] = [
  ...[1, 8, 64].map((mib) => ['text', mib, (bytes: number) => text('words and words ', bytes)] as const),
  [
    'text with line feeds',
    8,
    (bytes) => text('a line of sixty characters, as code and prose have them......\\n', bytes),
  ],
  ['text of quotes', 8, (bytes) => text('\\"', bytes)],
  ['text of other letters', 8, (bytes) => text('日本語', bytes)],
  ['short texts', 8, (bytes) => list('"some words"', bytes)],
  ['small objects', 1, (bytes) => list('{"a":1,"b":[true]}', bytes)],
  ['empty objects', 1, (bytes) => list('{}', bytes)],
];

/** The least of some runs, ms: what the work itself takes. */
function leastMs(work: () => unknown): number {
  const times = Array.from({ length: ROUNDS }, () => {
    const from = performance.now();
    work();
    return performance.now() - from;
  });
  return Math.min(...times);
}

for (const [name, mib, made] of MESSAGES) {
  const data = Buffer.from(made(mib * MIB));
  const json = data.toString('utf8');
  const [counting, decoding, parsing] = [
    // So many values it cannot have: they are counted to the end.
    leastMs(() => isLaborious(data, data.length - 1)),
    leastMs(() => data.toString('utf8')),
    leastMs(() => JSON.parse(json) as unknown),
  ];
  const figures = [counting, decoding, parsing].map((ms) => `${ms.toFixed(1)} ms`.padStart(10)).join('');
  process.stdout.write(`${`${mib} MiB ${name}`.padEnd(30)}${figures}  ratio ${(counting / parsing).toFixed(2)}\n`);
}
