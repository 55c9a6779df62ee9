import { rmSync } from 'node:fs';
import { openLocalStore } from '../../support/local-store.ts';
import { tempFolder } from '../../support/temp-home.ts';
import type { WhenDone } from '../../support/process.ts';
import { recordingDisk, type Swallowed } from '../power/disk-log.ts';
import { imagesAfter, layOut } from '../power/images.ts';
import { brokenPromises } from '../power/power-check.ts';
import { PowerWork } from '../power/power-work.ts';
import { Random } from '../random.ts';
import type { Scenario } from '../scenario.ts';

/** Losses of power in the short run. */
const LOSSES = 500;

/** Steps of one history, and losses that are looked at in it. */
const STEPS = 14;
const LOSSES_A_HISTORY = 50;

/** So many losses must be enough to show that a sync is missing. */
const ENOUGH = 1_500;

const SABOTAGES: readonly (readonly [string, Swallowed])[] = [
  ['without fdatasync', (call) => call === 'fdatasync'],
  ['without syncs of folders', (call) => call === 'fsync'],
];

interface Losses {
  readonly losses: number;
  readonly acknowledged: number;
  readonly kept: number;
  readonly defects: readonly string[];
}

/**
 * Losses of power, by model: the store works on a real disk while each of its changes and syncs is noted; what a disk may
 * hold afterwards is computed from that and laid out, and a new store looks at it.
 *
 * The model is POSIX, with what a journal adds. Certain are the changes of a file's content before its last fsync or
 * fdatasync, and the changes of a folder's entries before its last fsync; the entry of a file or folder that was synced itself is not.
 * All else may be there or not, of each file and each folder independently. Entries of one folder change in their order; a rename
 * happens in both folders at once, and a sync of either makes it certain. Content that was not synced comes in its order, whole, torn
 * within a write, or not at all; or its size and last page are there and the pages between are NULs. A loss may happen
 * after every entry of the log. The index is lost, which costs nothing, since it follows the files.
 */
export const powerLoss: Scenario = {
  name: 'power',
  about:
    'losses of power by model: all that a disk may hold after each change, with what was not synced kept, torn or lost',
  run: async ({ runs = LOSSES, random, whenDone, progress }) => {
    const { losses, acknowledged, kept, defects } = await losing(runs, random.fork(), whenDone, progress);
    const missed: string[] = [];
    const details: Record<string, number> = {};
    for (const [name, swallowed] of SABOTAGES) {
      const broken = await losing(ENOUGH, random.fork(), whenDone, () => {}, swallowed);
      if (broken.defects.length === 0) missed.push(`${broken.losses} losses have not shown a store ${name}`);
      else details[`${name}: caught at loss`] = broken.losses;
    }
    return {
      injected: 'loss of power',
      times: losses,
      acknowledged,
      found: kept,
      details,
      defects: [...defects, ...missed],
    };
  },
};

/** Loses power so often; a history that breaks a promise is the last. */
async function losing(
  count: number,
  random: Random,
  whenDone: WhenDone,
  progress: (text: string) => void,
  swallowed?: Swallowed,
): Promise<Losses> {
  let [losses, acknowledged, kept] = [0, 0, 0];
  const defects: string[] = [];
  while (losses < count && defects.length === 0) {
    const seed = random.below(2 ** 32);
    const history = await losingIn(seed, Math.min(LOSSES_A_HISTORY, count - losses), whenDone, swallowed);
    losses += history.losses;
    acknowledged += history.acknowledged;
    kept += history.acknowledged - (history.defects.length > 0 ? 1 : 0);
    defects.push(...history.defects.map((defect) => `history ${seed}, ${defect}`));
    progress(`${losses} of ${count} losses of power`);
  }
  return { losses, acknowledged, kept, defects };
}

/** One history, and losses of power in it. @returns the first one that breaks a promise, in words */
export async function losingIn(
  seed: number,
  count: number,
  whenDone: WhenDone,
  swallowed?: Swallowed,
): Promise<Losses> {
  const random = new Random(seed);
  const home = tempFolder('skein-power-', whenDone);
  const [log, work] = await recordingDisk(async (entries) => {
    const store = await openLocalStore(home);
    try {
      const doing = await PowerWork.over(store, home, entries, random);
      for (let step = 0; step < STEPS; step += 1) await doing.step();
      return [entries.slice(), doing] as const;
    } finally {
      await store.close();
    }
  }, swallowed);
  rmSync(home, { recursive: true, force: true });
  let losses = 0;
  const seen = new Set<string>();
  while (losses < count) {
    const moment = random.below(log.length + 1);
    for (const image of imagesAfter(log, moment, home, random, 2)) {
      if (losses >= count) break;
      losses += 1;
      const name = `${image.digest} ${moment}`;
      if (seen.has(name)) continue;
      seen.add(name);
      const left = tempFolder('skein-power-', whenDone);
      layOut(image, left);
      const store = await openLocalStore(left);
      try {
        const defects = await brokenPromises(store, left, work, moment);
        if (defects.length > 0) {
          return {
            losses,
            acknowledged: work.acknowledged,
            kept: 0,
            defects: [`entry ${moment} of ${log.length}: ${defects.join('; ')}`],
          };
        }
      } finally {
        await store.close();
        rmSync(left, { recursive: true, force: true });
      }
    }
  }
  return { losses, acknowledged: work.acknowledged, kept: work.acknowledged, defects: [] };
}
