import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { daemonFiles } from '../../../src/domain/daemon-files.ts';
import { start } from '../../support/process.ts';
import { RpcClient } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { startWeighed, type WeighedDaemon, type Weight } from '../../support/weighed-daemon.ts';
import { Ledger } from '../load/ledger.ts';
import { Owner } from '../load/owner.ts';
import { verify } from '../load/verify.ts';
import { median } from '../median.ts';
import { polling } from '../polling.ts';
import type { Scenario, Stage } from '../scenario.ts';

/** Besides connections that break off: so many of what takes longer. */
const SHORT_TIMES = 80;
const MOST_TIMES = 1_000;

const SHORT_CUTS = 400;

/** The work is done in so many parts, and the daemon weighed after each: what grows with every one is never given back. */
const ROUNDS = 3;

/** Before the first weighing: what is loaded and grown once is no leak. */
const WARM_UP_TIMES = 60;
const WARM_UP_CUTS = 200;

/** What half of all honest requests wait for at most, of the longest that one waits alone. */
const MOST_DELAY = 10;

/** Of the daemon's heap afterwards to before, where nothing is kept. */
const MOST_GROWTH = 1.3;

const MIB = 1024 * 1024;

/** Buffers outside the heap afterwards: less than one long message that is not let go of. */
const MOST_EXTERNAL_BYTES = MIB;

/** Pages that the allocator keeps: what clients may make the daemon hold at once (CONN-18), and as much again. */
const MOST_KEPT_BYTES = 2 * 256 * MIB;

/** Of the resident memory, from what the rounds before have left: one longest message, as it has come and as a text. */
const MOST_NEWLY_KEPT_BYTES = 2 * 64 * MIB;

/** Clients from hell, while two honest ones work; then the daemon must be what it was. */
export const hostileClients: Scenario = {
  name: 'clients',
  isMeasured: true,
  about: 'garbage, floods, tricks, half-open, slow and broken connections at random, beside two honest ones',
  run: async (stage) => {
    const base = tempFolder('skein-hostile-', stage.whenDone);
    const [home, outside] = [join(base, 'home'), join(base, 'outside')];
    mkdirSync(outside);
    writeFileSync(join(outside, 'rollout-2026-01-01T00-00-00-0198f1c4-0000-7000-8000-000000000000.jsonl'), '{}\n');
    const settings = ['--set', 'limits.unloadDelaySeconds=0.3', '--set', 'durability=process'];
    const daemon = await startWeighed(settings, stage.whenDone, home);
    const keeper = await RpcClient.connect(`unix://${daemon.info.socket}`);
    const bait = (await keeper.call('thread/start', {})).thread.id as string;
    await keeper.turn(bait, 'bait');
    await keeper.call('thread/unsubscribe', { threadId: bait });
    const ledger = new Ledger(true);
    const before = listing(outside);
    const times = Math.min(stage.runs ?? SHORT_TIMES, MOST_TIMES);
    const cuts = stage.runs ?? SHORT_CUTS;
    stage.progress('to warm up');
    await attack(stage, daemon, ledger, { threadId: bait, outside, times: WARM_UP_TIMES, cuts: WARM_UP_CUTS });
    const weights = [await weighAtRest(daemon, keeper)];
    const attacks: Attack[] = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      ledger.round = round;
      const share = { threadId: bait, outside, times: Math.ceil(times / ROUNDS), cuts: Math.ceil(cuts / ROUNDS) };
      attacks.push(await attack(stage, daemon, ledger, share));
      weights.push(await weighAtRest(daemon, keeper));
      stage.progress(`round ${round}: ${weighed(weights.at(-1))}`);
    }
    const [first, last] = [weights[0] as Weight, weights.at(-1) as Weight];
    const waits = attacks.flatMap((one) => one.waits).toSorted((one, other) => one - other);
    const calms = attacks.flatMap((one) => one.calms).toSorted((one, other) => one - other);
    const [medianMs, slowestMs, calmMs] = [median(waits), waits.at(-1) ?? 0, calms.at(-1) ?? 0];
    const { expected, found, defects } = await verify(keeper, ledger);
    const wrong = [...defects, ...differences(first, last), ...growth(weights)];
    if (medianMs > calmMs * MOST_DELAY) wrong.push(`honest clients wait ${medianMs} ms instead of ${calmMs}`);
    if (waits.length < times)
      wrong.push(`beside ${times} hostile deeds only ${waits.length} honest ones were answered`);
    if (listing(outside) !== before) wrong.push('files outside the home were touched');
    if (/Warning:/.test(daemon.output())) wrong.push(`the daemon warns: ${daemon.output()}`);
    await keeper.close();
    if ((await daemon.stop()) !== 0) wrong.push('the daemon ends badly');
    const details = {
      ...sums(attacks.map(({ counts }) => counts)),
      'honest: answers': waits.length,
      'honest: median ms': Math.round(medianMs),
      'honest: slowest ms': Math.round(slowestMs),
      'alone ms': Math.round(calmMs),
      ...pairs('heap MiB', first.heapUsedBytes / MIB, last.heapUsedBytes / MIB),
      ...pairs('external MiB', first.externalBytes / MIB, last.externalBytes / MIB),
      ...pairs('RSS MiB', first.rssBytes / MIB, last.rssBytes / MIB),
      ...pairs('descriptors', first.descriptors, last.descriptors),
      ...pairs('timers', first.activeResources['Timeout'] ?? 0, last.activeResources['Timeout'] ?? 0),
    };
    return { injected: 'hostile clients', times: times + cuts, acknowledged: expected, found, details, defects: wrong };
  },
};

interface Share {
  /** A thread that hostile clients may do anything to. */
  readonly threadId: string;
  readonly outside: string;
  readonly times: number;
  readonly cuts: number;
}

interface Attack {
  readonly counts: Readonly<Record<string, number>>;
  /** What an honest client waited for each answer beside the hostile ones, and without them, ms. */
  readonly waits: readonly number[];
  readonly calms: readonly number[];
}

/** Honest clients at work, first alone and then beside so many hostile ones, of which some are stopped for good. */
async function attack(stage: Stage, daemon: WeighedDaemon, ledger: Ledger, share: Share): Promise<Attack> {
  const { random, whenDone } = stage;
  const { socket, home } = daemon.info;
  const token = readFileSync(daemonFiles(home).token, 'utf8').trim();
  const port = Number(new URL(daemon.url).port);
  const orders = { ...share, socket, port, token };
  const hostile = (times: number): ReturnType<typeof start> => {
    const script = join(import.meta.dirname, '../load/hostile-client.ts');
    const args = ['--import', 'tsx', script, JSON.stringify({ ...orders, seed: random.below(2 ** 32), times })];
    return start(process.execPath, args, {}, whenDone);
  };
  const clients = await Promise.all([0, 1].map(() => RpcClient.connect(`unix://${socket}`)));
  const owners = clients.map(
    (client, at) => new Owner({ name: `owner${at}`, client, random: random.fork(), ledger, historyMode: 'paginated' }),
  );
  const works = owners.map((owner) => owner.work());
  const prober = await RpcClient.connect(`unix://${socket}`);
  const calms: number[] = [];
  for (let time = 0; time < 50; time += 1) calms.push(await waitOf(prober));
  const frozen = hostile(1_000_000);
  await frozen.said(/ready/);
  frozen.child.kill('SIGSTOP');
  const active = hostile(share.times);
  const waits: number[] = [];
  const over = new AbortController();
  void active.exited.then(() => over.abort());
  while (!over.signal.aborted) waits.push(await waitOf(prober));
  const said = /^\{.*\}$/m.exec(active.output())?.[0];
  if (said === undefined) throw new Error(`the hostile clients have failed: ${active.output()}`);
  await frozen.stop('SIGKILL');
  await Promise.all([prober, ...clients].map((client) => client.close()));
  await Promise.all(works);
  return { counts: JSON.parse(said) as Record<string, number>, waits, calms };
}

async function waitOf(client: RpcClient): Promise<number> {
  const from = performance.now();
  await client.call('thread/loaded/list', {});
  return performance.now() - from;
}

const pairs = (name: string, before: number, after: number): Readonly<Record<string, number>> => ({
  [`${name} before`]: Math.round(before),
  [`${name} after`]: Math.round(after),
});

function sums(all: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const sum: Record<string, number> = {};
  for (const [name, count] of all.flatMap((counts) => Object.entries(counts))) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}

/** What the daemon takes when nobody is connected but one, and no thread is loaded. */
async function weighAtRest(daemon: WeighedDaemon, keeper: RpcClient): Promise<Weight> {
  await polling(async () => {
    const { data } = await keeper.call('thread/loaded/list', {});
    return data.length === 0 ? undefined : `${data.length} threads stay loaded`;
  });
  let weight = await daemon.weigh();
  // Connections that were cut off are noticed a moment later.
  for (let again = 0; again < 20; again += 1) {
    const next = await daemon.weigh();
    const isSteady = next.descriptors === weight.descriptors && next.rssBytes >= weight.rssBytes;
    weight = next;
    if (isSteady && again > 3) break;
  }
  return weight;
}

function differences(before: Weight, after: Weight): readonly string[] {
  const wrong: string[] = [];
  if (after.descriptors > before.descriptors)
    wrong.push(`${before.descriptors} descriptors have become ${after.descriptors}`);
  for (const [kind, count] of Object.entries(after.activeResources)) {
    const was = before.activeResources[kind] ?? 0;
    if (count > was) wrong.push(`${was} of ${kind} have become ${count}`);
  }
  if (after.heapUsedBytes > before.heapUsedBytes * MOST_GROWTH) {
    wrong.push(`the heap has grown from ${before.heapUsedBytes} to ${after.heapUsedBytes} bytes`);
  }
  if (after.externalBytes > before.externalBytes + MOST_EXTERNAL_BYTES) {
    wrong.push(`buffers outside the heap have grown from ${before.externalBytes} to ${after.externalBytes} bytes`);
  }
  if (after.rssBytes > before.rssBytes + MOST_KEPT_BYTES) {
    wrong.push(`the resident memory has grown from ${before.rssBytes} to ${after.rssBytes} bytes`);
  }
  return wrong;
}

/** Each round does the same, so the last one finds room in what those before have left. */
function growth(weights: readonly Weight[]): readonly string[] {
  const resident = weights.map(({ rssBytes }) => rssBytes);
  const most = Math.max(...resident.slice(0, -1));
  const last = resident.at(-1) ?? 0;
  if (last <= most + MOST_NEWLY_KEPT_BYTES) return [];
  return [
    `the resident memory grows with each round: ${resident.map((bytes) => Math.round(bytes / MIB)).join(', ')} MiB`,
  ];
}

const weighed = (weight: Weight | undefined): string =>
  Object.entries({ heap: weight?.heapUsedBytes, external: weight?.externalBytes, RSS: weight?.rssBytes })
    .map(([name, bytes]) => `${name} ${Math.round((bytes ?? 0) / MIB)} MiB`)
    .join(', ');

/** All files below a folder, with what would tell that one was touched. */
const listing = (folder: string): string =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => {
      const { mtimeMs, size, mode } = lstatSync(join(folder, name));
      return `${name} ${mtimeMs} ${size} ${mode}`;
    })
    .join('\n');
