import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as headless from '@xterm/headless';
import { onTestFinished } from 'vitest';
import { codexBinary } from './codex-binary.ts';
import { start, type Running } from './process.ts';
import { tempFolder } from './temp-home.ts';

// A CommonJS module whose names Node does not see.
const { Terminal } = createRequire(import.meta.url)('@xterm/headless') as typeof headless;

const ROWS = 40;
const COLUMNS = 120;

/** Longer than anything here takes. */
const PATIENCE_MS = 30_000;

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
}

/** Keys that have no letter. */
export const KEY = {
  enter: '\r',
  escape: '\u001b',
  tab: '\t',
  ctrlC: '\u0003',
  up: '\u001b[A',
  down: '\u001b[B',
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
  };
}

/** The terminal program of the real Codex, of a person who has nothing but it. */
export function startCodexTui(args: readonly string[], options: TerminalOptions = {}): TerminalProgram {
  const home = join(tempFolder(), 'codex');
  mkdirSync(home, { recursive: true });
  const quoted = [codexBinary(), ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  return startInTerminal(quoted, { ...options, env: { HOME: home, CODEX_HOME: home, ...options.env } });
}
