import { randomUUID } from 'node:crypto';
import { SkeinError } from '../domain/errors.ts';
import type { JsonObject } from '../domain/json.ts';
import type { ThreadId } from '../domain/ids.ts';
import {
  change,
  initialReadState,
  type OrganizationChange,
  type ReadState,
  type UnreadPosition,
} from '../domain/organization.ts';
import { KeyedMutex } from '../store/mutex.ts';
import type { OrganizationStore } from '../store/organization-store.ts';

export interface ReadMarksOptions {
  readonly store: OrganizationStore;
  readonly onChanged: (threadId: ThreadId, readState: ReadState) => void;
  readonly onProblem: (message: string, cause: unknown) => void;
}

/** How far each thread was read. Kept for those that are marked, or had a turn here; all others are read. */
export class ReadMarks {
  readonly #options: ReadMarksOptions;
  readonly #states = new Map<string, ReadState>();
  /** A mark is in effect once it is written; whatever else happens to the thread meanwhile comes behind. */
  readonly #mutex = new KeyedMutex<ThreadId>();

  constructor(options: ReadMarksOptions) {
    this.#options = options;
    for (const { kind, key, value } of options.store.entries) {
      if (kind === 'readState') this.#states.set(key, value as unknown as ReadState);
    }
  }

  of(threadId: ThreadId): ReadState {
    return this.#states.get(threadId) ?? initialReadState(threadId);
  }

  /** A turn has ended that nobody has read yet. */
  turnEnded(threadId: ThreadId, turnId: string): void {
    this.#afterMark(threadId, () =>
      this.#setLater(threadId, this.of(threadId).firstUnread ?? { type: 'turn', turnId }),
    );
  }

  /** The turns behind a revert are gone; if the first unread one was among them, all that is left was read. */
  async reverted(threadId: ThreadId, isThere: (turnId: string) => Promise<boolean>): Promise<void> {
    const { firstUnread, revision } = this.of(threadId);
    if (firstUnread?.type !== 'turn' || (await isThere(firstUnread.turnId))) return;
    this.#afterMark(threadId, () => {
      if (this.of(threadId).revision === revision) this.#setLater(threadId, null);
    });
  }

  /**
   * Marks a thread as read, or as unread from its start. Durable when it returns, and in effect only then.
   * @throws invalidRequest if the thread is not as the caller saw it
   */
  mark(threadId: ThreadId, as: 'read' | 'unread', expectedRevision: string): Promise<ReadState> {
    return this.#mutex.run(threadId, async () => {
      const readState = this.of(threadId);
      if (readState.revision !== expectedRevision) {
        const data = { reason: 'readStateConflict', readState: readState as unknown as JsonObject };
        throw new SkeinError('invalidRequest', 'read state changed', { data });
      }
      const state: ReadState = { firstUnread: as === 'read' ? null : { type: 'threadStart' }, revision: randomUUID() };
      await this.#options.store.write([change('readState', threadId, state)], 'power');
      this.#show(threadId, state);
      return state;
    });
  }

  /** Resolves when what was asked before is done. */
  settled(threadId: ThreadId): Promise<void> {
    return this.#mutex.run(threadId, async () => {});
  }

  /** What to remove of a thread that is gone. */
  forget(threadId: ThreadId): readonly OrganizationChange[] {
    return this.#states.delete(threadId) ? [change('readState', threadId, null)] : [];
  }

  /** At once, unless a mark is being written. */
  #afterMark(threadId: ThreadId, work: () => void): void {
    if (this.#mutex.isInUse(threadId)) void this.#mutex.run(threadId, async () => work());
    else work();
  }

  /** Nobody waits for it. Told once it is asked to be written: what comes of later turns is written behind it. */
  #setLater(threadId: ThreadId, firstUnread: UnreadPosition | null): void {
    const state = { firstUnread, revision: randomUUID() };
    this.#options.store
      .write([change('readState', threadId, state)], 'process')
      .catch((error: unknown) =>
        this.#options.onProblem(`what was read of thread ${threadId} could not be stored`, error),
      );
    this.#show(threadId, state);
  }

  #show(threadId: ThreadId, state: ReadState): void {
    this.#states.set(threadId, state);
    this.#options.onChanged(threadId, state);
  }
}
