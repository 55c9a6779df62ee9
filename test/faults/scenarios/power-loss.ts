import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { HomeLayout } from '../../../src/store/local/home-layout.ts';
import { openLocalStore } from '../../support/local-store.ts';
import { tempFolder } from '../../support/temp-home.ts';
import type { WhenDone } from '../../support/process.ts';
import { playHistory, type History } from '../power/history.ts';
import { imagesAfter, layOut, turnInto, wholeImage, type Image } from '../power/images.ts';
import { brokenPromises } from '../power/power-check.ts';
import type { PowerWork } from '../power/power-work.ts';
import { SABOTAGES, type Sabotage } from '../power/sabotages.ts';
import { Random } from '../random.ts';
import type { Scenario } from '../scenario.ts';

/** Losses of power in the short run. */
const LOSSES = 500;

/** Losses that are looked at in one history. */
const LOSSES_A_HISTORY = 50;

/** Of a moment at which much is open, beside the extremes. */
const SAMPLES = 2;

/** A history takes less than a second; this long only if what it waits for never comes. */
const MOST_MS = 120_000;

/** How often the index is still there. */
const INDEXED = 0.25;

/** So many losses must be enough to show that a sync is missing. */
const ENOUGH = 1_500;

/** Histories that have shown what was wrong, or show that it would be if it were done again; every run begins with them. */
const HISTORIES: ReadonlyMap<string, number> = new Map([
  ['appends that were handed over while the sync of others was under way', 52],
  ['folders that were not durable before a thread was moved into them', 240_373_025],
  ['folders above that nobody had synced; names before content', 1_827_943_904],
  ['a fork of words that were not durable', 240_425_465],
  ['an index that had read what was lost', 2_982_484_353],
  ['a refused name that came back', 5_018],
  ['a refused mark that came back', 5_034],
  ['a fork of words that were then refused', 3_255],
]);

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
 * fdatasync, and the changes of a folder's entries before its last fsync; the entry of a file or folder that was synced
 * itself is not. All else may be there or not, of each file and each folder independently. Entries of one folder change in
 * their order; a rename happens in both folders at once, and a sync of either makes it certain. Content that was not synced
 * comes in its order, whole, torn within a write, or not at all; or its size is there, and all its pages or some of them are
 * NULs. A loss may happen after every entry of the log, in a history of several processes, each ended or killed.
 *
 * In half of the histories one thing is done after the other; in the others appends to one thread and to several, and whatever
 * else is done with threads, are under way at once. A change may be found from when it was begun, and must be from when it was
 * acknowledged; of what was appended to a thread nothing is found without all that was appended before.
 *
 * The index is lost, or is one that has read the home at some moment before, with all that is lost now: it was in use, or had
 * been closed by then. Where pages are missing in the middle of files it was in use: an index that was closed goes by size,
 * time and the last bytes, and does not see that.
 */
export const powerLoss: Scenario = {
  name: 'power',
  about:
    'losses of power by model: all that a disk may hold after each change, with what was not synced kept, torn or lost',
  run: async ({ runs = LOSSES, random, whenDone, progress }) => {
    const seeds = [...HISTORIES.values(), ...seedsFrom(random.fork(), runs)];
    const { losses, acknowledged, kept, defects } = await losing(runs, seeds, whenDone, progress);
    const missed: string[] = [];
    const details: Record<string, number> = {};
    for (const [name, sabotage] of SABOTAGES) {
      const tried = [...HISTORIES.values(), ...seedsFrom(random.fork(), ENOUGH)];
      const broken = await losing(ENOUGH, tried, whenDone, () => {}, sabotage);
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

/** Of enough histories for so many losses. */
const seedsFrom = (random: Random, losses: number): readonly number[] =>
  Array.from({ length: Math.ceil(losses / LOSSES_A_HISTORY) }, () => random.below(2 ** 32));

/** Loses power so often; a history that breaks a promise is the last. */
async function losing(
  count: number,
  seeds: readonly number[],
  whenDone: WhenDone,
  progress: (text: string) => void,
  sabotage?: Sabotage,
): Promise<Losses> {
  let [losses, acknowledged, kept] = [0, 0, 0];
  const defects: string[] = [];
  for (const seed of seeds) {
    if (losses >= count || defects.length > 0) break;
    const history = await losingIn(seed, Math.min(LOSSES_A_HISTORY, count - losses), whenDone, sabotage);
    losses += history.losses;
    acknowledged += history.acknowledged;
    kept += history.acknowledged - (history.defects.length > 0 ? 1 : 0);
    defects.push(...history.defects.map((defect) => `history ${seed}, ${defect}`));
    progress(`${losses} of ${count} losses of power`);
  }
  return { losses, acknowledged, kept, defects };
}

/** @returns a history, or why there is none */
async function played(seed: number, whenDone: WhenDone, sabotage?: Sabotage): Promise<History | string> {
  const over = new AbortController();
  const endless = delay(MOST_MS, 'it does not end', { signal: over.signal });
  endless.catch(() => {});
  const history = playHistory(seed, whenDone, sabotage).catch((error: unknown) => String(error));
  return Promise.race([history, endless]).finally(() => over.abort());
}

/** One history, and losses of power in it. @returns the first one that breaks a promise, in words */
async function losingIn(seed: number, count: number, whenDone: WhenDone, sabotage?: Sabotage): Promise<Losses> {
  const history = await played(seed, whenDone, sabotage);
  if (typeof history === 'string')
    return { losses: 0, acknowledged: 0, kept: 0, defects: [`cannot be played: ${history}`] };
  const { home, log, work } = history;
  rmSync(home, { recursive: true, force: true });
  const random = new Random(seed).fork();
  const { acknowledged } = work;
  let losses = 0;
  const seen = new Set<string>();
  while (losses < count) {
    const moment = random.below(log.length + 1);
    for (const image of imagesAfter(log, moment, home, random, SAMPLES)) {
      if (losses >= count) break;
      losses += 1;
      const name = `${image.digest} ${moment}`;
      if (seen.has(name)) continue;
      seen.add(name);
      // The index is lost, or of some moment before: it may have seen what is gone, and not what is there.
      const seenByIndex = random.chance(INDEXED) ? wholeImage(log, random.below(moment + 1), home) : undefined;
      const wasInUse = image.hasHoles || random.chance(0.5);
      const defects = await lookAt(image, seenByIndex, wasInUse, work, moment, whenDone);
      if (defects.length === 0) continue;
      return { losses, acknowledged, kept: 0, defects: [`entry ${moment} of ${log.length}: ${defects.join('; ')}`] };
    }
  }
  return { losses, acknowledged, kept: acknowledged, defects: [] };
}

async function lookAt(
  image: Image,
  seenByIndex: Image | undefined,
  wasInUse: boolean,
  work: PowerWork,
  moment: number,
  whenDone: WhenDone,
): Promise<readonly string[]> {
  const home = tempFolder('skein-power-', whenDone);
  if (seenByIndex === undefined) layOut(image, home);
  else {
    layOut(seenByIndex, home);
    const before = await openLocalStore(home);
    await before.whenIndexed();
    await before.close();
    if (wasInUse) noteOfAnotherBoot(new HomeLayout(home).index);
    turnInto(seenByIndex, image, home);
  }
  const store = await openLocalStore(home);
  try {
    return await brokenPromises(store, home, work, moment, image.hasHoles);
  } finally {
    await store.close();
    rmSync(home, { recursive: true, force: true });
  }
}

/** As an index is that was in use when the machine went down. */
function noteOfAnotherBoot(index: string): void {
  const database = new Database(index);
  database.prepare(`INSERT INTO facts (key, value) VALUES ('boot', 'the one before')`).run();
  database.close();
}
