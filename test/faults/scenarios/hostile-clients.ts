import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { daemonFiles } from '../../../src/domain/daemon-files.ts';
import { folderListing } from '../../support/folder-listing.ts';
import { start } from '../../support/process.ts';
import { RpcClient } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { trickRequests } from '../../support/trick-requests.ts';
import { startWeighed, type WeighedDaemon } from '../../support/weighed-daemon.ts';
import { differences, growth, MIB, weighAtRest, weighed, type AtRest } from '../load/at-rest.ts';
import { look } from '../load/honest-look.ts';
import type { Orders } from '../load/hostile/ways-in.ts';
import { Ledger } from '../load/ledger.ts';
import { Owner } from '../load/owner.ts';
import { verify } from '../load/verify.ts';
import { median } from '../median.ts';
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

const WAITS_PER_LOOK = 20;

/** Clients from hell, while two honest ones work; then the daemon must be what it was. */
export const hostileClients: Scenario = {
  name: 'clients',
  isMeasured: true,
  about: 'garbage, floods, tricks, half-open, slow and broken connections at random, beside two honest ones',
  run: async (stage) => {
    const base = tempFolder('skein-hostile-', stage.whenDone);
    const [home, cwd, tricks] = [join(base, 'home'), join(base, 'work'), join(base, 'tricks.json')];
    const outside = join(cwd, 'rollout-2026-01-01T00-00-00-0198f1c4-0000-7000-8000-000000000000.jsonl');
    mkdirSync(cwd);
    writeFileSync(outside, '{}\n');
    writeFileSync(tricks, JSON.stringify(trickRequests()));
    const settings = ['--set', 'limits.unloadDelaySeconds=0.3', '--set', 'durability=process'];
    const daemon = await startWeighed(settings, stage.whenDone, home, cwd);
    const keeper = await RpcClient.connect(`unix://${daemon.info.socket}`);
    const bait = (await keeper.call('thread/start', {})).thread.id as string;
    await keeper.turn(bait, 'bait');
    await keeper.call('thread/unsubscribe', { threadId: bait });
    const ledger = new Ledger(true);
    const before = folderListing(base, ['home']);
    const shared = { threadId: bait, outside, tricks };
    const times = Math.min(stage.runs ?? SHORT_TIMES, MOST_TIMES);
    const cuts = stage.runs ?? SHORT_CUTS;
    stage.progress('to warm up');
    await attack(stage, daemon, ledger, { ...shared, times: WARM_UP_TIMES, cuts: WARM_UP_CUTS });
    const weights: AtRest[] = [await weighAtRest(daemon, keeper)];
    const attacks: Attack[] = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      ledger.round = round;
      const share = { ...shared, times: Math.ceil(times / ROUNDS), cuts: Math.ceil(cuts / ROUNDS) };
      attacks.push(await attack(stage, daemon, ledger, share));
      weights.push(await weighAtRest(daemon, keeper, weights[0]));
      stage.progress(`round ${round}: ${weighed(weights.at(-1))}`);
    }
    const [first, last] = [weights[0] as AtRest, weights.at(-1) as AtRest];
    const waits = attacks.flatMap((one) => one.waits).toSorted((one, other) => one - other);
    const calms = attacks.flatMap((one) => one.calms).toSorted((one, other) => one - other);
    const [medianMs, slowestMs, calmMs] = [median(waits), waits.at(-1) ?? 0, calms.at(-1) ?? 0];
    const { expected, found, defects } = await verify(keeper, ledger, home);
    const wrong = [...defects, ...differences(first, last), ...growth(weights)];
    if (medianMs > calmMs * MOST_DELAY) wrong.push(`honest clients wait ${medianMs} ms instead of ${calmMs}`);
    if (waits.length < times)
      wrong.push(`beside ${times} hostile deeds only ${waits.length} honest ones were answered`);
    const touched = folderListing(base, ['home']).filter((file) => !before.includes(file));
    if (touched.length > 0) wrong.push(`files outside the home were touched: ${touched.join(', ')}`);
    const told = attacks.flatMap((one) => one.told);
    if (told.length > 0) wrong.push(`${told.length} answers say more than they should: ${told[0]}`);
    if (/Warning:/.test(daemon.output())) wrong.push(`the daemon warns: ${daemon.output()}`);
    await keeper.close();
    if ((await daemon.stop()) !== 0) wrong.push('the daemon ends badly');
    const details = {
      ...sums(attacks.map(({ counts }) => counts)),
      'honest: answers': waits.length,
      'honest: looks': attacks.reduce((sum, { looks }) => sum + looks, 0),
      'honest: median ms': Math.round(medianMs),
      'honest: slowest ms': Math.round(slowestMs),
      'alone ms': Math.round(calmMs),
      ...pairs('heap MiB', first.heapUsedBytes / MIB, last.heapUsedBytes / MIB),
      ...pairs('external MiB', first.externalBytes / MIB, last.externalBytes / MIB),
      ...pairs('RSS MiB', first.rssBytes / MIB, last.rssBytes / MIB),
      ...pairs('descriptors', first.descriptors, last.descriptors),
      ...pairs('listeners', total(first.listeners), total(last.listeners)),
      ...pairs('timers', first.activeResources['Timeout'] ?? 0, last.activeResources['Timeout'] ?? 0),
    };
    return { injected: 'hostile clients', times: times + cuts, acknowledged: expected, found, details, defects: wrong };
  },
};

type Share = Pick<Orders, 'threadId' | 'outside' | 'tricks' | 'times' | 'cuts'>;

interface Attack {
  readonly counts: Readonly<Record<string, number>>;
  readonly told: readonly string[];
  /** How often an honest one has looked into the daemon meanwhile. */
  readonly looks: number;
  /** What an honest client waited for each answer beside the hostile ones, and without them, ms. */
  readonly waits: readonly number[];
  readonly calms: readonly number[];
}

/** Honest clients at work, first alone and then beside so many hostile ones, of which some are stopped for good. */
async function attack(stage: Stage, daemon: WeighedDaemon, ledger: Ledger, share: Share): Promise<Attack> {
  const { random, whenDone } = stage;
  const { socket, home, debugSocket } = daemon.info;
  const token = readFileSync(daemonFiles(home).token, 'utf8').trim();
  const port = Number(new URL(daemon.url).port);
  const orders = { ...share, socket, debugSocket: debugSocket ?? '', port, token };
  const hostile = (times: number): ReturnType<typeof start> => {
    const script = join(import.meta.dirname, '../load/hostile-client.ts');
    const args = [
      '--import',
      'tsx',
      script,
      JSON.stringify({ ...orders, seed: random.below(2 ** 32), times } satisfies Orders),
    ];
    return start(process.execPath, args, {}, whenDone);
  };
  const clients = await Promise.all([0, 1].map(() => RpcClient.connect(`unix://${socket}`)));
  const owners = clients.map(
    (client, at) => new Owner({ name: `owner${at}`, client, random: random.fork(), ledger, historyMode: 'paginated' }),
  );
  const works = Promise.all(owners.map((owner) => owner.work()));
  // What fails before it is waited for is a defect of this attack, and no end of the whole run.
  works.catch(() => {});
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
  let looks = 0;
  while (!over.signal.aborted) {
    for (let time = 0; time < WAITS_PER_LOOK; time += 1) waits.push(await waitOf(prober));
    await look(daemon);
    looks += 1;
  }
  const said = /^\{.*\}$/m.exec(active.output())?.[0];
  if (said === undefined) throw new Error(`the hostile clients have failed: ${active.output()}`);
  await frozen.stop('SIGKILL');
  await Promise.all([prober, ...clients].map((client) => client.close()));
  await works;
  return { ...(JSON.parse(said) as Pick<Attack, 'counts' | 'told'>), looks, waits, calms };
}

async function waitOf(client: RpcClient): Promise<number> {
  const from = performance.now();
  await client.call('thread/loaded/list', {});
  return performance.now() - from;
}

const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

const pairs = (name: string, before: number, after: number): Readonly<Record<string, number>> => ({
  [`${name} before`]: Math.round(before),
  [`${name} after`]: Math.round(after),
});

function sums(all: readonly Readonly<Record<string, number>>[]): Readonly<Record<string, number>> {
  const sum: Record<string, number> = {};
  for (const [name, count] of all.flatMap((counts) => Object.entries(counts))) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}
