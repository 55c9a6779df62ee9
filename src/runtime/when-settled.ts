import { SkeinError } from '../domain/errors.ts';
import type { ThreadId } from '../domain/ids.ts';
import type { CodexThread } from './codex-thread.ts';
import type { ThreadRegistry } from './thread-registry.ts';
import type { ThreadReverts } from './thread-reverts.ts';

/**
 * Does something with a thread, loaded or not, that is not done at all if the thread is let go meanwhile (notFound). Then it is
 * done again: one that is being reverted is loaded again, and waited for (SET-14, MGR-51).
 * @param work gets the thread, if it is loaded
 * @throws what `work` throws
 */
export async function whenSettled<T>(
  { registry, reverts }: { readonly registry: ThreadRegistry; readonly reverts: ThreadReverts },
  threadId: ThreadId,
  work: (thread: CodexThread | undefined) => Promise<T>,
): Promise<T> {
  for (let tried: CodexThread | undefined; ;) {
    if (registry.isClosing(threadId)) await reverts.settled(threadId);
    await registry.whenSettled(threadId);
    const thread = registry.find(threadId);
    try {
      return await work(thread);
    } catch (error) {
      const isLetGo = thread !== undefined && (registry.isClosing(threadId) || registry.find(threadId) !== thread);
      const isUndone = error instanceof SkeinError && error.code === 'notFound';
      if (!isLetGo || !isUndone || thread === tried) throw error;
      tried = thread;
    }
  }
}
