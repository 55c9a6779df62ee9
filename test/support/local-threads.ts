import { onTestFinished } from 'vitest';
import type { ThreadId } from '../../src/domain/ids.ts';
import { stringMember, type JsonObject } from '../../src/domain/json.ts';
import type { RolloutItem } from '../../src/domain/rollout-line.ts';
import type { HistoryMode } from '../../src/domain/session-meta.ts';
import type { StoredThread } from '../../src/domain/stored-thread.ts';
import { NO_FACTS } from '../../src/domain/thread-facts.ts';
import type { LocalThreadStore } from '../../src/store/local/local-thread-store.ts';
import type { ForkBoundary, ThreadStore } from '../../src/store/thread-store.ts';
import { openLocalStore } from './local-store.ts';
import { headerPayload, record, someThreadId, T0, turnItems } from './records.ts';

/** A local store that is closed when the test ends. */
export async function useLocalStore(home: string): Promise<LocalThreadStore> {
  const store = await openLocalStore(home);
  onTestFinished(() => store.close());
  return store;
}

/** A new live thread, not stored yet. */
export async function createThread(
  store: ThreadStore,
  mode: HistoryMode,
  header: JsonObject = {},
  threadId = someThreadId(),
): Promise<ThreadId> {
  await store.createThread({
    threadId,
    historyMode: mode,
    cwd: '/work/project',
    createdAtMs: T0,
    header: async () => headerPayload(threadId, mode, header),
  });
  return threadId;
}

export const append = (store: ThreadStore, threadId: ThreadId, items: readonly RolloutItem[]): Promise<void> =>
  store.appendItems({
    threadId,
    records: items.map((item) => record(item)),
    facts: NO_FACTS,
    durability: 'process',
    onFailure: 'keep',
  });

/** A whole turn in a live thread. @returns its id */
export async function say(store: ThreadStore, threadId: ThreadId, mode: HistoryMode, text: string): Promise<string> {
  const { turnId, items } = turnItems(mode, threadId, text, `re: ${text}`);
  await append(store, threadId, items);
  return turnId;
}

/** A stored thread that is not live any more. */
export async function storedThread(
  store: ThreadStore,
  mode: HistoryMode,
  said: readonly string[],
  header: JsonObject = {},
): Promise<{ readonly threadId: ThreadId; readonly turnIds: readonly string[] }> {
  const threadId = await createThread(store, mode, header);
  const turnIds: string[] = [];
  for (const text of said) turnIds.push(await say(store, threadId, mode, text));
  await store.shutdownThread(threadId);
  return { threadId, turnIds };
}

/** A fork, live. */
export function forkThread(
  store: ThreadStore,
  sourceId: ThreadId,
  mode: HistoryMode,
  boundary: ForkBoundary = { kind: 'latest' },
  threadId = someThreadId(),
): Promise<StoredThread> {
  return store.forkThread({
    threadId,
    sourceId,
    boundary,
    historyMode: mode,
    cwd: '/work/project',
    createdAtMs: T0 + 5_000,
    header: async () => headerPayload(threadId, mode),
  });
}

/** What was said in a thread, users and agents, oldest first. */
export async function wordsIn(store: ThreadStore, threadId: ThreadId): Promise<readonly string[]> {
  const { data } = await store.listItems({ threadId, limit: 1_000, direction: 'asc' });
  return data.map(({ item }) => textOf(item as JsonObject));
}

function textOf(item: JsonObject): string {
  if (typeof item['text'] === 'string') return item['text'];
  const content = Array.isArray(item['content']) ? item['content'] : [];
  return content.map((part: JsonObject) => stringMember(part, 'text') ?? '').join('');
}

/** Ids of a collection. */
export async function listed(store: ThreadStore, isArchived = false): Promise<readonly ThreadId[]> {
  const page = await store.listThreads({ sortKey: 'createdAt', direction: 'desc', limit: 100, isArchived });
  return page.data.map((thread) => thread.id);
}
