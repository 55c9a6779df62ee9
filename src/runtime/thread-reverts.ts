import { invalidRequest, toSkeinError, type SkeinError } from '../domain/errors.ts';
import type { ThreadId } from '../domain/ids.ts';
import { settingsAppliedItem, type ThreadSettings } from '../domain/thread-settings.ts';
import { formatTimestamp } from '../domain/timestamps.ts';
import { KeyedMutex } from '../store/mutex.ts';
import type { ThreadStore } from '../store/thread-store.ts';
import type { Answer } from './answer.ts';
import type { CodexThread } from './codex-thread.ts';
import { findTurn } from './find-turn.ts';
import type { Organization } from './organization.ts';
import type { ManagerEvent } from './thread-events.ts';
import type { ThreadRegistry } from './thread-registry.ts';

export interface ThreadRevertsOptions {
  readonly store: ThreadStore;
  readonly registry: ThreadRegistry;
  readonly organization: Organization;
  /** Unix ms. */
  readonly now: () => number;
  /** A loaded thread. @throws notFound */
  readonly find: (threadId: ThreadId) => CodexThread;
  /** Loads a stored thread with the settings that it had. */
  readonly reload: (threadId: ThreadId, settings: ThreadSettings) => Promise<CodexThread>;
  readonly tell: (threadId: ThreadId, event: ManagerEvent) => void;
}

/** Threads taken back to before a turn. */
export class ThreadReverts {
  readonly #options: ThreadRevertsOptions;
  /** A thread that is being reverted is not loaded for a while: the next revert waits until it is again. */
  readonly #mutex = new KeyedMutex<ThreadId>();

  constructor(options: ThreadRevertsOptions) {
    this.#options = options;
  }

  /**
   * Takes a loaded, paginated thread back to before a turn; a running turn is interrupted. Whatever happens, the
   * thread is loaded again when this ends, with its settings.
   */
  revert(threadId: ThreadId, beforeTurnId: string, cause: string, answer: Answer<CodexThread>): Promise<CodexThread> {
    return this.#mutex.run(threadId, async () => {
      const reverted = await this.#revert(threadId, beforeTurnId, cause);
      await answer(reverted);
      this.#options.tell(threadId, { type: 'threadReverted' });
      return reverted;
    });
  }

  /** Resolves when every revert of a thread that was asked for is over, and told. */
  settled(threadId: ThreadId): Promise<void> {
    return this.#mutex.run(threadId, async () => {});
  }

  async #revert(id: ThreadId, beforeTurnId: string, cause: string): Promise<CodexThread> {
    const { store, registry, organization, now, find, reload } = this.#options;
    const thread = find(id);
    assertRevertible(thread, beforeTurnId);
    let refusal: SkeinError | undefined;
    const reverted = await registry.whileUnloaded([id], cause, async () => {
      const { settings } = thread;
      try {
        // Changes since the turn stay, and come with the file: killed in between, nobody would know them any more.
        const record = { timestamp: formatTimestamp(now()), item: settingsAppliedItem(id, settings) };
        await store.revertThread(id, beforeTurnId, [record]);
        const isThere = async (turnId: string): Promise<boolean> => (await findTurn(store, id, turnId)) !== undefined;
        await organization.readMarks.reverted(id, isThere);
      } catch (error) {
        refusal = toSkeinError(error);
      }
      return reload(id, settings);
    });
    if (refusal !== undefined) throw refusal;
    return reverted;
  }
}

function assertRevertible(thread: CodexThread, beforeTurnId: string): void {
  if (thread.isEphemeral) throw invalidRequest('ephemeral threads do not support thread/revert');
  if (thread.described.historyMode === 'legacy') throw invalidRequest('thread/revert only supports paginated threads');
  if (!thread.isStored) throw invalidRequest(`turn not found: ${beforeTurnId}`);
}
