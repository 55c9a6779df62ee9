import { Bridge, type BridgeEnd } from '../bridge.ts';
import type { Command, Invocation, OptionSpec } from '../command.ts';
import { ensureDaemon } from '../ensure-daemon.ts';
import { CliError, EXIT, usageError, type ExitCode } from '../exit-code.ts';
import { homeHint } from '../hints.ts';
import { oneLine, say } from '../output.ts';

/** Settings of the peer that programs give with its command line, which one of many clients of a daemon cannot have. */
const SETTINGS: Readonly<Record<string, OptionSpec>> = {
  config: { type: 'string', isMultiple: true, short: 'c', value: 'KEY=VALUE', help: 'has no effect, and says so' },
  enable: { type: 'string', isMultiple: true, value: 'FEATURE', help: 'has no effect, and says so' },
  disable: { type: 'string', isMultiple: true, value: 'FEATURE', help: 'has no effect, and says so' },
};

/** What means nothing here, because it is so anyway or what it is about is not there. */
const EMPTY: Readonly<Record<string, OptionSpec>> = {
  stdio: { type: 'boolean', help: 'what it does anyway' },
  'strict-config': { type: 'boolean', help: 'what the daemon does anyway' },
  'analytics-default-enabled': { type: 'boolean', help: 'taken, and means nothing: Skein sends none' },
  'startup-client-info': {
    type: 'string',
    value: 'JSON',
    help: 'taken, and means nothing: nobody is asked at a start',
  },
  'startup-sign-out': { type: 'boolean', help: 'taken, and means nothing: Skein has no accounts' },
};

const refused = (names: readonly string[], refusal: string): Readonly<Record<string, OptionSpec>> =>
  Object.fromEntries(names.map((name) => [name, { type: 'string', help: '', refusal }]));

const WEBSOCKET_OPTIONS = ['auth', 'token-file', 'token-sha256', 'shared-secret-file', 'issuer', 'audience'];

const REFUSED: Readonly<Record<string, OptionSpec>> = {
  ...refused(
    [...WEBSOCKET_OPTIONS, 'max-clock-skew-seconds'].map((name) => `ws-${name}`),
    'it speaks on standard input and output only; the daemon has WebSockets: skein start --listen ADDRESS --auth token',
  ),
  ...refused(['cloud-skills-snapshot', 'code-mode-host'], 'Skein has no skills and runs no code of models'),
  'print-startup-config': { type: 'boolean', help: '', refusal: 'Skein has no requirements; see skein status' },
};

/** `skein app-server`. */
export const appServerCommand: Command = {
  name: 'app-server',
  summary: 'the protocol on standard input and output, as of codex app-server; starts the daemon if need be',
  details:
    'For clients that start their server themselves: one JSON message per line, both ways. Everything goes to the\n' +
    'daemon, where threads and turns go on when the client closes standard input and this ends.',
  arguments: [],
  isProtocol: true,
  elsewhere: {
    daemon: 'it is started by skein start, and ended by skein stop',
    proxy:
      'skein app-server carries the protocol; codex app-server proxy --sock PATH carries bytes: skein status names PATH',
    'generate-ts': 'the protocol is that of Codex: codex app-server generate-ts',
    'generate-json-schema': 'the protocol is that of Codex: codex app-server generate-json-schema',
    help: 'see skein app-server --help',
  },
  options: {
    'no-start': { type: 'boolean', help: 'end with exit code 3 if no daemon runs' },
    listen: { type: 'string', value: 'URL', help: 'stdio:// and nothing else, for those who say it' },
    ...EMPTY,
    ...SETTINGS,
    ...REFUSED,
  },
  run: async (invocation) => {
    const { flag, text } = invocation;
    const listen = text('listen') ?? 'stdio://';
    if (listen !== 'stdio://') {
      throw usageError(
        `app-server does not listen on ${listen}, only on stdio://; the daemon does: skein start --listen ${listen}`,
      );
    }
    const keys = settingsIn(invocation);
    if (keys.length > 0) say(withoutEffect(keys, homeHint(text('home'))));
    const { info, socket } = await ensureDaemon(text('home'), !flag('no-start'));
    const stop = new AbortController();
    let wasInterrupted = false;
    process.once('SIGTERM', () => stop.abort());
    process.once('SIGINT', () => {
      wasInterrupted = true;
      stop.abort();
    });
    const end = await Bridge.run({ input: process.stdin, output: process.stdout, socket, signal: stop.signal });
    const exitCode = wasInterrupted ? EXIT.interrupted : exitCodeOf(end, info.log, homeHint(text('home')));
    // What the client has not read by now would keep the process for ever.
    if (process.stdout.writableLength > 0) process.exit(exitCode);
    return exitCode;
  },
};

/** Names of the settings that are given. Their values may be secret. @throws CliError if one has no name */
const settingsIn = ({ texts }: Invocation): readonly string[] => [
  ...texts('config').map((setting) => {
    const equals = setting.indexOf('=');
    if (equals <= 0) throw usageError('-c takes KEY=VALUE');
    return setting.slice(0, equals).trim();
  }),
  ...[...texts('enable'), ...texts('disable')].map((feature) => `features.${feature}`),
];

const withoutEffect = (keys: readonly string[], home: string): string =>
  `skein: without effect: ${oneLine(keys.join(', '), 400)}; settings are the daemon's, which others share: skein restart${home} --set KEY.PATH=VALUE`;

/** The daemon gives these codes without words. */
const REASONS: Readonly<Record<number, string>> = {
  1007: 'a line was not UTF-8',
  1008: 'a line came in too many pieces',
  1009: 'a line was longer than a message may be',
};

/** @throws CliError that says how the daemon went */
function exitCodeOf(end: BridgeEnd, log: string, home: string): ExitCode {
  if (end.by === 'client') return EXIT.ok;
  const { code, reason } = end;
  const why = reason === '' ? REASONS[code ?? 0] : reason;
  const how =
    code === null
      ? 'the connection to the daemon was lost'
      : `the daemon has ended this${why === undefined ? '' : `: ${why}`} (${code})`;
  throw new CliError(EXIT.failure, `${how}; threads are kept; see skein status${home}, and ${log}`);
}
