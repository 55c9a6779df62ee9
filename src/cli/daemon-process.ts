import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { daemonFiles, type DaemonInfo } from '../domain/daemon-files.ts';
import { errnoOf } from '../domain/errors.ts';
import { DaemonClient } from './daemon-client.ts';
import { CliError, EXIT } from './exit-code.ts';
import { progress } from './output.ts';

/** How long a daemon may take to be ready, or to be gone beyond what it may take for its turns. */
const START_TIMEOUT_MS = 60_000;

/** Between looks at whether a daemon is there or gone. */
const LOOK_INTERVAL_MS = 20;

/** Said when something takes longer than people expect. */
const PATIENCE_MS = 1_500;

/**
 * Starts a daemon of its own session and waits until it answers `initialize`. If another one of the same home was
 * quicker, that one is it.
 * @param home absolute
 * @throws CliError with what the daemon said, if it ends instead
 */
export async function startDaemon(home: string, runArguments: readonly string[]): Promise<DaemonInfo> {
  const files = daemonFiles(home);
  mkdirSync(files.folder, { recursive: true, mode: 0o700 });
  const child = launch(files.output, ['run', '--home', home, ...runArguments]);
  let exitCode: number | undefined;
  child.once('exit', (code, signal) => (exitCode = code ?? (signal === null ? EXIT.failure : EXIT.interrupted)));
  const startedAt = Date.now();
  let hasSpoken = false;
  while (Date.now() - startedAt < START_TIMEOUT_MS) {
    // One that has just begun may be slow for once.
    const client = await DaemonClient.find(home).catch(() => undefined);
    if (client !== undefined) {
      await client.close();
      child.unref();
      return client.info;
    }
    // One that found the home taken leaves it to the other, which may still be on its way.
    if (exitCode !== undefined && exitCode !== EXIT.conflict) {
      throw new CliError(EXIT.failure, `the daemon did not start:\n${tail(files.output)}`);
    }
    if (!hasSpoken && Date.now() - startedAt > PATIENCE_MS) {
      progress('waiting for the daemon to answer');
      hasSpoken = true;
    }
    await delay(LOOK_INTERVAL_MS);
  }
  throw new CliError(
    EXIT.failure,
    `the daemon did not answer within ${START_TIMEOUT_MS / 1_000} s; see ${files.log}\n${tail(files.output)}`,
  );
}

/**
 * Asks a daemon to end and waits until it has.
 * @param isNow running turns are interrupted instead of waited for
 * @throws CliError if it is still there after the time given
 */
export async function stopDaemon({ pid }: DaemonInfo, isNow: boolean, timeoutMs: number): Promise<void> {
  signalTo(pid, 'SIGTERM');
  const startedAt = Date.now();
  let [hasSpoken, hasHurried] = [false, false];
  while (isAlive(pid)) {
    const waitedMs = Date.now() - startedAt;
    if (waitedMs > timeoutMs) {
      throw new CliError(EXIT.failure, `the daemon (pid ${pid}) has not ended within ${timeoutMs / 1_000} s`);
    }
    if (isNow && !hasHurried && waitedMs >= LOOK_INTERVAL_MS) {
      // The second one, which must not melt together with the first.
      signalTo(pid, 'SIGTERM');
      hasHurried = true;
    }
    if (!hasSpoken && waitedMs > PATIENCE_MS) {
      progress(isNow ? 'waiting for the daemon to end' : 'waiting for running turns to end (--now interrupts them)');
      hasSpoken = true;
    }
    await delay(LOOK_INTERVAL_MS);
  }
}

function launch(outputPath: string, args: readonly string[]): ChildProcess {
  const [, script = ''] = process.argv;
  // Begun anew, or it would grow from start to start. Another start may do that while this daemon still prints: so each
  // of its words goes where the end is then, and leaves no hole before it.
  const { O_WRONLY, O_CREAT, O_TRUNC, O_APPEND } = constants;
  const output = openSync(outputPath, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0o600);
  try {
    return spawn(process.execPath, [...process.execArgv, script, ...args], {
      // Not where it was started from: that folder may be meant to go.
      cwd: homedir(),
      detached: true,
      stdio: ['ignore', output, output],
    });
  } finally {
    closeSync(output);
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH') throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  return !isZombie(pid);
}

/** Ended, but its parent has not asked how: in containers often nobody ever does. */
function isZombie(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z');
  } catch {
    return false;
  }
}

function tail(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim().split('\n').slice(-20).join('\n');
  } catch {
    return '';
  }
}
