import {
  internal,
  invalidRequest,
  notFound,
  overloaded,
  type SkeinError,
  toSkeinError,
  uncertain,
} from '../../domain/errors.ts';
import type { Durability, NewRecord } from '../thread-store.ts';
import { MAX_LINE_BYTES } from './line-splitter.ts';
import type { HandleHolder, OpenFiles } from './open-files.ts';
import { cutRecord, type CutRecord } from './record-encoder.ts';
import { RolloutFile, type RestorePlain } from './rollout-file.ts';
import type { RolloutStart } from './rollout-start.ts';

/** A record waiting for the disk. */
interface QueuedRecord {
  readonly cut: CutRecord;
  readonly byteLength: number;
  readonly batch: Batch;
}

/** Records that were handed over together, and who waits for them. A barrier is a batch without records. */
interface Batch {
  readonly durability: Durability;
  readonly onFailure: 'keep' | 'withdraw';
  /** A planned rollout comes into being for it. */
  readonly isMaterializing: boolean;
  /** Records queued up to and with this batch: it is done when so many are written. */
  readonly upTo: number;
  readonly resolve: () => void;
  readonly reject: (error: SkeinError) => void;
}

/** It may have to be cut off again after it was written: nothing is written behind it before it is durable. */
const isReversible = ({ durability, onFailure }: Batch): boolean => onFailure === 'withdraw' && durability === 'power';

/** A writer that can't keep up refuses rather than grow: queued records beyond this many bytes (D11). */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;

/** Longer records could be written and never be read. The rest of a line is left for the ordinal. */
const MAX_RECORD_BYTES = MAX_LINE_BYTES - 64;

/** Synced at the latest after so much, which is kept in memory until then for the case that the sync fails. */
const MAX_UNSYNCED_BYTES = 1024 * 1024;

/**
 * The append queue of one rollout (D5, D6). Whatever waits when a write ends goes out together in the next one, so
 * that many appends share one write and one fdatasync. Records keep their order.
 *
 * After a failure whoever waited is told; the records stay queued unless they were to be withdrawn, and the next
 * append or barrier tries again. A write is tried twice, the second time on a freshly opened file, before it
 * counts as failed. What was written is never sent again. Withdrawn records that were written and could not be synced
 * are cut off.
 */
export class RolloutWriter implements HandleHolder {
  readonly #file: RolloutFile;
  readonly #openFiles: OpenFiles;
  #records: QueuedRecord[] = [];
  #batches: Batch[] = [];
  #queuedBytes = 0;
  #queuedCount = 0;
  #writtenCount = 0;
  /** Records at the end of the file that are cut off if they cannot be synced, or none and a new file. */
  #reversibleCount: number | undefined;
  #failure: SkeinError | undefined;
  #isEnded = false;
  /** Settles when the writes under way have ended; undefined while there are none. Never rejects. */
  #pumping: Promise<void> | undefined;

  constructor(
    path: string,
    start: RolloutStart,
    openFiles: OpenFiles,
    now: () => number = Date.now,
    restore?: RestorePlain,
  ) {
    this.#file = new RolloutFile(path, start, now, restore);
    this.#openFiles = openFiles;
  }

  get path(): string {
    return this.#file.path;
  }

  /** The rollout exists on disk. */
  get isStored(): boolean {
    return this.#file.isStored;
  }

  /** Bytes waiting to be written. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Why the last write failed, until one succeeds. */
  get failure(): SkeinError | undefined {
    return this.#failure;
  }

  /** How often something that was in the file was cut off again, or the file itself taken away. */
  get cuts(): number {
    return this.#file.cuts;
  }

  get isBusy(): boolean {
    return this.#pumping !== undefined;
  }

  /**
   * Queues records; resolves when they are as durable as asked.
   * @throws overloaded if too much waits already, invalidRequest for a record that no reader would take, notFound once the
   * writer has ended: nothing is queued then. Else what made the write fail, with errno: with `keep` the records stay queued and must not be sent
   * again; with `withdraw` they are gone, unless the code is `uncertain`: then they could not be cut off, which is tried
   * again before anything else is written.
   */
  append(
    records: readonly NewRecord[],
    durability: Durability,
    onFailure: 'keep' | 'withdraw' = 'keep',
  ): Promise<void> {
    return this.#enqueue(records, { durability, onFailure, isMaterializing: true });
  }

  /** Makes all that is queued durable; a planned rollout with an empty queue stays planned. */
  flush(durability: Durability): Promise<void> {
    return this.#enqueue([], { durability, onFailure: 'keep', isMaterializing: false });
  }

  /** As {@link flush}, but a planned rollout comes into being with its header alone; `withdraw`: or not at all. */
  persist(durability: Durability, onFailure: 'keep' | 'withdraw' = 'keep'): Promise<void> {
    return this.#enqueue([], { durability, onFailure, isMaterializing: true });
  }

  /**
   * Resolves when all that is in the file now stays there, or has been cut off.
   * @throws why it could not be cut off: it may be there or not
   */
  async decided(): Promise<void> {
    if (this.#pumping === undefined && !this.#file.hasRemains) return;
    await this.flush('power').catch((error: unknown) => {
      if (this.#file.hasRemains) throw error;
    });
  }

  /** Flushes and ends, together with what is appended meanwhile. If that fails the writer goes on and can be closed again. */
  async close(): Promise<void> {
    do {
      await this.flush('power');
      // The handle must not go while a later append is being written: its number may be another file's by then.
      while (this.#pumping !== undefined) await this.#pumping;
      // Nothing can be done about a file that someone has removed: the end must not depend on it.
      await this.#alone(() => this.#file.rescue().catch(() => {}));
    } while (this.#pumping !== undefined || this.#records.length > 0);
    this.#isEnded = true;
    await this.#letGo();
  }

  /** Ends at once; what is queued is lost, what is stored stays. Returns when no write is under way any more. */
  async discard(): Promise<void> {
    this.#isEnded = true;
    this.#file.abandon();
    this.#records = [];
    this.#failBatches(internal(`the writer of ${this.path} was discarded`));
    await this.#pumping;
    await this.#takeBack();
    await this.#letGo();
  }

  releaseHandle(): Promise<void> {
    return this.#file.releaseHandle();
  }

  async #letGo(): Promise<void> {
    this.#openFiles.forget(this);
    await this.#file.recover();
    // A close that fails loses nothing: what was acknowledged is in the kernel.
    await this.releaseHandle().catch(() => {});
  }

  #enqueue(
    records: readonly NewRecord[],
    how: Pick<Batch, 'durability' | 'onFailure' | 'isMaterializing'>,
  ): Promise<void> {
    if (this.#isEnded) return Promise.reject(notFound(`the writer of ${this.path} has ended`));
    const cuts = records.map((record) => cutRecord(record));
    const sizes = cuts.map(([before, after]) => before.length + Buffer.byteLength(after));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    if (sizes.some((size) => size > MAX_RECORD_BYTES)) {
      return Promise.reject(invalidRequest(`a record of more than ${MAX_RECORD_BYTES} bytes cannot be stored`));
    }
    // Barriers pass: they are what makes room.
    if (cuts.length > 0 && this.#queuedBytes > 0 && this.#queuedBytes + bytes > MAX_QUEUED_BYTES) {
      return Promise.reject(overloaded(`${this.#queuedBytes} bytes wait to be written already; try again later`));
    }
    return new Promise((resolve, reject) => {
      this.#queuedCount += cuts.length;
      const batch: Batch = { ...how, upTo: this.#queuedCount, resolve, reject };
      for (const [index, cut] of cuts.entries()) {
        this.#records.push({ cut, byteLength: sizes[index] ?? 0, batch });
      }
      this.#queuedBytes += bytes;
      this.#batches.push(batch);
      this.#pumping ??= this.#pump();
    });
  }

  /** Works on the file while nothing is written; what is queued meanwhile is written afterwards. */
  async #alone(work: () => Promise<void>): Promise<void> {
    this.#pumping = work().then(() => {
      this.#pumping = this.#batches.length === 0 ? undefined : this.#pump();
    });
    await this.#pumping;
  }

  /** Writes until nothing waits, or until two attempts in a row have failed. Never rejects. */
  async #pump(): Promise<void> {
    // Lets whoever appends in this same tick share the first write.
    await Promise.resolve();
    let failures = 0;
    while (this.#batches.length > 0) {
      try {
        await this.#round();
        failures = 0;
        this.#failure = undefined;
      } catch (thrown) {
        await this.#file.recover();
        failures += 1;
        if (failures < 2 && !this.#isEnded) continue;
        await this.#takeBack();
        this.#failBatches(toSkeinError(thrown, `cannot write ${this.path}`));
      }
    }
    this.#pumping = undefined;
    if (this.#file.isOpen && !this.#isEnded) this.#openFiles.touch(this);
  }

  /** One write of everything that waits, and one sync if anyone waits for it. */
  async #round(): Promise<void> {
    const isMaterializing = !this.isStored && this.#batches.some((batch) => batch.isMaterializing);
    if (this.#reversibleCount === undefined) {
      if (this.#file.hasRemains) await this.#file.cutRemains();
      if (this.#records.length > 0 || isMaterializing) await this.#write();
    }
    this.#settle('process');
    const isAwaited = this.#batches.some((batch) => batch.upTo <= this.#writtenCount);
    if (isAwaited || this.#file.unsyncedBytes > MAX_UNSYNCED_BYTES) {
      await this.#file.sync();
      this.#reversibleCount = undefined;
      this.#settle('power');
    }
  }

  /** Writes what waits, up to where it changes whether it may have to be cut off. */
  async #write(): Promise<void> {
    const [first] = this.#records;
    const mayGo = first === undefined ? this.#batches.every(isReversible) : isReversible(first.batch);
    const end = this.#records.findIndex(({ batch }) => isReversible(batch) !== mayGo);
    const length = end < 0 ? this.#records.length : end;
    await this.#file.append(this.#records.slice(0, length).map((record) => record.cut));
    if (mayGo) this.#reversibleCount = length;
    // Records that were queued meanwhile stand behind these.
    const written = this.#records.splice(0, length);
    this.#queuedBytes -= written.reduce((sum, record) => sum + record.byteLength, 0);
    this.#writtenCount += length;
    this.#failure = undefined;
  }

  /** Acknowledges, in order, whoever has what they waited for: `process` waiters, or all of them. */
  #settle(reached: Durability): void {
    const isDone = (batch: Batch): boolean =>
      batch.upTo <= this.#writtenCount && (reached === 'power' || batch.durability === 'process');
    const done = this.#batches.filter(isDone);
    this.#batches = this.#batches.filter((batch) => !isDone(batch));
    for (const batch of done) batch.resolve();
  }

  /** Cuts off what was written, and is now going to be refused. */
  async #takeBack(): Promise<void> {
    if (this.#reversibleCount === undefined) return;
    await this.#file.takeBack();
    this.#writtenCount -= this.#reversibleCount;
    this.#reversibleCount = undefined;
  }

  #failBatches(error: SkeinError): void {
    this.#failure = error;
    const refusal = this.#file.hasRemains ? uncertain(error) : error;
    const failed = this.#batches;
    this.#batches = [];
    this.#records = this.#records.filter((record) => record.batch.onFailure === 'keep');
    this.#queuedCount = this.#writtenCount + this.#records.length;
    this.#queuedBytes = this.#records.reduce((sum, record) => sum + record.byteLength, 0);
    for (const batch of failed) batch.reject(batch.onFailure === 'withdraw' ? refusal : error);
  }
}
