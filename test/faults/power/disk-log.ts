import { closeSync, constants, existsSync, fstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { posix } from '../../../src/store/local/files.ts';

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

/** Calls whose work can be left out, to see that it is missed. */
export type Swallowed = (call: 'fsync' | 'fdatasync', path: string) => boolean;

type Call = (...args: readonly unknown[]) => Promise<unknown>;

/** Locks die with whoever holds them: what is left of them is nothing. */
const isLock = (path: string): boolean => path.endsWith('.lock') || path.includes('/thread-writer-locks');

/**
 * Notes every change that the stores of this process make to a disk, in the order in which they were done, and every
 * sync, while `work` runs. Nothing is really synced: that would only take time.
 */
export async function recordingDisk<T>(work: (log: LogEntry[]) => Promise<T>, swallowed?: Swallowed): Promise<T> {
  const calls = posix as unknown as Record<string, Call>;
  const original = { ...calls };
  const log: LogEntry[] = [];
  Object.assign(calls, new Recorder(original, log, swallowed ?? (() => false)).calls);
  try {
    return await work(log);
  } finally {
    Object.assign(calls, original);
  }
}

class Recorder {
  readonly #original: Record<string, Call>;
  readonly #log: LogEntry[];
  readonly #swallowed: Swallowed;
  /** What a descriptor leads to: a file with its number in the log, a folder, or what is of no interest. */
  readonly #open = new Map<number, { readonly path: string; readonly file: number | undefined }>();
  /** Files by their number on the disk, which is given away again when one is gone. */
  readonly #files = new Map<number, number>();
  readonly #sizes: number[] = [];

  constructor(original: Record<string, Call>, log: LogEntry[], swallowed: Swallowed) {
    this.#original = original;
    this.#log = log;
    this.#swallowed = swallowed;
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
      const file = this.#open.get(fd)?.file;
      if (file !== undefined) {
        const size = this.#sizes[file] ?? 0;
        const position = at ?? size;
        const written = Buffer.from(bytes.subarray(offset, offset + Math.min(length, result.bytesWritten)));
        this.#sizes[file] = Math.max(size, position + written.length);
        this.#log.push({ kind: 'write', file, position, bytes: written });
      }
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
      if (!isLock(path)) this.#log.push({ kind: 'mkdir', path });
      return result;
    },
    unlink: async (...args) => {
      const result = await this.#made('unlink', args);
      const path = args[0] as string;
      if (!isLock(path)) this.#log.push({ kind: 'unlink', path });
      return result;
    },
    rename: (...args) => this.#twoNames('rename', args),
    link: (...args) => this.#twoNames('link', args),
    fsync: (...args) => this.#sync('fsync', args[0] as number),
    fdatasync: (...args) => this.#sync('fdatasync', args[0] as number),
  };

  #made(name: string, args: readonly unknown[]): Promise<unknown> {
    return (this.#original[name] as Call)(...args);
  }

  #note(fd: number, path: string, flags: number, isNew: boolean): void {
    const { ino, size } = fstatSync(fd);
    const isFolder = fstatSync(fd).isDirectory();
    if (isNew && !isLock(path)) {
      const file = this.#sizes.push(0) - 1;
      this.#files.set(ino, file);
      this.#log.push({ kind: 'create', path, file });
    }
    const file = isFolder || isLock(path) ? undefined : this.#files.get(ino);
    this.#open.set(fd, { path, file });
    const isCut = (flags & constants.O_TRUNC) !== 0 && !isNew;
    if (isCut && file !== undefined && size === 0) this.#truncate(file, 0);
  }

  #truncate(file: number, size: number): void {
    this.#sizes[file] = size;
    this.#log.push({ kind: 'truncate', file, size });
  }

  async #twoNames(kind: 'rename' | 'link', args: readonly unknown[]): Promise<unknown> {
    const result = await this.#made(kind, args);
    this.#log.push({ kind, path: args[0] as string, to: args[1] as string });
    return result;
  }

  async #sync(call: 'fsync' | 'fdatasync', fd: number): Promise<void> {
    const opened = this.#open.get(fd);
    const covered = this.#log.length;
    // Elsewhere others can work meanwhile, as they could if this took its time.
    await new Promise((resolve) => setImmediate(resolve));
    if (opened === undefined || this.#swallowed(call, opened.path)) return;
    const { path, file } = opened;
    if (file === undefined) this.#log.push({ kind: 'syncFolder', path, covered });
    else this.#log.push({ kind: 'syncFile', file, covered });
  }
}

/** The folders whose entries a change touches. */
export function foldersOf(change: NameChange): readonly string[] {
  const from = dirname(change.path);
  return change.kind === 'rename'
    ? [...new Set([from, dirname(change.to)])]
    : [dirname('to' in change ? change.to : change.path)];
}
