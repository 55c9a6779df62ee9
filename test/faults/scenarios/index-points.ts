import { INDEX_OPERATIONS } from '../load/index-patients.ts';
import { IndexWalk } from '../load/index-walk.ts';
import { NotHere } from '../not-here.ts';
import type { Figures, Scenario } from '../scenario.ts';
import { assertTraceable } from '../system-calls.ts';

/** Kills daemons before each system call with which they change the index, SQLite's included. */
export const indexPoints: Scenario = {
  name: 'index-points',
  about: 'kill -9 before every system call with which the index is built, set aside and kept up to date (strace)',
  run: async (stage) => {
    const walks = INDEX_OPERATIONS.map((operation) => new IndexWalk(operation, stage));
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
    const sum = (of: (walk: IndexWalk) => number): number => walks.reduce((total, walk) => total + of(walk), 0);
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
