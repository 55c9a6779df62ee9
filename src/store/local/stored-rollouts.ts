import { errnoOf } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { HistoryMode } from '../../domain/session-meta.ts';
import { LOOKS } from './compressed-rollout.ts';
import { openStretch, type OpenStretch } from './history-stream.ts';
import { noRollout, type IndexAccess } from './index-access.ts';
import type { RestoredTime } from './index/plain-again.ts';
import { readHeader } from './metadata-lines.ts';
import { syncRollout } from './durable-entries.ts';
import type { OpenFiles } from './open-files.ts';
import type { RolloutStart } from './rollout-start.ts';
import { readTail } from './rollout-tail.ts';
import { RolloutWriter } from './rollout-writer.ts';

/** Rollouts that are there, opened at their plain path whatever others do to the files: compress them, move them. */
export class StoredRollouts {
  readonly #index: IndexAccess;
  readonly #openFiles: OpenFiles;
  readonly #now: () => number;

  constructor(index: IndexAccess, openFiles: OpenFiles, now: () => number) {
    this.#index = index;
    this.#openFiles = openFiles;
    this.#now = now;
  }

  /** Makes a compressed rollout plain; it counts as updated. @returns whether it was compressed */
  readonly restore = (path: string): Promise<boolean> => this.#index.current.restore(path, 'now');

  /**
   * The payload of a rollout's header.
   * @param time what a compressed one that is made plain for this is said to be from
   * @throws internal if the file has none, or one of another thread
   */
  header(path: string, threadId: ThreadId, time: RestoredTime = 'now'): Promise<JsonObject> {
    return this.#whilePlain(path, () => readHeader(path, threadId), time);
  }

  /** Opens a writer for one write, and leaves nothing open whatever comes of it. */
  async writeOnce(path: string, start: RolloutStart, write: (writer: RolloutWriter) => Promise<void>): Promise<void> {
    const writer = new RolloutWriter(path, start, this.#openFiles, this.#now, this.restore);
    try {
      await write(writer);
      await writer.close();
    } catch (error) {
      await writer.discard();
      throw error;
    }
  }

  /** Where writing goes on in a rollout that is there; a compressed one is made plain, and counts as updated. */
  async startAtEnd(path: string, mode: HistoryMode): Promise<RolloutStart> {
    return { kind: 'existing', ...(await this.#whilePlain(path, () => readTail(path, mode))) };
  }

  /** Puts on stable storage what a rollout holds now: what refers to it must not outlive it. */
  makeDurable(path: string): Promise<void> {
    return this.#whilePlain(path, () => syncRollout(path), 'keep');
  }

  /** Reads a rollout that has to be plain for that, and is made so as often as others compress it meanwhile. */
  async #whilePlain<T>(path: string, read: () => Promise<T>, time: RestoredTime = 'now'): Promise<T> {
    for (let look = 1; ; look += 1) {
      await this.#index.current.restore(path, time);
      try {
        return await read();
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT' || look === LOOKS) throw error;
      }
    }
  }

  /** A stretch of a thread's history, opened; looked for again if its file is moved away meanwhile. */
  async openStretch(threadId: ThreadId, index: number): Promise<OpenStretch> {
    for (let look = 1; ; look += 1) {
      const stretch = (await this.#index.current.stretches(threadId))[index];
      if (stretch === undefined) throw noRollout(threadId);
      try {
        return await openStretch(stretch);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT' || look === LOOKS) throw error;
        // The index looks at what a fork continues only when it is told to.
        this.#index.touch(stretch.path);
      }
    }
  }
}
