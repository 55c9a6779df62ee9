import { Bridge, type BridgeEnd } from '../bridge.ts';
import type { Command, OptionSpec } from '../command.ts';
import { ensureDaemon } from '../ensure-daemon.ts';
import { CliError, EXIT, usageError, type ExitCode } from '../exit-code.ts';
import { homeHint } from '../hints.ts';

const SETTINGS_REFUSAL = 'settings are those of the daemon, which many clients share; see skein start --help';

const refused = (type: OptionSpec['type'], short?: string): OptionSpec => ({
  type,
  isMultiple: true,
  help: '',
  refusal: SETTINGS_REFUSAL,
  ...(short === undefined ? {} : { short }),
});

/** `skein app-server`. */
export const appServerCommand: Command = {
  name: 'app-server',
  summary: 'the protocol on standard input and output, as of codex app-server; starts the daemon if need be',
  details:
    'For clients that start their server themselves: one JSON message per line, both ways. Everything goes to the\n' +
    'daemon, where threads and turns go on when the client closes standard input and this ends.',
  arguments: [],
  isProtocol: true,
  options: {
    'no-start': { type: 'boolean', help: 'end with exit code 3 if no daemon runs' },
    listen: { type: 'string', value: 'URL', help: 'stdio:// and nothing else, for those who say it' },
    stdio: { type: 'boolean', help: 'what it does anyway' },
    'analytics-default-enabled': { type: 'boolean', help: 'taken, and means nothing: Skein sends none' },
    config: refused('string', 'c'),
    enable: refused('string'),
    disable: refused('string'),
  },
  run: async ({ flag, text }) => {
    const listen = text('listen') ?? 'stdio://';
    if (listen !== 'stdio://') {
      throw usageError(
        `app-server does not listen on ${listen}, only on stdio://; the daemon does: skein start --listen ${listen}`,
      );
    }
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
