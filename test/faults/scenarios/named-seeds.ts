import { Random } from '../random.ts';
import type { Scenario } from '../scenario.ts';
import { NAMED_SEEDS } from '../seeds.ts';

/** Plays again what has failed before, whatever the seed of this run is. */
export const namedSeeds: Scenario = {
  name: 'seeds',
  about: 'runs that once failed, by the seeds that showed it',
  run: async (stage) => {
    const details: Record<string, number> = {};
    const defects: string[] = [];
    let [times, acknowledged, found] = [0, 0, 0];
    for (const { name, scenario, seed, runs } of NAMED_SEEDS) {
      const progress = (text: string): void => stage.progress(`${name}: ${text}`);
      const figures = await scenario.run({ ...stage, runs, random: new Random(seed), progress });
      times += figures.times;
      acknowledged += figures.acknowledged;
      found += figures.found;
      details[name] = figures.times;
      defects.push(...figures.defects.map((defect) => `${name}: ${defect}`));
    }
    return { injected: 'what once failed', times, acknowledged, found, details, defects };
  },
};
