import { say } from '../session-player.ts';
import { inBoth, MODES, newestTurn, unload, UNKNOWN, type Session } from './session.ts';

/** Beginnings, ends, and ways between them. */
export const lifecycleSessions: readonly Session[] = [
  ...inBoth('a second client leaves in mid-turn', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    await player.beginTurn(threadId);
    await player.ask('thread/unsubscribe', { threadId }, 'watcher');
    player.openGate();
    await player.ended(threadId, 1);
  }),
  ...inBoth('a fork, and a turn in it', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    const { thread } = await player.ask('thread/fork', { threadId, excludeTurns: true });
    await player.allHear('thread/started', (told) => told.thread.id === thread.id);
    await player.turn(thread.id, 'two');
    await player.ask('thread/turns/list', { threadId: thread.id });
    await player.ask('thread/turns/list', { threadId });
  }),
  ...inBoth('forks of parts', async (player, start) => {
    const threadId = await start();
    const turnId = await player.turn(threadId, 'one');
    await player.turn(threadId, 'two');
    const cuts = [
      { lastTurnId: turnId },
      { beforeTurnId: turnId },
      { lastTurnId: UNKNOWN },
      { lastTurnId: turnId, beforeTurnId: turnId },
    ];
    for (const cut of cuts) {
      const forked = await player.ask('thread/fork', { threadId, excludeTurns: true, ...cut });
      if (forked !== undefined) await player.allHear('thread/started', ({ thread }) => thread.id === forked.thread.id);
    }
  }),
  ...inBoth('a fork of a running turn', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.beginTurn(threadId);
    const forked = await player.ask('thread/fork', { threadId, excludeTurns: true }, 'watcher');
    await player.allHear('thread/started', ({ thread }) => thread.id === forked.thread.id);
    player.openGate();
    await player.ended(threadId, 1);
  }),
  ...inBoth('an archive and back', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/unarchive', { threadId });
    await player.ask('thread/archive', { threadId }, 'bystander');
    await player.allHear('thread/archived');
    await player.ask('thread/archive', { threadId });
    await player.ask('turn/start', { threadId, input: say('x') });
    await player.ask('thread/resume', { threadId, excludeTurns: true });
    await player.ask('thread/unarchive', { threadId });
    await player.allHear('thread/unarchived');
    await player.ask('thread/read', { threadId });
  }),
  ...inBoth('a cold resume', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await unload(player, threadId);
    await player.ask('turn/start', { threadId, input: say('x') });
    await player.ask('thread/unsubscribe', { threadId });
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    await player.ask('thread/resume', { threadId, excludeTurns: true });
    await player.turn(threadId, 'two', { role: 'watcher' });
  }),
  ...inBoth('a fork of a thread that is not loaded', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await unload(player, threadId);
    const forked = await player.ask('thread/fork', { threadId, excludeTurns: true });
    await player.allHear('thread/started', ({ thread }) => thread.id === forked.thread.id);
  }),
  ...inBoth('an archive of a running thread', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.beginTurn(threadId);
    await player.ask('thread/archive', { threadId });
    await player.allHear('thread/archived');
    player.openGate();
    await player.ask('thread/read', { threadId });
  }),
  ...inBoth('a deletion', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/delete', { threadId }, 'bystander');
    await player.allHear('thread/deleted');
    await player.ask('thread/read', { threadId });
    await player.ask('thread/delete', { threadId });
    await player.ask('turn/start', { threadId, input: say('x') });
  }),
  ...inBoth('a deletion of a running thread', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.beginTurn(threadId);
    await player.ask('thread/delete', { threadId });
    await player.allHear('thread/deleted');
    player.openGate();
  }),
  ...inBoth('a deletion of an archived thread', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/archive', { threadId });
    await player.allHear('thread/archived');
    await player.ask('thread/delete', { threadId });
    await player.allHear('thread/deleted');
    await player.ask('thread/unarchive', { threadId });
  }),
  ...inBoth('leaving twice', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    await player.ask('thread/unsubscribe', { threadId }, 'watcher');
    await player.ask('thread/unsubscribe', { threadId }, 'watcher');
    await player.turn(threadId, 'two');
  }),
  ...inBoth('everyone leaves, and the thread is unloaded', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/unsubscribe', { threadId });
    await player.allHear('thread/closed');
    await player.ask('thread/unsubscribe', { threadId });
    await player.ask('thread/read', { threadId });
    await player.ask('thread/resume', { threadId, excludeTurns: true });
  }),
  [
    'a revert, and a turn after it',
    async (player) => {
      const threadId = await player.start({ historyMode: 'paginated' });
      await player.turn(threadId, 'one');
      await player.turn(threadId, 'two');
      await player.ask('thread/revert', { threadId, beforeTurnId: await newestTurn(player, threadId) });
      await player.allHear('thread/reverted');
      await player.ask('thread/revert', { threadId, beforeTurnId: UNKNOWN });
      await player.turn(threadId, 'three');
      await player.ask('thread/turns/list', { threadId });
    },
  ],
  [
    'a revert of a running turn, by another client',
    async (player) => {
      const threadId = await player.start({ historyMode: 'paginated' });
      await player.turn(threadId, 'one');
      const beforeTurnId = await player.beginTurn(threadId);
      await player.ask('thread/revert', { threadId, beforeTurnId }, 'bystander');
      await player.allHear('thread/reverted');
      player.openGate();
      await player.turn(threadId, 'three');
    },
  ],
  [
    'a revert by another client',
    async (player) => {
      const threadId = await player.start({ historyMode: 'paginated' });
      const beforeTurnId = await player.turn(threadId, 'one');
      await player.ask('thread/revert', { threadId, beforeTurnId }, 'bystander');
      await player.allHear('thread/reverted');
      await player.ask('thread/list', { cwd: player.cwd });
      await player.turn(threadId, 'two');
      await player.ask('thread/read', { threadId });
    },
  ],
  [
    'a thread of another client',
    async (player) => {
      await player.ask('thread/start', { cwd: player.cwd, approvalPolicy: 'never' }, 'watcher');
      await player.ask(
        'thread/start',
        { cwd: player.cwd, approvalPolicy: 'never', sandbox: 'workspace-write' },
        'bystander',
      );
    },
  ],
  ...inBoth('a fork with its turns', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    const { thread } = await player.ask('thread/fork', { threadId, threadSource: 'user' });
    await player.allHear('thread/started', (told) => told.thread.id === thread.id);
    await player.ask('thread/list', { cwd: player.cwd, sortKey: 'created_at' });
    await player.turn(thread.id, 'two');
    await player.ask('thread/list', { cwd: player.cwd, sortKey: 'created_at' });
    await player.ask('thread/delete', { threadId });
  }),
  [
    'a deletion that a fork stands against',
    async (player) => {
      const threadId = await player.start();
      await player.turn(threadId, 'one');
      const { thread } = await player.ask('thread/fork', { threadId });
      await player.allHear('thread/started', (told) => told.thread.id === thread.id);
      await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
      await player.ask('thread/delete', { threadId });
      await player.ask('thread/read', { threadId });
    },
  ],
  ...inBoth('a thread that says where it comes from', async (player, _start, historyMode) => {
    const threadId = await player.start({ historyMode, threadSource: 'user' });
    await player.turn(threadId, 'one');
    await player.ask('thread/read', { threadId });
    await player.ask('thread/list', { cwd: player.cwd });
    await unload(player, threadId);
    await player.ask('thread/read', { threadId });
    await player.ask('thread/resume', { threadId, excludeTurns: true });
  }),
  ...MODES.flatMap((historyMode) =>
    ['read-only', 'workspace-write', 'danger-full-access'].map((sandbox): Session => [
      `a thread that may do what ${sandbox} is, ${historyMode}`,
      async (player) => {
        const threadId = await player.start({ historyMode, sandbox });
        await player.turn(threadId, 'one');
        await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
        const { thread } = await player.ask('thread/fork', { threadId, excludeTurns: true });
        await player.allHear('thread/started', (told) => told.thread.id === thread.id);
        await unload(player, threadId);
        await player.ask('thread/resume', { threadId, excludeTurns: true });
        await player.turn(threadId, 'two', { effort: 'low' });
      },
    ]),
  ),
  [
    'a revert that is refused, by another client',
    async (player) => {
      const threadId = await player.start({ historyMode: 'paginated' });
      await player.turn(threadId, 'one');
      await player.ask('thread/revert', { threadId, beforeTurnId: UNKNOWN }, 'bystander');
      await player.ask('thread/read', { threadId }, 'bystander');
    },
  ],
];
