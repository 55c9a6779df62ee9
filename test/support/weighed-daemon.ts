import { onTestFinished } from 'vitest';
import { startDaemon, type RunningDaemon } from './daemon.ts';
import { connectDebug } from './debug-lines.ts';
import { eventually } from './eventually.ts';
import { tempFolder } from './temp-home.ts';

/** What a daemon takes when it has thrown away what it does not need. */
export interface Weight {
  readonly heapUsedBytes: number;
  readonly rssBytes: number;
  readonly descriptors: number;
  /** What its event loop waits for, by kind. */
  readonly activeResources: Readonly<Record<string, number>>;
}

export interface WeighedDaemon extends RunningDaemon {
  weigh(): Promise<Weight>;
}

/** Collects garbage when it is told to. */
const COLLECTOR = `data:text/javascript,process.on('SIGUSR2', () => { gc(); console.log('collected'); })`;

/** A daemon on a home of its own that can be weighed. */
export async function startWeighed(args: readonly string[] = []): Promise<WeighedDaemon> {
  const daemon = await startDaemon(tempFolder(), args, onTestFinished, {
    execArgv: ['--expose-gc', '--import', COLLECTOR],
  });
  const debug = await connectDebug(daemon.info.debugSocket ?? '');
  const collections = (): number => daemon.output().split('collected').length;
  return {
    ...daemon,
    weigh: async () => {
      const before = collections();
      daemon.child.kill('SIGUSR2');
      await eventually(() => expectMore(collections(), before));
      const { heapUsedBytes, rssBytes, descriptors, activeResources } = (await debug.call('snapshot')).result.daemon;
      // Reading and writing goes on as long as anyone looks.
      const lasting = Object.entries(activeResources).filter(([kind]) => !kind.startsWith('FSReq'));
      return {
        heapUsedBytes,
        rssBytes,
        descriptors,
        activeResources: Object.fromEntries(lasting) as Record<string, number>,
      };
    },
  };
}

function expectMore(count: number, before: number): void {
  if (count <= before) throw new Error('the daemon has not collected its garbage');
}
