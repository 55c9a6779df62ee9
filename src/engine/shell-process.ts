import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { userInfo } from 'node:os';
import { basename } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { messageOf } from '../domain/errors.ts';
import { OutputExcerpt } from './output-excerpt.ts';

export interface ShellRequest {
  /** Program and arguments. */
  readonly argv: readonly [string, ...string[]];
  /** Absolute. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Ms until it is ended. */
  readonly timeoutMs: number;
  /** Bytes of output that are kept. */
  readonly maxOutputBytes: number;
  /** Called with what it says, whole characters, in order, in pieces that came together. */
  readonly onOutput: (text: string) => void;
}

/** How a command ended. */
export interface ShellResult {
  /** -1 if it did not end by itself. */
  readonly exitCode: number;
  /** What it said on both channels, in order of coming: beginning and end if it was too much. */
  readonly output: string;
  /** Why it did not end by itself; null if it did. */
  readonly failure: string | null;
}

/** Output that comes within this time is told as one. */
const TOGETHER_MS = 30;

/** So much of it is told at once, without waiting for more. */
const TOGETHER_BYTES = 8_192;

/** Beyond it nothing more is told while the command runs; the end shows what is kept. */
const MAX_TOLD_BYTES = 1_048_576;

/** How long output is waited for when the command itself has ended: something in the background may hold it open. */
const DRAIN_MS = 2_000;

/** How long a command has to end by itself when it is asked to. */
const KIND_MS = 1_000;

/**
 * Becomes the program that it is given, in whose group it leaves a guard behind: one who waits for a line on descriptor 3
 * and, if the other end is closed without one, ends the group. Being in it, it needs no number, which by then might be
 * another group's.
 */
const GUARDED = `
(trap '' TERM; read -r _ <&3 || { kill -TERM 0; sleep ${KIND_MS / 1_000}; kill -KILL 0; }) </dev/null >/dev/null 2>&1 &
exec "$@" 3<&-`;

/**
 * Runs a program in a process group of its own, without input, to its end. When the signal is aborted, the time is over
 * or this process is gone, however it went, the whole group is ended: asked first, then killed. Never rejects.
 */
export async function runShell(request: ShellRequest, signal: AbortSignal): Promise<ShellResult> {
  if (signal.aborted) return notRun(ABORTED);
  const { argv, cwd, env } = request;
  try {
    const child = spawn('/bin/sh', ['-c', GUARDED, 'sh', ...argv], {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    return await followed(child, request, signal);
  } catch (error) {
    // What cannot even be tried: a NUL in the command, or more of it than the system takes.
    return notRun(`cannot run ${argv[0]}: ${messageOf(error)}`);
  }
}

const notRun = (failure: string): ShellResult => ({ exitCode: -1, output: '', failure });

/** The command is over: what it has left in the background goes on. */
function dismissGuard(child: ChildProcess): void {
  const guard = child.stdio[3] as Socket | undefined;
  guard?.on('error', () => {}).end('\n', () => guard.destroy());
}

async function followed(child: ChildProcess, request: ShellRequest, signal: AbortSignal): Promise<ShellResult> {
  const { argv, timeoutMs, maxOutputBytes, onOutput } = request;
  const excerpt = new OutputExcerpt(maxOutputBytes);
  const teller = new OutputTeller(onOutput);
  // Without descriptors for them there are no pipes.
  const pipes = [child.stdout, child.stderr].filter((pipe) => pipe !== null && pipe !== undefined);
  const closed = Promise.all(
    pipes.map((pipe) => {
      const decoder = new StringDecoder('utf8');
      pipe.on('data', (chunk: Buffer) => {
        excerpt.add(chunk);
        if (!teller.isFull) teller.add(decoder.write(chunk));
      });
      pipe.on('error', () => {});
      return new Promise<void>((resolve) => pipe.once('close', resolve));
    }),
  );
  const timers: NodeJS.Timeout[] = [];
  let reason: string | null = null;
  let giveUp: () => void = () => {};
  const givenUp = new Promise<void>((resolve) => (giveUp = resolve));
  const end = (why: string): void => {
    reason ??= why;
    killGroup(child.pid, 'SIGTERM');
    timers.push(setTimeout(() => killGroup(child.pid, 'SIGKILL'), KIND_MS));
    giveUp();
  };
  const abort = (): void => end(ABORTED);
  signal.addEventListener('abort', abort);
  const timeout = setTimeout(() => end(`command timed out after ${timeoutMs} ms`), timeoutMs);
  const ended = await new Promise<Ending>((resolve) => {
    child.once('error', (error) => resolve({ code: null, failure: `cannot run ${argv[0]}: ${messageOf(error)}` }));
    child.once('exit', (code, by) => resolve({ code, failure: by === null ? null : `command ended by ${by}` }));
  });
  clearTimeout(timeout);
  if (child.pid !== undefined && reason === null) {
    timers.push(setTimeout(giveUp, DRAIN_MS));
    await Promise.race([closed, givenUp]);
  }
  signal.removeEventListener('abort', abort);
  for (const timer of timers) clearTimeout(timer);
  if (reason !== null) {
    // The first of the group may be gone before the others; what they have said until then is there to be read.
    killGroup(child.pid, 'SIGKILL');
    await within(closed, KIND_MS);
  }
  for (const pipe of pipes) pipe.destroy();
  dismissGuard(child);
  teller.flush();
  const failure = reason ?? ended.failure;
  return { exitCode: failure === null ? (ended.code ?? -1) : -1, output: excerpt.text, failure };
}

const ABORTED = 'command aborted by user';

interface Ending {
  readonly code: number | null;
  readonly failure: string | null;
}

function killGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody is left in it.
  }
}

async function within(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}

/** Tells output in pieces that are worth a message each, up to a bound. */
class OutputTeller {
  readonly #tell: (text: string) => void;
  #waiting = '';
  #timer: NodeJS.Timeout | undefined;
  #toldBytes = 0;

  constructor(tell: (text: string) => void) {
    this.#tell = tell;
  }

  /** Nothing more is told. */
  get isFull(): boolean {
    return this.#toldBytes >= MAX_TOLD_BYTES;
  }

  add(text: string): void {
    this.#waiting += text;
    if (this.#waiting.length >= TOGETHER_BYTES) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), TOGETHER_MS);
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#waiting;
    this.#waiting = '';
    if (text === '') return;
    this.#toldBytes += Buffer.byteLength(text);
    this.#tell(text);
  }
}

const SHELLS: ReadonlySet<string> = new Set(['bash', 'zsh', 'sh', 'dash', 'ksh', 'fish']);

/** A command as the login shell of the daemon's user runs it; `sh` if that is none that takes commands. */
export function shellArgv(command: string, shell = userInfo().shell): readonly [string, ...string[]] {
  const program = shell !== null && SHELLS.has(basename(shell)) ? shell : '/bin/sh';
  return [program, '-lc', command];
}

/** What every login has. All else that the daemon was started with is its own, and may be secret or long out of date. */
const PASSED_ON =
  /^(HOME|USER|LOGNAME|SHELL|PATH|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|XDG_[A-Z_]+|DISPLAY|WAYLAND_DISPLAY|DBUS_SESSION_BUS_ADDRESS|SSH_AUTH_SOCK)$/;

/** The environment of a thread's commands: scripts can see from `CODEX_THREAD_ID` whose they are. */
export function shellEnvironment(
  threadId: string,
  from: NodeJS.ProcessEnv = process.env,
): Readonly<Record<string, string>> {
  const passedOn = Object.entries(from).flatMap(([name, value]) =>
    value !== undefined && PASSED_ON.test(name) ? [[name, value] as const] : [],
  );
  return { ...Object.fromEntries(passedOn), CODEX_THREAD_ID: threadId };
}
