import { CliError, EXIT, type ExitCode } from './exit-code.ts';

/** Waits for Ctrl-C; @throws CliError if the other side ends first, with the reason if there is one by then */
export async function untilInterrupted(
  closed: Promise<void>,
  reason: () => string | undefined = () => undefined,
): Promise<ExitCode> {
  let stop: () => void = () => {};
  const interrupted = new Promise<ExitCode>((resolve) => {
    stop = () => resolve(EXIT.interrupted);
    process.once('SIGINT', stop);
  });
  try {
    return await Promise.race([
      interrupted,
      closed.then(() => {
        const why = reason();
        throw new CliError(EXIT.failure, `the daemon has ended the connection${why === undefined ? '' : `: ${why}`}`);
      }),
    ]);
  } finally {
    process.off('SIGINT', stop);
  }
}
