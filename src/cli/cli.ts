import { basename } from 'node:path';
import { EXIT, usageError, type ExitCode } from './exit-code.ts';
import { firstWord, readInvocation, type Command } from './command.ts';
import { commandHelp, groupHelp, overview } from './help.ts';
import { reportFailure, writeOut } from './output.ts';
import { appServerCommand } from './commands/app-server-command.ts';
import { connectCommand } from './commands/connect-command.ts';
import { daemonCommands } from './commands/daemon-commands.ts';
import { debugCommands } from './commands/debug-commands.ts';
import { doctorCommand } from './commands/doctor-command.ts';
import { logsCommand } from './commands/logs-command.ts';
import { runCommand, type RunDaemon } from './commands/run-command.ts';
import { sendCommand } from './commands/send-command.ts';
import { threadCommands } from './commands/thread-commands.ts';
import { watchCommand } from './commands/watch-command.ts';
import { PROTOCOL_VERSION } from '../protocol/protocol-version.ts';
import { VERSION } from '../version.ts';

/** What the command line needs from outside: it is a client like any other and knows no daemon code. */
export interface CliParts {
  readonly runDaemon: RunDaemon;
}

/** Runs one command. Reports failures; never throws. @returns what the process ends with */
export async function runCli(argv: readonly string[], parts: CliParts): Promise<number> {
  const border = argv.indexOf('--');
  let isJson = argv.slice(0, border === -1 ? argv.length : border).includes('--json');
  try {
    const commands = commandsWith(parts);
    if (argv.length === 0 || isHelp(argv[0])) return help(commands, argv.slice(1));
    if (argv[0] === '--version' || argv[0] === '-V') {
      writeOut(`${versionFor(basename(process.argv[1] ?? ''))}\n`);
      return EXIT.ok;
    }
    const group = groupOf(commands, argv[0] ?? '');
    if (group.length > 0 && isHelp(argv[1])) {
      writeOut(groupHelp(group));
      return EXIT.ok;
    }
    const { command, rest } = choose(commands, argv);
    if (command.isProtocol === true) isJson = false;
    const invocation = readInvocation(command, rest);
    if (invocation.flag('help')) {
      writeOut(commandHelp(command));
      return EXIT.ok;
    }
    return await command.run(invocation);
  } catch (error) {
    return reportFailure(error, isJson);
  }
}

const commandsWith = ({ runDaemon }: CliParts): readonly Command[] => [
  runCommand(runDaemon),
  ...daemonCommands,
  connectCommand,
  appServerCommand,
  doctorCommand,
  logsCommand,
  ...threadCommands,
  sendCommand,
  watchCommand,
  ...debugCommands,
];

/** Whoever calls it by the name of the peer wants to know what it may expect of the protocol. */
const versionFor = (name: string): string =>
  name === 'codex' ? `codex-cli ${PROTOCOL_VERSION} (skein ${VERSION})` : VERSION;

const isHelp = (word: string | undefined): boolean => word === 'help' || word === '--help' || word === '-h';

function help(commands: readonly Command[], words: readonly string[]): ExitCode {
  const known = commands.find(({ name }) => name === words.join(' '));
  const group = groupOf(commands, words.join(' '));
  if (known !== undefined) writeOut(commandHelp(known));
  else writeOut(group.length > 0 ? groupHelp(group) : overview(commands, VERSION));
  return EXIT.ok;
}

/** The commands whose name has this word and another one. */
const groupOf = (commands: readonly Command[], word: string): readonly Command[] =>
  commands.filter(({ name }) => name.startsWith(`${word} `));

/** The command that the words begin with: the longest name wins. */
function choose(
  commands: readonly Command[],
  argv: readonly string[],
): { readonly command: Command; readonly rest: readonly string[] } {
  for (const length of [2, 1]) {
    const name = argv.slice(0, length).join(' ');
    const command = commands.find((candidate) => candidate.name === name);
    if (command !== undefined) return { command, rest: argv.slice(length) };
  }
  for (const command of commands) {
    const word = command.isProtocol === true ? firstWord(command, argv) : undefined;
    if (word?.value === command.name) return { command, rest: argv.toSpliced(word.index, 1) };
  }
  const [word = ''] = argv;
  const related = groupOf(commands, word).map(({ name }) => name);
  if (related.length > 0) throw usageError(`skein ${word} needs one of: ${related.join(', ')}`);
  throw usageError(`there is no command ${word}; see skein help`);
}
