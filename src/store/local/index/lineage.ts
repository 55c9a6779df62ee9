import { invalidRequest } from '../../../domain/errors.ts';
import type { ThreadId } from '../../../domain/ids.ts';
import type { RolloutRow } from './rollout-row.ts';

/** A stretch of history in one rollout: what of that file belongs to the thread. */
export interface Segment {
  readonly rollout: RolloutRow;
  /** Positions at or beyond this belong to someone else; null for the thread's own rollout. */
  readonly endPosition: number | null;
  /** Bytes at or beyond this belong to someone else; null for the thread's own rollout. */
  readonly endOffset: number | null;
}

/**
 * The rollouts that make up a thread's history, newest first: its own, then what it was forked from, and so on (D8).
 *
 * @param find the rollout with an id, indexed as far as it goes; undefined if it is not there
 * @throws invalidRequest if the chain is broken, goes round in a circle, or reaches beyond a file
 */
export function lineageOf(
  own: RolloutRow,
  threadId: ThreadId,
  find: (rolloutId: ThreadId) => RolloutRow | undefined,
): readonly Segment[] {
  const refuse = (why: string): Error => invalidRequest(`invalid paginated history lineage for ${threadId}: ${why}`);
  const segments: Segment[] = [{ rollout: own, endPosition: null, endOffset: null }];
  const seen = new Set<ThreadId>([own.rolloutId]);
  let { base } = own;
  while (base !== null) {
    if (seen.has(base.rolloutId)) throw refuse(`rollout ${base.rolloutId} continues itself`);
    seen.add(base.rolloutId);
    const rollout = find(base.rolloutId);
    if (rollout === undefined) throw refuse(`source rollout ${base.rolloutId} is missing`);
    if (base.endOffset > rollout.indexedSize) {
      throw refuse(`it begins at byte ${base.endOffset} of a rollout of ${rollout.indexedSize} bytes`);
    }
    segments.push({ rollout, endPosition: base.endOrdinal, endOffset: base.endOffset });
    ({ base } = rollout);
  }
  return segments;
}
