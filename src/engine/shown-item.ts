import { itemOfCompleted } from '../domain/thread-item.ts';
import type { ThreadItem } from '../domain/turn.ts';
import type { StoredItem } from './turn-records.ts';

/** An item of a running turn as clients see it. @param completedAtMs null while it is not complete */
export function shownItem(stored: StoredItem, startedAtMs: number, completedAtMs: number | null): ThreadItem {
  const view = itemOfCompleted({ item: stored }) ?? { type: stored.type, id: stored.id };
  return { ...view, startedAtMs, completedAtMs };
}
