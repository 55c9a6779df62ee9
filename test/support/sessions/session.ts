import type { Json } from '../rpc-client.ts';
import type { Player } from '../session-player.ts';

/** A session, by the name that differences are told with. */
export type Session = readonly [name: string, play: (player: Player) => Promise<void>];

/** An id that nobody has given to anything. */
export const UNKNOWN = '11111111-2222-4333-8444-555555555555';

export const MODES = ['paginated', 'legacy'] as const;

/** A session for both kinds of history. @param session `start` makes a thread of the kind */
export const inBoth = (
  name: string,
  session: (player: Player, start: () => Promise<string>, mode: (typeof MODES)[number]) => Promise<void>,
): readonly Session[] =>
  MODES.map((historyMode) => [
    `${name}, ${historyMode}`,
    (player) => session(player, () => player.start({ historyMode }), historyMode),
  ]);

/** Puts a thread away and back, which leaves it unloaded. */
export async function unload(player: Player, threadId: string): Promise<void> {
  await player.ask('thread/archive', { threadId });
  await player.allHear('thread/archived');
  await player.ask('thread/unarchive', { threadId });
  await player.allHear('thread/unarchived');
}

export const newestTurn = async (player: Player, threadId: string): Promise<string> =>
  (await player.ask('thread/turns/list', { threadId, limit: 1 })).data[0].id;

/** All items of a thread, oldest first. */
export async function everyItem(player: Player, threadId: string): Promise<readonly Json[]> {
  const { data } = await player.ask('thread/turns/list', { threadId, sortDirection: 'asc', itemsView: 'full' });
  return data.flatMap(({ items }: Json) => items);
}
