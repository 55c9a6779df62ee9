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
import type { Scenario, Stage } from '../scenario.ts';

const SHORT_TIMES = 200;

/** Before the first weighing: what is loaded and grown once is no leak. */
const WARM_UP_TIMES = 100;

/** What half of all honest requests wait for at most, of the longest that one waits alone. */
const MOST_DELAY = 10;

/** Of the daemon's heap afterwards to before, where nothing is kept. */
const MOST_GROWTH = 1.3;

/** Pages that the allocator keeps: what clients may make the daemon hold at once (CONN-18), and as much again. */
const MOST_KEPT_BYTES = 2 * 256 * 1024 * 1024;

/** Clients from hell, while two honest ones work; then the daemon must be what it was. */
export const hostileClients: Scenario = {
  name: 'clients',
  isMeasured: true,
  about: 'garbage, floods, tricks, half-open and slow clients at random, beside two honest ones',
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
    const times = stage.runs ?? SHORT_TIMES;
    stage.progress('to warm up');
    await attack(stage, daemon, ledger, bait, outside, WARM_UP_TIMES);
    const first = await weighAtRest(daemon, keeper);
    stage.progress(`${times} times`);
    ledger.round = 1;
    const { counts, medianMs, slowestMs, calmMs } = await attack(stage, daemon, ledger, bait, outside, times);
    const last = await weighAtRest(daemon, keeper);
    const { expected, found, defects } = await verify(keeper, ledger);
    const wrong = [...defects, ...differences(first, last)];
    if (medianMs > calmMs * MOST_DELAY) wrong.push(`honest clients wait ${medianMs} ms instead of ${calmMs}`);
    if (listing(outside) !== before) wrong.push('files outside the home were touched');
    if (/Warning:/.test(daemon.output())) wrong.push(`the daemon warns: ${daemon.output()}`);
    await keeper.close();
    if ((await daemon.stop()) !== 0) wrong.push('the daemon ends badly');
    const details = {
      ...counts,
      'honest: median ms': Math.round(medianMs),
      'honest: slowest ms': Math.round(slowestMs),
      'alone ms': Math.round(calmMs),
      'RSS in %': Math.round((last.rssBytes / first.rssBytes) * 100),
    };
    return { injected: 'hostile clients', times, acknowledged: expected, found, details, defects: wrong };
  },
};

interface Attack {
  readonly counts: Readonly<Record<string, number>>;
  /** What an honest client waited beside the hostile ones, and at the longest without them. */
  readonly medianMs: number;
  readonly slowestMs: number;
  readonly calmMs: number;
}

/** Honest clients at work, first alone and then beside so many hostile ones, of which some are stopped for good. */
async function attack(
  stage: Stage,
  daemon: WeighedDaemon,
  ledger: Ledger,
  threadId: string,
  outside: string,
  times: number,
): Promise<Attack> {
  const { random, whenDone } = stage;
  const { socket, home } = daemon.info;
  const token = readFileSync(daemonFiles(home).token, 'utf8').trim();
  const port = Number(new URL(daemon.url).port);
  const orders = { socket, port, token, threadId, outside };
  const hostile = (count: number): ReturnType<typeof start> => {
    const script = join(import.meta.dirname, '../load/hostile-client.ts');
    const args = ['--import', 'tsx', script, JSON.stringify({ ...orders, seed: random.below(2 ** 32), times: count })];
    return start(process.execPath, args, {}, whenDone);
  };
  const clients = await Promise.all([0, 1].map(() => RpcClient.connect(`unix://${socket}`)));
  const owners = clients.map(
    (client, at) => new Owner({ name: `owner${at}`, client, random: random.fork(), ledger, historyMode: 'paginated' }),
  );
  const works = owners.map((owner) => owner.work());
  const prober = await RpcClient.connect(`unix://${socket}`);
  const calmMs = await slowestOf(prober, 50);
  const frozen = hostile(1_000_000);
  await frozen.said(/ready/);
  frozen.child.kill('SIGSTOP');
  const active = hostile(times);
  const waits: number[] = [];
  const over = new AbortController();
  void active.exited.then(() => over.abort());
  while (!over.signal.aborted) waits.push(await slowestOf(prober, 1));
  const said = /^\{.*\}$/m.exec(active.output())?.[0];
  if (said === undefined) throw new Error(`the hostile clients have failed: ${active.output()}`);
  await frozen.stop('SIGKILL');
  await Promise.all([prober, ...clients].map((client) => client.close()));
  await Promise.all(works);
  const sorted = waits.toSorted((one, other) => one - other);
  const [medianMs = 0, slowestMs = 0] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  return { counts: JSON.parse(said) as Record<string, number>, medianMs, slowestMs, calmMs };
}

async function slowestOf(client: RpcClient, times: number): Promise<number> {
  let slowest = 0;
  for (let time = 0; time < times; time += 1) {
    const from = performance.now();
    await client.call('thread/loaded/list', {});
    slowest = Math.max(slowest, performance.now() - from);
  }
  return slowest;
}

/** What the daemon takes when nobody is connected but one, and no thread is loaded. */
async function weighAtRest(daemon: WeighedDaemon, keeper: RpcClient): Promise<Weight> {
  while ((await keeper.call('thread/loaded/list', {})).data.length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
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
  if (after.rssBytes > before.rssBytes + MOST_KEPT_BYTES) {
    wrong.push(`the resident memory has grown from ${before.rssBytes} to ${after.rssBytes} bytes`);
  }
  return wrong;
}

/** All files below a folder, with what would tell that one was touched. */
const listing = (folder: string): string =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .toSorted()
    .map((name) => {
      const { mtimeMs, size, mode } = lstatSync(join(folder, name));
      return `${name} ${mtimeMs} ${size} ${mode}`;
    })
    .join('\n');
