import { open, stat, type FileHandle } from 'node:fs/promises';
import { watch } from 'node:fs';
import { dirname } from 'node:path';
import { daemonFiles, resolveHome } from '../../domain/daemon-files.ts';
import { isJsonObject, numberMember, objectMember, stringMember } from '../../domain/json.ts';
import type { Command } from '../command.ts';
import { CliError, EXIT } from '../exit-code.ts';
import { untilInterrupted } from '../interrupt.ts';
import { printable, writeOut } from '../output.ts';

const DEFAULT_LINES = 50;

/** Read from the end of the log to find the last lines. */
const TAIL_BYTES = 256 * 1024;

/** `skein logs`. */
export const logsCommand: Command = {
  name: 'logs',
  summary: "show the daemon's log",
  arguments: [],
  options: {
    lines: { type: 'string', short: 'n', value: 'N', help: `so many of the last lines; default: ${DEFAULT_LINES}` },
    follow: { type: 'boolean', short: 'f', help: 'and what is added, until Ctrl-C' },
  },
  run: async ({ flag, text, number }) => {
    const { log } = daemonFiles(resolveHome(text('home')));
    const render = flag('json') ? (line: string) => `${line}\n` : readable;
    const handle = await open(log, 'r').catch(() => undefined);
    if (handle === undefined) throw new CliError(EXIT.notFound, `there is no log yet: ${log}`);
    const follower = new Follower(log, handle, render);
    try {
      await follower.showLast(number('lines', 0) ?? DEFAULT_LINES);
      if (!flag('follow')) return EXIT.ok;
      return await follower.follow();
    } finally {
      await follower.close();
    }
  },
};

/** Shows a log as it grows, across the moments when it is begun anew. */
class Follower {
  readonly #path: string;
  readonly #render: (line: string) => string;
  #handle: FileHandle;
  #position = 0;
  #partial = '';

  constructor(path: string, handle: FileHandle, render: (line: string) => string) {
    this.#path = path;
    this.#handle = handle;
    this.#render = render;
  }

  async showLast(count: number): Promise<void> {
    const { size } = await this.#handle.stat();
    this.#position = Math.max(0, size - TAIL_BYTES);
    const isCut = this.#position > 0;
    const lines = (await this.#readNew()).slice(isCut ? 1 : 0);
    for (const line of count === 0 ? [] : lines.slice(-count)) writeOut(this.#render(line));
  }

  async follow(): ReturnType<typeof untilInterrupted> {
    let work = Promise.resolve();
    const watcher = watch(dirname(this.#path), () => {
      work = work.then(() => this.#showNew());
    });
    try {
      await this.#showNew();
      return await untilInterrupted(new Promise<never>(() => {}));
    } finally {
      watcher.close();
      await work;
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #showNew(): Promise<void> {
    for (const line of await this.#readNew()) writeOut(this.#render(line));
    const [now, mine] = await Promise.all([stat(this.#path).catch(() => undefined), this.#handle.stat()]);
    if (now === undefined || now.ino === mine.ino) return;
    await this.#handle.close();
    this.#handle = await open(this.#path, 'r');
    this.#position = 0;
    this.#partial = '';
    await this.#showNew();
  }

  async #readNew(): Promise<readonly string[]> {
    const lines: string[] = [];
    const buffer = Buffer.alloc(64 * 1024);
    for (;;) {
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#position);
      if (bytesRead === 0) return lines;
      this.#position += bytesRead;
      const parts = `${this.#partial}${buffer.toString('latin1', 0, bytesRead)}`.split('\n');
      this.#partial = parts.pop() ?? '';
      // Bytes until a line is whole: a character may lie across two reads.
      lines.push(...parts.map((part) => Buffer.from(part, 'latin1').toString('utf8')));
    }
  }
}

const LEVELS: Readonly<Record<number, string>> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' };

/** A line of the log for people: when, how bad, what, and the rest as it is. */
function readable(line: string): string {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch {
    return `${printable(line)}\n`;
  }
  if (!isJsonObject(entry)) return `${printable(line)}\n`;
  const { time: _time, level: _level, pid: _pid, msg: _msg, err: _err, ...rest } = entry;
  const at = new Date(numberMember(entry, 'time') ?? 0).toISOString();
  const level = LEVELS[numberMember(entry, 'level') ?? 0] ?? '';
  const reason = stringMember(objectMember(entry, 'err') ?? {}, 'message');
  const facts = Object.keys(rest).length === 0 ? '' : ` ${JSON.stringify(rest)}`;
  return printable(
    `${at} ${level.padEnd(5)} ${stringMember(entry, 'msg') ?? ''}${reason === undefined ? '' : `: ${reason}`}${facts}`,
  ).concat('\n');
}
