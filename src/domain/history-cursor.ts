import { invalidRequest } from './errors.ts';
import type { ThreadId } from './ids.ts';
import { EMPTY_PAGE, type Page } from './page.ts';

/** A place in a thread's history, for pages of turns and of items. */
export interface HistoryPosition {
  /** Ordinal of a record in paginated history, byte offset in legacy history. */
  readonly at: number;
  /** True: the element at this place belongs to the page. */
  readonly isIncluded: boolean;
}

/** What a history cursor counts. */
export type HistoryScope = 'turns' | 'itemsByCreatedAtOrdinal';

/** Cursors of turn and item pages: JSON text, shaped as the peer shapes them. */
export const formatHistoryCursor = (threadId: ThreadId, position: HistoryPosition, scope: HistoryScope): string =>
  JSON.stringify({
    requestedThreadId: threadId,
    rolloutOrdinal: position.at,
    includeAnchor: position.isIncluded,
    scope: { kind: scope },
  });

/** @throws invalidRequest `invalid cursor: …`, also for a cursor of another thread or scope */
export function parseHistoryCursor(text: string, threadId: ThreadId, scope: HistoryScope): HistoryPosition {
  const refusal = invalidRequest(`invalid cursor: ${text}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw refusal;
  }
  const cursor = value as {
    requestedThreadId?: unknown;
    rolloutOrdinal?: unknown;
    includeAnchor?: unknown;
    scope?: { kind?: unknown } | null;
  } | null;
  const at = cursor?.rolloutOrdinal;
  if (
    cursor?.requestedThreadId !== threadId ||
    cursor.scope?.kind !== scope ||
    typeof at !== 'number' ||
    !Number.isSafeInteger(at) ||
    at < 0 ||
    typeof cursor.includeAnchor !== 'boolean'
  ) {
    throw refusal;
  }
  return { at, isIncluded: cursor.includeAnchor };
}

/** An element of a history and the place that names it. */
export interface Placed<T> {
  readonly at: number;
  readonly value: T;
}

/** A page of a history. `hasMore`: there are elements behind these. */
export function historyPage<T>(
  elements: readonly Placed<T>[],
  hasMore: boolean,
  threadId: ThreadId,
  scope: HistoryScope,
): Page<T> {
  const [first, last] = [elements[0], elements.at(-1)];
  if (first === undefined || last === undefined) return EMPTY_PAGE;
  const cursor = (at: number, isIncluded: boolean): string => formatHistoryCursor(threadId, { at, isIncluded }, scope);
  return {
    data: elements.map((element) => element.value),
    nextCursor: hasMore ? cursor(last.at, false) : null,
    backwardsCursor: cursor(first.at, true),
  };
}
