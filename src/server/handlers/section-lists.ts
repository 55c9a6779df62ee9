import { invalidRequest } from '../../domain/errors.ts';
import { isThreadId } from '../../domain/ids.ts';
import { EMPTY_PAGE, type Page, type SortDirection } from '../../domain/page.ts';
import type { StoredThread } from '../../domain/stored-thread.ts';
import type { ThreadQuery } from '../../domain/thread-query.ts';
import type { PlacedThread } from '../../runtime/sections.ts';
import type { ThreadStore } from '../../store/thread-store.ts';

/** Threads of a section that are looked at together. */
const AT_ONCE = 100;

/**
 * A page in the order of a section. The section's own threads lead the way, so others cost nothing, however many.
 * Cursors are `<position>|<thread id>`.
 *
 * @param query the filters, and how many threads
 * @param placed the threads of the section in order
 * @throws invalidRequest for a cursor of another list
 */
export async function listInSection(
  store: Pick<ThreadStore, 'listThreads'>,
  query: ThreadQuery,
  placed: readonly PlacedThread[],
  direction: SortDirection,
  cursor: string | null,
): Promise<Page<StoredThread>> {
  const after = cursor === null ? null : parsePosition(cursor);
  const sign = direction === 'asc' ? 1 : -1;
  const ordered = direction === 'asc' ? placed : placed.toReversed();
  const ahead = after === null ? ordered : ordered.filter((one) => sign * compare(one, after) > 0);
  const found: { readonly thread: StoredThread; readonly place: PlacedThread }[] = [];
  for (let from = 0; from < ahead.length && found.length <= query.limit; from += AT_ONCE) {
    const some = ahead.slice(from, from + AT_ONCE);
    const onlyIds = some.map(({ threadId }) => threadId);
    const { data } = await store.listThreads({ ...query, onlyIds, limit: AT_ONCE });
    const threads = new Map(data.map((thread) => [thread.id, thread]));
    for (const place of some) {
      const thread = threads.get(place.threadId);
      if (thread !== undefined) found.push({ thread, place });
    }
  }
  const shown = found.slice(0, query.limit);
  const [first, last] = [shown[0]?.place, shown.at(-1)?.place];
  if (first === undefined || last === undefined) return EMPTY_PAGE;
  return {
    data: shown.map(({ thread }) => thread),
    nextCursor: found.length > query.limit ? formatPosition(last) : null,
    // Beyond the first, seen from the other side: the whole page is ahead again.
    backwardsCursor: formatPosition({ ...first, position: first.position + sign }),
  };
}

const compare = (a: PlacedThread, b: PlacedThread): number =>
  a.position - b.position || (a.threadId < b.threadId ? -1 : a.threadId > b.threadId ? 1 : 0);

const formatPosition = ({ position, threadId }: PlacedThread): string => `${position}|${threadId}`;

function parsePosition(text: string): PlacedThread {
  const [position = '', threadId = '', ...rest] = text.split('|');
  if (!/^-?\d{1,15}$/.test(position) || !isThreadId(threadId) || rest.length > 0) {
    throw invalidRequest(`invalid cursor: ${text}`);
  }
  return { position: Number(position), threadId };
}
