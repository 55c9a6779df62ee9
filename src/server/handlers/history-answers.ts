import { invalidRequest } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import type { Page } from '../../domain/page.ts';
import type { StoredThread } from '../../domain/stored-thread.ts';
import type { Turn } from '../../domain/turn.ts';
import type { ThreadManager } from '../../runtime/thread-manager.ts';
import type { ListTurns } from '../../store/thread-store.ts';

/** Turns read at once while a whole history is put together: each page lets other requests in. */
const TURNS_PER_PAGE = 200;

/** A page of turns in which only the turn that runs now is in progress: any other without an end was cut off. */
export async function readTurns(manager: ThreadManager, params: ListTurns): Promise<Page<Turn>> {
  const activeTurnId = (): string | null | undefined => manager.find(params.threadId)?.activeTurnId;
  // A turn may end, or begin, while the page is read.
  const before = activeTurnId();
  const page = await manager.store.listTurns(params);
  const active = [before, activeTurnId()];
  return { ...page, data: page.data.map((turn) => asItIs(turn, active)) };
}

function asItIs(turn: Turn, active: readonly (string | null | undefined)[]): Turn {
  return turn.status === 'inProgress' && !active.includes(turn.id) ? { ...turn, status: 'interrupted' } : turn;
}

/** The longest history that one answer holds, in characters of its JSON: it is made in memory, here and there. */
const MAX_HISTORY_CHARACTERS = 64 * 1024 * 1024;

/**
 * All turns of a thread, oldest first.
 * @throws invalidRequest if they are more than an answer should hold
 */
export async function readAllTurns(
  manager: ThreadManager,
  threadId: ThreadId,
  maxCharacters = MAX_HISTORY_CHARACTERS,
): Promise<readonly Turn[]> {
  const turns: Turn[] = [];
  let characters = 0;
  let cursor: string | undefined;
  for (;;) {
    const page = await readTurns(manager, {
      threadId,
      limit: TURNS_PER_PAGE,
      direction: 'asc',
      itemsView: 'full',
      ...(cursor === undefined ? {} : { cursor }),
    });
    characters += JSON.stringify(page.data).length;
    if (characters > maxCharacters) {
      throw invalidRequest(
        `the history of thread ${threadId} is too large for one answer: leave its turns out, and page with thread/turns/list`,
      );
    }
    turns.push(...page.data);
    if (page.nextCursor === null) return turns;
    cursor = page.nextCursor;
  }
}

/** Turns read at once while a running turn waits for it. */
const NEWEST_TURNS_PER_PAGE = 4;

/** All turns of a thread, given those that were read a moment ago: only the newest can have changed since. */
export async function withNewestTurns(
  manager: ThreadManager,
  threadId: ThreadId,
  known: readonly Turn[],
): Promise<readonly Turn[]> {
  const newest: Turn[] = [];
  let cursor: string | undefined;
  for (;;) {
    const page = await readTurns(manager, {
      threadId,
      limit: NEWEST_TURNS_PER_PAGE,
      direction: 'desc',
      itemsView: 'full',
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const turn of page.data) {
      const index = known.findLastIndex(({ id, status }) => id === turn.id && status !== 'inProgress');
      if (index >= 0) return [...known.slice(0, index + 1), ...newest.toReversed()];
      newest.push(turn);
    }
    if (page.nextCursor === null) return newest.toReversed();
    cursor = page.nextCursor;
  }
}

/** Cursors from which a client reads a paginated history backwards; null where there is nothing, or legacy history. */
export async function backwardsCursors(
  manager: ThreadManager,
  thread: StoredThread,
): Promise<{ readonly turnsBackwardsCursor: string | null; readonly itemsBackwardsCursor: string | null }> {
  if (thread.historyMode === 'legacy') return { turnsBackwardsCursor: null, itemsBackwardsCursor: null };
  const last = { threadId: thread.id, limit: 1, direction: 'desc' } as const;
  const [turns, items] = await Promise.all([
    manager.store.listTurns({ ...last, itemsView: 'notLoaded' }),
    manager.store.listItems(last),
  ]);
  return { turnsBackwardsCursor: turns.backwardsCursor, itemsBackwardsCursor: items.backwardsCursor };
}

/** What paginated threads ask clients to stop doing, in the peer's words. */
export const deprecationNotice = (instead: string): JsonObject => ({
  summary: `Full-history hydration is deprecated for paginated threads; ${instead}, then page with \`thread/turns/list\` and \`thread/items/list\`.`,
  details: null,
});

/** Views of ours that are JSON by construction. */
export const asJson = (value: unknown): JsonValue => value as JsonValue;
