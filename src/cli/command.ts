import { parseArgs } from 'node:util';
import { invalidHint } from './hints.ts';
import { usageError } from './exit-code.ts';

/** An option of a command. */
export interface OptionSpec {
  readonly type: 'boolean' | 'string';
  readonly short?: string;
  /** May be given more than once. */
  readonly isMultiple?: boolean;
  /** Stands for its value in help texts. */
  readonly value?: string;
  readonly help: string;
  /** Known and not taken: why. Not shown by help. */
  readonly refusal?: string;
}

/** A positional argument. */
export interface ArgumentSpec {
  readonly name: string;
  readonly isOptional?: boolean;
}

/** What a command was called with, checked against its specification. */
export interface Invocation {
  readonly args: readonly string[];
  /** All of it, as it was written. */
  readonly argv: readonly string[];
  /** What stands behind `--`, for commands that pass it on. */
  readonly passedOn: readonly string[];
  readonly flag: (name: string) => boolean;
  readonly text: (name: string) => string | undefined;
  readonly texts: (name: string) => readonly string[];
  /** @throws CliError unless it is a whole number of at least `min` */
  readonly number: (name: string, min: number) => number | undefined;
}

export interface Command {
  /** As it is typed: `thread list`. */
  readonly name: string;
  readonly summary: string;
  /** More than one line needs to say, shown by its help. */
  readonly details?: string;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** Takes words behind `--` for another program: what they are called in help texts. */
  readonly passesOn?: string;
  /**
   * It is started by programs, as they start the peer: options may stand before its name, and its standard output has
   * nothing but the protocol, so that failures are told on standard error.
   */
  readonly isProtocol?: boolean;
  /** Words that the peer takes here and Skein does not: what to do instead. */
  readonly elsewhere?: Readonly<Record<string, string>>;
  /** @returns what the process ends with: one of `EXIT`, or what another program ended with */
  readonly run: (invocation: Invocation) => Promise<number>;
}

/** What every command understands. */
export const COMMON_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  home: {
    type: 'string',
    value: 'DIR',
    help: 'home of the threads; default: $SKEIN_HOME, else ~/.skein. May be one of Codex',
  },
  json: { type: 'boolean', help: 'print JSON: one object, or one per line for streams' },
  help: { type: 'boolean', short: 'h', help: 'show this' },
};

/** Reads a command's arguments. @throws CliError that says which one is wrong */
export function readInvocation(command: Command, argv: readonly string[]): Invocation {
  const specs = { ...command.options, ...COMMON_OPTIONS };
  const { value: word = '' } = firstWord(command, argv) ?? {};
  const instead = command.elsewhere?.[word];
  if (instead !== undefined) throw usageError(`${command.name} has no ${word}: ${instead}`);
  const border = command.passesOn === undefined ? -1 : argv.indexOf('--');
  const [own, passedOn] = border === -1 ? [argv, []] : [argv.slice(0, border), argv.slice(border + 1)];
  const { values, positionals } = parse(command, own);
  for (const [name, { refusal }] of Object.entries(specs)) {
    if (refusal !== undefined && values[name] !== undefined) throw usageError(`--${name} is not taken: ${refusal}`);
  }
  if (values['help'] !== true) assertArguments(command, positionals);
  return {
    args: positionals,
    argv,
    passedOn,
    flag: (name) => values[name] === true,
    text: (name) => (typeof values[name] === 'string' ? values[name] : undefined),
    texts: (name) => (Array.isArray(values[name]) ? values[name].map(String) : []),
    number: (name, min) => {
      const value = values[name];
      if (typeof value !== 'string') return undefined;
      const number = Number(value);
      if (!Number.isSafeInteger(number) || number < min) {
        throw usageError(`--${name} takes a whole number of at least ${min}, not ${value}`);
      }
      return number;
    },
  };
}

/** The first word that is neither an option of the command nor the value of one, and its place. */
export function firstWord(
  command: Command,
  argv: readonly string[],
): { readonly value: string; readonly index: number } | undefined {
  const { tokens } = parseArgs({
    args: [...argv],
    options: optionsOf(command),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  return tokens.find((token) => token.kind === 'positional');
}

type ParseOptions = NonNullable<Parameters<typeof parseArgs>[0]>['options'] & {};

const optionsOf = (command: Command): ParseOptions =>
  Object.fromEntries(
    Object.entries({ ...command.options, ...COMMON_OPTIONS }).map(([name, { type, short, isMultiple }]) => [
      name,
      { type, multiple: isMultiple ?? false, ...(short === undefined ? {} : { short }) },
    ]),
  );

interface Parsed {
  readonly values: Readonly<Record<string, unknown>>;
  readonly positionals: readonly string[];
}

function parse(command: Command, argv: readonly string[]): Parsed {
  try {
    return parseArgs({ args: [...argv], options: optionsOf(command), allowPositionals: true });
  } catch (error) {
    const [sentence] = (error instanceof Error ? error.message : String(error)).split('. ');
    throw usageError(`${sentence}; ${invalidHint(command.name)}`);
  }
}

function assertArguments({ name, arguments: specs }: Command, given: readonly string[]): void {
  const needed = specs.filter((spec) => spec.isOptional !== true);
  if (given.length < needed.length) {
    const missing = needed.slice(given.length).map((spec) => spec.name);
    throw usageError(`${missing.join(' and ')} is missing; ${invalidHint(name)}`);
  }
  if (given.length > specs.length) {
    throw usageError(`too many arguments: ${given.slice(specs.length).join(' ')}; ${invalidHint(name)}`);
  }
}
