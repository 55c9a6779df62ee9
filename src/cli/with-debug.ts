import { withDaemon } from './daemon-client.ts';
import { DebugClient } from './debug-client.ts';
import { CliError, EXIT } from './exit-code.ts';

/** Does something with the debug socket of a home's daemon. @throws CliError `notRunning`, or if it runs without one */
export async function withDebug<T>(home: string | undefined, work: (debug: DebugClient) => Promise<T>): Promise<T> {
  const { debugSocket } = await withDaemon(home, ({ info }) => Promise.resolve(info));
  if (debugSocket === null) throw new CliError(EXIT.failure, 'the daemon runs without a debug socket (debugSocket)');
  return withDebugSocket(debugSocket, work);
}

/** Of clients that come all at once, each may have to make room before it is answered. */
const MOST_TRIES = 5;

/** Does something with a debug socket, and again if others took its place before it was answered. @throws CliError `notRunning` */
export async function withDebugSocket<T>(path: string, work: (debug: DebugClient) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    const debug = await DebugClient.connect(path);
    try {
      return await work(debug);
    } catch (error) {
      if (!debug.wasTurnedAway || tries === MOST_TRIES) throw error;
    } finally {
      debug.close();
    }
  }
}
