import type { ThreadManager } from '../runtime/thread-manager.ts';

/** More ids in one message help nobody. */
const MOST_NAMED = 10;

/** Says which threads have not been written to their end, and why; undefined if there are none. */
export function unsavedIn(manager: ThreadManager): string | undefined {
  const left = manager.loaded.filter((thread) => !thread.isOver && !thread.isEphemeral);
  if (left.length === 0) return undefined;
  const named = left
    .slice(0, MOST_NAMED)
    .map(({ id, failure }) => `${id} (${failure?.message ?? 'the disk has not answered'})`);
  const more = left.length > MOST_NAMED ? [`and ${left.length - MOST_NAMED} more`] : [];
  return `what was said last in ${left.length} thread${left.length === 1 ? '' : 's'} could not be saved: ${[...named, ...more].join(', ')}`;
}
