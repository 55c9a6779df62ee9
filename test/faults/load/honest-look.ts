import { withDebugSocket } from '../../../src/cli/with-debug.ts';
import type { RunningDaemon } from '../../support/daemon.ts';
import { PATIENCE_MS } from '../polling.ts';

/** Looks at a daemon by its debug socket and by its health path, as people and their tools do. @throws Error if it does not answer */
export async function look({ info, url }: RunningDaemon): Promise<void> {
  await withDebugSocket(info.debugSocket ?? '', async (debug) => {
    const tooLate = setTimeout(() => debug.close(), PATIENCE_MS);
    await debug.call('snapshot', {}).finally(() => clearTimeout(tooLate));
  });
  const { status } = await fetch(new URL('/readyz', url.replace('ws:', 'http:')), {
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (status !== 200) throw new Error(`a daemon that serves answers ${status} on /readyz`);
}
