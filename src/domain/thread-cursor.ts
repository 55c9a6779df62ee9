import { invalidRequest } from './errors.ts';
import { isThreadId } from './ids.ts';
import { EMPTY_PAGE, type Page } from './page.ts';
import type { StoredThread } from './stored-thread.ts';
import { sortKeyOf, type ThreadPosition, type ThreadQuery } from './thread-query.ts';
import { parseTimestamp } from './timestamps.ts';

/**
 * Thread cursors are `<RFC 3339>|<id>`, exact to the element (F5). A bare timestamp, as older clients hold,
 * goes on with what is strictly beyond it.
 */
export const formatThreadCursor = (position: ThreadPosition): string => {
  const instant = new Date(position.keyMs).toISOString();
  return position.id === null ? instant : `${instant}|${position.id}`;
};

/** @throws invalidRequest `invalid cursor: …` */
export function parseThreadCursor(text: string): ThreadPosition {
  const [instant = '', id, ...rest] = text.split('|');
  const keyMs = parseTimestamp(instant);
  if (keyMs === undefined || rest.length > 0 || (id !== undefined && !isThreadId(id))) {
    throw invalidRequest(`invalid cursor: ${text}`);
  }
  return { keyMs, id: id ?? null };
}

/** A page from what a query found: in order, one element more than the limit if there are more. */
export function threadPage<T>(
  found: readonly T[],
  query: ThreadQuery,
  threadOf: (element: T) => StoredThread,
): Page<T> {
  const data = found.slice(0, query.limit);
  const [first, last] = [data[0], data.at(-1)];
  if (first === undefined || last === undefined) return EMPTY_PAGE;
  const keyOf = (element: T): number => sortKeyOf(threadOf(element), query.sortKey);
  const hasMore = found.length > query.limit;
  return {
    data,
    nextCursor: hasMore ? formatThreadCursor({ keyMs: keyOf(last), id: threadOf(last).id }) : null,
    // Beyond the first element, seen from the other side: the whole page is ahead again.
    backwardsCursor: formatThreadCursor({ keyMs: keyOf(first) + (query.direction === 'asc' ? 1 : -1), id: null }),
  };
}
