import { invalidRequest } from '../../domain/errors.ts';
import { newThreadId, successorOf, type ThreadId } from '../../domain/ids.ts';
import { localTimeOf } from '../../domain/rollout-file-name.ts';
import type { NewRecord } from '../thread-store.ts';
import { revertHeader, startOfRollout } from './branches.ts';
import type { HomeLayout } from './home-layout.ts';
import type { IndexAccess } from './index-access.ts';
import type { HistoryPrefix, LocatedThread } from './index/index-api.ts';
import type { NameIndex } from './name-index.ts';
import type { StoredRollouts } from './stored-rollouts.ts';
import type { WriterLocks } from './writer-locks.ts';

/** Takes threads back: a new file of the thread continues the old one up to the cut, and is its current one from then on. */
export class Reverts {
  readonly #home: HomeLayout;
  readonly #index: IndexAccess;
  readonly #locks: WriterLocks;
  readonly #stored: StoredRollouts;
  readonly #names: NameIndex;
  readonly #now: () => number;

  constructor(
    home: HomeLayout,
    index: IndexAccess,
    locks: WriterLocks,
    stored: StoredRollouts,
    names: NameIndex,
    now: () => number,
  ) {
    this.#home = home;
    this.#index = index;
    this.#locks = locks;
    this.#stored = stored;
    this.#names = names;
    this.#now = now;
  }

  /**
   * Durable when it returns, with the records behind the cut, or not done at all.
   * @throws notFound; invalidRequest for legacy history or an unknown turn; conflict if another process writes it
   */
  async revert(threadId: ThreadId, beforeTurnId: string, records: readonly NewRecord[]): Promise<void> {
    const lock = await this.#locks.acquire(threadId);
    try {
      const located = await this.#index.located(threadId);
      if (located.historyMode !== 'paginated') throw invalidRequest('thread/revert only supports paginated threads');
      await this.#index.current.restoreHistory(threadId);
      const prefix = await this.#index.current.prefix(threadId, { kind: 'beforeTurn', turnId: beforeTurnId });
      const path = await this.#write(located, prefix, records);
      this.#index.touch(path);
      await this.#names.copy(threadId, located.unindexedName, this.#now());
    } finally {
      await lock.release();
    }
  }

  async #write(located: LocatedThread, prefix: HistoryPrefix, records: readonly NewRecord[]): Promise<string> {
    const { thread, rollouts } = located;
    const [current] = rollouts;
    await this.#stored.makeDurable(prefix.rollout.path);
    const header = revertHeader(await this.#stored.header(current.path, thread.id, 'keep'), thread, prefix);
    const rolloutId = idAfter(rollouts.map((rollout) => rollout.rolloutId));
    const name = { threadId: thread.id, rolloutId, localTime: localTimeOf(this.#now()), isCompressed: false };
    const path = current.isArchived ? this.#home.archivedPath(name) : this.#home.activePath(name);
    const start = startOfRollout(() => Promise.resolve(header), 'paginated', prefix);
    await this.#stored.writeOnce(path, start, (writer) =>
      records.length === 0 ? writer.persist('power', 'withdraw') : writer.append(records, 'power', 'withdraw'),
    );
    return path;
  }
}

/** A new rollout id behind those of a thread, even if the clock has been set back: the greatest is the current one. */
function idAfter(ids: readonly ThreadId[]): ThreadId {
  const id = newThreadId();
  const last = ids.toSorted().at(-1) ?? id;
  return id > last ? id : successorOf(last);
}
