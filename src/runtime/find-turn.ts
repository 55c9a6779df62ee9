import type { ThreadId } from '../domain/ids.ts';
import type { Turn } from '../domain/turn.ts';
import type { ThreadStore } from '../store/thread-store.ts';

const TURNS_PER_PAGE = 100;

/** A turn in a thread's history, with its first user message and its last answer; undefined if it is not there. */
export async function findTurn(
  store: Pick<ThreadStore, 'listTurns'>,
  threadId: ThreadId,
  turnId: string,
): Promise<Turn | undefined> {
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<ThreadStore['listTurns']>> = await store.listTurns({
      threadId,
      limit: TURNS_PER_PAGE,
      direction: 'desc',
      itemsView: 'summary',
      ...(cursor === null ? {} : { cursor }),
    });
    const turn = page.data.find(({ id }) => id === turnId);
    if (turn !== undefined) return turn;
    cursor = page.nextCursor;
  } while (cursor !== null);
  return undefined;
}
