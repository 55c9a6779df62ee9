import { constants } from 'node:fs';
import { dirname } from 'node:path';
import { conflict, errnoOf, internal } from '../../domain/errors.ts';
import { formatTimestamp } from '../../domain/timestamps.ts';
import { compressedPath, LOOKS } from './compressed-rollout.ts';
import { copyRange, copyStretch } from './copy-stretch.ts';
import { syncEntries } from './durable-entries.ts';
import {
  appendFully,
  exists,
  FILE_MODE,
  ignoreMissing,
  makeDirectory,
  OPEN_NEW,
  posix,
  readRange,
  syncDirectory,
  writeFully,
} from './files.ts';
import { cutRecord, encodeRecords, type CutRecord } from './record-encoder.ts';
import type { PlannedRollout, RolloutStart } from './rollout-start.ts';
import { unfinishedPath } from './unfinished-rollouts.ts';

const OPEN_APPEND = constants.O_RDWR | constants.O_APPEND;

/** So much before the end of a file must be as it was for another file to count as the same rollout. */
const COMPARED_BYTES = 64 * 1024;

/** Makes a rollout that others have compressed plain again; does nothing if there is no compressed file. */
export type RestorePlain = (path: string) => Promise<unknown>;

/**
 * The bytes of one rollout (D5). *Planned*: there is no file; the first append makes one under a temporary name,
 * header first, and renames it, so that no one ever sees a rollout without its header. *Stored*: appends go to its
 * end in one write, after a look whether anyone else has changed it.
 *
 * A failed append leaves nothing behind the last whole record: what it did write is cut off, at once if possible,
 * else before the next append. So is an append that is taken back because no sync has reached it. Bytes that a failed
 * sync may have lost are kept, and written again before the next.
 *
 * Others may compress the file while nothing is written, which takes it out of its place, or put another one there.
 * So the path is looked at before and after each append: what is acknowledged is in the file that it leads to.
 * One call at a time; the caller sees to that.
 */
export class RolloutFile {
  readonly path: string;
  readonly #now: () => number;
  readonly #restore: RestorePlain;
  #plan: PlannedRollout | undefined;
  #fd: number | undefined;
  /** Of the open file. */
  #inode = 0;
  /** The open file is out of its place, and may hold records that the one in its place lacks. */
  #isDisplaced = false;
  #isAbandoned = false;
  /** There may be something under the temporary name. */
  #isUnfinished = false;
  /** Bytes of whole records on disk. */
  #size: number;
  #nextOrdinal: number | null;
  #isUnterminated: boolean;
  /** What a failed append tried to add behind `#size`, or one that was taken back has added. */
  #attempt: Buffer | undefined;
  #cuts = 0;
  /** Something was cut off, and loss of power could bring it back. */
  #isCutUnsynced = false;
  /** The file was made, and is not wanted: what it was made from. */
  #unwanted: PlannedRollout | undefined;
  /** The last append, until it is synced. */
  #last:
    | {
        readonly bytes: Buffer;
        readonly records: number;
        readonly wasUnterminated: boolean;
        /** It made the file. */
        readonly plan?: PlannedRollout;
      }
    | undefined;
  /** It is certain that the file is found where it is after a loss of power. */
  #isEntryDurable = false;
  /** Who has only looked at a file has promised nothing of it. */
  #hasWritten = false;
  /** Appended since the last successful sync, oldest first, and where that begins. */
  #unsynced: Buffer[] = [];
  #syncedSize: number;
  #mustRewrite = false;

  constructor(
    path: string,
    start: RolloutStart,
    now: () => number = Date.now,
    restore: RestorePlain = () => Promise.resolve(),
  ) {
    this.path = path;
    this.#now = now;
    this.#restore = restore;
    this.#plan = start.kind === 'new' ? start : undefined;
    this.#size = start.kind === 'new' ? 0 : start.size;
    this.#syncedSize = this.#size;
    this.#nextOrdinal = start.nextOrdinal;
    this.#isUnterminated = start.kind === 'existing' && start.isUnterminated;
  }

  get isStored(): boolean {
    return this.#plan === undefined;
  }

  get isOpen(): boolean {
    return this.#fd !== undefined;
  }

  /** Bytes of whole records on disk. */
  get size(): number {
    return this.#size;
  }

  /** Ordinal of the next record; null in legacy history. */
  get nextOrdinal(): number | null {
    return this.#nextOrdinal;
  }

  /** Bytes that the kernel has and stable storage may not have. */
  get unsyncedBytes(): number {
    return this.#size - this.#syncedSize;
  }

  /** How often something was cut off, or the file taken away again. */
  get cuts(): number {
    return this.#cuts;
  }

  /** Behind the last whole record something may stand that was refused, now or after a loss of power. */
  get hasRemains(): boolean {
    return this.#attempt !== undefined || this.#isCutUnsynced || this.#unwanted !== undefined;
  }

  /** Adds records, all or none; the file comes into being if need be. They are in the kernel when this returns. */
  async append(records: readonly CutRecord[]): Promise<void> {
    this.#hasWritten = true;
    if (this.#plan !== undefined) await this.#materialize(this.#plan, records);
    else if (records.length > 0) await this.#extend(records);
  }

  /** Cuts off what was refused, for good. */
  async cutRemains(): Promise<void> {
    if (this.#unwanted !== undefined) await this.#unmake(this.#unwanted);
    if (this.isStored) await this.#open();
    else await syncDirectory(dirname(this.path));
    this.#isCutUnsynced = false;
  }

  /** Takes the last append back, which must not have been synced. Never fails: what cannot be cut off now are remains. */
  async takeBack(): Promise<void> {
    if (this.#last === undefined) return;
    const { bytes, records, wasUnterminated, plan } = this.#last;
    this.#last = undefined;
    this.#unwanted = plan;
    if (plan !== undefined) return this.recover();
    this.#attempt = bytes;
    this.#size -= bytes.length;
    this.#isUnterminated = wasUnterminated;
    if (this.#nextOrdinal !== null) this.#nextOrdinal -= records;
    this.#unsynced = this.#unsynced.filter((one) => one !== bytes);
    this.#syncedSize = Math.min(this.#syncedSize, this.#size);
    await this.recover();
  }

  /** Puts everything on stable storage, the file's directory entry included. */
  async sync(): Promise<void> {
    if (this.#unsynced.length > 0) {
      const fd = await this.#open();
      try {
        await posix.fdatasync(fd);
      } catch (error) {
        this.#mustRewrite = true;
        throw error;
      }
      this.#unsynced = [];
      this.#syncedSize = this.#size;
    }
    if (this.isStored && this.#hasWritten && !this.#isEntryDurable) {
      await syncEntries(this.path);
      this.#isEntryDurable = true;
    }
    this.#last = undefined;
  }

  /** After a failure: closes the file, and takes away what a failed append left if that is possible now. Never fails. */
  async recover(): Promise<void> {
    // A close that fails has closed all the same. A file out of its place may be the only one with what is acknowledged.
    if (!this.#isDisplaced) await this.releaseHandle().catch(() => {});
    try {
      if (this.#isUnfinished) await this.#removeUnfinished();
      if (this.hasRemains) await this.cutRemains();
    } catch {
      if (!this.#isDisplaced) await this.releaseHandle().catch(() => {});
    }
  }

  /**
   * Before the file is let go: if it was compressed while records were added, so that those are in the open file only,
   * they are carried over to the one in its place.
   */
  async rescue(): Promise<void> {
    if (this.#fd === undefined || !this.isStored || (await this.#isInPlace())) return;
    const timeOf = ({ mtimeMs }: { readonly mtimeMs: number }): number => Math.trunc(mtimeMs);
    const own = timeOf(await posix.fstat(this.#fd));
    // Who compresses keeps the time: if it is the same, all is in there.
    const isWhole = !(await exists(this.path)) && timeOf(await posix.stat(compressedPath(this.path))) >= own;
    if (!isWhole) await this.#open();
  }

  /** Closes the file; the next append opens it again. */
  async releaseHandle(): Promise<void> {
    const fd = this.#fd;
    this.#fd = undefined;
    this.#isDisplaced = false;
    if (fd !== undefined) await posix.close(fd);
  }

  /** From now on a planned file does not come into being, not even from an append under way. */
  abandon(): void {
    this.#isAbandoned = true;
  }

  async #extend(records: readonly CutRecord[]): Promise<void> {
    const encoded = encodeRecords(records, this.#nextOrdinal);
    const bytes = this.#isUnterminated ? Buffer.concat([Buffer.from('\n'), encoded]) : encoded;
    for (let look = 1; ; look += 1) {
      const fd = await this.#open();
      this.#attempt = bytes;
      await appendFully(fd, bytes);
      if (await this.#isInPlace()) break;
      if (look === LOOKS) throw internal(`${this.path} was moved while it was written`);
    }
    this.#attempt = undefined;
    this.#last = { bytes, records: records.length, wasUnterminated: this.#isUnterminated };
    this.#isUnterminated = false;
    this.#unsynced.push(bytes);
    this.#size += bytes.length;
    if (this.#nextOrdinal !== null) this.#nextOrdinal += records.length;
  }

  async #materialize(plan: PlannedRollout, records: readonly CutRecord[]): Promise<void> {
    const payload = await plan.header();
    const header = cutRecord({ timestamp: formatTimestamp(this.#now()), item: { type: 'session_meta', payload } });
    const headerBytes = encodeRecords([header], plan.nextOrdinal);
    const bytes = encodeRecords(records, plan.nextOrdinal === null ? null : plan.nextOrdinal + 1);
    const { inherited = [] } = plan;

    const fd = await this.#create();
    await appendFully(fd, headerBytes);
    let size = headerBytes.length;
    for (const stretch of inherited) size += await copyStretch(stretch, fd);
    await appendFully(fd, bytes);
    size += bytes.length;
    // A loss of power may keep the name and not the content: a rollout that nobody could read.
    await posix.fdatasync(fd);
    await this.#publish();

    this.#plan = undefined;
    this.#last = { bytes, records: records.length, wasUnterminated: false, plan };
    this.#size = size;
    this.#syncedSize = size;
    if (plan.nextOrdinal !== null) this.#nextOrdinal = plan.nextOrdinal + 1 + records.length;
  }

  /** A new file under a temporary name, which no listing shows. */
  async #create(): Promise<number> {
    await makeDirectory(dirname(this.path));
    if (await exists(this.path)) throw conflict(`${this.path} exists already`);
    await this.#removeUnfinished();
    this.#isUnfinished = true;
    this.#fd = await posix.open(unfinishedPath(this.path), OPEN_NEW | constants.O_APPEND, FILE_MODE);
    this.#inode = (await posix.fstat(this.#fd)).ino;
    return this.#fd;
  }

  async #publish(): Promise<void> {
    if (this.#isAbandoned) throw internal(`the writer of ${this.path} was discarded`);
    await posix.rename(unfinishedPath(this.path), this.path);
    this.#isUnfinished = false;
  }

  /** Takes a new file away again, so that it is planned as before. */
  async #unmake(plan: PlannedRollout): Promise<void> {
    await posix.unlink(this.path).catch(ignoreMissing);
    this.#cuts += 1;
    await this.releaseHandle().catch(() => {});
    this.#unwanted = undefined;
    this.#plan = plan;
    this.#nextOrdinal = plan.nextOrdinal;
    [this.#size, this.#syncedSize, this.#unsynced] = [0, 0, []];
    [this.#mustRewrite, this.#isCutUnsynced, this.#isEntryDurable] = [false, true, false];
  }

  async #removeUnfinished(): Promise<void> {
    await posix.unlink(unfinishedPath(this.path)).catch(ignoreMissing);
    this.#isUnfinished = false;
  }

  /** The open file, checked: it is still there, nobody else has written, and nothing of a failed append is left. */
  async #open(): Promise<number> {
    const fd = await this.#current();
    const { size } = await posix.fstat(fd);
    if (size > this.#size) await this.#cutOwnRemains(fd, size);
    if (size < this.#size) {
      throw internal(`${this.path} was cut from ${this.#size} to ${size} bytes by someone else`);
    }
    this.#attempt = undefined;
    if (this.#isCutUnsynced) await posix.fdatasync(fd);
    this.#isCutUnsynced = false;
    if (this.#mustRewrite) await this.#rewriteUnsynced();
    return fd;
  }

  /** The file that the path leads to, with all records that are in the one that was open. */
  async #current(): Promise<number> {
    const kept = this.#fd;
    if (kept !== undefined && (await this.#isInPlace())) return kept;
    const fd = await this.#openPath();
    try {
      if (kept !== undefined) await this.#carryOver(kept, fd);
      const { ino } = await posix.fstat(fd);
      this.#isEntryDurable &&= ino === this.#inode;
      this.#inode = ino;
    } catch (error) {
      await posix.close(fd);
      throw error;
    }
    this.#fd = fd;
    this.#isDisplaced = false;
    if (kept !== undefined) await posix.close(kept);
    return fd;
  }

  /** True if the path leads to the open file. */
  async #isInPlace(): Promise<boolean> {
    try {
      const { ino } = await posix.stat(this.path);
      this.#isDisplaced = ino !== this.#inode;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      this.#isDisplaced = true;
    }
    return !this.#isDisplaced;
  }

  async #openPath(): Promise<number> {
    for (let look = 1; ; look += 1) {
      try {
        return await posix.open(this.path, OPEN_APPEND);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw error;
        if (look === LOOKS) throw internal(`${this.path} was removed by someone else`, error);
        await this.#restore(this.path);
      }
    }
  }

  /**
   * Another file has taken the place of the open one. It goes on there if that is the same rollout, perhaps without
   * the last records; those are added.
   */
  async #carryOver(from: number, to: number): Promise<void> {
    const { size } = await posix.fstat(to);
    const common = Math.min(size, this.#size);
    const start = Math.max(0, common - COMPARED_BYTES);
    const [old, now] = [await readRange(from, start, common - start), await readRange(to, start, common - start)];
    if (!old.equals(now) || (common === 0 && this.#size > 0)) {
      throw internal(`${this.path} was replaced by another file`);
    }
    if (size >= this.#size) return;
    await copyRange(from, size, this.#size, to);
    await posix.fdatasync(to);
    this.#unsynced = [];
    this.#syncedSize = this.#size;
    this.#mustRewrite = false;
  }

  async #cutOwnRemains(fd: number, size: number): Promise<void> {
    const attempt = this.#attempt ?? Buffer.alloc(0);
    const length = size - this.#size;
    const isOwn =
      length <= attempt.length && attempt.subarray(0, length).equals(await readRange(fd, this.#size, length));
    if (!isOwn) throw conflict(`${this.path} is being written by another process`, 'another process');
    await posix.ftruncate(fd, this.#size);
    this.#cuts += 1;
    this.#isCutUnsynced = true;
  }

  /** After a failed sync the kernel may have dropped pages that it had taken: they are written again, in place. */
  async #rewriteUnsynced(): Promise<void> {
    const fd = await posix.open(this.path, constants.O_RDWR);
    try {
      await writeFully(fd, Buffer.concat(this.#unsynced), this.#syncedSize);
      this.#mustRewrite = false;
    } finally {
      await posix.close(fd);
    }
  }
}
