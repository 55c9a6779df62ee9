import { join } from 'node:path';
import { tempFolder } from '../../support/temp-home.ts';
import type { Stage } from '../scenario.ts';
import { pointsIn, type Point } from '../system-calls.ts';
import type { IndexOperation, Patient } from './index-patients.ts';

/** Homes that a walk of all points goes through at a time. */
const LANES = 3;

/** Calls after which a file is not where it was, or less than it was. */
const ENDS = /truncate|rename|unlink/;

/** One operation, again and again, killed before another call each time. */
export class IndexWalk {
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

  /** @param stopAtDefect no further kill when something is wrong */
  async play(stopAtDefect = false): Promise<void> {
    await this.#walk(stopAtDefect).catch((error: unknown) => this.#note((error as Error).message));
  }

  async #walk(stopAtDefect: boolean): Promise<void> {
    const { runs } = this.#stage;
    const first = await this.#open();
    if ((await this.#step(first, null)) === undefined) return;
    const points = pointsIn(first.log);
    this.points = points.length;
    const chosen = runs === undefined ? this.#some(points) : [...points];
    const work = async (begun: Lane): Promise<Lane> => {
      let lane = begun;
      for (let point = chosen.shift(); point !== undefined; point = chosen.shift()) {
        if ((await this.#step(lane, point)) === undefined) lane = await this.#open();
        if (stopAtDefect && this.defects.length > 0) break;
      }
      return lane;
    };
    const others = Array.from({ length: runs === undefined ? 0 : LANES - 1 }, () => this.#open());
    const [lane] = await Promise.all([work(first), ...others.map(async (other) => work(await other))]);
    if (runs !== undefined) await this.#beyond(lane, points);
  }

  /**
   * Where most is half done: in the midst of the longest stretch of writes, which is a transaction or a checkpoint; then
   * before a file is cut, renamed or removed, and anywhere.
   */
  #some(points: readonly Point[]): Point[] {
    const { random } = this.#stage;
    const longest = stretchesIn(points).reduce((one, other) => (other.length > one.length ? other : one), []);
    const ends = points.filter(({ call }) => ENDS.test(call));
    const chosen = [longest[longest.length >> 1], ...[ends, points].map((all) => all[random.below(all.length)])];
    return chosen.filter((point) => point !== undefined);
  }

  /** Not every run makes as many calls as the one that was counted: each kind of call, until a run comes to its end. */
  async #beyond(lane: Lane, points: readonly Point[]): Promise<void> {
    for (const { call, number } of points) {
      if (points.some((other) => other.call === call && other.number > number)) continue;
      for (let more = 1; (await this.#step(lane, { call, number: number + more })) === 'SIGKILL'; more += 1);
    }
  }

  /** @returns how the daemon ended; undefined if its home is of no use any more, which is a defect */
  async #step({ patient, log }: Lane, point: Point | null): Promise<number | NodeJS.Signals | null | undefined> {
    const place = point === null ? 'unharmed' : `killed before ${point.call} ${point.number}`;
    this.#stage.progress(`${this.#operation.name}: ${place} of ${this.points}`);
    if (point !== null) this.played += 1;
    try {
      const end = await patient.attempt(point, log);
      if (end === 'SIGKILL') this.deaths += 1;
      const { expected, found, defects } = await patient.look();
      this.expected += expected;
      this.found += found;
      for (const defect of defects) this.#note(`${place}: ${defect}`);
      if (end !== 0 && end !== 'SIGKILL') this.#note(`${place}: the daemon ends with ${end}`);
      return end;
    } catch (error) {
      this.#note(`${place}: ${(error as Error).message}`);
      return undefined;
    }
  }

  /** Says so at once: a walk is long. */
  #note(wrong: string): void {
    const defect = `${this.#operation.name}, ${wrong}`;
    this.defects.push(defect);
    this.#stage.progress(`WRONG: ${defect}`);
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

/** Writes that nothing else parts, in their order. */
function stretchesIn(points: readonly Point[]): readonly (readonly Point[])[] {
  const stretches: Point[][] = [[]];
  for (const point of points) {
    if (point.call === 'pwrite64') stretches.at(-1)?.push(point);
    else stretches.push([]);
  }
  return stretches;
}
