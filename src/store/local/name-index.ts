import { constants } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { conflict, errnoOf, toSkeinError, uncertain } from '../../domain/errors.ts';
import { isThreadId, type ThreadId } from '../../domain/ids.ts';
import { isJsonObject, stringMember } from '../../domain/json.ts';
import { beginning } from '../../domain/short-text.ts';
import { formatTimestamp, parseTimestamp } from '../../domain/timestamps.ts';
import { Mutex } from '../mutex.ts';
import { appendFully, cutOff, FILE_MODE, makeDirectory, OPEN_LOCK, posix, syncDirectory } from './files.ts';
import { tryLock, unlock } from './flock.ts';
import { describeHolder } from './lock-holder.ts';
import { writeWhole } from './whole-file.ts';

/** One entry of `session_index.jsonl`: a name given to a thread. The last entry of an id counts, by place. */
export interface NameEntry {
  readonly threadId: ThreadId;
  readonly name: string;
  /** Unix ms. */
  readonly updatedAtMs: number;
}

/** An entry that was refused and could not be cut off: where it begins, in which file. */
interface Remnant {
  readonly inode: number;
  readonly offset: number;
  readonly text: Buffer;
}

const LOCK_TIMEOUT_MS = 2_000;
const LOCK_POLL_MS = 5;
const NEWLINE = 0x0a;

/**
 * Writes `session_index.jsonl`, the names that Codex and Skein share. Append-only but for deletion, and for what a refusal
 * could not cut off, which replace the file whole; `session_index.jsonl.lock` keeps an append from going into a file that is being replaced.
 */
export class NameIndex {
  readonly #path: string;
  readonly #lockPath: string;
  /** The file that is certain to be found after a loss of power. Who made another may not have seen to that. */
  #durableInode: number | undefined;
  /** Goes before anything else is written. */
  #remnant: Remnant | undefined;
  /** Those of this process wait here in turn, rather than for the lock. */
  readonly #mutex = new Mutex();

  constructor(path: string, lockPath: string) {
    this.#path = path;
    this.#lockPath = lockPath;
  }

  /** Adds an entry for a name that stands in the thread's history, if one does. If that fails, the next change does it. */
  async copy(threadId: ThreadId, name: string | null, nowMs: number): Promise<void> {
    if (name !== null) await this.append(threadId, name, nowMs).catch(() => {});
  }

  /**
   * Adds an entry; durable when it returns.
   * @throws the system's errors: the name will not turn up; uncertain if it may, because it could not be cut off again for good
   */
  async append(threadId: ThreadId, name: string, nowMs: number): Promise<void> {
    await this.#locked(async () => {
      if (this.#remnant !== undefined) await this.#rewrite((content) => content);
      const fd = await posix.open(this.#path, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, FILE_MODE);
      try {
        const entry = JSON.stringify({ id: threadId, thread_name: name, updated_at: formatTimestamp(nowMs) });
        const { size, ino } = await posix.fstat(fd);
        // A torn last line must cost itself only.
        const text = Buffer.from(`${(await endsLine(fd, size)) ? '' : '\n'}${entry}\n`);
        try {
          await appendFully(fd, text);
          await posix.fdatasync(fd);
          if (ino !== this.#durableInode) await syncDirectory(dirname(this.#path));
          this.#durableInode = ino;
        } catch (error) {
          await cutOff(fd, size).catch(() => {
            this.#remnant = { inode: ino, offset: size, text };
            throw uncertain(toSkeinError(error, `cannot write ${this.#path}`));
          });
          throw error;
        }
      } finally {
        // It is synced, or refused: what a close says then changes neither.
        await posix.close(fd).catch(() => {});
      }
    });
  }

  /** Removes all entries of the given threads, and leaves every other line as it is. */
  async remove(threadIds: ReadonlySet<ThreadId>): Promise<void> {
    const isKept = (line: Buffer): boolean => {
      const entry = parseNameEntry(line);
      return entry === undefined || !threadIds.has(entry.threadId);
    };
    await this.#locked(() => this.#rewrite((content) => Buffer.concat(linesOf(content).filter(isKept))));
  }

  /** Puts what is kept of the file in its place, without what is left of a refused entry. */
  async #rewrite(kept: (content: Buffer) => Buffer): Promise<void> {
    const content = await readFile(this.#path).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (content !== undefined) {
      const { ino } = await posix.stat(this.#path);
      const remnant = this.#remnant?.inode === ino ? this.#remnant : undefined;
      const after = kept(remnant === undefined ? content : without(remnant, content));
      if (after.length < content.length) await writeWhole(this.#path, [after]);
    }
    this.#remnant = undefined;
  }

  #locked<T>(work: () => Promise<T>): Promise<T> {
    return this.#mutex.run(() => this.#withLock(work));
  }

  async #withLock<T>(work: () => Promise<T>): Promise<T> {
    await makeDirectory(dirname(this.#lockPath));
    const fd = await posix.open(this.#lockPath, OPEN_LOCK, FILE_MODE);
    try {
      const deadline = Date.now() + LOCK_TIMEOUT_MS;
      while (!tryLock(fd, 'exclusive')) {
        if (Date.now() > deadline) {
          const holder = describeHolder(this.#lockPath);
          throw conflict(`the name index is being written by ${holder}`, holder);
        }
        await delay(LOCK_POLL_MS);
      }
      return await work();
    } finally {
      unlock(fd);
      await posix.close(fd).catch(() => {});
    }
  }
}

/** Others may have added to the file since, or written it anew. Where it stands torn before what they have added, it is no entry. */
function without({ offset, text }: Remnant, content: Buffer): Buffer {
  const found = content.subarray(offset, offset + text.length);
  if (!found.equals(text.subarray(0, found.length))) return content;
  return Buffer.concat([content.subarray(0, offset), content.subarray(offset + found.length)]);
}

async function endsLine(fd: number, size: number): Promise<boolean> {
  if (size === 0) return true;
  const last = Buffer.alloc(1);
  await posix.read(fd, last, 0, 1, size - 1);
  return last[0] === NEWLINE;
}

/** Lines with their newlines; the last one may lack it. */
function linesOf(content: Buffer): readonly Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start < content.length;) {
    const newline = content.indexOf(NEWLINE, start);
    const end = newline < 0 ? content.length : newline + 1;
    lines.push(content.subarray(start, end));
    start = end;
  }
  return lines;
}

/** Reads one line of the file, of a long name its beginning; undefined if it is not an entry. */
export function parseNameEntry(line: Buffer): NameEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    return undefined;
  }
  if (!isJsonObject(value)) return undefined;
  const threadId = stringMember(value, 'id') ?? '';
  const name = stringMember(value, 'thread_name');
  if (!isThreadId(threadId) || name === undefined) return undefined;
  return { threadId, name: beginning(name), updatedAtMs: parseTimestamp(stringMember(value, 'updated_at') ?? '') ?? 0 };
}
