import { invalidRequest, notFound } from '../domain/errors.ts';
import type { ThreadId } from '../domain/ids.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import type { ThreadStore } from '../store/thread-store.ts';
import type { Answer } from './answer.ts';
import type { Organization } from './organization.ts';
import type { ManagerEvent } from './thread-events.ts';
import type { ThreadRegistry } from './thread-registry.ts';

export interface ThreadFamiliesOptions {
  readonly store: ThreadStore;
  readonly registry: ThreadRegistry;
  readonly organization: Organization;
  readonly tell: (threadId: ThreadId, event: ManagerEvent) => void;
  /** Something went wrong that no caller waits for. */
  readonly onProblem: (message: string, cause: unknown) => void;
}

/** Where threads are kept, and whether: what is done to one is done to those that it spawned. */
export class ThreadFamilies {
  readonly #options: ThreadFamiliesOptions;

  constructor(options: ThreadFamiliesOptions) {
    this.#options = options;
  }

  /** Archives a thread and those it spawned, deepest first; loaded ones are ended before. @returns the archived ids */
  async archive(threadId: ThreadId, cause: string, answer: Answer<readonly ThreadId[]>): Promise<readonly ThreadId[]> {
    const { store, registry, tell } = this.#options;
    const loaded = registry.find(threadId);
    if (loaded?.isEphemeral === true) throw notFound(`no rollout found for thread id ${threadId}`);
    if (loaded === undefined) await store.readThread(threadId);
    else if (!loaded.isStored) await loaded.persist(cause);
    const family = await store.descendantsOf(threadId);
    const archived = await registry.whileUnloaded([...family.toReversed(), threadId], cause, () =>
      store.archiveThreads([threadId, ...family]),
    );
    await answer(archived);
    for (const id of archived) tell(id, { type: 'threadArchived' });
    return archived;
  }

  /** Takes one thread out of the archive; those it spawned stay there. @throws notFound */
  async unarchive(threadId: ThreadId, answer: Answer<StoredThread>): Promise<StoredThread> {
    const { store, tell } = this.#options;
    const thread = await store.unarchiveThread(threadId);
    await answer(thread);
    tell(threadId, { type: 'threadUnarchived' });
    return thread;
  }

  /** Removes a thread and those it spawned for good. @returns the deleted ids @throws invalidRequest if forks still need it */
  async delete(threadId: ThreadId, cause: string, answer: Answer<readonly ThreadId[]>): Promise<readonly ThreadId[]> {
    const { store, registry, organization, onProblem, tell } = this.#options;
    const loaded = registry.find(threadId);
    if (loaded?.isEphemeral === true) {
      throw invalidRequest(`thread is not persisted and cannot be deleted: ${threadId}`);
    }
    if (loaded === undefined) await store.readThread(threadId, { includeArchived: true });
    const family = loaded?.isStored === false ? [] : await store.descendantsOf(threadId);
    // A refusal changes nothing: no turn is interrupted for it, and nobody's thread is gone.
    await store.assertUnreferenced([threadId, ...family]);
    const deleted = await registry.whileUnloaded([...family.toReversed(), threadId], cause, async () => {
      // Asked only now: a turn may have begun meanwhile. An unused thread is gone with its writer.
      if (loaded?.isStored === false) return [threadId];
      return store.deleteThreads([threadId, ...family]);
    });
    // They are gone, whatever becomes of what was set for them.
    await organization.forget(deleted).catch((error: unknown) => {
      onProblem('what was set for deleted threads could not be removed', error);
    });
    await answer(deleted);
    for (const id of deleted) tell(id, { type: 'threadDeleted' });
    return deleted;
  }
}
