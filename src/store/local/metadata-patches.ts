import type { ThreadId } from '../../domain/ids.ts';
import { isEmptyPatch, type ThreadMetadataPatch } from '../../domain/metadata-patch.ts';
import { formatTimestamp } from '../../domain/timestamps.ts';
import type { NewRecord } from '../thread-store.ts';
import type { IndexAccess } from './index-access.ts';
import type { LocatedThread } from './index/index-api.ts';
import { isWrittenToHistory, patchRecord } from './metadata-lines.ts';
import type { NameIndex } from './name-index.ts';
import type { RolloutWriter } from './rollout-writer.ts';
import type { StoredRollouts } from './stored-rollouts.ts';
import type { WriterLocks } from './writer-locks.ts';

/** Changes what is known about threads: names in the name index, all else as a line of the history, which is one. */
export class MetadataPatches {
  readonly #index: IndexAccess;
  readonly #locks: WriterLocks;
  readonly #stored: StoredRollouts;
  readonly #names: NameIndex;
  readonly #now: () => number;

  constructor(index: IndexAccess, locks: WriterLocks, stored: StoredRollouts, names: NameIndex, now: () => number) {
    this.#index = index;
    this.#locks = locks;
    this.#stored = stored;
    this.#names = names;
    this.#now = now;
  }

  /**
   * Durable when it returns, all members or none.
   * @param live the thread's writer, if it is live here
   * @throws notFound; conflict if another process writes it
   */
  async apply(threadId: ThreadId, patch: ThreadMetadataPatch, live: RolloutWriter | undefined): Promise<void> {
    const nowMs = this.#now();
    if (isWrittenToHistory(patch)) {
      const before = await this.#write(threadId, patch, live, nowMs);
      await this.#names.copy(threadId, patch.name ?? before.unindexedName, nowMs);
      return;
    }
    await this.#index.located(threadId);
    if (!isEmptyPatch(patch) && patch.name !== undefined) await this.#names.append(threadId, patch.name, nowMs);
  }

  /**
   * Adds a patch to a thread's history: through its live writer, or a writer of the moment. Returns the thread as it
   * was, which nobody else can change in between.
   */
  async #write(
    threadId: ThreadId,
    patch: ThreadMetadataPatch,
    live: RolloutWriter | undefined,
    nowMs: number,
  ): Promise<LocatedThread> {
    const lock = live === undefined ? await this.#locks.acquire(threadId) : undefined;
    try {
      const located = await this.#index.located(threadId);
      const path = live?.path ?? located.rollouts[0].path;
      // The end is looked at first: that makes a compressed rollout plain.
      const start = live === undefined ? await this.#stored.startAtEnd(path, located.historyMode) : undefined;
      const header = await this.#stored.header(path, threadId);
      const record: NewRecord = { timestamp: formatTimestamp(nowMs), item: patchRecord(header, located.thread, patch) };
      const append = (writer: RolloutWriter): Promise<void> => writer.append([record], 'power', 'withdraw');
      if (live !== undefined) await append(live);
      else if (start !== undefined) await this.#stored.writeOnce(path, start, append);
      this.#index.touch(path);
      return located;
    } finally {
      await lock?.release();
    }
  }
}
