import { numberMember, objectMember, stringMember, type JsonObject } from './json.ts';
import type { RolloutLine } from './rollout-line.ts';
import type { HistoryMode } from './session-meta.ts';
import { turnError, type TurnError, type TurnStatus } from './turn.ts';

/**
 * From records to turns and items. One fold for both history modes, one record at a time, with a small
 * JSON-able state, so that an index can go on where it stopped and a live thread can be followed.
 *
 * Paginated: turns open and close by their markers and items name their turn. Legacy: items belong to the turn
 * that is open; without markers a user message opens an implicit turn, which counts as completed.
 */
export interface HistoryFold {
  readonly mode: HistoryMode;
  /** Records seen; the next one's index. Names implicit turns: `rollout-<index>`. */
  readonly records: number;
  /** Ordinal that the next record of paginated history takes; null before the first. */
  readonly nextOrdinal: number | null;
  /** Legacy items named so far; the next is `item-<count + 1>`. */
  readonly items: number;
  readonly open: OpenTurn | null;
}

interface OpenTurn {
  readonly turnId: string;
  /** Opened by a marker, not by a message. */
  readonly isExplicit: boolean;
  readonly isEmpty: boolean;
  readonly sawCompaction: boolean;
  /** Reasoning parts in a row make one item: its id while that may go on. */
  readonly reasoningId: string | null;
}

/** What items are for a summary: the user's words, the agent's final words, anything else. */
export type ItemRole = 'user' | 'agent' | 'other';

/** What one record changes in the list of turns. */
export type HistoryChange =
  | {
      readonly type: 'turnOpened';
      readonly turnId: string;
      readonly rootTurnId: string | null;
      readonly status: TurnStatus;
      readonly startedAt: number | null;
    }
  | {
      readonly type: 'turnClosed';
      readonly turnId: string;
      readonly status: TurnStatus;
      readonly startedAt: number | null;
      readonly completedAt: number | null;
      readonly durationMs: number | null;
      readonly error: TurnError | null;
    }
  | {
      /** A record of an item; a later record with the same id replaces it, or adds to it if `isPart`. */
      readonly type: 'itemRecorded';
      readonly turnId: string;
      readonly itemId: string;
      readonly role: ItemRole;
      readonly isPart: boolean;
      readonly startedAtMs: number | null;
      readonly completedAtMs: number | null;
    }
  | { readonly type: 'turnsRolledBack'; readonly count: number };

export interface FoldStep {
  readonly fold: HistoryFold;
  readonly changes: readonly HistoryChange[];
}

export const emptyHistory = (mode: HistoryMode): HistoryFold => ({
  mode,
  records: 0,
  nextOrdinal: null,
  items: 0,
  open: null,
});

/** The fold after one more record, and what that record changed. Total. */
export function foldLine(fold: HistoryFold, line: RolloutLine): FoldStep {
  const nextOrdinal = line.ordinal === undefined ? fold.nextOrdinal : line.ordinal + 1;
  const counted: HistoryFold = { ...fold, records: fold.records + 1, nextOrdinal };
  const index = fold.records;
  const { type, payload } = line.item;
  if (type === 'compacted' && fold.mode === 'legacy') return compacted(counted, index);
  if (type !== 'event_msg') return { fold: counted, changes: [] };
  switch (payload['type']) {
    case 'task_started':
    case 'turn_started':
      return turnStarted(counted, payload, index);
    case 'task_complete':
    case 'turn_complete':
      return turnEnded(counted, payload, payload['error'] ? 'failed' : 'completed');
    case 'turn_aborted':
      return turnEnded(counted, payload, 'interrupted');
    case 'item_completed':
      return itemCompleted(counted, payload);
    case 'thread_rolled_back':
      return rolledBack(counted, payload);
    default:
      return counted.mode === 'legacy' ? legacyEvent(counted, payload, index) : { fold: counted, changes: [] };
  }
}

function turnStarted(fold: HistoryFold, payload: JsonObject, index: number): FoldStep {
  const turnId = stringMember(payload, 'turn_id') ?? `rollout-${index}`;
  return {
    fold: { ...fold, open: openTurn(turnId, true) },
    changes: [
      {
        type: 'turnOpened',
        turnId,
        rootTurnId: stringMember(payload, 'root_turn_id') ?? null,
        status: 'inProgress',
        startedAt: numberMember(payload, 'started_at') ?? null,
      },
    ],
  };
}

const openTurn = (turnId: string, isExplicit: boolean): OpenTurn => ({
  turnId,
  isExplicit,
  isEmpty: true,
  sawCompaction: false,
  reasoningId: null,
});

function turnEnded(fold: HistoryFold, payload: JsonObject, status: TurnStatus): FoldStep {
  const turnId = stringMember(payload, 'turn_id') ?? fold.open?.turnId;
  if (turnId === undefined) return { fold, changes: [] };
  const endsOpen = fold.open !== null && (fold.open.turnId === turnId || !fold.open.isExplicit);
  const ended = endsOpen ? (fold.open?.turnId ?? turnId) : turnId;
  return {
    fold: endsOpen ? { ...fold, open: null } : fold,
    changes: [
      {
        type: 'turnClosed',
        turnId: ended,
        status,
        startedAt: numberMember(payload, 'started_at') ?? null,
        completedAt: numberMember(payload, 'completed_at') ?? null,
        durationMs: numberMember(payload, 'duration_ms') ?? null,
        error: status === 'failed' ? errorOf(payload) : null,
      },
    ],
  };
}

function errorOf(payload: JsonObject): TurnError {
  const error = objectMember(payload, 'error');
  return turnError(error === undefined ? 'failed' : (stringMember(error, 'message') ?? 'failed'));
}

function itemCompleted(fold: HistoryFold, payload: JsonObject): FoldStep {
  const item = objectMember(payload, 'item');
  const itemId = item === undefined ? undefined : stringMember(item, 'id');
  const named = stringMember(payload, 'turn_id');
  const turnId = fold.mode === 'legacy' ? (fold.open?.turnId ?? named) : named;
  if (item === undefined || itemId === undefined || turnId === undefined) return { fold, changes: [] };
  return {
    fold: withItem(fold, null),
    changes: [
      {
        type: 'itemRecorded',
        turnId,
        itemId,
        role: roleOfCompleted(item),
        isPart: false,
        startedAtMs: numberMember(payload, 'started_at_ms') ?? null,
        completedAtMs: numberMember(payload, 'completed_at_ms') ?? null,
      },
    ],
  };
}

function roleOfCompleted(item: JsonObject): ItemRole {
  switch (item['type']) {
    case 'UserMessage':
      return 'user';
    case 'AgentMessage':
      return item['phase'] === 'commentary' ? 'other' : 'agent';
    default:
      return 'other';
  }
}

function rolledBack(fold: HistoryFold, payload: JsonObject): FoldStep {
  const count = Math.max(0, Math.trunc(numberMember(payload, 'num_turns') ?? 0));
  return {
    fold: { ...fold, open: null },
    changes: count === 0 ? [] : [{ type: 'turnsRolledBack', count }],
  };
}

/** Legacy events that are items, and how their item gets its id. */
const LEGACY_ITEMS = new Map<string, 'numbered' | 'callId'>(
  Object.entries({
    user_message: 'numbered',
    agent_message: 'numbered',
    agent_reasoning: 'numbered',
    agent_reasoning_raw_content: 'numbered',
    context_compacted: 'numbered',
    entered_review_mode: 'numbered',
    exited_review_mode: 'numbered',
    sub_agent_activity: 'numbered',
    web_search_end: 'callId',
    mcp_tool_call_end: 'callId',
    patch_apply_end: 'callId',
    image_generation_end: 'callId',
  }),
);

function legacyEvent(fold: HistoryFold, payload: JsonObject, index: number): FoldStep {
  const type = stringMember(payload, 'type') ?? '';
  const naming = LEGACY_ITEMS.get(type);
  if (naming === undefined) return { fold, changes: [] };

  const { open, opened: openedTurn } =
    type === 'user_message' && fold.open !== null && isFinishedByMessage(fold.open)
      ? ensureTurn({ ...fold, open: null }, index)
      : ensureTurn(fold, index);
  const isReasoning = type.startsWith('agent_reasoning');
  const continuedId = isReasoning ? open.reasoningId : null;
  const callId = naming === 'callId' ? stringMember(payload, 'call_id') : undefined;
  const itemId = continuedId ?? callId ?? `item-${fold.items + 1}`;
  const isNumbered = continuedId === null && callId === undefined;

  const recorded = withItem(
    { ...fold, open, items: isNumbered ? fold.items + 1 : fold.items },
    isReasoning ? itemId : null,
  );
  const change: HistoryChange = {
    type: 'itemRecorded',
    turnId: open.turnId,
    itemId,
    role: roleOfLegacy(type, payload),
    isPart: continuedId !== null,
    startedAtMs: null,
    completedAtMs: null,
  };
  return { fold: recorded, changes: [...openedTurn, change] };
}

/** A compaction outside any turn opens one of its own, which the next message then joins. */
function compacted(fold: HistoryFold, index: number): FoldStep {
  const { open, opened } = ensureTurn(fold, index);
  return { fold: { ...fold, open: { ...open, sawCompaction: true } }, changes: opened };
}

/** The open turn, or an implicit one and the change that opens it. */
function ensureTurn(
  fold: HistoryFold,
  index: number,
): { readonly open: OpenTurn; readonly opened: readonly HistoryChange[] } {
  if (fold.open !== null) return { open: fold.open, opened: [] };
  const open = openTurn(`rollout-${index}`, false);
  return { open, opened: [implicitTurn(open.turnId)] };
}

/** A user message ends an implicit turn, unless that holds nothing but a compaction. */
const isFinishedByMessage = (open: OpenTurn): boolean => !open.isExplicit && !(open.sawCompaction && open.isEmpty);

const implicitTurn = (turnId: string): HistoryChange => ({
  type: 'turnOpened',
  turnId,
  rootTurnId: null,
  status: 'completed',
  startedAt: null,
});

function roleOfLegacy(type: string, payload: JsonObject): ItemRole {
  if (type === 'user_message') return 'user';
  return type === 'agent_message' && payload['phase'] !== 'commentary' ? 'agent' : 'other';
}

function withItem(fold: HistoryFold, reasoningId: string | null): HistoryFold {
  if (fold.open === null) return fold;
  return { ...fold, open: { ...fold.open, isEmpty: false, reasoningId } };
}
