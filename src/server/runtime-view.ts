import type { ThreadId } from '../domain/ids.ts';
import { NOT_LOADED, type RuntimeView } from '../protocol/views.ts';
import type { ThreadManager } from '../runtime/thread-manager.ts';

/** What the daemon adds to what a thread's store says. */
export function runtimeViewOf(manager: ThreadManager, threadId: ThreadId): RuntimeView {
  const place = manager.organization.sections.placeOf(threadId) ?? null;
  const thread = manager.find(threadId);
  if (thread === undefined) return { ...NOT_LOADED, place };
  return {
    status: thread.status,
    isLoaded: true,
    isEphemeral: thread.isEphemeral,
    acceptsInput: true,
    place,
  };
}

/** As {@link runtimeViewOf}, for answers that do not say whether input is taken: lists, metadata updates. */
export const listedViewOf = (manager: ThreadManager, threadId: ThreadId): RuntimeView => ({
  ...runtimeViewOf(manager, threadId),
  acceptsInput: null,
});
