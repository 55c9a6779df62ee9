import { COMMON_OPTIONS, type Command, type OptionSpec } from './command.ts';

/** The help of the whole command. */
export function overview(commands: readonly Command[], version: string): string {
  const width = Math.max(...commands.map((command) => synopsis(command).length));
  return [
    `skein ${version}: the thread daemon for coding agents`,
    '',
    'usage: skein COMMAND [OPTIONS]',
    '',
    ...commands.map((command) => `  ${synopsis(command).padEnd(width)}  ${command.summary}`),
    '',
    'Every command takes --home DIR, --json and --help.',
    'Exit codes: 0 done, 1 failed, 2 bad request, 3 no daemon runs, 4 not found, 5 held by someone else, 130 Ctrl-C.',
    '',
  ].join('\n');
}

/** The help of a word that several commands begin with, as in `skein thread --help`. */
export function groupHelp(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((command) => synopsis(command).length));
  return [
    ...commands.map((command) => `  ${synopsis(command).padEnd(width)}  ${command.summary}`),
    '',
    'Each takes --help.',
    '',
  ].join('\n');
}

/** The help of one command. */
export function commandHelp(command: Command): string {
  const options = Object.entries({ ...command.options, ...COMMON_OPTIONS }).filter(
    ([, { refusal }]) => refusal === undefined,
  );
  const names = options.map(([name, spec]) => optionName(name, spec));
  const width = Math.max(...names.map((name) => name.length));
  return [
    `usage: skein ${synopsis(command)} [OPTIONS]${command.passesOn === undefined ? '' : ` [-- ${command.passesOn}...]`}`,
    '',
    command.summary,
    ...(command.details === undefined ? [] : ['', command.details]),
    '',
    ...options.map(([, spec], index) => `  ${(names[index] ?? '').padEnd(width)}  ${spec.help}`),
    '',
  ].join('\n');
}

const synopsis = ({ name, arguments: specs }: Command): string =>
  [name, ...specs.map((spec) => (spec.isOptional === true ? `[${spec.name}]` : spec.name))].join(' ');

const optionName = (name: string, { short, value, isMultiple }: OptionSpec): string =>
  `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}${isMultiple === true ? ' ...' : ''}`;
