import { RpcClient } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { Ledger } from '../load/ledger.ts';
import { isLostConnection, Owner } from '../load/owner.ts';
import { verify } from '../load/verify.ts';
import { CHANGES, type DiskFault } from '../preload/disk-fault.ts';
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

/** A walk goes on until the operation comes to its end; none has so many steps. */
const MOST_STEPS = 200;

/** Kills a real daemon before every call that changes the disk, and in the middle of every write, of each operation. */
export const killPoints: Scenario = {
  name: 'kill-points',
  about:
    'kill -9 before every call that changes the disk, and in the middle of every write, of each operation of several steps',
  run: async (stage) => {
    const operations = OPERATIONS.filter(({ historyMode }) => stage.runs !== undefined || historyMode === 'paginated');
    const walks = operations.flatMap((operation) => [
      new Walk(operation, stage, { kind: 'kill', calls: CHANGES }),
      new Walk(operation, stage, { kind: 'kill in mid-write', calls: ['write'] }),
    ]);
    const daemons = new SwitchedDaemons(stage.whenDone);
    // Two at a time: one waits for the disk or for a start while the other works.
    const waiting = [...walks];
    const work = async (): Promise<void> => {
      for (let walk = waiting.shift(); walk !== undefined; walk = waiting.shift()) await walk.play(daemons);
    };
    await Promise.all([work(), work()]);
    const sum = (of: (walk: Walk) => number): number => walks.reduce((total, walk) => total + of(walk), 0);
    return {
      injected: 'kill -9 at each step',
      times: sum(({ deaths }) => deaths),
      acknowledged: sum(({ expected }) => expected),
      found: sum(({ found }) => found),
      details: {
        operations: operations.length,
        done: sum(({ done }) => done),
        undone: sum(({ undone }) => undone),
      },
      defects: walks.flatMap(({ defects }) => defects),
    };
  },
};

/** One operation, again and again in one home, killed a step later each time. */
class Walk {
  readonly defects: string[] = [];
  deaths = 0;
  expected = 0;
  found = 0;
  done = 0;
  undone = 0;
  readonly #operation: Operation;
  readonly #stage: Stage;
  readonly #fault: Pick<DiskFault, 'kind' | 'calls'>;

  constructor(operation: Operation, stage: Stage, fault: Pick<DiskFault, 'kind' | 'calls'>) {
    this.#operation = operation;
    this.#stage = stage;
    this.#fault = fault;
  }

  async play(daemons: SwitchedDaemons): Promise<void> {
    const { name, historyMode, prepare, act } = this.#operation;
    const home = tempFolder('skein-steps-', this.#stage.whenDone);
    const ledger = new Ledger(true);
    for (let step = 0; ; step += 1) {
      if (step > MOST_STEPS) throw new Error(`${name} has not come to its end within ${MOST_STEPS} steps`);
      this.#stage.progress(`${name}: ${this.#fault.kind} at step ${step + 1}`);
      const daemon = await daemons.start(home);
      const client = await RpcClient.connect(`unix://${daemon.info.socket}`);
      await this.#look(client, ledger, step);
      const owner = new Owner({ name: 'owner', client, random: this.#stage.random.fork(), ledger, historyMode });
      ledger.round = step;
      const threadId = await prepare(owner);
      await daemon.inject({ ...this.#fault, path: '', after: step, errno: 'EIO' });
      const isAlive = await survives(daemon, () => act(owner, threadId));
      if (!isAlive) {
        this.deaths += 1;
        continue;
      }
      await daemon.stop('SIGKILL');
      break;
    }
    // What the last, unharmed one left is as good as what the harmed ones did.
    const daemon = await daemons.start(home);
    await this.#look(await RpcClient.connect(`unix://${daemon.info.socket}`), ledger, ledger.round + 1);
    await daemon.stop('SIGKILL');
  }

  async #look(client: RpcClient, ledger: Ledger, step: number): Promise<void> {
    const findings = await verify(client, ledger);
    this.expected += findings.expected;
    this.found += findings.found;
    this.done += findings.done;
    this.undone += findings.undone;
    const { name } = this.#operation;
    this.defects.push(...findings.defects.map((defect) => `${name}, ${this.#fault.kind} at step ${step}: ${defect}`));
  }
}

/** Does something, which may be the daemon's death. */
async function survives(daemon: SwitchedDaemon, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (!isLostConnection(error)) throw error;
    await daemon.exited;
    return false;
  }
}
