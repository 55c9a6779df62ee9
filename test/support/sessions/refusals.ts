import { say } from '../session-player.ts';
import { inBoth, newestTurn, UNKNOWN, type Session } from './session.ts';

/** What is refused. */
export const refusalsSessions: readonly Session[] = [
  ...inBoth('nothing is read before a first turn', async (player, start) => {
    const threadId = await start();
    await player.ask('thread/read', { threadId });
    await player.ask('turn/steer', { threadId, input: say('x'), expectedTurnId: UNKNOWN });
    await player.ask('turn/interrupt', { threadId, turnId: UNKNOWN });
  }),
  ...inBoth('input that is none', async (player, start) => {
    const threadId = await start();
    await player.ask('turn/start', { threadId, input: [{ type: 'text' }] });
    await player.ask('turn/start', { threadId, input: 'x' });
    await player.ask('turn/start', { threadId, input: [{ type: 'image', url: 'https://a/b.png' }] });
    await player.ask('turn/start', { threadId });
    await player.ask('turn/start', { threadId: 5, input: say('x') });
    await player.ask('turn/start', { threadId, input: say('x'), approvalPolicy: 'bogus' });
    await player.ask('turn/start', { threadId, input: say('x'.repeat(1_048_577)) });
    await player.ask('thread/read', { threadId });
  }),
  [
    'a revert that cannot be',
    async (player) => {
      const threadId = await player.start({ historyMode: 'legacy' });
      await player.turn(threadId, 'one');
      await player.ask('thread/revert', { threadId, beforeTurnId: await newestTurn(player, threadId) });
    },
  ],
  [
    'an ephemeral thread',
    async (player) => {
      const threadId = await player.start({ ephemeral: true });
      await player.turn(threadId, 'one');
      await player.ask('thread/read', { threadId });
      for (const method of ['thread/archive', 'thread/delete', 'thread/resume', 'thread/fork', 'thread/turns/list']) {
        await player.ask(method, { threadId });
      }
      await player.ask('thread/name/set', { threadId, name: 'x' });
      await player.ask('thread/memoryMode/set', { threadId, mode: 'enabled' });
      await player.ask('thread/metadata/update', { threadId, gitInfo: { branch: 'b' } });
      await player.ask('thread/read', { threadId, includeTurns: true });
      await player.ask('thread/items/list', { threadId });
      const stored = await player.start();
      await player.turn(stored, 'one');
      await player.ask('thread/fork', { threadId: stored, ephemeral: true });
    },
  ],
  [
    'a start that cannot be',
    async (player) => {
      await player.ask('thread/start', { modelProvider: 'nope' });
      await player.ask('thread/start', { cwd: 5 });
      await player.ask('thread/start', { sandbox: 'bogus' });
    },
  ],
  [
    'a thread that nobody knows',
    async (player) => {
      for (const threadId of [UNKNOWN, 'zz', '']) {
        for (const method of ['thread/read', 'thread/resume', 'thread/fork', 'thread/archive', 'thread/unarchive']) {
          await player.ask(method, { threadId });
        }
        for (const method of ['thread/delete', 'thread/unsubscribe', 'thread/turns/list', 'thread/items/list']) {
          await player.ask(method, { threadId });
        }
        for (const method of ['thread/compact/start', 'thread/queue/list', 'thread/goal/get']) {
          await player.ask(method, { threadId });
        }
        await player.ask('turn/start', { threadId, input: say('x') });
        await player.ask('turn/steer', { threadId, input: say('x'), expectedTurnId: UNKNOWN });
        await player.ask('turn/interrupt', { threadId, turnId: UNKNOWN });
        await player.ask('thread/settings/update', { threadId, model: 'x' });
        await player.ask('thread/shellCommand', { threadId, command: 'true' });
        await player.ask('thread/inject_items', { threadId, items: [{}] });
        await player.ask('thread/name/set', { threadId, name: 'x' });
        await player.ask('thread/memoryMode/set', { threadId, mode: 'enabled' });
        await player.ask('thread/metadata/update', { threadId, gitInfo: { branch: 'b' } });
      }
    },
  ],
  [
    'lists that cannot be',
    async (player) => {
      for (const params of [{ cursor: 'zz' }, { sortKey: 'x' }, { limit: -1 }, { sortDirection: 5 }]) {
        await player.ask('thread/list', params);
        await player.ask('thread/search', { searchTerm: 'x', ...params });
      }
      await player.ask('thread/search', { searchTerm: ' ' });
      await player.ask('thread/loaded/list', { cursor: 'zz' });
    },
  ],
];
