import { once } from 'node:events';
import { connectDebug } from '../../support/debug-lines.ts';
import type { RunningDaemon } from '../../support/daemon.ts';
import { PATIENCE_MS } from '../polling.ts';

/** Looks at a daemon by its debug socket and by its health path, as people and their tools do. @throws Error if it does not answer */
export async function look({ info, url }: RunningDaemon): Promise<void> {
  const debug = await connectDebug(info.debugSocket ?? '', () => {});
  const gone = once(debug.socket, 'close').then(() =>
    Promise.reject(new Error('the debug socket lets go of who asks')),
  );
  const late = new Promise((_, reject) => {
    debug.socket.setTimeout(PATIENCE_MS, () => reject(new Error('the debug socket does not answer')));
  });
  const answer = debug.call('snapshot');
  try {
    await Promise.race([answer, gone, late]);
  } finally {
    gone.catch(() => {});
    debug.socket.destroy();
  }
  const { status } = await fetch(new URL('/readyz', url.replace('ws:', 'http:')), {
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (status !== 200) throw new Error(`a daemon that serves answers ${status} on /readyz`);
}
