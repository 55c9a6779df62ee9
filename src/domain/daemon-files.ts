import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** What a running daemon keeps in its home, and what its own tools find it by. All of it can be made anew. */
export interface DaemonFiles {
  /** Skein's own folder in the home. */
  readonly folder: string;
  /** Held with flock(2) by the daemon of the home. */
  readonly lock: string;
  /** Who the daemon is and where it listens; written when it is ready. */
  readonly info: string;
  /** Where it listened last: the next one does so again. */
  readonly lastPorts: string;
  /** The token that WebSocket clients present. */
  readonly token: string;
  readonly socket: string;
  readonly debugSocket: string;
  readonly log: string;
  /** What the process itself says: only of interest when it could not start. */
  readonly output: string;
  readonly installationId: string;
}

/** @param home absolute */
export function daemonFiles(home: string): DaemonFiles {
  const folder = join(home, 'skein');
  return {
    folder,
    lock: join(folder, 'daemon.lock'),
    info: join(folder, 'daemon.json'),
    lastPorts: join(folder, 'last-ports.json'),
    token: join(folder, 'token'),
    socket: join(folder, 'daemon.sock'),
    debugSocket: join(folder, 'debug.sock'),
    log: join(folder, 'daemon.log'),
    output: join(folder, 'daemon.out'),
    installationId: join(folder, 'installation-id'),
  };
}

/** What `daemonFiles().info` holds. */
export interface DaemonInfo {
  readonly pid: number;
  readonly version: string;
  /** Unix ms. */
  readonly startedAtMs: number;
  /** Tells this run of the daemon from any other, whatever pid it has. */
  readonly nonce: string;
  readonly home: string;
  /** `ws://…`, `unix://…`, ports as they are. */
  readonly listen: readonly string[];
  readonly auth: 'none' | 'token';
  /** Path of the socket that Skein's own tools use. */
  readonly socket: string;
  readonly debugSocket: string | null;
  readonly log: string;
  /** What answers turns. */
  readonly model: string;
  /** Arguments of the `skein run` that it is. */
  readonly args: readonly string[];
}

/** The home to use: what was asked for, else `SKEIN_HOME`, else `~/.skein`. Absolute. */
export function resolveHome(asked: string | undefined, environment: NodeJS.ProcessEnv = process.env): string {
  const home = asked ?? environment['SKEIN_HOME'];
  if (home === undefined || home === '') return join(homedir(), '.skein');
  return resolve(home === '~' || home.startsWith('~/') ? join(homedir(), home.slice(1)) : home);
}
