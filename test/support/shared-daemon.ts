import { afterAll, beforeAll } from 'vitest';
import { startDaemon, type RunningDaemon } from './daemon.ts';
import type { WhenDone } from './process.ts';
import { tempFolder } from './temp-home.ts';

/** One daemon, on a home of its own, for all tests of a file. */
export function sharedDaemon(args: readonly string[]): () => RunningDaemon {
  const cleanUps: (() => void | Promise<void>)[] = [];
  const whenDone: WhenDone = (cleanUp) => void cleanUps.push(cleanUp);
  let daemon: RunningDaemon | undefined;
  beforeAll(async () => {
    daemon = await startDaemon(tempFolder('skein-', whenDone), args, whenDone);
  });
  afterAll(async () => {
    for (const cleanUp of cleanUps.toReversed()) await cleanUp();
  });
  return () => {
    if (daemon === undefined) throw new Error('the daemon is not up');
    return daemon;
  };
}
