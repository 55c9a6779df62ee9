import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { SKEIN } from './daemon.ts';
import type { Json } from './rpc-client.ts';

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output as one JSON value. */
  readonly json: Json;
  /** Standard output as JSON values, one per line. */
  readonly lines: readonly Json[];
}

/** Runs the `skein` command to its end, with a home of its own in the environment and nothing on its input. */
export async function skein(home: string, args: readonly string[], input = ''): Promise<CommandResult> {
  const child = spawn(process.execPath, [SKEIN, ...args], { env: { ...process.env, SKEIN_HOME: home } });
  child.stdin.end(input);
  const [stdout, stderr, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve) => child.on('close', resolve)),
  ]);
  return {
    code,
    stdout,
    stderr,
    get json() {
      return JSON.parse(stdout);
    },
    get lines() {
      return stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line));
    },
  };
}

/** Starts a background daemon on a home, which is stopped when the test ends. */
export async function startInBackground(home: string, args: readonly string[] = []): Promise<CommandResult> {
  onTestFinished(async () => {
    await skein(home, ['stop', '--now']);
  });
  return skein(home, ['start', ...args]);
}
