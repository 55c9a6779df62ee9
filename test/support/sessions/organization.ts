import { PINNED_SECTION } from '../../../src/domain/organization.ts';
import { say, type Role } from '../session-player.ts';
import { inBoth, type Session } from './session.ts';

const ITEM = { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'injected' }] };

/** What people set around threads. */
export const organizationSessions: readonly Session[] = [
  ...inBoth('names', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/name/set', { threadId, name: ' first ' });
    await player.allHear('thread/name/updated', ({ threadName }) => threadName === 'first');
    await player.ask('thread/name/set', { threadId, name: 'second' }, 'bystander');
    await player.allHear('thread/name/updated', ({ threadName }) => threadName === 'second');
    await player.ask('thread/name/set', { threadId, name: '  ' });
    await player.ask('thread/read', { threadId });
  }),
  ...inBoth('git facts', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/metadata/update', { threadId, gitInfo: { branch: 'b', sha: 's', originUrl: 'o' } });
    await player.ask('thread/metadata/update', { threadId, gitInfo: { branch: null } });
    await player.ask('thread/metadata/update', { threadId });
    await player.ask('thread/metadata/update', { threadId, gitInfo: {} });
    await player.ask('thread/metadata/update', { threadId, gitInfo: { branch: '' } });
  }),
  ...inBoth('memory and injected items', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/memoryMode/set', { threadId, mode: 'disabled' });
    await player.ask('thread/memoryMode/set', { threadId, mode: 'sometimes' });
    await player.ask('thread/inject_items', { threadId, items: [ITEM] });
    await player.ask('thread/inject_items', { threadId, items: [] });
    await player.ask('thread/inject_items', { threadId, items: [5] });
    await player.turn(threadId, 'two');
  }),
  ...inBoth('a queue', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    await player.enqueue(threadId, 'at once');
    await player.ended(threadId, 1);
    await player.beginTurn(threadId);
    const first = await player.enqueue(threadId, 'first', 'bystander');
    const second = await player.enqueue(threadId, 'second', 'watcher');
    const third = await player.enqueue(threadId, 'third');
    await player.ask('thread/queue/list', { threadId });
    await player.ask('thread/queue/list', { threadId, limit: 1 }, 'bystander');
    await player.ask('thread/queue/reorder', { threadId, queuedSubmissionIds: [third, first, second] });
    await player.ask('thread/queue/delete', { threadId, queuedSubmissionId: first });
    await player.ask('thread/queue/update', { threadId, queuedSubmissionId: second, input: say('changed') });
    await player.ask('thread/queue/list', { threadId });
    player.openGate();
    await player.ended(threadId, 4);
    await player.ask('thread/queue/list', { threadId });
  }),
  ...inBoth('a queue that an interrupt stops', async (player, start) => {
    const threadId = await start();
    const turnId = await player.beginTurn(threadId);
    await player.enqueue(threadId, 'later');
    await player.ask('turn/interrupt', { threadId, turnId });
    await player.ended(threadId);
    await player.ask('thread/queue/list', { threadId });
    await player.ask('thread/queue/start', { threadId }, 'bystander');
    await player.ended(threadId, 1);
    await player.ask('thread/queue/list', { threadId });
  }),
  ...inBoth('marks of what was read', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/resume', { threadId, excludeTurns: true }, 'watcher');
    const mark = async (type: string, role: Role): Promise<void> => {
      const { readState } = await player.ask('thread/read', { threadId }, role);
      const { revision } = readState;
      await player.ask('thread/readState/update', { threadId, operation: { type }, expectedRevision: revision }, role);
    };
    await mark('read', 'watcher');
    await mark('read', 'watcher');
    await mark('unread', 'bystander');
    const stale = { threadId, operation: { type: 'read' }, expectedRevision: 'stale' };
    await player.ask('thread/readState/update', stale);
    await player.ask('thread/list', { cwd: player.cwd });
  }),
  [
    'sections',
    async (player) => {
      const threadId = await player.start();
      await player.turn(threadId, 'one');
      const { section } = await player.ask('threadSection/create', {
        name: 'work',
        appearance: { icon: 'i', color: 'c' },
      });
      for (const sectionId of [section.id, PINNED_SECTION.id, null]) {
        await player.ask('thread/section/move', { threadId, sectionId }, 'bystander');
        await player.allHear('thread/section/changed', (told) => told.sectionId === sectionId);
        await player.ask('thread/list', { sectionId, cwd: player.cwd });
        await player.ask('thread/read', { threadId });
      }
      await player.ask('threadSection/update', { sectionId: section.id, name: 'play' });
      await player.ask('threadSection/list', {});
      await player.ask('threadSection/delete', { sectionId: section.id });
      await player.ask('threadSection/list', {});
    },
  ],
  ...inBoth('goals that are none', async (player, start) => {
    const threadId = await start();
    await player.turn(threadId, 'one');
    await player.ask('thread/goal/get', { threadId });
    await player.ask('thread/goal/clear', { threadId });
    await player.ask('thread/goal/get', { threadId }, 'bystander');
  }),
  ...inBoth('background terminals that are none', async (player, start) => {
    const threadId = await start();
    await player.ask('thread/backgroundTerminals/list', { threadId });
    await player.ask('thread/backgroundTerminals/clean', { threadId });
    await player.ask('thread/backgroundTerminals/terminate', { threadId, processId: '7' });
  }),
];
