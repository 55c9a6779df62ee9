import { newThreadId, newUuid, type ThreadId } from '../../src/domain/ids.ts';
import type { JsonObject } from '../../src/domain/json.ts';
import type { RolloutItem } from '../../src/domain/rollout-line.ts';
import type { HistoryMode } from '../../src/domain/session-meta.ts';
import { formatTimestamp } from '../../src/domain/timestamps.ts';
import type { NewRecord } from '../../src/store/thread-store.ts';

/** An instant that tests count from, Unix ms. */
export const T0 = Date.parse('2026-03-04T05:06:07.000Z');

export const record = (item: RolloutItem, atMs = T0): NewRecord => ({ timestamp: formatTimestamp(atMs), item });

/** A header payload as Skein and Codex write it. */
export const headerPayload = (threadId: ThreadId, mode: HistoryMode, overrides: JsonObject = {}): JsonObject => ({
  session_id: threadId,
  id: threadId,
  timestamp: formatTimestamp(T0),
  cwd: '/work/project',
  originator: 'test',
  cli_version: '1.2.3',
  source: 'vscode',
  model_provider: 'mock',
  history_mode: mode,
  ...overrides,
});

export const event = (type: string, members: JsonObject = {}): RolloutItem => ({
  type: 'event_msg',
  payload: { type, ...members },
});

export const responseMessage = (role: string, text: string): RolloutItem => ({
  type: 'response_item',
  payload: {
    type: 'message',
    role,
    content: [{ type: role === 'assistant' ? 'output_text' : 'input_text', text }],
  },
});

export interface TurnRecords {
  readonly turnId: string;
  readonly items: readonly RolloutItem[];
}

/** What a whole turn leaves in a history of either mode. */
export function turnItems(
  mode: HistoryMode,
  threadId: ThreadId,
  userText: string,
  agentText: string,
  turnId = newUuid(),
): TurnRecords {
  const completed = (item: JsonObject): RolloutItem =>
    event('item_completed', { thread_id: threadId, turn_id: turnId, item });
  const user =
    mode === 'legacy'
      ? event('user_message', { message: userText })
      : completed({
          type: 'UserMessage',
          id: newUuid(),
          content: [{ type: 'text', text: userText, text_elements: [] }],
        });
  const agent =
    mode === 'legacy'
      ? event('agent_message', { message: agentText })
      : completed({ type: 'AgentMessage', id: newUuid(), content: [{ type: 'Text', text: agentText }] });
  return {
    turnId,
    items: [
      event('task_started', { turn_id: turnId, started_at: T0 / 1_000 }),
      responseMessage('user', userText),
      user,
      agent,
      responseMessage('assistant', agentText),
      event('task_complete', {
        turn_id: turnId,
        last_agent_message: agentText,
        completed_at: T0 / 1_000 + 1,
        duration_ms: 1_000,
      }),
    ],
  };
}

export const someThreadId = (): ThreadId => newThreadId();
