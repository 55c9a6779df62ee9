import { NOT_LOADED, type RuntimeView } from '../protocol/views.ts';
import type { CodexThread } from '../runtime/codex-thread.ts';

/** What a loaded thread adds to what its store says. */
export function runtimeViewOf(thread: CodexThread | undefined): RuntimeView {
  if (thread === undefined) return NOT_LOADED;
  return {
    status: thread.status,
    isLoaded: true,
    isEphemeral: thread.isEphemeral,
    acceptsInput: true,
  };
}

/** As {@link runtimeViewOf}, for answers that do not say whether input is taken: lists, metadata updates. */
export const listedViewOf = (thread: CodexThread | undefined): RuntimeView => ({
  ...runtimeViewOf(thread),
  acceptsInput: null,
});
