import { once } from 'node:events';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { WhenDone } from './process.ts';
import { startDaemon, type RunningDaemon } from './daemon.ts';
import { connectDebug, type DebugLines } from './debug-lines.ts';
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

/** How many there are, by the kind of emitter and the event: over all emitters that live in the daemon's main thread. */
export type Listeners = Readonly<Record<string, number>>;

export interface WeighedDaemon extends RunningDaemon {
  weigh(): Promise<Weight>;
  listeners(): Promise<Listeners>;
}

const WEIGHER = join(import.meta.dirname, 'preload/weigher.js');

/** A daemon that can be weighed, on a home of its own if none is given. */
export async function startWeighed(
  args: readonly string[] = [],
  whenDone: WhenDone = onTestFinished,
  home = tempFolder('skein-', whenDone),
  cwd = process.cwd(),
): Promise<WeighedDaemon> {
  const daemon = await startDaemon(home, args, whenDone, {
    execArgv: ['--expose-gc', '--import', WEIGHER],
    cwd,
  });
  let [collections, counts] = [0, 0];
  const collect = async (debug: DebugLines): Promise<Weight> => {
    collections += 1;
    daemon.child.kill('SIGUSR2');
    const [, external] = await daemon.said(new RegExp(`collected ${collections} (\\d+)\n`));
    return { ...(await debug.call('snapshot')).result.daemon, externalBytes: Number(external) };
  };
  const weigh = async (): Promise<Weight> => {
    // One that has been silent for long may have had to make room for others.
    const debug = await connectDebug(daemon.info.debugSocket ?? '', whenDone);
    // A connection that was cut off is there for a moment yet.
    let weight = await collect(debug);
    for (let alike = 0; alike < 5;) {
      const next = await collect(debug);
      alike = next.descriptors === weight.descriptors ? alike + 1 : 0;
      weight = next;
    }
    debug.socket.destroy();
    await once(debug.socket, 'close');
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
  };
  const listeners = async (): Promise<Listeners> => {
    counts += 1;
    daemon.child.kill('SIGURG');
    const [, said = ''] = await daemon.said(new RegExp(`listeners ${counts} (.*)\\n`));
    return JSON.parse(said) as Listeners;
  };
  return { ...daemon, weigh, listeners };
}
