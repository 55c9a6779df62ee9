import { brokenBuild, type Sabotage } from '../broken-build.ts';
import { KilledHomes } from '../load/kill-rounds.ts';
import type { Scenario } from '../scenario.ts';

/** Enough for what comes with every few kills. */
const KILLS = 60;

const SABOTAGES: readonly Sabotage[] = [
  {
    name: 'acknowledges before it writes',
    file: 'src/store/local/rollout-writer.js',
    from: 'const batch = { ...how, upTo: this.#queuedCount, resolve, reject };',
    to: 'const batch = { ...how, upTo: this.#queuedCount, resolve, reject }; resolve();',
  },
  {
    name: 'goes on within a torn line',
    file: 'src/store/local/rollout-file.js',
    from: "this.#isUnterminated ? Buffer.concat([Buffer.from('\\n'), encoded]) : encoded",
    to: 'encoded',
  },
];

/** Runs the kills against writers that are broken on purpose: figures count only if the suite can fail. */
export const sabotage: Scenario = {
  name: 'sabotage',
  about:
    'kills of daemons that are broken on purpose: one that acknowledges early, one that repairs no torn line; both must show',
  run: async (stage) => {
    const details: Record<string, number> = {};
    const missed: string[] = [];
    for (const defect of SABOTAGES) {
      stage.progress(`a daemon that ${defect.name}`);
      const homes = new KilledHomes(stage, brokenBuild(defect, stage.whenDone));
      const { kills, defects } = await homes.play(KILLS, true);
      if (defects.length === 0) missed.push(`${kills} kills have not shown that the daemon ${defect.name}`);
      else details[`${defect.name}: caught at kill`] = kills;
    }
    const { length } = SABOTAGES;
    const caught = length - missed.length;
    return { injected: 'broken writer', times: length, acknowledged: length, found: caught, details, defects: missed };
  },
};
