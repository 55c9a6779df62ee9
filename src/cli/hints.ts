import { resolveHome, type DaemonInfo } from '../domain/daemon-files.ts';
import { CliError, EXIT } from './exit-code.ts';

/** What to do next, in words that several messages share. */
export const invalidHint = (command: string): string => `see skein ${command} --help`;

/** The `--home` to add to a command so that it means the same home. */
export const homeHint = (home: string | undefined): string => (home === undefined ? '' : ` --home ${home}`);

/** @param home as given by the user; undefined for the default */
export const noDaemon = (home: string | undefined): CliError =>
  new CliError(
    EXIT.notRunning,
    `no daemon runs for ${resolveHome(home)}; start one with: skein start${homeHint(home)}`,
  );

/** One that listens and says nothing must not be taken for none: it holds the home. */
export const silentDaemon = ({ pid, home }: Pick<DaemonInfo, 'pid' | 'home'>, why: string): CliError =>
  new CliError(
    EXIT.failure,
    `the daemon of ${home} (pid ${pid}) does not answer: ${why}\n` +
      `let it go on if it is stopped: kill -CONT ${pid}; or end it, which loses nothing acknowledged: kill -9 ${pid}`,
  );

/** The daemon is well, and has no room (`limits.connections`). */
export const fullDaemon = ({ pid, home }: Pick<DaemonInfo, 'pid' | 'home'>): CliError =>
  new CliError(
    EXIT.failure,
    `the daemon of ${home} (pid ${pid}) has all the clients that it takes (limits.connections); try again when one has left`,
  );
