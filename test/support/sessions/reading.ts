import { inBoth, type Session } from './session.ts';

/** What is read. */
export const readingSessions: readonly Session[] = [
  ...inBoth('everything there is to read', async (player, start, mode) => {
    const threadId = await start();
    const turnId = await player.turn(threadId, 'one');
    await player.turn(threadId, 'two');
    for (const sortDirection of ['asc', 'desc']) {
      await player.ask('thread/turns/list', { threadId, sortDirection, itemsView: 'full' });
      if (mode === 'paginated') await player.ask('thread/items/list', { threadId, sortDirection, turnId });
    }
    await player.ask('thread/list', { cwd: player.cwd, limit: 1 });
  }),
  ...inBoth('read with its turns', async (player, start, mode) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/read', { threadId, includeTurns: true }, 'bystander');
    await player.ask('thread/resume', { threadId }, 'watcher');
    if (mode === 'paginated') await player.clients.watcher.notification('deprecationNotice');
  }),
  [
    'pages of threads',
    async (player) => {
      const { cwd } = player;
      for (const text of ['one', 'two', 'three']) await player.turn(await player.start(), text);
      const page = await player.ask('thread/list', { cwd, limit: 2 });
      await player.ask('thread/list', { cwd, limit: 2, cursor: page.nextCursor });
      await player.ask('thread/list', { cwd, sortKey: 'created_at', sortDirection: 'asc' });
      await player.ask('thread/list', { cwd, searchTerm: 'two' });
      await player.ask('thread/list', { cwd, archived: true });
    },
  ],

  ...inBoth('a search', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, `needle ${player.waiting}`);
    await player.ask('thread/search', { searchTerm: `needle ${player.waiting}` });
    await player.ask('thread/search', { searchTerm: 'a needle that is nowhere' });
  }),
  [
    'what a client asks as it begins',
    async (player) => {
      await player.ask('account/read', {});
      await player.ask('hooks/list', { cwds: [player.cwd] });
      await player.ask('plugin/installed', {});
      await player.ask('account/bedrock/checkGovCloudRequirements', {});
    },
  ],
];
