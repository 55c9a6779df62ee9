import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, asyncProperty } from 'fast-check';
import { it } from 'vitest';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import { openLocalStore } from '../support/local-store.ts';
import { compressAll } from '../support/zstd.ts';
import { FUZZ_TIMEOUT_MS, runs } from './runs.ts';
import { firstDifference, type FuzzedStore } from './store-play.ts';
import { DEFAULT_PROVIDER, stepsIn, type Step } from './store-steps.ts';

/** Sequences that shrink, against a model of what must be true. */

async function inMemory(steps: readonly Step[]): Promise<unknown> {
  const store = new MemoryThreadStore({ defaultModelProvider: DEFAULT_PROVIDER });
  try {
    return await firstDifference({ store }, steps);
  } finally {
    await store.close();
  }
}

async function inFiles(steps: readonly Step[]): Promise<unknown> {
  const home = mkdtempSync(join(tmpdir(), 'skein-fuzz-'));
  const subject: FuzzedStore = {
    store: await openLocalStore(home),
    refers: true,
    compress: () => compressAll(home),
    reopen: async (losesIndex) => {
      await subject.store.close();
      if (losesIndex) rmSync(join(home, 'skein'), { recursive: true });
      return openLocalStore(home);
    },
  };
  try {
    return await firstDifference(subject, steps);
  } finally {
    await subject.store.close();
    rmSync(home, { recursive: true });
  }
}

it.each([
  ['in memory', inMemory, 'fair', 300],
  ['in files', inFiles, 'fair', 25],
  ['in files that are compressed, with an index that is lost', inFiles, 'bad', 15],
] as const)(
  'FUZZ-1 whatever is done to a store in whatever order, it answers and refuses as the plainest model does (%s)',
  async (_where, firstDifferenceIn, weather, short) => {
    const holds = asyncProperty(stepsIn(weather), async (steps) => {
      const difference = await firstDifferenceIn(steps);
      if (difference !== undefined) throw new Error(JSON.stringify(difference, null, 1));
    });
    await assert(holds, runs(short));
  },
  FUZZ_TIMEOUT_MS,
);
