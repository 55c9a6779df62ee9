import { RpcClient } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { Ledger } from '../load/ledger.ts';
import { isLostConnection, Owner } from '../load/owner.ts';
import { verify } from '../load/verify.ts';
import { CHANGES, type DiskFault } from '../preload/disk-fault.ts';
import type { Random } from '../random.ts';
import type { Scenario, Stage } from '../scenario.ts';
import { SwitchedDaemons, type SwitchedDaemon } from '../switched-daemon.ts';

/** An operation of several steps. */
interface Operation {
  readonly name: string;
  readonly historyMode: 'legacy' | 'paginated';
  /** Makes what it works on. @returns its id */
  readonly prepare: (owner: Owner) => Promise<string>;
  readonly act: (owner: Owner, threadId: string) => Promise<unknown>;
}

const begun = (owner: Owner): Promise<string> => owner.start();

/** A thread of two rollouts, where its history mode has such. */
async function reverted(owner: Owner): Promise<string> {
  const threadId = await owner.start();
  await owner.perform('turn', threadId);
  await owner.perform('revert', threadId);
  return threadId;
}

async function archived(owner: Owner): Promise<string> {
  const threadId = await reverted(owner);
  await owner.perform('archive', threadId);
  return threadId;
}

/** A thread for which words wait. */
async function queued(owner: Owner): Promise<string> {
  const threadId = await owner.start();
  await owner.perform('pause', threadId);
  return threadId;
}

async function sectioned(owner: Owner): Promise<string> {
  const threadId = await owner.start();
  await owner.perform('section', threadId);
  return threadId;
}

const nothing = (): Promise<string> => Promise.resolve('');

/** How an operation is prepared, and done. */
type Steps = Pick<Operation, 'prepare' | 'act'>;

const STEPS: Readonly<Record<string, Steps>> = {
  'first turn': { prepare: nothing, act: begun },
  turn: { prepare: begun, act: (owner, id) => owner.perform('turn', id) },
  rename: { prepare: begun, act: (owner, id) => owner.perform('rename', id) },
  fork: { prepare: begun, act: (owner, id) => owner.perform('fork', id) },
  archive: { prepare: reverted, act: (owner, id) => owner.perform('archive', id) },
  unarchive: { prepare: archived, act: (owner, id) => owner.perform('unarchive', id) },
  delete: { prepare: reverted, act: (owner, id) => owner.perform('remove', id) },
  queue: { prepare: begun, act: (owner, id) => owner.perform('queue', id) },
  'queue update': { prepare: queued, act: (owner, id) => owner.perform('reword', id) },
  'queue delete': { prepare: queued, act: (owner, id) => owner.perform('withdraw', id) },
  'queue reorder': { prepare: queued, act: (owner, id) => owner.perform('reorder', id) },
  section: { prepare: begun, act: (owner, id) => owner.perform('section', id) },
  'section rename': { prepare: sectioned, act: (owner, id) => owner.perform('retitle', id) },
  mark: { prepare: begun, act: (owner, id) => owner.perform('mark', id) },
  settings: { prepare: begun, act: (owner, id) => owner.perform('model', id) },
  default: { prepare: begun, act: (owner, id) => owner.perform('choose', id) },
};

const inMode = (historyMode: Operation['historyMode'], steps: Readonly<Record<string, Steps>>): readonly Operation[] =>
  Object.entries(steps).map(([name, { prepare, act }]) => ({
    name: `${name} (${historyMode})`,
    historyMode,
    prepare,
    act,
  }));

const OPERATIONS: readonly Operation[] = [
  ...inMode('legacy', STEPS),
  ...inMode('paginated', {
    ...STEPS,
    revert: { prepare: reverted, act: (owner, id) => owner.perform('revert', id) },
  }),
];

/** Each in one of both modes. */
function inOneMode(random: Random): readonly Operation[] {
  const first = random.below(2);
  return OPERATIONS.filter(({ historyMode }, at) => (at + (historyMode === 'legacy' ? 0 : 1)) % 2 === first);
}

/** A walk goes on until the operation comes to its end; none has so many steps. */
const MOST_STEPS = 200;

/** A home serves so many walks: the more threads it has, the longer each look at all of them takes. */
const WALKS_PER_HOME = 4;

/** The short run takes so many steps at once, from a random one on. */
const SHORT_STRIDE = 4;

/** Kills a real daemon before every call that changes the disk, and in the middle of every write, of each operation. */
export const killPoints: Scenario = {
  name: 'kill-points',
  about:
    'kill -9 before every call that changes the disk, and in the middle of every write, of each operation of several steps',
  run: async (stage) => {
    const { random, runs } = stage;
    const operations = runs === undefined ? inOneMode(random) : OPERATIONS;
    const stride = runs === undefined ? SHORT_STRIDE : 1;
    const waiting: Walk[] = operations.flatMap((operation) =>
      FAULTS.map((fault) => ({ operation, fault, stride, from: random.below(stride) })),
    );
    const walks = waiting.length;
    const daemons = new SwitchedDaemons(stage.whenDone);
    const homes: WalkedHome[] = [];
    const work = async (): Promise<void> => {
      while (waiting.length > 0) {
        const home = new WalkedHome(stage, daemons);
        homes.push(home);
        for (const walk of waiting.splice(0, WALKS_PER_HOME)) await home.walk(walk);
        await home.close();
      }
    };
    // Two at a time: one waits for the disk or for a start while the other works.
    await Promise.all([work(), work()]);
    const sum = (of: (home: WalkedHome) => number): number => homes.reduce((total, home) => total + of(home), 0);
    return {
      injected: 'kill -9 at each step',
      times: sum(({ deaths }) => deaths),
      acknowledged: sum(({ expected }) => expected),
      found: sum(({ found }) => found),
      details: {
        walks,
        'steps at once': stride,
        done: sum(({ done }) => done),
        undone: sum(({ undone }) => undone),
      },
      defects: homes.flatMap(({ defects }) => defects),
    };
  },
};

type Fault = Pick<DiskFault, 'kind' | 'calls'>;

const FAULTS: readonly Fault[] = [
  { kind: 'kill', calls: CHANGES },
  { kind: 'kill in mid-write', calls: ['write'] },
];

/** One operation, again and again, killed some steps later each time. */
interface Walk {
  readonly operation: Operation;
  readonly fault: Fault;
  readonly from: number;
  readonly stride: number;
}

interface Living {
  readonly daemon: SwitchedDaemon;
  readonly client: RpcClient;
}

/** A home whose daemon is killed, and started anew only then. */
class WalkedHome {
  readonly defects: string[] = [];
  deaths = 0;
  expected = 0;
  found = 0;
  done = 0;
  undone = 0;
  readonly #stage: Stage;
  readonly #daemons: SwitchedDaemons;
  readonly #home: string;
  readonly #ledger = new Ledger(true);
  #living: Living | undefined;
  /** Where it was killed last. */
  #place = '';

  constructor(stage: Stage, daemons: SwitchedDaemons) {
    this.#stage = stage;
    this.#daemons = daemons;
    this.#home = tempFolder('skein-steps-', stage.whenDone);
  }

  /** Goes on until the operation comes to its end unharmed. */
  async walk({ operation, fault, from, stride }: Walk): Promise<void> {
    const { name, historyMode, prepare, act } = operation;
    for (let step = from; ; step += stride) {
      if (step > MOST_STEPS) throw new Error(`${name} has not come to its end within ${MOST_STEPS} steps`);
      const { daemon, client } = await this.#alive();
      this.#place = `${name}, ${fault.kind} at step ${step + 1}`;
      this.#stage.progress(this.#place);
      const { random } = this.#stage;
      this.#ledger.round += 1;
      const owner = new Owner({ name: 'owner', client, random: random.fork(), ledger: this.#ledger, historyMode });
      const threadId = await prepare(owner);
      await daemon.inject({ ...fault, path: '', after: step, errno: 'EIO' });
      const isAlive = await survives(daemon, async () => {
        await act(owner, threadId);
        await daemon.inject(null);
      });
      if (isAlive) return;
      this.deaths += 1;
      this.#living = undefined;
    }
  }

  /** What unharmed operations have left is as good as what the harmed ones have. */
  async close(): Promise<void> {
    await this.#living?.daemon.stop('SIGKILL');
    this.#living = undefined;
    const { daemon } = await this.#alive();
    await daemon.stop('SIGKILL');
  }

  async #alive(): Promise<Living> {
    if (this.#living !== undefined) return this.#living;
    const daemon = await this.#daemons.start(this.#home);
    const client = await RpcClient.connect(`unix://${daemon.info.socket}`);
    const findings = await verify(client, this.#ledger, this.#home);
    this.expected += findings.expected;
    this.found += findings.found;
    this.done += findings.done;
    this.undone += findings.undone;
    this.defects.push(...findings.defects.map((defect) => `${this.#place}: ${defect}`));
    this.#living = { daemon, client };
    return this.#living;
  }
}

/** Does something, which may be the daemon's death. */
async function survives(daemon: SwitchedDaemon, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!isLostConnection(error) && !String(error).includes('ended with SIGKILL')) throw error;
    await daemon.exited;
    return false;
  }
}
