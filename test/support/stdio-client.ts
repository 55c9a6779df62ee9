import { EventEmitter } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { SKEIN } from './daemon.ts';
import { start, type Running } from './process.ts';
import { RpcClient, type RpcClientOptions } from './rpc-client.ts';

/** A client that has started its server itself and talks to it by lines, as plugins of editors do. */
export interface StdioClient extends Running {
  readonly rpc: RpcClient;
  /** Everything on standard output, as it came. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  /** Writes to standard input as it is. */
  readonly write: (text: string | Buffer) => void;
  /** Closes standard input. @returns exit code, or the signal that ended the process */
  readonly leave: () => Promise<number | NodeJS.Signals | null>;
}

/** Starts a program whose standard input and output speak the protocol; introduces itself unless told not to. */
export async function startStdio(
  command: string,
  args: readonly string[],
  options: RpcClientOptions & { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Promise<StdioClient> {
  const { env = process.env, cwd } = options;
  const running = start(command, args, { stdio: 'pipe', env, ...(cwd === undefined ? {} : { cwd }) });
  const { child } = running;
  const lines = new Lines((text) => void child.stdin?.write(text));
  let [stdout, stderr] = ['', ''];
  child.stdin?.on('error', () => {});
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString('latin1');
    lines.take(chunk);
  });
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString('utf8')));
  void running.exited.then(() => lines.end());
  // What a test looks for may stand in its last output.
  onTestFinished(async () => {
    child.stdin?.destroy();
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await running.exited;
  });
  const rpc = RpcClient.over(lines as unknown as WebSocket);
  if (options.isInitialized !== false) await rpc.introduce(options);
  return {
    ...running,
    rpc,
    stdout: () => Buffer.from(stdout, 'latin1').toString('utf8'),
    stderr: () => stderr,
    write: (text) => void child.stdin?.write(text),
    leave: () => {
      child.stdin?.end();
      return running.exited;
    },
  };
}

/** `skein app-server` on a home. */
export const startBridge = (
  home: string,
  args: readonly string[] = [],
  options: Parameters<typeof startStdio>[2] = {},
): Promise<StdioClient> => startStdio(process.execPath, [SKEIN, 'app-server', '--home', home, ...args], options);

/** Environment and folder of a Codex that has nothing but its home. */
export function aloneWith(codexHome: string): { readonly env: NodeJS.ProcessEnv; readonly cwd: string } {
  mkdirSync(join(codexHome, 'user'), { recursive: true });
  const env = { PATH: process.env['PATH'], HOME: join(codexHome, 'user'), CODEX_HOME: codexHome };
  return { env, cwd: codexHome };
}

/** Lines in the place of a WebSocket. */
class Lines extends EventEmitter {
  readyState: number = WebSocket.OPEN;
  readonly #write: (text: string) => void;
  #partial: Buffer[] = [];

  constructor(write: (text: string) => void) {
    super();
    this.#write = write;
  }

  send(text: string): void {
    this.#write(`${text}\n`);
  }

  take(chunk: Buffer): void {
    let from = 0;
    for (let newline = chunk.indexOf(10); newline !== -1; newline = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...this.#partial, chunk.subarray(from, newline)]);
      this.#partial = [];
      from = newline + 1;
      this.emit('message', line);
    }
    this.#partial.push(chunk.subarray(from));
  }

  end(): void {
    this.readyState = WebSocket.CLOSED;
    this.emit('close');
  }
}
