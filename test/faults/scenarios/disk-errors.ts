import { WEATHERS, type DiskWeather } from '../disk/faults.ts';
import { OPERATIONS, type Operation } from '../disk/operations.ts';
import { REAL_FAULTS, withRealFault, type RealOutcome } from '../disk/real-disks.ts';
import { FailingHome } from '../disk/walk.ts';
import { NotHere } from '../not-here.ts';
import type { Scenario } from '../scenario.ts';
import { SwitchedDaemons } from '../switched-daemon.ts';

/** Walks beside each other: one waits for the disk while the other works. */
const HOMES = 4;

/** Lets the disk fail at every call of every operation, under daemons that are never started anew. */
export const diskErrors: Scenario = {
  name: 'disk',
  about:
    'disks that are full, over quota, broken or write half, at every call of each operation; no restart in between',
  run: async (stage) => {
    const daemons = new SwitchedDaemons(stage.whenDone);
    const waiting: (readonly [Operation, DiskWeather])[] = OPERATIONS.flatMap((operation, at) => {
      // Each operation in some weather, each weather over some operation.
      const first = stage.random.below(WEATHERS.length);
      const all = Array.from({ length: stage.runs ?? 0 }, () => WEATHERS).flat();
      const chosen = stage.runs === undefined ? [WEATHERS[(first + at) % WEATHERS.length]] : all;
      return chosen.flatMap((weather) => (weather === undefined ? [] : [[operation, weather] as const]));
    });
    const walks = waiting.length;
    const homes: FailingHome[] = [];
    const defects: string[] = [];
    const work = async (): Promise<void> => {
      let home: FailingHome | undefined;
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        home ??= await FailingHome.open(stage, daemons);
        if (!homes.includes(home)) homes.push(home);
        try {
          await home.walk(...next);
        } catch (error) {
          defects.push((error as Error).message);
          home = undefined;
        }
      }
    };
    await Promise.all(Array.from({ length: HOMES }, work));
    for (const home of homes) await home.close(daemons);
    const real: RealOutcome[] = [];
    const remarks: Record<string, number> = {};
    for (const fault of REAL_FAULTS) {
      stage.progress(fault.name);
      try {
        const outcome = await withRealFault(fault, stage);
        real.push(outcome);
        remarks[`${fault.name}: refused`] = outcome.refused;
      } catch (error) {
        if (!(error instanceof NotHere)) throw error;
        remarks[`NOT POSSIBLE HERE: ${error.message}`] = 1;
      }
    }
    const sum = (of: (home: FailingHome) => number): number => homes.reduce((total, home) => total + of(home), 0);
    const { steps: _, hits: __, ...told } = homes[0]?.counts ?? {};
    return {
      injected: 'failing call',
      times: sum(({ counts }) => counts.hits),
      acknowledged: sum(({ expected }) => expected) + real.reduce((total, { expected }) => total + expected, 0),
      found: sum(({ found }) => found) + real.reduce((total, { found }) => total + found, 0),
      details: {
        walks,
        steps: sum(({ counts }) => counts.steps),
        ...Object.fromEntries(
          Object.keys(told).map((name) => [name, sum(({ counts }) => counts[name as keyof typeof counts])]),
        ),
        ...remarks,
      },
      defects: [...defects, ...[...homes, ...real].flatMap((one) => one.defects)],
    };
  },
};
