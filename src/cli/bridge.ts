import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { CLOSE_NORMAL, closeFrame, FrameReader, LinesToMessages, pongFrame } from './websocket-frames.ts';

export interface BridgeOptions {
  /** Lines of the client. */
  readonly input: Readable;
  /** Lines for the client. */
  readonly output: Writable;
  /** A WebSocket of the daemon, open and paused. */
  readonly socket: Socket;
  /** Ends the bridge as if its client had left. */
  readonly signal: AbortSignal;
  /** While its client does not read, the daemon hears this often that it is there, ms. */
  readonly signOfLifeMs?: number;
  /** What is on its way when the client leaves is given this long, ms. */
  readonly endTimeoutMs?: number;
}

/** Who ended it. */
export type BridgeEnd =
  | { readonly by: 'client' }
  /** @property code as the daemon gave it; null if it was cut off */
  | { readonly by: 'daemon'; readonly code: number | null; readonly reason: string };

/** Half of what the daemon takes for silence. */
const SIGN_OF_LIFE_MS = 10_000;

const END_TIMEOUT_MS = 3_000;

const NEWLINE = Buffer.from('\n');

/**
 * Carries lines to a daemon as text messages, and its messages back as lines, until either side leaves. It knows
 * nothing of what they say and holds no more than a piece of a line: who does not read stops the other one's reading.
 */
export class Bridge {
  readonly #options: Required<BridgeOptions>;
  readonly #lines = new LinesToMessages();
  readonly #reader: FrameReader;
  #signsOfLife: NodeJS.Timeout | undefined;
  #endTimer: NodeJS.Timeout | undefined;
  #end: BridgeEnd | undefined;
  #isOutputBroken = false;

  private constructor(options: BridgeOptions) {
    this.#options = { signOfLifeMs: SIGN_OF_LIFE_MS, endTimeoutMs: END_TIMEOUT_MS, ...options };
    const { socket } = options;
    this.#reader = new FrameReader({
      onText: (piece, isLast) => this.#tell(piece, isLast),
      onPing: (payload) => void socket.write(pongFrame(payload)),
      onClose: (code, reason) => {
        this.#end ??= { by: 'daemon', code, reason };
        // The other half of the handshake, if it is still to be given.
        socket.end(closeFrame(CLOSE_NORMAL));
      },
    });
  }

  /** Resolves when one side has left and the client has what came for it. The input is closed then. */
  static async run(options: BridgeOptions): Promise<BridgeEnd> {
    const bridge = new Bridge(options);
    await bridge.#carry();
    await bridge.#flush();
    return bridge.#end ?? { by: 'daemon', code: null, reason: '' };
  }

  async #carry(): Promise<void> {
    const { input, output, socket, signal } = this.#options;
    const leave = (): void => this.#leave();
    const breakOff = (): void => {
      this.#isOutputBroken = true;
      this.#leave();
      this.#readOn();
    };
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    // Stays: what is written to the end must not fail the process.
    output.on('error', breakOff);
    output.on('drain', () => this.#readOn());
    socket.on('drain', () => input.resume());
    socket.on('data', (chunk: Buffer) => this.#fromDaemon(chunk));
    input.on('data', (chunk: Buffer) => this.#fromClient(chunk));
    input.once('end', leave);
    input.once('error', leave);
    input.once('close', leave);
    signal.addEventListener('abort', leave);
    if (signal.aborted) leave();
    socket.resume();
    try {
      await closed;
    } finally {
      signal.removeEventListener('abort', leave);
      clearInterval(this.#signsOfLife);
      clearTimeout(this.#endTimer);
      this.#end ??= { by: 'daemon', code: null, reason: '' };
      input.destroy();
    }
  }

  #fromClient(chunk: Buffer): void {
    if (this.#end !== undefined) return;
    if (!this.#write(this.#lines.push(chunk))) this.#options.input.pause();
  }

  #fromDaemon(chunk: Buffer): void {
    const { output, socket, signOfLifeMs } = this.#options;
    output.cork();
    this.#reader.push(chunk);
    output.uncork();
    if (!output.writableNeedDrain || this.#isOutputBroken || socket.isPaused()) return;
    socket.pause();
    // Pings are not read either, and slow is not gone.
    this.#signsOfLife = setInterval(() => void socket.write(pongFrame()), signOfLifeMs);
  }

  #readOn(): void {
    clearInterval(this.#signsOfLife);
    this.#options.socket.resume();
  }

  #tell(piece: Buffer, isLast: boolean): void {
    const { output } = this.#options;
    if (this.#isOutputBroken) return;
    if (piece.length > 0) output.write(piece);
    if (isLast) output.write(NEWLINE);
  }

  #leave(): void {
    if (this.#end !== undefined) return;
    const { socket, endTimeoutMs } = this.#options;
    this.#end = { by: 'client' };
    this.#write([...this.#lines.end(), closeFrame(CLOSE_NORMAL)]);
    this.#endTimer = setTimeout(() => socket.destroy(), endTimeoutMs);
  }

  /** @returns false if the socket has enough for now */
  #write(pieces: readonly Buffer[]): boolean {
    const { socket } = this.#options;
    socket.cork();
    for (const piece of pieces) socket.write(piece);
    socket.uncork();
    return !socket.writableNeedDrain;
  }

  /** Waits until the client has read what it was given, or is not going to. */
  async #flush(): Promise<void> {
    const { output, endTimeoutMs } = this.#options;
    if (this.#isOutputBroken || output.writableLength === 0) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        output.off('error', done);
        resolve();
      };
      const timer = setTimeout(done, endTimeoutMs);
      output.once('error', done);
      output.write('', done);
    });
  }
}
