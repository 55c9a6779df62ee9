import { invalidRequest, SkeinError } from '../domain/errors.ts';
import type { RolloutItem, RolloutLine } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import type { Turn } from '../domain/turn.ts';
import { abortRecords } from '../engine/turn-records.ts';
import type { ForkBoundary, ThreadStore } from '../store/thread-store.ts';
import { cutOf, outlineOf } from '../store/history-outline.ts';

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
  /** A turn that the fork begins in the middle of gets an end at once. */
  readonly endsOpenTurn: boolean;
  /** The last turn of the source. */
  readonly lastTurn: Turn | undefined;
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
  const last = await lastTurn(store, source);
  const plan = { endsOpenTurn: false, lastTurn: last };
  switch (snapshot.kind) {
    case 'truncateBeforeNthUserMessage':
      return { ...plan, boundary: await truncation(store, source, snapshot.index, last) };
    case 'beforeTurn':
      return { ...plan, boundary: snapshot };
    case 'throughTurn':
      if (snapshot.turnId === activeTurnId) {
        throw invalidRequest(`lastTurnId '${snapshot.turnId}' identifies an in-progress turn`);
      }
      return { ...plan, boundary: snapshot };
    case 'interrupted':
      return { ...plan, boundary: { kind: 'latest' }, endsOpenTurn: true };
  }
}

/** Stores know turns that go on by their markers; words that nobody answered yet are one without. */
async function truncation(
  store: ThreadStore,
  source: StoredThread,
  index: number,
  last: Turn | undefined,
): Promise<ForkBoundary> {
  if (last !== undefined && isUnanswered(last)) {
    const outline = await outlineOf(store.loadHistory(source.id), source.historyMode);
    const messages = outline.turns.reduce((sum, turn) => sum + turn.messagesAt.length, 0);
    if (index >= messages) return { kind: 'beforeTurn', turnId: last.id };
  }
  return { kind: 'beforeUserMessage', index };
}

/** A turn that is not there, in the words that the protocol has for it in legacy threads. */
export function explainForkFailure(error: unknown, source: StoredThread, snapshot: ForkSnapshot): unknown {
  const isTurn = snapshot.kind === 'throughTurn' || snapshot.kind === 'beforeTurn';
  if (!isTurn || source.historyMode === 'paginated') return error;
  if (!(error instanceof SkeinError) || error.message !== `turn not found: ${snapshot.turnId}`) return error;
  const member = snapshot.kind === 'throughTurn' ? 'lastTurnId' : 'beforeTurnId';
  return invalidRequest(`${member} '${snapshot.turnId}' was not found in the source thread`);
}

/** The records that ephemeral forks begin with: no store makes them. @throws invalidRequest for an unknown turn */
export async function* inheritedRecords(
  history: () => AsyncIterable<RolloutLine>,
  mode: HistoryMode,
  plan: ForkPlan,
): AsyncGenerator<RolloutLine> {
  const outline = await outlineOf(history(), mode);
  const end = cutOf(outline, plan.boundary);
  let at = 0;
  let timestamp = '';
  for await (const line of history()) {
    if (at === end) break;
    yield line;
    ({ timestamp } = line);
    at += 1;
  }
  const last = outline.turns.at(-1);
  if (!plan.endsOpenTurn || last === undefined || !last.goesOn) return;
  for (const item of abortRecords(last)) yield { timestamp, item };
}

/**
 * The records that end a turn which a fork leaves off in the middle of; none if it does not. Asked of the fork, because
 * its source may have gone on since it was looked at.
 * @param before the last turn of the source as it was before the fork
 */
export async function endOfOpenTurn(
  store: ThreadStore,
  fork: StoredThread,
  before: Turn | undefined,
): Promise<readonly RolloutItem[]> {
  const last = await lastTurn(store, fork);
  if (last === undefined || !(goesOn(last) || isCutOff(last, fork))) return [];
  if (before?.id === last.id && !goesOn(before)) return [];
  return abortRecords({ turnId: last.id, ...(last.rootTurnId === null ? {} : { rootTurnId: last.rootTurnId }) });
}

const goesOn = (turn: Turn): boolean => turn.status === 'inProgress' || isUnanswered(turn);

/** Stores that fork by reference show a turn that the reference cuts as interrupted, without a record that says so. */
const isCutOff = (turn: Turn, { historyMode }: StoredThread): boolean =>
  historyMode === 'paginated' && turn.status === 'interrupted' && turn.completedAt === null;

/** The last turn of a thread's history. */
export async function lastTurn(store: ThreadStore, { id }: StoredThread): Promise<Turn | undefined> {
  const { data } = await store.listTurns({ threadId: id, limit: 1, direction: 'desc', itemsView: 'full' });
  return data[0];
}

/** Without markers, words that nobody answered are a turn in its middle. */
const isUnanswered = (turn: Turn): boolean =>
  turn.id.startsWith('rollout-') && turn.status === 'completed' && turn.items.at(-1)?.type === 'userMessage';
