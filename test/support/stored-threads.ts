import type { ThreadId } from '../../src/domain/ids.ts';
import type { HistoryMode } from '../../src/domain/session-meta.ts';
import { NO_FACTS } from '../../src/domain/thread-facts.ts';
import type { ThreadQuery } from '../../src/domain/thread-query.ts';
import type { ThreadStore } from '../../src/store/thread-store.ts';
import { headerPayload, record, someThreadId, T0, turnItems } from './records.ts';

export const query = (overrides: Partial<ThreadQuery> = {}): ThreadQuery => ({
  sortKey: 'createdAt',
  direction: 'desc',
  limit: 25,
  isArchived: false,
  ...overrides,
});

/** Starts a thread with one turn for each text; it stays live. Returns where it is. */
export async function startThread(
  store: ThreadStore,
  mode: HistoryMode,
  texts: readonly string[],
): Promise<{ readonly threadId: ThreadId; readonly path: string }> {
  const threadId = someThreadId();
  const { path } = await store.createThread({
    threadId,
    historyMode: mode,
    cwd: '/work/project',
    createdAtMs: T0,
    header: async () => headerPayload(threadId, mode),
  });
  for (const text of texts) await say(store, threadId, mode, text);
  if (path === null) throw new Error('a local thread has a path');
  return { threadId, path };
}

/** As {@link startThread}; the thread is not live any more. */
export async function storeThread(
  store: ThreadStore,
  mode: HistoryMode,
  texts: readonly string[],
): Promise<{ readonly threadId: ThreadId; readonly path: string }> {
  const started = await startThread(store, mode, texts);
  await store.shutdownThread(started.threadId);
  return started;
}

/** Adds a turn to a live thread. */
export const say = (store: ThreadStore, threadId: ThreadId, mode: HistoryMode, text: string): Promise<void> =>
  store.appendItems({
    threadId,
    records: turnItems(mode, threadId, text, `re: ${text}`).items.map((item) => record(item)),
    facts: NO_FACTS,
    durability: 'process',
    onFailure: 'withdraw',
  });

/** What the user said in a thread, as its pages show it, oldest first. */
export async function saidIn(store: ThreadStore, threadId: ThreadId): Promise<readonly string[]> {
  const page = await store.listTurns({ threadId, limit: 1_000, direction: 'asc', itemsView: 'full' });
  return page.data.map(({ items }) => {
    const content = items[0]?.['content'];
    return Array.isArray(content) ? String((content[0] as { text?: unknown }).text) : '';
  });
}

/** The types of a thread's records, oldest first. */
export async function recordTypesOf(store: ThreadStore, threadId: ThreadId): Promise<readonly string[]> {
  const types: string[] = [];
  for await (const { item } of store.loadHistory(threadId, { includeArchived: true })) types.push(item.type);
  return types;
}
