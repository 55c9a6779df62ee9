import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, rmSync, truncateSync, writeSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import Database from 'better-sqlite3';
import { HomeLayout } from '../../../src/store/local/home-layout.ts';
import { startDaemon, type RunningDaemon } from '../../support/daemon.ts';
import { writeRollout } from '../../support/home-files.ts';
import type { Json } from '../../support/rpc-client.ts';
import { start } from '../../support/process.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { answersOf } from '../load/index-answers.ts';
import { indexStatus } from '../load/index-audit.ts';
import { withReadOnly } from '../disk/read-only-mount.ts';
import { NotHere, reasonOf } from '../not-here.ts';
import type { Random } from '../random.ts';
import type { Figures, Scenario, Stage } from '../scenario.ts';

/** Threads of the home: enough that an index matters, few enough to be looked at again and again. */
const THREADS = 120;

/** A start over a damaged index takes as long as one without any, times this; if not at once, then at the next try. */
const PATIENCE = 6;

interface Damage {
  readonly name: string;
  /** Done while no daemon runs, or while one does. */
  readonly when: 'before a start' | 'while it runs';
  /** @returns undoes what would stay */
  readonly inflict: (path: string, random: Random) => (() => void) | undefined;
  /** Put before the command of the daemon. */
  readonly wrapper?: (path: string) => readonly string[];
  /** Whether the index that was there is to be set aside, or may go on. */
  readonly isSetAside: boolean | 'perhaps';
}

const damage = (
  name: string,
  isSetAside: Damage['isSetAside'],
  inflict: (path: string, random: Random) => unknown,
  when: Damage['when'] = 'before a start',
): Damage => ({
  name,
  when,
  isSetAside,
  inflict: (path, random) => {
    const undo = inflict(path, random);
    return typeof undo === 'function' ? (undo as () => void) : undefined;
  },
});

const DAMAGES: readonly Damage[] = [
  damage('missing', false, (path) => remove(path)),
  damage('noise at random places', 'perhaps', (path, random) => noise(path, random)),
  damage('truncated', 'perhaps', (path, random) => truncateSync(path, random.below(sizeOf(path)))),
  damage('of a newer version', true, (path) => sql(path, 'PRAGMA user_version = 99')),
  damage('locked by another program', true, lock),
  damage('read-only', true, (path) => immutable(path)),
  {
    name: 'on a read-only mount',
    when: 'before a start',
    isSetAside: true,
    inflict: () => undefined,
    wrapper: withReadOnly,
  },
  damage('removed', false, (path) => remove(path), 'while it runs'),
  damage('replaced', 'perhaps', replace, 'while it runs'),
  damage('noise at random places', 'perhaps', (path, random) => noise(path, random), 'while it runs'),
  damage('truncated', 'perhaps', (path, random) => truncateSync(path, random.below(sizeOf(path))), 'while it runs'),
];

/** Damages the index of a home in every way, before a start and under a running daemon, and asks for the lists. */
export const damagedIndex: Scenario = {
  name: 'index',
  about: 'an index that is missing, locked, noisy, truncated, newer, read-only, or exchanged under the daemon',
  isMeasured: true,
  run: async (stage) => {
    const home = tempFolder('skein-index-', stage.whenDone);
    const run = new DamagedHome(home, stage);
    await run.prepare();
    for (let round = 0; round < (stage.runs ?? 1); round += 1) for (const one of DAMAGES) await run.play(one);
    await run.isHealed();
    await run.isRefused();
    return run.figures;
  },
};

class DamagedHome {
  readonly #home: string;
  readonly #stage: Stage;
  readonly #path: string;
  readonly #defects: string[] = [];
  readonly #details: Record<string, number> = {};
  #expected: Json;
  #withoutMs = 0;
  #slowest = 0;
  #times = 0;
  #answers = 0;
  #right = 0;

  constructor(home: string, stage: Stage) {
    this.#home = home;
    this.#stage = stage;
    this.#path = new HomeLayout(home).index;
  }

  get figures(): Figures {
    const [acknowledged, found] = [this.#answers, this.#right];
    const ratio = Math.round((this.#slowest / this.#withoutMs) * 100);
    const details = { ...this.#details, 'slowest start in % of one without index': ratio };
    return { injected: 'damaged index', times: this.#times, acknowledged, found, details, defects: this.#defects };
  }

  /** Some threads, what a daemon says of them, and how long that takes without an index. */
  async prepare(): Promise<void> {
    for (let number = 0; number < THREADS; number += 1) {
      const said = Array.from({ length: 3 }, (_, turn) => `word ${number}.${turn}`);
      writeRollout(this.#home, { mode: number % 2 === 0 ? 'legacy' : 'paginated', said, isArchived: number % 5 === 0 });
    }
    const from = performance.now();
    const daemon = await this.#daemon();
    this.#expected = await answersOf(daemon);
    this.#withoutMs = performance.now() - from;
    await daemon.stop();
  }

  async play(one: Damage): Promise<void> {
    try {
      if ((await this.#isQuick(one)) || (await this.#isQuick(one))) return;
    } catch (error) {
      if (!(error instanceof NotHere)) throw error;
      this.#details[`NOT POSSIBLE HERE: ${error.message}`] = 1;
      return;
    }
    this.#defect(`${one.name}, ${one.when}`, 'answers come late, twice');
  }

  /** @returns whether answers came in time */
  async #isQuick({ name, when, inflict, isSetAside, wrapper }: Damage): Promise<boolean> {
    const { random, progress } = this.#stage;
    progress(`${name}, ${when}`);
    this.#times += 1;
    const before = setAsideBeside(this.#path);
    let undo: (() => void) | undefined;
    const from = performance.now();
    let daemon: RunningDaemon;
    if (when === 'before a start') {
      undo = inflict(this.#path, random);
      daemon = await this.#daemon(wrapper?.(this.#path));
    } else {
      daemon = await this.#daemon();
      undo = inflict(this.#path, random);
    }
    const what = `${name}, ${when}`;
    try {
      await this.#compare(daemon, what);
      const ms = performance.now() - from;
      this.#slowest = Math.max(this.#slowest, ms);
      const status = await indexStatus(daemon.info);
      if (status.problem !== null) this.#defect(what, `the index says ${status.problem}`);
      if (status.setAside !== null) this.#details['set aside'] = (this.#details['set aside'] ?? 0) + 1;
      if (isSetAside === true && status.setAside === null)
        this.#defect(what, 'the status does not say that it was set aside');
      if (isSetAside === false && status.setAside !== null) this.#defect(what, `was set aside: ${status.setAside}`);
      const isThere = setAsideBeside(this.#path) !== before;
      if (status.setAside !== null && !status.isInMemory && !isThere) this.#defect(what, 'there is no file set aside');
      if ((await daemon.stop()) !== 0) this.#defect(what, `the daemon ends badly: ${daemon.output()}`);
      return ms <= this.#withoutMs * PATIENCE;
    } finally {
      undo?.();
    }
  }

  /** What was damaged last is whole at the next start, as what was damaged before it was. */
  async isHealed(): Promise<void> {
    const daemon = await this.#daemon();
    await this.#compare(daemon, 'at the end');
    await daemon.stop();
  }

  async #compare(daemon: RunningDaemon, what: string): Promise<void> {
    const answers: Json = await answersOf(daemon);
    for (const [question, answer] of Object.entries(answers)) {
      this.#answers += 1;
      if (isDeepStrictEqual(answer, this.#expected[question])) this.#right += 1;
      else this.#defect(what, `${question} is answered with ${JSON.stringify(answer).slice(0, 500)}`);
    }
  }

  /** Nothing can be served from a home that cannot be written: whoever starts a daemon is told which, and why. */
  async isRefused(): Promise<void> {
    const { main, whenDone } = this.#stage;
    for (const folder of [this.#home, dirname(this.#path)]) {
      try {
        const [command, ...args] = withReadOnly(folder);
        const run = [process.execPath, main, 'run', '--home', this.#home];
        const daemon = start(command, [...args, ...run], {}, whenDone);
        const code = await Promise.race([daemon.exited, daemon.said(/ serves /).catch(() => daemon.exited)]);
        this.#answers += 1;
        if (code === 1 && daemon.output().includes('EROFS')) this.#right += 1;
        else this.#defect('at a start', `${folder} is read-only, and the daemon says ${daemon.output()}`);
      } catch (error) {
        if (!(error instanceof NotHere)) throw error;
        this.#details[`NOT POSSIBLE HERE: ${error.message}`] = 1;
      }
    }
  }

  #daemon(wrapper: readonly string[] = []): Promise<RunningDaemon> {
    return startDaemon(this.#home, [], this.#stage.whenDone, { main: this.#stage.main, wrapper });
  }

  #defect(what: string, wrong: string): void {
    this.#defects.push(`${what}: ${wrong}`);
  }
}

const sizeOf = (path: string): number => readFileSync(path).length;

/** What lies set aside, to see whether that changes. */
const setAsideBeside = (path: string): string =>
  readdirSync(dirname(path))
    .filter((name) => name.startsWith(`${basename(path)}.set-aside-`))
    .toSorted()
    .join(' ');

function remove(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
}

/** Random bytes at random places, the header not more often than any other. */
function noise(path: string, random: Random): void {
  const size = sizeOf(path);
  const fd = openSync(path, 'r+');
  for (let place = 0; place < 20; place += 1) {
    const bytes = Buffer.from(Array.from({ length: 1 + random.below(200) }, () => random.below(256)));
    writeSync(fd, bytes, 0, bytes.length, random.below(size));
  }
  closeSync(fd);
}

/** Another index in its place, of another home. */
function replace(path: string): void {
  remove(path);
  sql(path, 'CREATE TABLE rollouts (id INTEGER PRIMARY KEY); PRAGMA user_version = 7');
}

function sql(path: string, statements: string): void {
  const database = new Database(path);
  database.exec(statements);
  database.close();
}

/** @returns ends the lock */
function lock(path: string): () => void {
  const database = new Database(path);
  database.pragma('locking_mode = EXCLUSIVE');
  database.exec('BEGIN EXCLUSIVE');
  return () => database.close();
}

/** Also for root, whom modes do not keep from writing. @returns makes it writable again. @throws NotHere */
function immutable(path: string): () => void {
  try {
    execFileSync('chattr', ['+i', path], { stdio: 'pipe' });
  } catch (error) {
    throw new NotHere(`a file that is immutable (${reasonOf(error)})`, { cause: error });
  }
  return () => void execFileSync('chattr', ['-i', path]);
}
