import type { Socket } from 'node:net';
import { resolveHome, type DaemonInfo } from '../domain/daemon-files.ts';
import { VERSION } from '../version.ts';
import { readInfo } from './daemon-info.ts';
import { startDaemon } from './daemon-process.ts';
import { openDaemonSocket } from './daemon-socket.ts';
import { CliError, EXIT } from './exit-code.ts';
import { homeHint, noDaemon } from './hints.ts';
import { say } from './output.ts';

/** A daemon that serves, and a WebSocket on it, open and paused. */
export interface ReachedDaemon {
  readonly info: DaemonInfo;
  readonly socket: Socket;
}

/**
 * Reaches the daemon of a home; starts it if there is none. Says on standard error what else a person should know.
 * @param home as given by the user; undefined for the default
 * @throws CliError `notRunning` if there is none and it may not be started; what kept it from starting
 */
export async function ensureDaemon(home: string | undefined, mayStart: boolean): Promise<ReachedDaemon> {
  const path = resolveHome(home);
  const found = await reach(await readInfo(path));
  if (found !== undefined) {
    tellVersions(found.info, home);
    return found;
  }
  if (!mayStart) throw noDaemon(home);
  const info = await startDaemon(path, []);
  say(`skein: the daemon of ${path} runs (pid ${info.pid}); it stays until: skein stop${homeHint(home)}`);
  const started = await reach(info);
  if (started === undefined) throw new CliError(EXIT.failure, `the daemon has gone again; see ${info.log}`);
  return started;
}

async function reach(info: DaemonInfo | undefined): Promise<ReachedDaemon | undefined> {
  const socket = info === undefined ? undefined : await openDaemonSocket(info);
  return info === undefined || socket === undefined ? undefined : { info, socket };
}

/** A daemon outlives the command that came with it when that is replaced by another version (F19). */
function tellVersions({ version }: DaemonInfo, home: string | undefined): void {
  if (version === VERSION) return;
  say(`skein: the daemon is version ${version}, this command ${VERSION}; to have one: skein restart${homeHint(home)}`);
}
