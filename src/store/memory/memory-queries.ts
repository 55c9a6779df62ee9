import type { ThreadId } from '../../domain/ids.ts';
import type { StoredThread } from '../../domain/stored-thread.ts';
import { foldedText, normalizedFolder, sortKeyOf, sourceKindsOf, type ThreadQuery } from '../../domain/thread-query.ts';

/** Of all threads those that a query asks for, in its order, from its place on. */
export function matching(query: ThreadQuery, all: readonly StoredThread[]): readonly StoredThread[] {
  const sign = query.direction === 'asc' ? 1 : -1;
  const key = (thread: StoredThread): number => sortKeyOf(thread, query.sortKey);
  const order = (a: StoredThread, b: StoredThread): number => sign * (key(a) - key(b) || (a.id < b.id ? -1 : 1));
  const { after } = query;
  const isBeyond = (thread: StoredThread): boolean => {
    if (after === undefined) return true;
    const distance = sign * (key(thread) - after.keyMs);
    if (distance !== 0 || after.id === null) return distance > 0;
    return sign > 0 ? thread.id > after.id : thread.id < after.id;
  };
  return all.filter(filterOf(query, all)).toSorted(order).filter(isBeyond);
}

function filterOf(query: ThreadQuery, all: readonly StoredThread[]): (thread: StoredThread) => boolean {
  const family = query.ancestorId === undefined ? undefined : new Set(descendants(query.ancestorId, all));
  const cwds = query.cwds?.map(normalizedFolder);
  const title = query.titleContains === undefined ? undefined : foldedText(query.titleContains);
  return (thread) =>
    (thread.archivedAtMs !== null) === query.isArchived &&
    (query.onlyIds === undefined ? thread.preview !== '' : query.onlyIds.includes(thread.id)) &&
    (query.modelProviders?.includes(thread.modelProvider) ?? true) &&
    (query.sourceKinds?.some((kind) => sourceKindsOf(thread.source).includes(kind)) ?? true) &&
    (cwds?.includes(normalizedFolder(thread.cwd)) ?? true) &&
    (title === undefined || foldedText(thread.name ?? thread.preview).includes(title)) &&
    query.excludedIds?.includes(thread.id) !== true &&
    (query.parentId === undefined || thread.parentThreadId === query.parentId) &&
    (family === undefined || family.has(thread.id));
}

/** Threads spawned by one, at any depth, nearest first. */
export function descendants(threadId: ThreadId, all: readonly StoredThread[]): readonly ThreadId[] {
  const found: ThreadId[] = [];
  let generation: readonly ThreadId[] = [threadId];
  while (generation.length > 0) {
    const parents = new Set(generation);
    generation = all
      .filter((thread) => thread.parentThreadId !== null && parents.has(thread.parentThreadId))
      .map((thread) => thread.id)
      .filter((id) => id !== threadId && !found.includes(id));
    found.push(...generation);
  }
  return found;
}
