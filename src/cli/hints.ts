import { resolveHome } from '../domain/daemon-files.ts';
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
