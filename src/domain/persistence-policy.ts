import { objectMember, stringMember } from './json.ts';
import type { RolloutItem } from './rollout-line.ts';
import type { HistoryMode } from './session-meta.ts';

/**
 * What of a thread's stream is written to its rollout (upstream-behaviour section 3, era N).
 * Decided here once, above the stores: a store writes what it is given.
 *
 * Kinds this version does not know are kept: whoever hands over a record it has no rule for means it to last.
 */
export function isPersisted(item: RolloutItem, mode: HistoryMode): boolean {
  switch (item.type) {
    case 'response_item':
      return !TRANSIENT_RESPONSE_ITEMS.has(stringMember(item.payload, 'type') ?? '');
    case 'event_msg':
      return isEventPersisted(item, mode);
    default:
      return true;
  }
}

/** The items of a batch that are written, in order. */
export const persistedItems = (items: readonly RolloutItem[], mode: HistoryMode): readonly RolloutItem[] =>
  items.filter((item) => isPersisted(item, mode));

const TRANSIENT_RESPONSE_ITEMS: ReadonlySet<string> = new Set([
  '',
  'additional_tools',
  'compaction_trigger',
  'ghost_snapshot',
  'other',
]);

const EVENTS_OF_BOTH_MODES: ReadonlySet<string> = new Set([
  'task_started',
  'turn_started',
  'task_complete',
  'turn_complete',
  'turn_aborted',
  'token_count',
  'thread_goal_updated',
  'thread_rolled_back',
  'thread_settings_applied',
]);

/** In paginated history the completed item takes the place of these. */
const EVENTS_OF_LEGACY_MODE: ReadonlySet<string> = new Set([
  'user_message',
  'agent_message',
  'agent_reasoning',
  'agent_reasoning_raw_content',
  'entered_review_mode',
  'exited_review_mode',
  'patch_apply_end',
  'context_compacted',
  'mcp_tool_call_end',
  'web_search_end',
  'image_generation_end',
  'sub_agent_activity',
]);

const COMPLETED_ITEMS_OF_LEGACY_MODE: ReadonlySet<string> = new Set(['Plan', 'Sleep']);

function isEventPersisted(item: RolloutItem, mode: HistoryMode): boolean {
  const type = stringMember(item.payload, 'type') ?? '';
  if (EVENTS_OF_BOTH_MODES.has(type)) return true;
  if (EVENTS_OF_LEGACY_MODE.has(type)) return mode === 'legacy';
  if (type !== 'item_completed') return false;
  if (mode === 'paginated') return true;
  const completed = objectMember(item.payload, 'item');
  const kind = completed === undefined ? undefined : stringMember(completed, 'type');
  return kind !== undefined && COMPLETED_ITEMS_OF_LEGACY_MODE.has(kind);
}
