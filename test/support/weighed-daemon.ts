import { onTestFinished } from 'vitest';
import type { WhenDone } from './process.ts';
import { startDaemon, type RunningDaemon } from './daemon.ts';
import { connectDebug } from './debug-lines.ts';
import { tempFolder } from './temp-home.ts';

/** What a daemon takes when it has thrown away what it does not need. */
export interface Weight {
  readonly heapUsedBytes: number;
  /** Buffers outside the heap: what has come and what is on its way. */
  readonly externalBytes: number;
  readonly rssBytes: number;
  readonly descriptors: number;
  /** What its event loop waits for, by kind. */
  readonly activeResources: Readonly<Record<string, number>>;
}

export interface WeighedDaemon extends RunningDaemon {
  weigh(): Promise<Weight>;
}

/** Collects garbage when it is told to. */
const COLLECTOR = `data:text/javascript,let times = 0; process.on('SIGUSR2', () => { gc(); console.log('collected', ++times, process.memoryUsage().external); })`;

/** A daemon that can be weighed, on a home of its own if none is given. */
export async function startWeighed(
  args: readonly string[] = [],
  whenDone: WhenDone = onTestFinished,
  home = tempFolder('skein-', whenDone),
): Promise<WeighedDaemon> {
  const daemon = await startDaemon(home, args, whenDone, {
    execArgv: ['--expose-gc', '--import', COLLECTOR],
  });
  const debug = await connectDebug(daemon.info.debugSocket ?? '', whenDone);
  let collections = 0;
  const collect = async (): Promise<Weight> => {
    collections += 1;
    daemon.child.kill('SIGUSR2');
    const [, external] = await daemon.said(new RegExp(`collected ${collections} (\\d+)\\n`));
    return { ...(await debug.call('snapshot')).result.daemon, externalBytes: Number(external) };
  };
  return {
    ...daemon,
    weigh: async () => {
      // A connection that was cut off is there for a moment yet.
      let weight = await collect();
      for (let alike = 0; alike < 5;) {
        const next = await collect();
        alike = next.descriptors === weight.descriptors ? alike + 1 : 0;
        weight = next;
      }
      const { heapUsedBytes, externalBytes, rssBytes, descriptors, activeResources } = weight;
      // Reading and writing goes on as long as anyone looks.
      const lasting = Object.entries(activeResources).filter(([kind]) => !kind.startsWith('FSReq'));
      return {
        heapUsedBytes,
        externalBytes,
        rssBytes,
        descriptors,
        activeResources: Object.fromEntries(lasting) as Record<string, number>,
      };
    },
  };
}
