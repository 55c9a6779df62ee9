import { onTestFinished } from 'vitest';
import type { StoredThread } from '../../src/domain/stored-thread.ts';
import type { ThreadQuery } from '../../src/domain/thread-query.ts';
import { parseThreadCursor } from '../../src/domain/thread-cursor.ts';
import { HomeLayout } from '../../src/store/local/home-layout.ts';
import type { IndexApi } from '../../src/store/local/index/index-api.ts';
import type { IndexOptions } from '../../src/store/local/index/index-life.ts';
import { openIndexInline } from '../../src/store/local/index/index-thread.ts';

/** An index over a home, in this thread; closed when the test ends, if it still is open then. */
export function openIndex(home: string, options: Pick<IndexOptions, 'coverBudgetMs'> = {}): IndexApi {
  const index = openIndexInline({ home: new HomeLayout(home), defaultModelProvider: 'default-provider', ...options });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= index.close());
  onTestFinished(close);
  return new Proxy(index, {
    get: (target, key) => {
      if (key === 'close') return close;
      const member: unknown = Reflect.get(target, key, target);
      return typeof member === 'function' ? (member as () => unknown).bind(target) : member;
    },
  });
}

export const query = (overrides: Partial<ThreadQuery> = {}): ThreadQuery => ({
  sortKey: 'createdAt',
  direction: 'desc',
  limit: 100,
  isArchived: false,
  ...overrides,
});

/** What both lists show, in order. */
export async function everyThread(index: IndexApi): Promise<readonly StoredThread[]> {
  const found: StoredThread[] = [];
  for (const isArchived of [false, true]) found.push(...(await allPages(index, query({ isArchived }))));
  return found;
}

export async function allPages(index: IndexApi, first: ThreadQuery): Promise<readonly StoredThread[]> {
  const found: StoredThread[] = [];
  let page = await index.list(first);
  found.push(...page.data);
  while (page.nextCursor !== null) {
    page = await index.list({ ...first, after: parseThreadCursor(page.nextCursor) });
    found.push(...page.data);
  }
  return found;
}

export const firstWords = (threads: readonly StoredThread[]): readonly string[] =>
  threads.map((thread) => thread.preview);
