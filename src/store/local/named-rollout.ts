import { invalidRequest } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import { canonicalPath } from './canonical-path.ts';
import type { HomeLayout } from './home-layout.ts';
import type { IndexAccess } from './index-access.ts';
import type { LocatedThread } from './index/index-api.ts';
import type { LiveWriters } from './live-writers.ts';

/** Where rollouts are looked for. */
interface Places {
  readonly home: HomeLayout;
  readonly index: IndexAccess;
  readonly live: LiveWriters;
}

/**
 * The thread whose rollout a caller names, which becomes the thread's current one if it lies outside the home.
 * @throws invalidRequest if it is not the thread's, or not its current one
 */
export async function locateNamed(
  path: string,
  threadId: ThreadId,
  { home, index, live }: Places,
): Promise<LocatedThread> {
  const canonical = await canonicalPath(home, path);
  const isCollected = home.isCollected(canonical);
  const known = isCollected ? await index.current.locate(threadId) : undefined;
  if (known !== undefined) {
    const [current] = known.rollouts;
    if (current.path === canonical) return known;
    throw invalidRequest(`${path} is not the current rollout of thread ${threadId}, which is ${current.path}`);
  }
  const located = await index.current.locateByPath(canonical, true);
  if (located.thread.id === threadId) return located;
  // It was read for nothing, unless somebody writes it.
  const isWritten = live.all.some(({ writer }) => writer.path === canonical);
  if (!isCollected && !isWritten) index.forget(canonical);
  throw invalidRequest(`the rollout belongs to thread ${located.thread.id}, not ${threadId}`);
}
