import type { Command, OptionSpec } from '../command.ts';
import { EXIT } from '../exit-code.ts';

/** Runs the daemon in this process until it is told to stop. */
export type RunDaemon = (options: {
  readonly home: string | undefined;
  readonly listen: readonly string[];
  readonly auth: string | undefined;
  readonly config: string | undefined;
  readonly set: readonly string[];
  readonly isJson: boolean;
  readonly args: readonly string[];
}) => Promise<void>;

/** Options of a daemon, whoever starts it. */
export const RUN_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  listen: {
    type: 'string',
    isMultiple: true,
    value: 'ADDRESS',
    help: 'ws://IP:PORT (port 0: a free one, kept for the next start) or unix://PATH; default: ws://127.0.0.1:0',
  },
  auth: { type: 'string', value: 'token|none', help: 'what WebSocket clients must present; default: token' },
  config: {
    type: 'string',
    value: 'FILE',
    help: 'configuration; default: $SKEIN_CONFIG, else HOME/skein/daemon.config.json if it is there',
  },
  set: { type: 'string', isMultiple: true, value: 'KEY.PATH=VALUE', help: 'change one setting' },
};

/** `skein run`. */
export const runCommand = (runDaemon: RunDaemon): Command => ({
  name: 'run',
  summary: 'run the daemon in the foreground and say how to connect',
  arguments: [],
  options: RUN_OPTIONS,
  run: async ({ text, texts, flag, argv }) => {
    await runDaemon({
      home: text('home'),
      listen: texts('listen'),
      auth: text('auth'),
      config: text('config'),
      set: texts('set'),
      isJson: flag('json'),
      args: argv,
    });
    return EXIT.ok;
  },
});
