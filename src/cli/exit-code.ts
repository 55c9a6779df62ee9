/** What the `skein` command ends with. Part of its interface: scripts rely on it. */
export const EXIT = {
  ok: 0,
  /** The daemon or the system failed, or a turn did. */
  failure: 1,
  /** What was asked for makes no sense: bad arguments, or refused as invalid. */
  usage: 2,
  /** No daemon runs for this home (as `systemctl status` has it). */
  notRunning: 3,
  notFound: 4,
  /** Someone else holds what is needed. */
  conflict: 5,
  /** Ended by Ctrl-C. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A failure of a command: what to tell the user, and what to end with. */
export class CliError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.name = 'CliError';
    this.exitCode = exitCode;
  }
}

export const usageError = (message: string): CliError => new CliError(EXIT.usage, message);
