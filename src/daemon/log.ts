import { closeSync, existsSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import pino, { type Logger } from 'pino';
import type { Config } from './config.ts';
import { fittingLine } from './log-line.ts';

/** A longer line is cut: whoever looks at the end of a log should find more than one. */
const MAX_LINE_BYTES = 64 * 1024;

/** Where log lines go. */
export interface LogTarget {
  write(line: string): void;
  close(): void;
}

/**
 * A log file that never grows beyond its bound (F16): at the limit it is set aside as `.1`, older ones move up, and
 * those beyond the number that is kept go. A line that is too long is cut. Lines are written at once, so that a killed daemon has said what it said. A disk that takes
 * no more lines is no reason to stop; when it does again, lines go on, each on its own.
 */
export class RotatingFile implements LogTarget {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #keptFiles: number;
  /** Undefined once closed, and while the next file cannot be opened: its number may be another file's by then. */
  #fd: number | undefined;
  #isClosed = false;
  /** The last line is there only in part. */
  #isTorn = false;
  #size: number;

  constructor(path: string, maxBytes: number, keptFiles: number) {
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#keptFiles = keptFiles;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#fd = openSync(path, 'a', 0o600);
    this.#size = fstatSync(this.#fd).size;
  }

  write(line: string): void {
    if (this.#isClosed) return;
    try {
      const fitting = fittingLine(line, Math.min(MAX_LINE_BYTES, this.#maxBytes));
      const isFull = this.#size > 0 && this.#size + Buffer.byteLength(fitting) > this.#maxBytes;
      if (isFull) this.#rotate();
      const bytes = Buffer.from(this.#isTorn ? `\n${fitting}` : fitting);
      const written = writeSync((this.#fd ??= openSync(this.#path, 'a', 0o600)), bytes);
      this.#size += written;
      if (written > 0) this.#isTorn = written < bytes.length;
    } catch {
      // Nothing can be said about a log that cannot be written.
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#letGo();
  }

  #letGo(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #rotate(): void {
    this.#letGo();
    // More than one, if fewer are to be kept than before.
    for (let index = Math.max(1, this.#keptFiles); existsSync(`${this.#path}.${index}`); index += 1) {
      rmSync(`${this.#path}.${index}`);
    }
    for (let index = this.#keptFiles - 1; index >= 1; index -= 1) {
      if (existsSync(`${this.#path}.${index}`)) renameSync(`${this.#path}.${index}`, `${this.#path}.${index + 1}`);
    }
    if (this.#keptFiles > 0) renameSync(this.#path, `${this.#path}.1`);
    else rmSync(this.#path, { force: true });
    this.#size = 0;
    this.#isTorn = false;
  }
}

/** A logger over a target. Tokens and headers that may carry one never get there. */
export const createLogger = (level: Config['log']['level'], target: LogTarget): Logger =>
  pino({ level, base: { pid: process.pid }, redact: ['token', 'authorization', '*.authorization'] }, target);
