import { HomeLayout } from '../../../src/store/local/home-layout.ts';
import { openIndexInline } from '../../../src/store/local/index/index-thread.ts';
import { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import type { WhenDone } from '../../support/process.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { Random } from '../random.ts';
import { CallOrder } from './call-order.ts';
import { recordingDisk, type DiskLog, type LogEntry } from './disk-log.ts';
import { PowerWork } from './power-work.ts';
import type { Sabotage } from './sabotages.ts';

/** Steps of one history. */
const STEPS = 14;

/** Of one in which each is several. */
const OVERLAPPING_STEPS = 5;

/** A store dies at one of the changes after as many as this, if it does. */
const CHANGES = 12;

/** So much is begun at once in overlapping histories that a store dies later. */
const CHANGES_OVERLAPPING = 40;

/** In some histories the disk refuses some writes: in those whose seed has this bit. */
const REFUSES = 2;

/** In half of the histories things are begun while others are under way: in those whose seed has this bit. */
const OVERLAPS = 4;

/** In some of those where both are so, names and marks are refused, and else what is written to threads: in those whose seed has this bit. */
const REFUSES_NAMES = 8;

/** What stores have done to a disk, and what they have promised meanwhile. */
export interface History {
  readonly home: string;
  readonly log: readonly LogEntry[];
  readonly work: PowerWork;
}

/** Plays the history of a seed: one store after the other, each of which ends in order or is killed. */
export async function playHistory(seed: number, whenDone: WhenDone, sabotage: Sabotage = {}): Promise<History> {
  const isOverlapping = (seed & OVERLAPS) !== 0;
  const home = tempFolder('skein-power-', whenDone);
  const mend = sabotage.spoil?.();
  try {
    const { swallowed } = sabotage;
    const order = isOverlapping ? new CallOrder(new Random(~seed)) : undefined;
    return await recordingDisk((log) => play(seed, isOverlapping, home, log), { swallowed, order });
  } finally {
    mend?.();
  }
}

async function play(seed: number, isOverlapping: boolean, home: string, log: DiskLog): Promise<History> {
  const random = new Random(seed);
  const refusals = (seed & REFUSES) === 0 ? undefined : new Random(~seed);
  const refusedFiles = (seed & REFUSES_NAMES) === 0 ? 'rollouts' : 'names and marks';
  const work = new PowerWork(home, log, random, { isOverlapping, refusals, refusedFiles });
  const goOn = (): Promise<void> => (isOverlapping ? work.overlap() : work.step());
  const changes = isOverlapping ? CHANGES_OVERLAPPING : CHANGES;
  for (let left = isOverlapping ? OVERLAPPING_STEPS : STEPS; left > 0;) {
    const steps = random.chance(0.5) ? left : 1 + random.below(left);
    left -= steps;
    await playLife({ home, log, work, random, goOn, changes }, steps);
  }
  work.end();
  return { home, log: log.entries.slice(), work };
}

/** What processes do, one after the other. */
interface Play {
  readonly home: string;
  readonly log: DiskLog;
  readonly work: PowerWork;
  readonly random: Random;
  readonly goOn: () => Promise<void>;
  /** A process dies at one of the changes after as many as this, if it does. */
  readonly changes: number;
}

/** What one process does. */
async function playLife({ home, log, work, random, goOn, changes }: Play, steps: number): Promise<void> {
  const index = openIndexInline({ home: new HomeLayout(home), defaultModelProvider: 'default-provider' });
  const store = await LocalThreadStore.open({ home, index });
  await work.goOn(store);
  for (let step = 1; step < steps; step += 1) await goOn();
  const isKilled = random.chance(0.5) && (await log.dieAfter(random.below(changes), goOn));
  // The kernel would close its descriptors.
  if (isKilled) await index.close();
  else await store.close();
}
