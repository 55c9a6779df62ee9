import { newUuid, type ThreadId } from '../domain/ids.ts';
import { isJsonObject, numberMember, type JsonObject, type JsonValue } from '../domain/json.ts';
import type { RolloutItem } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import { legacyUserEvent, modelInput, storedInput, type UserMessage } from '../domain/user-input.ts';
import type { TokenCount, TokenUsage } from './turn-events.ts';

/**
 * The records that a turn leaves in a history (app-server-protocol section 5). What clients are shown and what a model
 * reads are separate records; the first kind depends on the history mode.
 */

const event = (type: string, members: JsonObject): RolloutItem => ({
  type: 'event_msg',
  payload: { type, ...members },
});

/** Unix seconds, as turns count. */
export const unixSeconds = (epochMs: number): number => Math.floor(epochMs / 1_000);

export interface TurnIdentity {
  readonly threadId: ThreadId;
  readonly historyMode: HistoryMode;
  readonly turnId: string;
  readonly rootTurnId: string;
}

/** The marker that a turn begins with. */
export const startedRecord = (turn: TurnIdentity, startedAtMs: number, contextWindow: number | null): RolloutItem =>
  event('task_started', {
    turn_id: turn.turnId,
    root_turn_id: turn.rootTurnId,
    started_at: unixSeconds(startedAtMs),
    model_context_window: contextWindow,
    collaboration_mode_kind: 'default',
  });

/** What a user said: for the model, and for people. */
export function userRecords(
  turn: TurnIdentity,
  message: UserMessage,
  itemId: string,
  atMs: number,
): readonly RolloutItem[] {
  const content = message.input.map(modelInput).filter((part) => part !== undefined);
  const forModel: RolloutItem = {
    type: 'response_item',
    payload: { type: 'message', id: `msg_${newUuid()}`, role: 'user', content },
  };
  const forPeople =
    turn.historyMode === 'legacy'
      ? ({ type: 'event_msg', payload: legacyUserEvent(message) } satisfies RolloutItem)
      : completedRecord(turn, userItem(message, itemId), atMs, atMs);
  return [forModel, forPeople];
}

/** What the agent said: for people, and for the model. */
export function agentRecords(
  turn: TurnIdentity,
  itemId: string,
  text: string,
  startedAtMs: number,
  completedAtMs: number,
): readonly RolloutItem[] {
  const forPeople =
    turn.historyMode === 'legacy'
      ? event('agent_message', { message: text, phase: null, memory_citation: null })
      : completedRecord(turn, agentItem(itemId, text), startedAtMs, completedAtMs);
  const forModel: RolloutItem = {
    type: 'response_item',
    payload: { type: 'message', id: itemId, role: 'assistant', content: [{ type: 'output_text', text }] },
  };
  return [forPeople, forModel];
}

/** An item that people are shown, as paginated history stores it. */
export interface StoredItem extends JsonObject {
  readonly type: string;
  readonly id: string;
}

export const agentItem = (itemId: string, text: string): StoredItem => ({
  type: 'AgentMessage',
  id: itemId,
  content: [{ type: 'Text', text }],
});

export const compactionItem = (itemId: string): StoredItem => ({ type: 'ContextCompaction', id: itemId });

export const userItem = (message: UserMessage, itemId: string): StoredItem => ({
  type: 'UserMessage',
  id: itemId,
  ...(message.clientId === null ? {} : { client_id: message.clientId }),
  content: message.input.map(storedInput),
});

/** The record of an item that people are shown, in paginated history. */
export function completedRecord(
  turn: TurnIdentity,
  item: StoredItem,
  startedAtMs: number,
  completedAtMs: number,
): RolloutItem {
  return event('item_completed', {
    thread_id: turn.threadId,
    turn_id: turn.turnId,
    item,
    started_at_ms: startedAtMs,
    completed_at_ms: completedAtMs,
  });
}

/** The history that a model reads was compacted here: what people are shown of it. */
export const compactionShown = (
  turn: TurnIdentity,
  itemId: string,
  startedAtMs: number,
  completedAtMs: number,
): RolloutItem =>
  turn.historyMode === 'legacy'
    ? event('context_compacted', {})
    : completedRecord(turn, compactionItem(itemId), startedAtMs, completedAtMs);

export const tokenRecord = (last: TokenUsage, total: TokenUsage, contextWindow: number | null): RolloutItem =>
  event('token_count', {
    info: {
      total_token_usage: storedTokens(total),
      last_token_usage: storedTokens(last),
      model_context_window: contextWindow,
    },
    rate_limits: null,
  });

const storedTokens = (usage: TokenUsage): JsonObject => ({
  input_tokens: usage.inputTokens,
  cached_input_tokens: usage.cachedInputTokens,
  cache_write_input_tokens: usage.cacheWriteInputTokens,
  output_tokens: usage.outputTokens,
  reasoning_output_tokens: usage.reasoningOutputTokens,
  total_tokens: usage.totalTokens,
});

/** Tokens as rollouts count them, in the protocol's names; none of what is not there. */
export function tokensOf(stored: JsonValue): TokenUsage {
  const count = (key: string): number => (isJsonObject(stored) ? numberMember(stored, key) : undefined) ?? 0;
  return {
    totalTokens: count('total_tokens'),
    inputTokens: count('input_tokens'),
    cachedInputTokens: count('cached_input_tokens'),
    cacheWriteInputTokens: count('cache_write_input_tokens'),
    outputTokens: count('output_tokens'),
    reasoningOutputTokens: count('reasoning_output_tokens'),
  };
}

/** The last count of a thread; null before the first, or if its history does not name the turn. */
export function countOf({ lastCount, tokenUsage }: StoredThread): TokenCount | null {
  if (lastCount === null || lastCount.turnId === null) return null;
  const { turnId, last, contextWindow } = lastCount;
  return { turnId, last: tokensOf(last), total: tokensOf(tokenUsage), modelContextWindow: contextWindow };
}

/** When and how long. */
export interface TurnTimes {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

const timeMembers = ({ startedAtMs, endedAtMs }: TurnTimes): JsonObject => ({
  started_at: unixSeconds(startedAtMs),
  completed_at: unixSeconds(endedAtMs),
  duration_ms: endedAtMs - startedAtMs,
});

export const completeRecords = (
  turn: TurnIdentity,
  times: TurnTimes,
  lastAgentMessage: string | null,
  errorMessage: string | null,
): readonly RolloutItem[] => [
  event('task_complete', {
    turn_id: turn.turnId,
    root_turn_id: turn.rootTurnId,
    last_agent_message: lastAgentMessage,
    ...(errorMessage === null ? {} : { error: { message: errorMessage, codex_error_info: 'other' } }),
    ...timeMembers(times),
  }),
];

/** What tells the model, in its own history, that the user stopped it. */
const ABORTED_MARK =
  '<turn_aborted>\nThe user interrupted the previous turn. Work it had begun may be unfinished.\n</turn_aborted>';

/** How a turn ends that was stopped; also appended to forks that leave their source in the middle of a turn. */
export const abortRecords = (
  turn: { readonly turnId: string; readonly rootTurnId?: string },
  times?: TurnTimes,
): readonly RolloutItem[] => [
  {
    type: 'response_item',
    payload: {
      type: 'message',
      id: `msg_${newUuid()}`,
      role: 'user',
      content: [{ type: 'input_text', text: ABORTED_MARK }],
    },
  },
  abortedRecord(turn, 'interrupted', times),
];

/** How a turn ends that another one took the place of. */
export const replacedRecords = (turn: TurnIdentity, times: TurnTimes): readonly RolloutItem[] => [
  abortedRecord(turn, 'replaced', times),
];

const abortedRecord = (
  turn: { readonly turnId: string; readonly rootTurnId?: string },
  reason: 'interrupted' | 'replaced',
  times: TurnTimes | undefined,
): RolloutItem =>
  event('turn_aborted', {
    turn_id: turn.turnId,
    ...(turn.rootTurnId === undefined ? {} : { root_turn_id: turn.rootTurnId }),
    reason,
    ...(times === undefined ? {} : timeMembers(times)),
  });
