import { withDaemon } from './daemon-client.ts';
import { DebugClient } from './debug-client.ts';
import { CliError, EXIT } from './exit-code.ts';

/** Does something with the debug socket of a home's daemon. @throws CliError `notRunning`, or if it runs without one */
export async function withDebug<T>(home: string | undefined, work: (debug: DebugClient) => Promise<T>): Promise<T> {
  const { debugSocket } = await withDaemon(home, ({ info }) => Promise.resolve(info));
  if (debugSocket === null) throw new CliError(EXIT.failure, 'the daemon runs without a debug socket (debugSocket)');
  const debug = await DebugClient.connect(debugSocket);
  try {
    return await work(debug);
  } finally {
    debug.close();
  }
}
