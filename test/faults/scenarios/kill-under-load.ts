import { KilledHomes } from '../load/kill-rounds.ts';
import type { Scenario } from '../scenario.ts';

/** Kills daemons while clients start, talk, steer, run commands, rename, fork, revert, archive and delete, and looks what is left. */
export const killUnderLoad: Scenario = {
  name: 'kill',
  about: 'kill -9 at random moments, while four clients work on their threads and one watches, and while it starts',
  run: async (stage) => {
    const { kills, sums, defects } = await new KilledHomes(stage, stage.main).play(stage.runs ?? 30);
    const { expected = 0, found = 0, ...details } = Object.fromEntries(sums);
    return { injected: 'kill -9', times: kills, acknowledged: expected, found, details, defects };
  },
};
