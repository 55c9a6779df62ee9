import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import koffi from 'koffi';
import type { ThreadId } from '../../src/domain/ids.ts';
import type { RolloutItem } from '../../src/domain/rollout-line.ts';
import { HomeLayout } from '../../src/store/local/home-layout.ts';
import { indexStatus } from '../../test/faults/load/index-audit.ts';
import { rolloutsOf } from '../../test/faults/load/rollouts.ts';
import { median } from '../../test/faults/median.ts';
import { startDaemon } from '../../test/support/daemon.ts';
import { linesOf, writeRollout } from '../../test/support/home-files.ts';
import { printProtocolSchemas } from '../../test/support/protocol-schemas.ts';
import { event, T0, turnItems } from '../../test/support/records.ts';
import { RpcClient } from '../../test/support/rpc-client.ts';
import type { WhenDone } from '../../test/support/process.ts';

const HELP = `npx tsx scripts/bench/cold-index.ts [--threads N] [--runs N]

Starts a daemon on a home without an index, and says how long it takes until a first list and until all is read;
held against reading the same files and doing nothing with them. Needs what \`npm run build\` makes, and Linux.
`;

const TURNS = 4;
const POLL_MS = 50;
const HOUR_MS = 3_600_000;

/** As Linux numbers it, and counts the time of processes. */
const POSIX_FADV_DONTNEED = 4;
const TICK_MS = 10;

/** What a run has shown, milliseconds from the start of the daemon's process. */
interface Times {
  readonly firstList: number;
  readonly ready: number;
  /** Of the processor, until it was ready. */
  readonly work: number;
  /** To read all files in the order of their names. */
  readonly plainReading: number;
}

const text = (length: number, seed: number): string =>
  Array.from({ length: Math.ceil(length / 8) }, (_, at) => ((seed * 7_919 + at * 104_729) % 9_999_991).toString(36))
    .join(' ')
    .slice(0, length);

/** A turn with two tools: what a coding agent leaves, in kinds and sizes. */
function turn(threadId: ThreadId, seed: number): readonly RolloutItem[] {
  const { items } = turnItems('legacy', threadId, text(200, seed), text(600, seed + 1));
  const tools = [1, 2].flatMap((number) => [
    {
      type: 'response_item',
      payload: { type: 'reasoning', summary: [], encrypted_content: text(1_000, seed + number) },
    },
    {
      type: 'response_item',
      payload: { type: 'function_call', name: 'shell', arguments: text(200, seed), call_id: `call_${seed}_${number}` },
    },
    {
      type: 'response_item',
      payload: { type: 'function_call_output', call_id: `call_${seed}_${number}`, output: text(1_500, seed + number) },
    },
  ]);
  const tokens = { input_tokens: 1_000, cached_input_tokens: 0, output_tokens: 100, total_tokens: 1_100 };
  const count = event('token_count', {
    info: { total_token_usage: tokens, last_token_usage: tokens, model_context_window: 200_000 },
  });
  return [...items.slice(0, 3), ...tools, count, ...items.slice(3)];
}

function fill(home: string, threads: number): void {
  for (let number = 0; number < threads; number += 1) {
    const createdAtMs = T0 + number * HOUR_MS;
    const header = { base_instructions: { text: text(4_000, number) } };
    const { threadId, path } = writeRollout(home, { said: [], createdAtMs, header });
    const turns = Array.from({ length: TURNS }, (_, at) => turn(threadId, number * TURNS + at)).flat();
    writeFileSync(path, linesOf(turns, { atMs: createdAtMs }), { flag: 'a' });
  }
}

/** What the system has kept in memory of files is let go, so that they are read from the disk again. */
function letGo(paths: readonly string[]): void {
  const advise = koffi.load('libc.so.6').func('int posix_fadvise(int, int64_t, int64_t, int)') as (
    ...values: number[]
  ) => number;
  for (const path of paths) {
    const fd = openSync(path, 'r');
    // Only what is on the disk can be let go.
    fdatasyncSync(fd);
    advise(fd, 0, 0, POSIX_FADV_DONTNEED);
    closeSync(fd);
  }
}

/** Milliseconds of the processor that a process has taken. */
function workOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

async function measure(home: string, whenDone: WhenDone): Promise<Times> {
  const paths = rolloutsOf(home).toSorted();
  rmSync(new HomeLayout(home).own, { recursive: true, force: true });
  letGo(paths);
  const begun = performance.now();
  const daemon = await startDaemon(home, [], whenDone);
  const client = await RpcClient.connect(`unix://${daemon.info.socket}`);
  const { data } = await client.call('thread/list', { limit: 50, modelProviders: [] });
  const firstList = performance.now() - begun;
  if (data.length !== Math.min(50, paths.length)) throw new Error(`the first list shows ${data.length} threads`);
  for (let status = await indexStatus(daemon.info); status.state !== 'ready'; status = await indexStatus(daemon.info)) {
    await delay(POLL_MS);
  }
  const ready = performance.now() - begun;
  const work = workOf(daemon.child.pid ?? 0);
  await daemon.stop();
  letGo(paths);
  const readingBegun = performance.now();
  for (const path of paths) readFileSync(path);
  return { firstList, ready, work, plainReading: performance.now() - readingBegun };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      threads: { type: 'string', default: '10000' },
      runs: { type: 'string', default: '3' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    return;
  }
  const home = mkdtempSync(join(tmpdir(), 'skein-bench-'));
  const cleanUps: (() => unknown)[] = [() => rmSync(home, { recursive: true })];
  const removeSchemas = printProtocolSchemas();
  try {
    fill(home, Number(values.threads));
    const bytes = rolloutsOf(home).reduce((sum, path) => sum + statSync(path).size, 0);
    process.stdout.write(`${values.threads} threads, ${Math.round(bytes / 2 ** 20)} MiB\n`);
    const runs: Times[] = [];
    for (let run = 0; run < Number(values.runs); run += 1) {
      const times = await measure(home, (cleanUp) => void cleanUps.push(cleanUp));
      runs.push(times);
      process.stdout.write(`${line(times)}, load ${loadavg()[0]?.toFixed(1)}\n`);
    }
    const middle = (of: keyof Times): number => median(runs.map((times) => times[of]));
    const [firstList, ready, work, plainReading] = (['firstList', 'ready', 'work', 'plainReading'] as const).map(
      middle,
    );
    process.stdout.write(`median: ${line({ firstList, ready, work, plainReading } as Times)}\n`);
  } finally {
    removeSchemas();
    for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  }
}

function line({ firstList, ready, work, plainReading }: Times): string {
  const shown = (ms: number): string => `${Math.round(ms)} ms (${(ms / plainReading).toFixed(2)})`;
  return `first list ${shown(firstList)}, ready ${shown(ready)}, work ${shown(work)}, plain reading ${Math.round(plainReading)} ms (1)`;
}

await main();
