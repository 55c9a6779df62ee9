import { AsyncLocalStorage } from 'node:async_hooks';
import fs, { closeSync, constants, existsSync, fstatSync, writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { dirname } from 'node:path';
import { setImmediate as nextTick } from 'node:timers/promises';
import { posix } from '../../../src/store/local/files.ts';
import type { CallOrder } from './call-order.ts';

/** A change of a folder's entries: what is done under which names. */
export type NameChange =
  | { readonly kind: 'create'; readonly path: string; readonly file: number }
  | { readonly kind: 'mkdir' | 'unlink'; readonly path: string }
  | { readonly kind: 'rename' | 'link'; readonly path: string; readonly to: string };

/** A change of what is in a file. */
export type DataChange =
  | { readonly kind: 'write'; readonly file: number; readonly position: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly file: number; readonly size: number };

/** What is on stable storage from here on: what stands in the log before `covered`, of this file or folder. */
export type Sync =
  | { readonly kind: 'syncFile'; readonly file: number; readonly covered: number }
  | { readonly kind: 'syncFolder'; readonly path: string; readonly covered: number };

export type LogEntry = NameChange | DataChange | Sync;

/** Calls whose work can be left out, to see that it is missed; of a cut: nothing else has happened to the file since it was made shorter. */
export type Swallowed = (call: 'fsync' | 'fdatasync', path: string, isOfCut: boolean) => boolean;

/** A call that a disk refuses; half of a write is done before. */
export type Refused = 'write' | 'ftruncate' | 'fdatasync';

type Call = (...args: readonly unknown[]) => Promise<unknown>;

/** Locks die with whoever holds them: what is left of them is nothing. */
const isLock = (path: string): boolean => path.endsWith('.lock') || path.includes('/thread-writer-locks');

/** Changes and syncs as they were done, oldest first. */
export interface DiskLog {
  readonly entries: readonly LogEntry[];
  /**
   * Lets those who work on the disk make so many changes more while something is done, and none after that: they are
   * dead then, and their descriptors closed. @returns false if it was done before
   */
  dieAfter(changes: number, work: () => Promise<unknown>): Promise<boolean>;
  /** Resolves when whoever starts something beside what is under way has their turn. */
  turn(): Promise<void>;
  /** Refuses the next call of each of these kinds on one file while something is done, one after the other. */
  refusing(path: string, calls: readonly Refused[], work: () => Promise<unknown>): Promise<unknown>;
}

export interface RecordingOptions {
  /** Left out: nothing. */
  readonly swallowed?: Swallowed | undefined;
  /** Of calls that are under way at the same time; left out: that of the kernel. */
  readonly order?: CallOrder | undefined;
}

/**
 * Notes every change that the stores of this process make to a disk, in the order in which they were done, and every
 * sync, while `work` runs. Nothing is really synced: that would only take time.
 */
export async function recordingDisk<T>(
  work: (log: DiskLog) => Promise<T>,
  { swallowed = () => false, order }: RecordingOptions = {},
): Promise<T> {
  const calls = posix as unknown as Record<string, Call>;
  const original = { ...calls };
  const { linkSync, mkdirSync } = fs;
  const recorder = new Recorder(original, swallowed, order);
  Object.assign(calls, order === undefined ? recorder.calls : recorder.callsInTurn);
  // What is not done through `posix`.
  fs.linkSync = (from, to) => recorder.link(String(from), String(to), () => linkSync(from, to));
  fs.mkdirSync = ((path: string, how: never) => recorder.makeFolders(path, () => mkdirSync(path, how))) as never;
  syncBuiltinESMExports();
  try {
    return await work(recorder);
  } finally {
    Object.assign(calls, original);
    Object.assign(fs, { linkSync, mkdirSync });
    syncBuiltinESMExports();
  }
}

/** What is to be refused of a file. */
interface Refusals {
  readonly path: string;
  readonly calls: readonly Refused[];
}

const NOTHING: Refusals = { path: '', calls: [] };

/** What a descriptor leads to: a file with its number in the log, a folder, or what is of no interest. */
interface Opened {
  readonly path: string;
  readonly file: number | undefined;
}

class Recorder implements DiskLog {
  readonly entries: LogEntry[] = [];
  /** Of the process that works on the disk: when it is dead, what it had called comes to no end, and what it calls. */
  readonly #lives = new AsyncLocalStorage<{ isOver: boolean }>();
  #left = Number.POSITIVE_INFINITY;
  #die = (): void => {};
  readonly #original: Record<string, Call>;
  readonly #swallowed: Swallowed;
  #refused: Refusals = NOTHING;
  readonly #order: CallOrder | undefined;
  readonly #open = new Map<number, Opened>();
  /** Files by their number on the disk, which is given away again when one is gone. */
  readonly #files = new Map<number, number>();
  readonly #sizes: number[] = [];

  constructor(original: Record<string, Call>, swallowed: Swallowed, order: CallOrder | undefined) {
    this.#original = original;
    this.#swallowed = swallowed;
    this.#order = order;
  }

  async dieAfter(changes: number, work: () => Promise<unknown>): Promise<boolean> {
    const died = new Promise<true>((resolve) => {
      this.#die = () => resolve(true);
    });
    const life = { isOver: false };
    this.#left = changes;
    const isDead = await Promise.race([died, this.#lives.run(life, work).then(() => false)]);
    this.#left = Number.POSITIVE_INFINITY;
    if (!isDead) return false;
    life.isOver = true;
    this.#refused = NOTHING;
    for (const fd of this.#open.keys()) closeSync(fd);
    this.#open.clear();
    return true;
  }

  async refusing(path: string, calls: readonly Refused[], work: () => Promise<unknown>): Promise<unknown> {
    this.#refused = { path, calls };
    try {
      return await work();
    } finally {
      this.#refused = NOTHING;
    }
  }

  link(path: string, to: string, make: () => void): void {
    make();
    this.entries.push({ kind: 'link', path, to });
  }

  makeFolders<T>(path: string, make: () => T): T {
    const missing: string[] = [];
    for (let folder = path; !existsSync(folder); folder = dirname(folder)) missing.unshift(folder);
    const made = make();
    for (const folder of missing) this.entries.push({ kind: 'mkdir', path: folder });
    return made;
  }

  async turn(): Promise<void> {
    await this.#order?.turn();
    return this.#unlessOver(() => {});
  }

  /** The calls below, each when it has its turn. */
  get callsInTurn(): Record<string, Call> {
    return Object.fromEntries(
      Object.entries(this.calls).map(([name, call]) => [
        name,
        async (...args) => {
          await this.turn();
          return call(...args);
        },
      ]),
    );
  }

  readonly calls: Record<string, Call> = {
    open: async (...args) => {
      const [path, flags] = args as [string, number];
      const isNew = (flags & constants.O_CREAT) !== 0 && !existsSync(path);
      const fd = (await this.#made('open', args)) as number;
      try {
        this.#note(fd, path, flags, isNew);
      } catch (error) {
        closeSync(fd);
        throw error;
      }
      return fd;
    },
    close: async (...args) => {
      this.#open.delete(args[0] as number);
      return this.#made('close', args);
    },
    write: async (...args) => {
      const [fd, bytes, offset, length, at] = args as [number, Buffer, number, number, number | null];
      const result = (await this.#made('write', args)) as { readonly bytesWritten: number };
      this.#noteWrite(fd, bytes.subarray(offset, offset + Math.min(length, result.bytesWritten)), at);
      return result;
    },
    ftruncate: async (...args) => {
      const [fd, size] = args as [number, number];
      const result = await this.#made('ftruncate', args);
      const file = this.#open.get(fd)?.file;
      if (file !== undefined) this.#truncate(file, size);
      return result;
    },
    mkdir: async (...args) => {
      const result = await this.#made('mkdir', args);
      const path = args[0] as string;
      if (!isLock(path)) this.entries.push({ kind: 'mkdir', path });
      return result;
    },
    unlink: async (...args) => {
      const result = await this.#made('unlink', args);
      const path = args[0] as string;
      if (!isLock(path)) this.entries.push({ kind: 'unlink', path });
      return result;
    },
    rename: (...args) => this.#twoNames('rename', args),
    link: (...args) => this.#twoNames('link', args),
    fsync: (...args) => this.#sync('fsync', args[0] as number),
    fdatasync: (...args) => this.#sync('fdatasync', args[0] as number),
  };

  async #made(name: string, args: readonly unknown[]): Promise<unknown> {
    if (this.#isDeadAt(name, args)) return new Promise(() => {});
    this.#refuse(name, args);
    const result = await (this.#original[name] as Call)(...args);
    return this.#unlessOver(() => result);
  }

  /** Goes on if whoever called is not dead; else never. */
  #unlessOver<T>(work: () => T | Promise<T>): Promise<T> | T {
    return this.#lives.getStore()?.isOver === true ? new Promise(() => {}) : work();
  }

  #isDeadAt(name: string, args: readonly unknown[]): boolean {
    if (changesDisk(name, args)) this.#left -= 1;
    if (this.#left >= 0) return false;
    if (this.#left === -1 && name === 'write') this.#writeHalf(args);
    this.#left = Number.NEGATIVE_INFINITY;
    this.#die();
    return true;
  }

  #refuse(name: string, args: readonly unknown[]): void {
    const { path, calls } = this.#refused;
    if (name !== calls[0] || this.#open.get(args[0] as number)?.path !== path) return;
    if (name === 'write') this.#writeHalf(args);
    this.#refused = { path, calls: calls.slice(1) };
    throw Object.assign(new Error(`EIO: injected, ${name}`), { code: 'EIO' });
  }

  #writeHalf([fd, bytes, offset, length, at]: readonly unknown[]): void {
    const half = Math.floor((length as number) / 2);
    writeSync(fd as number, bytes as Buffer, offset as number, half, at as number | null);
    this.#noteWrite(
      fd as number,
      (bytes as Buffer).subarray(offset as number, (offset as number) + half),
      at as number | null,
    );
  }

  #noteWrite(fd: number, bytes: Buffer, at: number | null): void {
    const file = this.#open.get(fd)?.file;
    if (file === undefined || bytes.length === 0) return;
    const size = this.#sizes[file] ?? 0;
    const position = at ?? size;
    this.#sizes[file] = Math.max(size, position + bytes.length);
    this.entries.push({ kind: 'write', file, position, bytes: Buffer.from(bytes) });
  }

  #note(fd: number, path: string, flags: number, isNew: boolean): void {
    const { ino, size } = fstatSync(fd);
    const isFolder = fstatSync(fd).isDirectory();
    if (isNew && !isLock(path)) {
      const file = this.#sizes.push(0) - 1;
      this.#files.set(ino, file);
      this.entries.push({ kind: 'create', path, file });
    }
    const file = isFolder || isLock(path) ? undefined : this.#files.get(ino);
    this.#open.set(fd, { path, file });
    const isCut = (flags & constants.O_TRUNC) !== 0 && !isNew;
    if (isCut && file !== undefined && size === 0) this.#truncate(file, 0);
  }

  #truncate(file: number, size: number): void {
    this.#sizes[file] = size;
    this.entries.push({ kind: 'truncate', file, size });
  }

  async #twoNames(kind: 'rename' | 'link', args: readonly unknown[]): Promise<unknown> {
    const result = await this.#made(kind, args);
    const [path, to] = args as [string, string];
    this.entries.push({ kind, path, to });
    for (const [fd, opened] of this.#open) if (opened.path === path) this.#open.set(fd, { ...opened, path: to });
    return result;
  }

  async #sync(call: 'fsync' | 'fdatasync', fd: number): Promise<void> {
    const opened = this.#open.get(fd);
    const covered = this.entries.length;
    if (this.#isDeadAt(call, [])) return new Promise(() => {});
    // Elsewhere others can work meanwhile, as they could if this took its time.
    await (this.#order === undefined ? nextTick() : this.turn());
    return this.#unlessOver(() => this.#endSync(call, fd, opened, covered));
  }

  #endSync(call: 'fsync' | 'fdatasync', fd: number, opened: Opened | undefined, covered: number): void {
    this.#refuse(call, [fd]);
    if (opened === undefined) return;
    const { path, file } = opened;
    const last = this.entries.findLast((entry) => isData(entry) && entry.file === file);
    if (this.#swallowed(call, path, last?.kind === 'truncate')) return;
    if (file === undefined) this.entries.push({ kind: 'syncFolder', path, covered });
    else this.entries.push({ kind: 'syncFile', file, covered });
  }
}

const isData = (entry: LogEntry): entry is DataChange => entry.kind === 'write' || entry.kind === 'truncate';

function changesDisk(name: string, args: readonly unknown[]): boolean {
  if (name === 'open') return ((args[1] as number) & constants.O_CREAT) !== 0;
  return ['write', 'ftruncate', 'rename', 'unlink', 'link', 'mkdir', 'fsync', 'fdatasync'].includes(name);
}

/** The folders whose entries a change touches. */
export function foldersOf(change: NameChange): readonly string[] {
  const from = dirname(change.path);
  return change.kind === 'rename'
    ? [...new Set([from, dirname(change.to)])]
    : [dirname('to' in change ? change.to : change.path)];
}
