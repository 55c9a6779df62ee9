import { join } from 'node:path';
import { tempFolder } from '../../support/temp-home.ts';
import { INDEX_OPERATIONS, type IndexOperation, type Patient } from '../load/index-patients.ts';
import { NotHere } from '../not-here.ts';
import type { Figures, Scenario, Stage } from '../scenario.ts';
import { assertTraceable, pointsIn, type Point } from '../system-calls.ts';

/** Points of each operation that the short run takes, and homes that a walk goes through at a time. */
const SHORT_POINTS = 3;
const LANES = 3;

/** Kills daemons before each system call with which they change the index, SQLite's included. */
export const indexPoints: Scenario = {
  name: 'index-points',
  about: 'kill -9 before every system call with which the index is built, set aside and kept up to date (strace)',
  run: async (stage) => {
    const walks = INDEX_OPERATIONS.map((operation) => new Walk(operation, stage));
    let missing: string | undefined;
    try {
      assertTraceable();
      // Two at a time: one waits for the disk or for a start while the other works.
      const waiting = [...walks];
      const work = async (): Promise<void> => {
        for (let walk = waiting.shift(); walk !== undefined; walk = waiting.shift()) {
          await walk.play();
        }
      };
      await Promise.all([work(), work()]);
    } catch (error) {
      if (!(error instanceof NotHere)) throw error;
      missing = `NOT POSSIBLE HERE: kills within SQLite (${error.message})`;
    }
    const sum = (of: (walk: Walk) => number): number => walks.reduce((total, walk) => total + of(walk), 0);
    const points = sum((walk) => walk.points);
    const played = sum((walk) => walk.played);
    const figures: Figures = {
      injected: 'kill -9 within SQLite',
      times: sum(({ deaths }) => deaths),
      acknowledged: sum(({ expected }) => expected),
      found: sum(({ found }) => found),
      details: {
        operations: walks.length,
        points,
        'points played': played,
        ...(missing === undefined ? {} : { [missing]: 1 }),
      },
      defects: walks.flatMap(({ defects }) => defects),
    };
    return figures;
  },
};

/** One operation, again and again, killed before another call each time. */
class Walk {
  readonly defects: string[] = [];
  /** Calls that an unharmed run makes, and those of them that a daemon was killed before. */
  points = 0;
  played = 0;
  deaths = 0;
  expected = 0;
  found = 0;
  readonly #operation: IndexOperation;
  readonly #stage: Stage;

  constructor(operation: IndexOperation, stage: Stage) {
    this.#operation = operation;
    this.#stage = stage;
  }

  /** Ends at the first thing that keeps it from going on, which is a defect. */
  async play(): Promise<void> {
    await this.#walk().catch((error: unknown) => void this.defects.push((error as Error).message));
  }

  async #walk(): Promise<void> {
    const { runs } = this.#stage;
    const first = await this.#open();
    await this.#step(first, null);
    const points = pointsIn(first.log);
    this.points = points.length;
    const chosen = runs === undefined ? this.#some(points) : [...points];
    const work = async (lane: Lane): Promise<void> => {
      for (let point = chosen.shift(); point !== undefined; point = chosen.shift()) await this.#step(lane, point);
    };
    const others = Array.from({ length: runs === undefined ? 0 : LANES - 1 }, () => this.#open());
    await Promise.all([work(first), ...others.map(async (lane) => work(await lane))]);
    if (runs !== undefined) await this.#beyond(first, points);
  }

  /** Every k-th, from anywhere among the first k on. */
  #some(points: readonly Point[]): Point[] {
    const every = Math.max(1, Math.ceil(points.length / SHORT_POINTS));
    const from = this.#stage.random.below(every);
    return points.filter((_, at) => at % every === from);
  }

  /** Not every run makes as many calls as the one that was counted: each kind of call, until a run comes to its end. */
  async #beyond(lane: Lane, points: readonly Point[]): Promise<void> {
    for (const { call, number } of points) {
      if (points.some((other) => other.call === call && other.number > number)) continue;
      for (let more = 1; !(await this.#step(lane, { call, number: number + more })); more += 1);
    }
  }

  /** @returns whether the daemon has come to its end */
  async #step({ patient, log }: Lane, point: Point | null): Promise<boolean> {
    const place = point === null ? 'unharmed' : `killed before ${point.call} ${point.number}`;
    this.#stage.progress(`${this.#operation.name}: ${place} of ${this.points}`);
    if (point !== null) this.played += 1;
    try {
      const end = await patient.attempt(point, log);
      if (end === 'SIGKILL') this.deaths += 1;
      const { expected, found, defects } = await patient.look();
      this.expected += expected;
      this.found += found;
      const wrong = end === 0 || end === 'SIGKILL' ? defects : [...defects, `the daemon ends with ${end}`];
      this.defects.push(...wrong.map((defect) => `${this.#operation.name}, ${place}: ${defect}`));
      return end === 0;
    } catch (error) {
      throw new Error(`${this.#operation.name}, ${place}: ${(error as Error).message}`, { cause: error });
    }
  }

  async #open(): Promise<Lane> {
    const log = join(tempFolder('skein-calls-', this.#stage.whenDone), 'log');
    return { patient: await this.#operation.open(this.#stage), log };
  }
}

/** A home of a walk, and where its calls are noted. */
interface Lane {
  readonly patient: Patient;
  readonly log: string;
}
