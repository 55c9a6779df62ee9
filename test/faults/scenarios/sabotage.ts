import { brokenBuild, type Sabotage } from '../broken-build.ts';
import { BUILD } from '../load/index-patients.ts';
import { IndexWalk } from '../load/index-walk.ts';
import { KilledHomes } from '../load/kill-rounds.ts';
import { NotHere } from '../not-here.ts';
import type { Scenario, Stage } from '../scenario.ts';
import { assertTraceable } from '../system-calls.ts';

/** Enough for what comes with every few kills. */
const KILLS = 60;

/** What kills have shown, up to the first defect. */
interface Shown {
  readonly kills: number;
  readonly defects: readonly string[];
}

/** A sabotage, and where it has to show. */
interface Trial extends Sabotage {
  readonly show: (stage: Stage) => Promise<Shown>;
}

const underLoad = (stage: Stage): Promise<Shown> => new KilledHomes(stage, stage.main).play(KILLS, true);

/** @throws NotHere */
async function withinSqlite(stage: Stage): Promise<Shown> {
  assertTraceable();
  const walk = new IndexWalk(BUILD, { ...stage, runs: undefined });
  await walk.play(true);
  return { kills: walk.deaths, defects: walk.defects };
}

const TRIALS: readonly Trial[] = [
  {
    name: 'acknowledges before it writes',
    file: 'src/store/local/rollout-writer.ts',
    from: 'const batch: Batch = { ...how, upTo: this.#queuedCount, resolve, reject };',
    to: 'const batch: Batch = { ...how, upTo: this.#queuedCount, resolve, reject }; resolve();',
    show: underLoad,
  },
  {
    name: 'drops the tail of a long message',
    file: 'src/store/local/record-encoder.ts',
    from: 'JSON.stringify(item.payload)',
    to: "JSON.stringify(item.payload, (_, value) => (typeof value === 'string' ? value.slice(0, 8_000) : value))",
    show: underLoad,
  },
  {
    name: 'acknowledges items that it does not write',
    file: 'src/runtime/codex-thread.ts',
    from: 'await this.#writer.append(this.isStored ? records : [...this.#settings.news, ...records]);',
    to: '',
    show: underLoad,
  },
  {
    name: 'goes on within a torn line',
    file: 'src/store/local/rollout-file.ts',
    from: "this.#isUnterminated ? Buffer.concat([Buffer.from('\\n'), encoded]) : encoded",
    to: 'encoded',
    show: underLoad,
  },
  {
    // SQLite refuses to go without a journal unless it is allowed to.
    name: 'changes its index without a journal',
    file: 'src/store/local/index/database.ts',
    from: "database.pragma('journal_mode = WAL');",
    to: "database.unsafeMode().pragma('journal_mode = OFF');",
    show: withinSqlite,
  },
];

/** Runs the kills against daemons that are broken on purpose: figures count only if the suite can fail. */
export const sabotage: Scenario = {
  name: 'sabotage',
  about:
    'kills of daemons that are broken on purpose: early acknowledgement, long messages without their tail, items that are not written, torn lines that nobody repairs, an index without journal; each must show',
  run: async (stage) => {
    const details: Record<string, number> = {};
    const missed: string[] = [];
    let times = 0;
    for (const trial of TRIALS) {
      stage.progress(`a daemon that ${trial.name}`);
      try {
        const { kills, defects } = await trial.show({ ...stage, main: await brokenBuild(trial, stage.whenDone) });
        times += 1;
        if (kills === 0 || defects.length === 0)
          missed.push(`${kills} kills have not shown that the daemon ${trial.name}`);
        else details[`${trial.name}: caught at kill`] = kills;
      } catch (error) {
        if (!(error instanceof NotHere)) throw error;
        details[`NOT POSSIBLE HERE: a daemon that ${trial.name} (${error.message})`] = 1;
      }
    }
    const found = times - missed.length;
    return { injected: 'broken daemon', times, acknowledged: times, found, details, defects: missed };
  },
};
