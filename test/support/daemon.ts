import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { DaemonInfo } from '../../src/domain/daemon-files.ts';
import { start, type Running, type WhenDone } from './process.ts';
import { RpcClient, type RpcClientOptions } from './rpc-client.ts';

/** The `skein` command as users run it. */
export const SKEIN = join(import.meta.dirname, '../../dist/main.js');

export interface RunningDaemon extends Running {
  readonly info: DaemonInfo;
  /** The WebSocket address. */
  readonly url: string;
  /** A connection over the daemon's socket; closed when the test ends. */
  connect(options?: RpcClientOptions): Promise<RpcClient>;
}

/** How a daemon is run that is not run as users do. */
export interface DaemonLaunch {
  /** The command of another build. */
  readonly main?: string;
  /** A command that becomes the daemon, which is named behind it. */
  readonly wrapper?: readonly string[];
  /** Options of Node. */
  readonly execArgv?: readonly string[];
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where it stands. */
  readonly cwd?: string;
}

/** Runs a daemon on a home until the test ends. */
export async function startDaemon(
  home: string,
  args: readonly string[] = [],
  whenDone: WhenDone = onTestFinished,
  { main = SKEIN, wrapper = [], execArgv = [], env = {}, cwd = process.cwd() }: DaemonLaunch = {},
): Promise<RunningDaemon> {
  // Commands run by a login shell: without a home of somebody's it reads no profile, which may do and take anything.
  const environment = { ...process.env, HOME: home, ...env };
  const node = [process.execPath, ...execArgv, main, 'run', '--json', '--home', home, ...args];
  const [command = '', ...rest] = [...wrapper, ...node];
  const running = start(command, rest, { env: environment, cwd }, whenDone);
  const [line] = await running.said(/^\{.*\}\n/m);
  const info = JSON.parse(line) as DaemonInfo;
  return {
    ...running,
    info,
    url: info.listen.find((address) => address.startsWith('ws:')) ?? '',
    connect: (options) => connected(`unix://${info.socket}`, options),
  };
}

/** A connection that is closed when the test ends. */
export async function connected(address: string, options: RpcClientOptions = {}): Promise<RpcClient> {
  const client = await RpcClient.connect(address, options);
  onTestFinished(() => client.close());
  return client;
}
