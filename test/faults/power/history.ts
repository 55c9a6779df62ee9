import { HomeLayout } from '../../../src/store/local/home-layout.ts';
import { openIndexInline } from '../../../src/store/local/index/index-thread.ts';
import { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import type { WhenDone } from '../../support/process.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { Random } from '../random.ts';
import { recordingDisk, type DiskLog, type LogEntry, type Swallowed } from './disk-log.ts';
import { PowerWork } from './power-work.ts';

/** Steps of one history. */
const STEPS = 14;

/** A store dies at one of the changes after as many as this, if it does. */
const CHANGES = 12;

/** In half of the histories the disk refuses some writes: in those whose seed has this bit. */
const REFUSES = 2;

/** What stores have done to a disk, and what they have promised meanwhile. */
export interface History {
  readonly home: string;
  readonly log: readonly LogEntry[];
  readonly work: PowerWork;
}

/** Plays the history of a seed: one store after the other, each of which ends in order or is killed. */
export function playHistory(seed: number, whenDone: WhenDone, swallowed?: Swallowed): Promise<History> {
  const random = new Random(seed);
  const home = tempFolder('skein-power-', whenDone);
  return recordingDisk(async (log) => {
    const work = new PowerWork(home, log, random, (seed & REFUSES) === 0 ? undefined : new Random(~seed));
    for (let left = STEPS; left > 0;) {
      const steps = random.chance(0.5) ? left : 1 + random.below(left);
      left -= steps;
      await playLife(home, log, work, random, steps);
    }
    return { home, log: log.entries.slice(), work };
  }, swallowed);
}

/** What one process does. */
async function playLife(home: string, log: DiskLog, work: PowerWork, random: Random, steps: number): Promise<void> {
  const index = openIndexInline({ home: new HomeLayout(home), defaultModelProvider: 'default-provider' });
  const store = await LocalThreadStore.open({ home, index });
  await work.goOn(store);
  for (let step = 1; step < steps; step += 1) await work.step();
  const isKilled = random.chance(0.5) && (await log.dieAfter(random.below(CHANGES), () => work.step()));
  // The kernel would close its descriptors.
  if (isKilled) await index.close();
  else await store.close();
}
