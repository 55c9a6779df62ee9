import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { delimiter, join } from 'node:path';
import { daemonFiles, type DaemonInfo } from '../../domain/daemon-files.ts';
import type { Command } from '../command.ts';
import { ensureDaemon } from '../ensure-daemon.ts';
import { CliError, EXIT, usageError } from '../exit-code.ts';
import { writeJson, writeOut } from '../output.ts';

/** The variable that the client is told to find the token in. */
const TOKEN_VARIABLE = 'SKEIN_TOKEN';

const CLIENT = 'codex';

/** How to start the client: what to run, and where what it must not show lies. */
interface Connection {
  readonly address: string;
  readonly args: readonly string[];
  /** File of the token that the client needs in its environment; null if none is asked for. */
  readonly tokenFile: string | null;
}

/** `skein connect`. */
export const connectCommand: Command = {
  name: 'connect',
  summary: 'print the line that starts the Codex terminal program against the daemon; starts the daemon if need be',
  details: `With --exec it runs that line. Words behind -- go to ${CLIENT}: skein connect --exec -- resume --last`,
  arguments: [],
  passesOn: 'ARGUMENT',
  options: {
    exec: { type: 'boolean', help: `run ${CLIENT}, and end as it ends` },
    ws: { type: 'boolean', help: 'by WebSocket instead of the Unix socket, with the token if one is asked for' },
    'no-start': { type: 'boolean', help: 'end with exit code 3 if no daemon runs' },
  },
  run: async ({ flag, text, passedOn }) => {
    const program = flag('exec') ? findInPath(CLIENT) : undefined;
    const { info, socket } = await ensureDaemon(text('home'), !flag('no-start'));
    socket.destroy();
    const words = withFolder(passedOn);
    const connection = flag('ws') ? byWebSocket(info, words) : byUnixSocket(info, words);
    if (program !== undefined) return execute(program, connection);
    const line = commandLine(connection);
    const { address, args, tokenFile } = connection;
    if (flag('json')) {
      const tokenVariable = tokenFile === null ? null : TOKEN_VARIABLE;
      writeJson({ command: [CLIENT, ...args], address, tokenVariable, tokenFile, line });
    } else writeOut(`${line}\n`);
    return EXIT.ok;
  },
};

/** The client works where its user stands, unless it is told otherwise: by itself it would take the daemon's folder. */
const withFolder = (args: readonly string[]): readonly string[] =>
  args.some((word) => /^(-C|--cd$|--cd=)/.test(word)) ? args : ['--cd', process.cwd(), ...args];

function byUnixSocket({ socket }: DaemonInfo, args: readonly string[]): Connection {
  const address = `unix://${socket}`;
  return { address, args: ['--remote', address, ...args], tokenFile: null };
}

function byWebSocket({ listen, auth, home }: DaemonInfo, args: readonly string[]): Connection {
  const address = listen.find((one) => one.startsWith('ws:'));
  if (address === undefined) throw usageError('the daemon does not listen on a WebSocket address; leave out --ws');
  const remote = ['--remote', address];
  return auth === 'none'
    ? { address, args: [...remote, ...args], tokenFile: null }
    : {
        address,
        args: [...remote, '--remote-auth-token-env', TOKEN_VARIABLE, ...args],
        tokenFile: daemonFiles(home).token,
      };
}

/** For a shell. The token itself is never shown. */
function commandLine({ args, tokenFile }: Connection): string {
  const token = tokenFile === null ? '' : `${TOKEN_VARIABLE}="$(cat ${quoted(tokenFile)})" `;
  return `${token}${[CLIENT, ...args].map(quoted).join(' ')}`;
}

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** Signals that mean the program, and reach this process alone if they are not sent on. */
const PASSED_SIGNALS = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;

/** Runs the client in this one's place, with its terminal. @returns what it ended with */
async function execute(program: string, { args, tokenFile }: Connection): Promise<number> {
  const token = tokenFile === null ? {} : { [TOKEN_VARIABLE]: readFileSync(tokenFile, 'utf8').trim() };
  const child = spawn(program, [...args], { stdio: 'inherit', env: { ...process.env, ...token } });
  for (const signal of PASSED_SIGNALS) process.on(signal, () => child.kill(signal));
  // Ctrl-C goes to every process of a terminal by itself.
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT');
  });
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new CliError(EXIT.failure, `${program} cannot be run: ${error.message}`)));
    // As shells tell it.
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : osConstants.signals[signal])));
  });
}

/** @throws CliError that says how to get it */
function findInPath(name: string): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const found = folders.map((folder) => join(folder, name)).find(isExecutable);
  if (found !== undefined) return found;
  throw new CliError(EXIT.notFound, `${name} is not in the PATH; to install it: npm install --global @openai/codex`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
