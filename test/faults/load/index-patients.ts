import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { HomeLayout } from '../../../src/store/local/home-layout.ts';
import { startDaemon, type RunningDaemon } from '../../support/daemon.ts';
import { writeRollout } from '../../support/home-files.ts';
import { start, type Running } from '../../support/process.ts';
import { RpcClient, type Json } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';
import type { Stage } from '../scenario.ts';
import { killing, type Point } from '../system-calls.ts';
import { PATIENCE_MS, polling } from '../polling.ts';
import { answersOf } from './index-answers.ts';
import { auditIndex, indexStatus, ownAudit } from './index-audit.ts';
import { Ledger } from './ledger.ts';
import { Owner, type Habit } from './owner.ts';
import { verify } from './verify.ts';

/** What daemons have found after a kill. */
export interface Look {
  /** Answers or facts that had to be there, and those that were. */
  readonly expected: number;
  readonly found: number;
  readonly defects: readonly string[];
}

/** A home, on which one operation of the index is done again and again. */
export interface Patient {
  /** Does the operation, with a kill at a point of it or unharmed. @param log where calls are noted @returns how the daemon ended */
  attempt(point: Point | null, log: string): Promise<number | NodeJS.Signals | null>;
  /** Starts a daemon on what is left, and looks at its answers and at its index. */
  look(): Promise<Look>;
}

export interface IndexOperation {
  readonly name: string;
  readonly open: (stage: Stage) => Promise<Patient>;
}

/** Two of these are kept: with another one the oldest goes. */
const SET_ASIDE_BEFORE = ['2026-01-01T00-00-00.000Z', '2026-01-02T00-00-00.000Z'] as const;

/** An index that is made when a daemon starts. */
class Made implements Patient {
  readonly #stage: Stage;
  readonly #home: string;
  readonly #index: string;
  readonly #damage: Damage | null;
  #expected: Json;
  /** What is damaged; empty if the index is missing. */
  #whole = Buffer.alloc(0);

  private constructor(stage: Stage, damage: Damage | null) {
    this.#stage = stage;
    this.#home = tempFolder('skein-index-points-', stage.whenDone);
    this.#index = new HomeLayout(this.#home).index;
    this.#damage = damage;
  }

  /** @param damage null: there is no index */
  static async open(stage: Stage, threads: number, damage: Damage | null): Promise<Made> {
    const made = new Made(stage, damage);
    for (let number = 0; number < threads; number += 1) {
      const mode = number % 2 === 0 ? 'legacy' : 'paginated';
      writeRollout(made.#home, { mode, said: [`word ${number}.1`], isArchived: number % 5 === 0 });
    }
    const daemon = await startOn(made.#home, stage);
    await whenRead(daemon);
    made.#expected = await answersOf(daemon);
    await daemon.stop();
    made.#whole = readFileSync(made.#index);
    return made;
  }

  async attempt(point: Point | null, log: string): Promise<number | NodeJS.Signals | null> {
    this.#prepare();
    const args = [...killing(point, filesOf(this.#index), log), process.execPath, this.#stage.main, 'run', '--json'];
    const options = { env: { ...process.env, HOME: this.#home } };
    // Its own parent: what it ends with is what the daemon ends with.
    const daemon = start('strace', ['-D', ...args, '--home', this.#home], options, this.#stage.whenDone);
    try {
      const [line] = await daemon.said(/^\{.*\}\n/m);
      const info = JSON.parse(line) as RunningDaemon['info'];
      await answersOf({ info });
      await whenRead({ info });
    } catch (error) {
      await orRethrow(daemon, error);
    }
    return daemon.stop();
  }

  async look(): Promise<Look> {
    const daemon = await startOn(this.#home, this.#stage);
    const answers: Json = await exactAnswersOf(daemon);
    const questions = Object.keys(answers);
    const wrong = questions.filter((question) => !isDeepStrictEqual(answers[question], this.#expected[question]));
    const defects = wrong.map((question) => `${question} is ${JSON.stringify(answers[question]).slice(0, 500)}`);
    // One that was made anew is as good as it ever was; one that was damaged may not have been put away yet.
    defects.push(...(await rightIndex(daemon, this.#home, this.#stage, this.#damage === null)));
    await daemon.stop('SIGKILL');
    return { expected: questions.length, found: questions.length - wrong.length, defects };
  }

  #prepare(): void {
    for (const path of filesOf(this.#index)) rmSync(path, { force: true });
    if (this.#damage === null) return;
    const content = Buffer.from(this.#whole);
    this.#damage(content);
    writeFileSync(this.#index, content);
    for (const stamp of SET_ASIDE_BEFORE) writeFileSync(`${this.#index}.set-aside-${stamp}`, '');
  }
}

/** An index that follows what is done with threads. */
class Followed implements Patient {
  readonly #stage: Stage;
  readonly #home: string;
  readonly #ledger = new Ledger(true);
  readonly #habit: Exclude<Habit, 'start'>;
  #daemon: RunningDaemon | undefined;

  constructor(stage: Stage, habit: Exclude<Habit, 'start'>) {
    this.#stage = stage;
    this.#home = tempFolder('skein-index-points-', stage.whenDone);
    this.#habit = habit;
  }

  async attempt(point: Point | null, log: string): Promise<number | NodeJS.Signals | null> {
    const daemon = (this.#daemon ??= await startOn(this.#home, this.#stage));
    this.#daemon = undefined;
    const client = await RpcClient.connect(`unix://${daemon.info.socket}`);
    const { random, whenDone } = this.#stage;
    this.#ledger.round += 1;
    const historyMode = this.#ledger.round % 2 === 0 ? 'legacy' : 'paginated';
    const owner = new Owner({ name: 'owner', client, random: random.fork(), ledger: this.#ledger, historyMode });
    const threadId = await owner.start();
    await owner.idle();
    // Whoever takes a thread out of the archive has put it there before.
    if (this.#habit === 'unarchive') await owner.perform('archive', threadId);
    await whenRead(daemon);
    const { index } = new HomeLayout(this.#home);
    const strace = start(
      'strace',
      ['-p', String(daemon.child.pid), ...killing(point, filesOf(index), log)],
      {},
      whenDone,
    );
    await strace.said(/attached/);
    try {
      await owner.perform(this.#habit, threadId);
      for (const archived of [false, true]) await client.call('thread/list', { archived });
      await whenRead(daemon);
    } catch (error) {
      await orRethrow(daemon, error);
    }
    const code = await daemon.stop();
    await strace.exited;
    return code;
  }

  async look(): Promise<Look> {
    const daemon = await startOn(this.#home, this.#stage);
    const client = await RpcClient.connect(`unix://${daemon.info.socket}`);
    const { expected, found, defects } = await verify(client, this.#ledger, this.#home);
    const wrong = await rightIndex(daemon, this.#home, this.#stage, true);
    this.#daemon = daemon;
    return { expected, found, defects: [...defects, ...wrong] };
  }
}

type Damage = (content: Buffer) => void;

/** Threads of a home whose index is made anew; few enough where that is not what is looked at. */
const [MANY, FEW] = [30, 5];

/** A list that takes longer than this to be made exact is answered as it is. */
const LIST_BUDGET_MS = 2_000;

/** Bytes of a page of the database. */
const PAGE = 4_096;

export const BUILD: IndexOperation = { name: 'build', open: (stage) => Made.open(stage, MANY, null) };

export const INDEX_OPERATIONS: readonly IndexOperation[] = [
  BUILD,
  {
    name: 'set aside what is no database',
    open: (stage) => Made.open(stage, FEW, (content) => content.fill(7, 0, 100)),
  },
  {
    name: 'set aside what is broken further in',
    open: (stage) => Made.open(stage, FEW, (content) => content.fill(7, 2 * PAGE)),
  },
  ...(['archive', 'unarchive', 'rename', 'remove'] as const).map((habit) => ({
    name: `follow ${habit}`,
    open: async (stage: Stage) => new Followed(stage, habit),
  })),
];

const startOn = (home: string, { whenDone, main }: Stage): Promise<RunningDaemon> =>
  startDaemon(home, [], whenDone, { main });

/** The files of an index, those that may come, and those set aside. */
function filesOf(index: string): readonly string[] {
  const folder = join(index, '..');
  const there = readdirSync(folder)
    .filter((name) => name.startsWith('index.sqlite'))
    .map((name) => join(folder, name));
  return [...new Set([...['', '-wal', '-shm', '-journal'].map((suffix) => index + suffix), ...there])];
}

/** Waits until all files are read. @throws CliError if the daemon ends before */
async function whenRead({ info }: Pick<RunningDaemon, 'info'>): Promise<void> {
  await polling(async () => {
    const status = await indexStatus(info);
    return status.state === 'ready' && status.pending === 0
      ? undefined
      : `the index is not read: ${JSON.stringify(status)}`;
  });
}

/** The first answers, unless they took so long that they may be those of an index that is not read yet (SPEC INDEX-3). */
async function exactAnswersOf(daemon: RunningDaemon): Promise<object> {
  const deadline = Date.now() + LIST_BUDGET_MS;
  const first = await answersOf(daemon);
  if (Date.now() < deadline) return first;
  await whenRead(daemon);
  return answersOf(daemon);
}

async function rightIndex(
  daemon: RunningDaemon,
  home: string,
  { whenDone }: Stage,
  isKept: boolean,
): Promise<readonly string[]> {
  await whenRead(daemon);
  const { problem, setAside, isInMemory } = await indexStatus(daemon.info);
  return [
    ...(problem === null ? [] : [`the index says ${problem}`]),
    ...(isKept && setAside !== null ? [`the index was set aside: ${setAside}`] : []),
    ...(isInMemory ? ['the index lives in memory'] : auditIndex(home, whenDone)),
    ...(await ownAudit(daemon.info)),
  ];
}

/** What goes wrong because the daemon was killed is no failure. */
async function orRethrow(daemon: Running, error: unknown): Promise<void> {
  const isGone = await Promise.race([daemon.exited.then(() => true), delay(PATIENCE_MS, false)]);
  if (!isGone) throw error;
}
