import { say } from '../session-player.ts';
import { everyItem, inBoth, unload, UNKNOWN, type Session } from './session.ts';

/** Ways of running a thread. */
const SETTINGS: readonly object[] = [
  { cwd: '/', model: 'other' },
  { sandboxPolicy: { type: 'readOnly', networkAccess: true } },
  { permissions: ':workspace' },
  { serviceTier: 'fast' },
  { serviceTier: null },
  { approvalsReviewer: 'auto_review', approvalPolicy: 'on-request' },
];

/** Turns, and who hears of them. */
export const turnsSessions: readonly Session[] = [
  ...inBoth('a chat', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.turn(threadId, 'two');
    await player.ask('thread/read', { threadId });
  }),
  ...inBoth('a second client joins', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    await player.turn(threadId, 'two');
    await player.hears('turn/completed', undefined, 'watcher');
  }),
  ...inBoth('a second client speaks and does not watch', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one', { role: 'bystander' });
    await player.ask('thread/unsubscribe', { threadId }, 'bystander');
  }),
  ...inBoth('two clients take turns', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    await player.turn(threadId, 'two', { role: 'watcher' });
    await player.turn(threadId, 'three');
  }),
  ...inBoth('a second client joins in mid-turn', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.beginTurn(threadId);
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    player.openGate();
    await player.ended(threadId, 1);
    await player.hears('turn/completed', undefined, 'watcher');
  }),
  ...inBoth('a turn with other settings', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one', { approvalPolicy: 'untrusted', effort: 'low' });
    await player.hears('thread/settings/updated');
    await player.turn(threadId, 'two');
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
  }),
  ...inBoth('a turn that fails, and one after it', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'fail');
    await player.clients.actor.notification('error');
    await player.ask('thread/read', { threadId });
    await player.turn(threadId, 'two');
    await player.ask('thread/turns/list', { threadId });
  }),
  ...inBoth('a turn that is interrupted, and one after it', async (player, start) => {
    const threadId = await start();
    const turnId = await player.beginTurn(threadId);
    await player.ask('turn/interrupt', { threadId, turnId: UNKNOWN });
    await player.ask('turn/interrupt', { threadId, turnId });
    await player.ended(threadId);
    await player.turn(threadId, 'two');
    await player.ask('turn/interrupt', { threadId, turnId });
  }),
  ...inBoth('a turn that is interrupted by another client', async (player, start) => {
    const threadId = await start();
    const turnId = await player.beginTurn(threadId);
    await player.ask('turn/interrupt', { threadId, turnId }, 'bystander');
    await player.ended(threadId);
  }),
  ...inBoth('a turn that is steered', async (player, start) => {
    const threadId = await start();
    const turnId = await player.beginTurn(threadId);
    await player.ask('turn/steer', { threadId, expectedTurnId: UNKNOWN, input: say('x') });
    await player.ask('turn/steer', { threadId, expectedTurnId: turnId, input: [] });
    await player.ask('turn/steer', { threadId, expectedTurnId: turnId, input: say('rather this') }, 'bystander');
    player.openGate();
    await player.ended(threadId);
  }),
  ...inBoth('words that come in a turn', async (player, start) => {
    const threadId = await start();
    await player.beginTurn(threadId);
    await player.ask('turn/start', { threadId, input: say('and this') });
    player.openGate();
    await player.ended(threadId);
  }),
  ...inBoth('pictures and other input', async (player, start) => {
    const threadId = await start();
    const input = [
      ...say('see'),
      { type: 'image', url: 'data:image/png;base64,AAAA' },
      { type: 'mention', name: 'x', path: '/x' },
    ];
    await player.ask('turn/start', { threadId, input, clientUserMessageId: 'mine' });
    await player.ended(threadId);
    await player.ask('thread/turns/list', { threadId, itemsView: 'full' });
  }),
  ...inBoth('turns that fail, are steered and interrupted, after one that was counted', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.turn(threadId, 'fail');
    let turnId = await player.beginTurn(threadId);
    await player.ask('turn/steer', { threadId, expectedTurnId: turnId, input: say('rather this') });
    await player.ended(threadId, 2);
    turnId = await player.beginTurn(threadId);
    await player.ask('turn/interrupt', { threadId, turnId });
    await player.ended(threadId, 3);
    await unload(player, threadId);
    await player.ask('thread/resume', { threadId }, 'watcher');
    await player.ask('thread/resume', { threadId, excludeTurns: true });
    await player.turn(threadId, 'two', { role: 'watcher' });
  }),
  ...inBoth('a late follower has all of a turn that runs', async (player, start, mode) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.beginTurn(threadId);
    const { thread } = await player.ask('thread/resume', { threadId }, 'watcher');
    player.openGate();
    await player.ended(threadId, 1);
    await player.hears('turn/completed', undefined, 'watcher');
    if (mode === 'paginated') await player.clients.watcher.notification('deprecationNotice');
    player.assertFollowed('watcher', thread.turns, await everyItem(player, threadId));
  }),
  ...inBoth('three clients follow and speak', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    for (const role of ['watcher', 'bystander'] as const) {
      await player.ask('thread/resume', { threadId, excludeTurns: true }, role);
      await player.turn(threadId, role, { role });
    }
    await player.ask('thread/unsubscribe', { threadId });
    const { turn } = await player.ask('turn/start', { threadId, input: say('from aside') });
    for (const role of ['watcher', 'bystander'] as const) {
      await player.hears('turn/completed', (told) => told.turn.id === turn.id, role);
    }
  }),
  ...inBoth('a client goes away in mid-turn, and another sees its end', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    await player.beginTurn(threadId);
    await player.hears('item/agentMessage/delta', ({ delta }) => delta !== '', 'watcher');
    await player.clients.watcher.close();
    player.openGate();
    await player.ended(threadId, 1);
    await player.ask('thread/read', { threadId });
  }),
  ...inBoth('ways of working together', async (player, start) => {
    const threadId = await start();
    const settings = { model: 'other', reasoning_effort: 'high', developer_instructions: null };
    await player.turn(threadId, 'one', { collaborationMode: { mode: 'default', settings } });
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    await player.turn(threadId, 'two', {
      collaborationMode: { mode: 'plan', settings: { ...settings, reasoning_effort: null } },
    });
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    await player.turn(threadId, 'three', { collaborationMode: { mode: 'plan', settings }, effort: 'low' });
    await player.turn(threadId, 'four', { effort: 'low' });
    await unload(player, threadId);
    await player.ask('thread/resume', { threadId, excludeTurns: true });
  }),
  ...inBoth('settings are changed without a turn', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/settings/update', { threadId, model: 'other', effort: 'low' });
    await player.hears('thread/settings/updated');
    await player.ask('thread/settings/update', { threadId, approvalPolicy: 'untrusted' }, 'bystander');
    await player.hears(
      'thread/settings/updated',
      ({ threadSettings }) => threadSettings.approvalPolicy === 'untrusted',
    );
    await player.ask('thread/settings/update', { threadId, model: 'other' });
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    await player.turn(threadId, 'two');
  }),
  ...inBoth('a command of the user', async (player, start) => {
    const threadId = await start();
    await player.ask('thread/shellCommand', { threadId, command: 'echo out' });
    await player.ended(threadId);
    await player.turn(threadId, 'one');
    await player.ask('thread/shellCommand', { threadId, command: 'exit 3' }, 'bystander');
    await player.ended(threadId, 2);
  }),
  ...inBoth('a compaction', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/compact/start', { threadId });
    await player.ended(threadId, 1);
    await player.turn(threadId, 'two');
    await player.ask('thread/turns/list', { threadId, itemsView: 'full' });
  }),
  ...inBoth('each setting of a turn', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'zero');
    for (const settings of SETTINGS) {
      await player.ask('turn/start', { threadId, input: say('one'), ...settings });
      await player.ended(threadId, SETTINGS.indexOf(settings) + 1);
    }
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    await player.ask('turn/start', { threadId, input: say('x'), permissions: 'nope' });
    const twice = { permissions: ':read-only', sandboxPolicy: { type: 'dangerFullAccess' } };
    await player.ask('turn/start', { threadId, input: say('x'), ...twice });
  }),
];
