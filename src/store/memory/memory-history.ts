import type { SortDirection } from '../../domain/page.ts';
import type { RolloutLine } from '../../domain/rollout-line.ts';
import type { HistoryMode } from '../../domain/session-meta.ts';
import { itemOfCompleted, itemOfLegacyEvents } from '../../domain/thread-item.ts';
import { emptyHistory, foldLine, type HistoryChange, type ItemRole } from '../../domain/turn-history.ts';
import type { ThreadItem, Turn, TurnError, TurnItemsView, TurnStatus } from '../../domain/turn.ts';

interface HistoryItem {
  readonly at: number;
  readonly itemId: string;
  role: ItemRole;
  /** The records that make it up. */
  lines: RolloutLine[];
  readonly startedAtMs: number | null;
  completedAtMs: number | null;
}

export interface HistoryTurn {
  /** Index of the record that opens it. */
  readonly at: number;
  readonly turnId: string;
  readonly rootTurnId: string | null;
  status: TurnStatus;
  /** Index behind the record that closes it; null while nothing has. */
  endAt: number | null;
  startedAt: number | null;
  completedAt: number | null;
  durationMs: number | null;
  error: TurnError | null;
  readonly items: HistoryItem[];
}

/** The records of a thread, and where its forks have left their sources: behind so many of them. */
export interface History {
  readonly historyMode: HistoryMode;
  readonly lines: readonly RolloutLine[];
  readonly borders: readonly number[];
}

/** The turns of a history, by the one fold that all stores share. */
export function turnsOf({ lines, historyMode, borders }: History): readonly HistoryTurn[] {
  const turns: HistoryTurn[] = [];
  let fold = emptyHistory(historyMode);
  for (const [at, line] of lines.entries()) {
    if (borders.includes(at)) interruptOpen(turns, at, historyMode);
    const step = foldLine(fold, line);
    ({ fold } = step);
    for (const change of step.changes) apply(turns, at, line, change);
  }
  if (borders.includes(lines.length)) interruptOpen(turns, lines.length, historyMode);
  return turns;
}

/** A turn that its source had not ended does not go on in a paginated fork (SPEC FORK-11). */
function interruptOpen(turns: readonly HistoryTurn[], at: number, mode: HistoryMode): void {
  if (mode === 'legacy') return;
  for (const turn of turns.filter(({ endAt }) => endAt === null))
    Object.assign(turn, { status: 'interrupted', endAt: at });
}

function apply(turns: HistoryTurn[], at: number, line: RolloutLine, change: HistoryChange): void {
  switch (change.type) {
    case 'turnOpened': {
      const { turnId, rootTurnId, status, startedAt } = change;
      if (turns.some((turn) => turn.turnId === turnId)) return;
      const open = { endAt: null, completedAt: null, durationMs: null, error: null, items: [] };
      turns.push({ at, turnId, rootTurnId, status, startedAt, ...open });
      return;
    }
    case 'turnClosed': {
      const turn = turns.findLast((candidate) => candidate.turnId === change.turnId);
      if (turn === undefined || turn.endAt !== null) return;
      turn.status = change.status;
      turn.endAt = at + 1;
      turn.startedAt = change.startedAt ?? turn.startedAt;
      turn.completedAt = change.completedAt;
      turn.durationMs = change.durationMs;
      turn.error = change.error;
      return;
    }
    case 'itemRecorded': {
      const turn = turns.findLast((candidate) => candidate.turnId === change.turnId);
      const known = turn?.items.find((item) => item.itemId === change.itemId);
      if (known === undefined) {
        const { itemId, role, startedAtMs, completedAtMs } = change;
        turn?.items.push({ at, itemId, role, lines: [line], startedAtMs, completedAtMs });
      } else {
        known.lines = change.isPart ? [...known.lines, line] : [line];
        if (!change.isPart) known.role = change.role;
        known.completedAtMs = change.completedAtMs ?? known.completedAtMs;
      }
      return;
    }
    case 'turnsRolledBack':
      turns.splice(Math.max(0, turns.length - change.count));
  }
}

/** What clients see of a turn. */
export function turnView(turn: HistoryTurn, mode: HistoryMode, view: TurnItemsView): Turn {
  return {
    id: turn.turnId,
    rootTurnId: turn.rootTurnId,
    items: shownItems(turn, view)
      .map((item) => itemViewOf(item, mode))
      .filter((item) => item !== undefined),
    itemsView: view,
    status: turn.status,
    error: turn.error,
    startedAt: turn.startedAt,
    completedAt: turn.completedAt,
    durationMs: turn.durationMs,
  };
}

export function itemViewOf(item: HistoryItem, mode: HistoryMode): ThreadItem | undefined {
  const payloads = item.lines.map((line) => line.item.payload);
  const [first] = payloads;
  if (first === undefined) return undefined;
  return mode === 'legacy' ? itemOfLegacyEvents(payloads, item.itemId) : itemOfCompleted(first);
}

function shownItems(turn: HistoryTurn, view: TurnItemsView): readonly HistoryItem[] {
  switch (view) {
    case 'notLoaded':
      return [];
    case 'full':
      return turn.items;
    case 'summary': {
      const first = turn.items.find((item) => item.role === 'user');
      const last = turn.items.findLast((item) => item.role === 'agent');
      return [first, last].filter((item) => item !== undefined);
    }
  }
}

/** Elements in a direction from a place on. */
export function inDirection<T extends { readonly at: number }>(
  elements: readonly T[],
  direction: SortDirection,
  from: { readonly at: number; readonly isIncluded: boolean } | null,
): readonly T[] {
  const ordered = direction === 'asc' ? elements : elements.toReversed();
  if (from === null) return ordered;
  return ordered.filter(({ at }) =>
    at === from.at ? from.isIncluded : direction === 'asc' ? at > from.at : at < from.at,
  );
}
