import { resolveHome, daemonFiles, type DaemonInfo } from '../domain/daemon-files.ts';
import { ECHO_MARK } from '../engine/echo-model.ts';
import { loadConfig } from './load-config.ts';
import type { Config } from './config.ts';
import { runDaemon } from './run-daemon.ts';

/** What `skein run` was told. */
export interface RunCommandOptions {
  readonly home: string | undefined;
  readonly listen: readonly string[];
  readonly auth: string | undefined;
  readonly config: string | undefined;
  /** `key.path=value` */
  readonly set: readonly string[];
  readonly isJson: boolean;
  /** All of it as it was written, so that the daemon can be started the same way again. */
  readonly args: readonly string[];
}

/**
 * Runs the daemon in the foreground until it is told to stop; says on standard output how to connect.
 * @throws SkeinError if it cannot start
 */
export async function runCommand(options: RunCommandOptions): Promise<void> {
  const home = resolveHome(options.home);
  const settings = [
    ...options.set,
    ...(options.listen.length === 0 ? [] : [`listen=${JSON.stringify(options.listen)}`]),
    ...(options.auth === undefined ? [] : [`auth=${JSON.stringify(options.auth)}`]),
  ];
  const config = loadConfig({ home, settings, ...(options.config === undefined ? {} : { file: options.config }) });
  await runDaemon({
    home,
    config,
    args: options.args,
    onReady: (info) => process.stdout.write(options.isJson ? `${JSON.stringify(info)}\n` : announcement(info, config)),
    onDraining: (turns) =>
      process.stderr.write(`waiting for ${turns} running turn${turns === 1 ? '' : 's'}; stop again to interrupt\n`),
    onSlowEnd: (closing) =>
      process.stderr.write(
        `the end takes long (closing ${closing}); stop again to end at once, without what is not saved\n`,
      ),
  });
}

function announcement(info: DaemonInfo, { model }: Config): string {
  const { token } = daemonFiles(info.home);
  const withToken = info.auth === 'token' ? `   (Authorization: Bearer <token>; the token is in ${token})` : '';
  return [
    `skein ${info.version} serves ${info.home}`,
    ...info.listen.map((address) => `  ${address}${address.startsWith('ws:') ? withToken : ''}`),
    `  unix://${info.socket}`,
    ...(model.client === 'echo' ? [`The model is echo: it says back what it is told, marked ${ECHO_MARK}.`] : []),
    `Try in another terminal: npx skein send "hello"${info.home === resolveHome(undefined) ? '' : ` --home ${info.home}`}`,
    'Ctrl-C stops.',
    '',
  ].join('\n');
}
