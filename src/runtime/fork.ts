import { invalidRequest, SkeinError } from '../domain/errors.ts';
import type { RolloutItem, RolloutLine } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import { emptyHistory, foldLine } from '../domain/turn-history.ts';
import { abortRecords } from '../engine/turn-records.ts';
import type { ForkBoundary, ThreadStore } from '../store/thread-store.ts';

/** What of its source a fork begins with (upstream-behaviour 6.5). */
export type ForkSnapshot =
  /** All of it; a turn that is going on counts as interrupted. */
  | { readonly kind: 'interrupted' }
  /** Strictly before the user message with this 0-based number; past the last, all but a turn that is going on. */
  | { readonly kind: 'truncateBeforeNthUserMessage'; readonly index: number }
  | { readonly kind: 'throughTurn'; readonly turnId: string }
  | { readonly kind: 'beforeTurn'; readonly turnId: string };

export interface ForkPlan {
  readonly boundary: ForkBoundary;
  /** Records that the fork adds at once: the end of a turn that its source is in the middle of. */
  readonly closing: readonly RolloutItem[];
}

/**
 * @param activeTurnId the turn that the source is running, if any
 * @throws invalidRequest for a turn that is going on
 */
export async function planFork(
  store: ThreadStore,
  source: StoredThread,
  snapshot: ForkSnapshot,
  activeTurnId: string | null,
): Promise<ForkPlan> {
  switch (snapshot.kind) {
    case 'truncateBeforeNthUserMessage':
      return { boundary: { kind: 'beforeUserMessage', index: snapshot.index }, closing: [] };
    case 'beforeTurn':
      return { boundary: snapshot, closing: [] };
    case 'throughTurn':
      if (snapshot.turnId === activeTurnId) {
        throw invalidRequest(`lastTurnId '${snapshot.turnId}' identifies an in-progress turn`);
      }
      return { boundary: snapshot, closing: [] };
    case 'interrupted':
      return { boundary: { kind: 'latest' }, closing: await endOfOpenTurn(store, source) };
  }
}

/** A turn that is not there, in the words that the protocol has for it in legacy threads. */
export function explainForkFailure(error: unknown, source: StoredThread, snapshot: ForkSnapshot): unknown {
  const isTurn = snapshot.kind === 'throughTurn' || snapshot.kind === 'beforeTurn';
  if (!isTurn || source.historyMode === 'paginated') return error;
  if (!(error instanceof SkeinError) || error.message !== `turn not found: ${snapshot.turnId}`) return error;
  const member = snapshot.kind === 'throughTurn' ? 'lastTurnId' : 'beforeTurnId';
  return invalidRequest(`${member} '${snapshot.turnId}' was not found in the source thread`);
}

/** The records that a fork begins with, read one by one: for forks that no store makes. */
export async function* recordsUpTo(
  history: AsyncIterable<RolloutLine>,
  mode: HistoryMode,
  boundary: ForkBoundary,
): AsyncGenerator<RolloutLine> {
  let fold = emptyHistory(mode);
  let messages = 0;
  for await (const line of history) {
    const step = foldLine(fold, line);
    ({ fold } = step);
    let isLast = false;
    for (const change of step.changes) {
      if (boundary.kind === 'beforeTurn' && change.type === 'turnOpened' && change.turnId === boundary.turnId) return;
      if (boundary.kind === 'throughTurn' && change.type === 'turnClosed' && change.turnId === boundary.turnId) {
        isLast = true;
      }
      if (change.type === 'itemRecorded' && change.role === 'user') {
        if (boundary.kind === 'beforeUserMessage' && messages === boundary.index) return;
        messages += 1;
      }
    }
    yield line;
    if (isLast) return;
  }
}

async function endOfOpenTurn(store: ThreadStore, source: StoredThread): Promise<readonly RolloutItem[]> {
  const { data } = await store.listTurns({ threadId: source.id, limit: 1, direction: 'desc', itemsView: 'full' });
  const [last] = data;
  if (last === undefined) return [];
  if (last.status === 'inProgress') {
    return abortRecords({ turnId: last.id, ...(last.rootTurnId === null ? {} : { rootTurnId: last.rootTurnId }) });
  }
  // Without markers, words that nobody answered are a turn in its middle.
  const isUnanswered = last.id.startsWith('rollout-') && last.items.at(-1)?.type === 'userMessage';
  return isUnanswered ? abortRecords({ turnId: last.id }) : [];
}
