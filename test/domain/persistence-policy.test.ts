import { expect, it } from 'vitest';
import { isPersisted, persistedItems } from '../../src/domain/persistence-policy.ts';
import type { RolloutItem } from '../../src/domain/rollout-line.ts';
import { event, responseMessage } from '../support/records.ts';

const response = (type: string): RolloutItem => ({ type: 'response_item', payload: { type } });
const completed = (type: string): RolloutItem => event('item_completed', { item: { type, id: 'i' } });

/** Kinds by where they are kept: in both modes, in legacy history, in paginated history, nowhere. */
const KINDS: Readonly<Record<'both' | 'legacy' | 'paginated' | 'neither', readonly RolloutItem[]>> = {
  both: [
    ...['session_meta', 'compacted', 'turn_context', 'world_state', 'inter_agent_communication'].map(plain),
    ...['inter_agent_communication_metadata', 'security_risk_score'].map(plain),
    ...['message', 'reasoning', 'local_shell_call', 'function_call', 'function_call_output', 'custom_tool_call'].map(
      response,
    ),
    ...['custom_tool_call_output', 'tool_search_call', 'tool_search_output', 'web_search_call'].map(response),
    ...['image_generation_call', 'compaction', 'context_compaction', 'agent_message'].map(response),
    ...['token_count', 'thread_goal_updated', 'thread_rolled_back', 'thread_settings_applied'].map((type) =>
      event(type),
    ),
    // A marker has two names, by version.
    ...['task_started', 'turn_started', 'task_complete', 'turn_complete', 'turn_aborted'].map((type) => event(type)),
    completed('Plan'),
    completed('Sleep'),
  ],
  legacy: [
    ...['user_message', 'agent_message', 'agent_reasoning', 'agent_reasoning_raw_content'].map((type) => event(type)),
    ...['entered_review_mode', 'exited_review_mode', 'patch_apply_end', 'context_compacted'].map((type) => event(type)),
    ...['mcp_tool_call_end', 'web_search_end', 'image_generation_end', 'sub_agent_activity'].map((type) => event(type)),
  ],
  paginated: [
    ...['UserMessage', 'AgentMessage', 'Reasoning', 'CommandExecution', 'FileChange', 'McpToolCall'].map(completed),
    ...['DynamicToolCall', 'CollabAgentToolCall', 'SubAgentActivity', 'WebSearch', 'ImageView'].map(completed),
    ...['ImageGeneration', 'EnteredReviewMode', 'ExitedReviewMode', 'ContextCompaction', 'HookPrompt'].map(completed),
    completed('BrandNew'),
    event('item_completed'),
  ],
  neither: [
    ...['additional_tools', 'compaction_trigger', 'ghost_snapshot', 'other'].map(response),
    { type: 'response_item', payload: {} },
    ...['exec_command_begin', 'exec_command_output_delta', 'exec_command_end', 'error', 'warning'].map((type) =>
      event(type),
    ),
    ...['guardian_assessment', 'view_image_tool_call', 'dynamic_tool_call_request'].map((type) => event(type)),
    ...['dynamic_tool_call_response', 'collab_agent_spawn_end', 'collab_agent_interaction_end'].map((type) =>
      event(type),
    ),
    ...['collab_waiting_end', 'collab_close_end', 'collab_resume_end', 'agent_message_delta'].map((type) =>
      event(type),
    ),
    ...['agent_reasoning_delta', 'item_started', 'raw_response_item', 'turn_diff', 'plan_update'].map((type) =>
      event(type),
    ),
    ...['exec_approval_request', 'apply_patch_approval_request', 'request_user_input'].map((type) => event(type)),
    ...['session_configured', 'shutdown_complete', 'thread_name_updated', 'undo_completed'].map((type) => event(type)),
    ...['stream_error', 'background_event', 'mcp_tool_call_begin', 'patch_apply_begin'].map((type) => event(type)),
    { type: 'event_msg', payload: {} },
  ],
};

function plain(type: string): RolloutItem {
  return { type, payload: {} };
}

const rows = Object.entries(KINDS).flatMap(([kept, items]) =>
  items.map((item) => ({ kept, item, name: JSON.stringify([item.type, item.payload]) })),
);

it.each(rows)('POL-1 $name is kept in: $kept', ({ kept, item }) => {
  expect({ legacy: isPersisted(item, 'legacy'), paginated: isPersisted(item, 'paginated') }).toEqual({
    legacy: kept === 'both' || kept === 'legacy',
    paginated: kept === 'both' || kept === 'paginated',
  });
});

it('POL-2 kinds that are not known are kept, but for events, which are told and over', () => {
  for (const mode of ['legacy', 'paginated'] as const) {
    expect(isPersisted(plain('brand_new'), mode)).toBe(true);
    expect(isPersisted(plain(''), mode)).toBe(true);
    expect(isPersisted(response('brand_new_call'), mode)).toBe(true);
    expect(isPersisted(event('brand_new_event'), mode)).toBe(false);
    expect(isPersisted(event('constructor'), mode)).toBe(false);
  }
});

it('POL-3 what is kept of a batch keeps its order and is not altered', () => {
  const batch = [event('agent_message_delta'), responseMessage('user', 'a'), event('user_message'), plain('brand_new')];
  expect(persistedItems(batch, 'legacy')).toEqual(batch.slice(1));
  expect(persistedItems(batch, 'paginated')).toEqual([batch[1], batch[3]]);
  for (const kept of persistedItems(batch, 'legacy')) expect(batch).toContain(kept);
});
