import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { onTestFinished } from 'vitest';

/** A process that a test has started; killed when the test ends, if it is still there. */
export interface Running {
  readonly child: ChildProcess;
  /** What it has said on both its outputs. */
  readonly output: () => string;
  /** The first match in what it says. @throws if it ends before */
  said(pattern: RegExp): Promise<RegExpExecArray>;
  /** Sends a signal and waits for the end. @returns exit code, or the signal that ended it */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
  readonly exited: Promise<number | NodeJS.Signals | null>;
}

/** Says what is to be done at an end: of the test, unless someone shares what is started among several. */
export type WhenDone = (cleanUp: () => void | Promise<void>) => void;

export function start(
  command: string,
  args: readonly string[],
  options: SpawnOptions = {},
  whenDone: WhenDone = onTestFinished,
): Running {
  const child = spawn(command, [...args], { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let text = '';
  const listeners = new Set<() => void>();
  const hear = (chunk: Buffer): void => {
    text += chunk.toString('utf8');
    for (const listener of listeners) listener();
  };
  child.stdout?.on('data', hear);
  child.stderr?.on('data', hear);
  const exited = once(child, 'close').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals | null);
  whenDone(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await exited;
  });
  return {
    child,
    output: () => text,
    exited,
    said: (pattern) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(text);
          if (match === null) return;
          listeners.delete(look);
          resolve(match);
        };
        listeners.add(look);
        look();
        void exited.then((code) => reject(new Error(`ended with ${code} before it said ${pattern}:\n${text}`)));
      }),
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal);
      return exited;
    },
  };
}

/** Whether a process runs, whoever started it. */
export const isAlive = (pid: number): boolean => {
  try {
    // One that has ended is listed until it is collected, and nobody may collect orphans.
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};
