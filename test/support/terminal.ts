import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as headless from '@xterm/headless';
import { onTestFinished, vi } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { codexBinary } from './codex-binary.ts';
import { start, type Running } from './process.ts';
import { tempFolder } from './temp-home.ts';

// A CommonJS module whose names Node does not see.
const { Terminal } = createRequire(import.meta.url)('@xterm/headless') as typeof headless;

const ROWS = 40;
const COLUMNS = 120;

/** Longer than anything here takes. */
const PATIENCE_MS = 20_000;

// Several programs take part in such a test, and start anew in it.
vi.setConfig({ testTimeout: 60_000 });

/** A program in a terminal: what a person would see, and the keys that they press. */
export interface TerminalProgram extends Running {
  /** The lines on the screen and above it that are not blank, trimmed at the end. */
  screen(): readonly string[];
  /** Waits until the screen, as one text, fits. @throws with the screen, if that never happens or the program ends */
  sees(what: RegExp | string): Promise<void>;
  /** Waits until something is not to be seen any more. */
  seesNoMore(what: RegExp | string): Promise<void>;
  /** Presses keys. */
  type(keys: string): void;
  /** Waits for the end. @returns the exit code @throws with the screen, if it never comes */
  ends(): Promise<number | NodeJS.Signals | null>;
}

/** Keys that have no letter. */
export const KEY = {
  enter: '\r',
  escape: '\u001b',
  tab: '\t',
  ctrlC: '\u0003',
  ctrlT: '\u0014',
  ctrlU: '\u0015',
  shiftTab: '\u001b[Z',
  up: '\u001b[A',
  down: '\u001b[B',
  right: '\u001b[C',
  f2: '\u001bOQ',
} as const;

export interface TerminalOptions {
  /** Environment besides PATH and TERM. */
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** Runs a shell command line in a pseudo-terminal until the test ends. */
export function startInTerminal(commandLine: string, { env = {}, cwd }: TerminalOptions = {}): TerminalProgram {
  const terminal = new Terminal({ rows: ROWS, cols: COLUMNS, allowProposedApi: true });
  const running = start('script', ['-qefc', `stty rows ${ROWS} cols ${COLUMNS}; exec ${commandLine}`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], TERM: 'xterm-256color', LANG: 'C.UTF-8', ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  const { child } = running;
  const listeners = new Set<() => void>();
  const type = (keys: string): void => void child.stdin?.write(keys);
  child.stdin?.on('error', () => {});
  child.stdout?.on('data', (chunk: Buffer) => {
    terminal.write(chunk, () => {
      for (const listener of listeners) listener();
    });
  });
  // Programs ask the terminal where its cursor is and what it can do; it answers as a person's would.
  terminal.onData(type);
  onTestFinished(() => terminal.dispose());

  const screen = (): readonly string[] => {
    const { active } = terminal.buffer;
    return Array.from({ length: active.length }, (_, row) => active.getLine(row)?.translateToString(true) ?? '').filter(
      (line) => line.trim() !== '',
    );
  };
  const until = (fits: () => boolean, what: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        done();
        reject(new Error(`${what}: ${why}; the screen:\n${screen().join('\n')}`));
      };
      const timer = setTimeout(() => fail(`not within ${PATIENCE_MS} ms`), PATIENCE_MS);
      const done = (): void => {
        clearTimeout(timer);
        listeners.delete(look);
      };
      const look = (): void => {
        if (!fits()) return;
        done();
        resolve();
      };
      listeners.add(look);
      look();
      void running.exited.then((code) => {
        if (listeners.has(look)) terminal.write('', () => (fits() ? look() : fail(`the program ended with ${code}`)));
      });
    });
  const shows = (what: RegExp | string): boolean => {
    const text = screen().join('\n');
    return typeof what === 'string' ? text.includes(what) : what.test(text);
  };
  return {
    ...running,
    screen,
    type,
    sees: (what) => until(() => shows(what), `waiting to see ${what}`),
    seesNoMore: (what) => until(() => !shows(what), `waiting to see no more ${what}`),
    ends: async () => {
      const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
      void running.exited.then(() => terminal.write('', () => listeners.forEach((look) => look())));
      await until(hasEnded, 'waiting for the end');
      return running.exited;
    },
  };
}

/** Words on the screen, wherever its lines are broken. */
export const broken = (words: string): RegExp =>
  new RegExp(words.replaceAll(/[^\w\s]/g, '\\$&').replaceAll(' ', String.raw`\s+`));

/** An answer, and behind it the line that ends its turn. */
export const endOf = (answer: string): RegExp => new RegExp(`${broken(answer).source}\\n(?:.*\\n){0,3} *Worked for`);

/** The terminal program of the real Codex. */
export interface CodexTui extends TerminalProgram {
  /** Resolves when it takes words, and nothing stands in its prompt. */
  isReady(): Promise<void>;
  /** Puts words in as from the clipboard: at once, and not as keys. */
  paste(words: string): void;
  /** Puts words into the empty prompt, and resolves when they stand there. */
  write(words: string): Promise<void>;
  /** Says something, or gives a command. */
  say(words: string): Promise<void>;
  /** Says something to the echo model, and waits for the end of its answer. */
  chat(words: string): Promise<void>;
  /** Ends it as people do. @returns the exit code */
  quit(): Promise<number | NodeJS.Signals | null>;
}

/** Runs the terminal program of the real Codex, of a person who has nothing but it. */
export function startCodexTui(args: readonly string[], options: TerminalOptions = {}): CodexTui {
  const home = join(tempFolder(), 'codex');
  mkdirSync(home, { recursive: true });
  const quoted = [codexBinary(), ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const program = startInTerminal(quoted, { ...options, env: { HOME: home, CODEX_HOME: home, ...options.env } });
  const isReady = (): Promise<void> => program.sees('› Ask Codex to do anything');
  // Letters that come as fast as a program types are taken for a paste that has no end, and Enter for a new line in it.
  const paste = (words: string): void => program.type(`\u001b[200~${words}\u001b[201~`);
  const write = async (words: string): Promise<void> => {
    await isReady();
    paste(words);
    await program.seesNoMore('› Ask Codex to do anything');
    await program.sees(words);
  };
  const say = async (words: string): Promise<void> => {
    await write(words);
    program.type(KEY.enter);
  };
  return {
    ...program,
    isReady,
    paste,
    write,
    say,
    chat: async (words) => {
      await say(words);
      await program.sees(endOf(`${ECHO_MARK} ${words}`));
    },
    quit: async () => {
      await say('/quit');
      return program.ends();
    },
  };
}
