import { CliError, EXIT, type ExitCode } from './exit-code.ts';

/** Waits for Ctrl-C; @throws CliError if the other side ends first */
export async function untilInterrupted(closed: Promise<void>): Promise<ExitCode> {
  let stop: () => void = () => {};
  const interrupted = new Promise<ExitCode>((resolve) => {
    stop = () => resolve(EXIT.interrupted);
    process.once('SIGINT', stop);
  });
  try {
    return await Promise.race([
      interrupted,
      closed.then(() => {
        throw new CliError(EXIT.failure, 'the daemon has ended the connection');
      }),
    ]);
  } finally {
    process.off('SIGINT', stop);
  }
}
