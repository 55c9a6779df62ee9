import { expect, it } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { startDaemon } from '../support/daemon.ts';
import { openLocalStore } from '../support/local-store.ts';
import { PartlyByHand } from '../support/partly-by-hand.ts';
import { eventually } from '../support/eventually.ts';
import type { Json } from '../support/rpc-client.ts';
import { startServer } from '../support/server.ts';
import { sharedDaemon } from '../support/shared-daemon.ts';
import { tempFolder } from '../support/temp-home.ts';
import { KEY, startCodexTui, type CodexTui } from '../support/terminal.ts';

/** What the command line of the real Codex does with `--remote`, against Skein. */

const daemon = sharedDaemon(['--auth', 'none']);

const codex = (...args: readonly string[]): CodexTui => codexAt(daemon().url, args);
const codexAt = (url: string, args: readonly string[]): CodexTui =>
  startCodexTui(['--remote', url, ...args], { cwd: tempFolder() });

/** A client of ours, and a thread with one turn. */
async function startThread(name: string, historyMode = 'paginated', at = daemon()) {
  const client = await at.connect();
  const { thread } = await client.call('thread/start', { cwd: tempFolder(), historyMode });
  await client.turn(thread.id, `words of ${name}`);
  await client.call('thread/name/set', { threadId: thread.id, name });
  const list = async (params: object = {}): Promise<readonly Json[]> =>
    (await client.call('thread/list', { searchTerm: name, ...params })).data;
  return { client, id: thread.id as string, list };
}

it.each(['paginated', 'legacy'])(
  'TUI-7 archives, unarchives and deletes a %s thread by name and by id',
  async (mode) => {
    const { id, list } = await startThread(`put away ${mode}`, mode);
    for (const which of [`put away ${mode}`, id]) {
      const archive = codex('archive', which);
      expect(await archive.ends()).toBe(0);
      await archive.sees(`Archived session`);
      expect(await list()).toEqual([]);
      expect(await list({ archived: true })).toMatchObject([{ id }]);
      const unarchive = codex('unarchive', which);
      expect(await unarchive.ends()).toBe(0);
      await unarchive.sees(`Unarchived session`);
      expect(await list()).toMatchObject([{ id }]);
    }
    const asks = codex('delete', `put away ${mode}`);
    await asks.sees('Continue? [y/N]');
    asks.type(`y${KEY.enter}`);
    expect(await asks.ends()).toBe(0);
    expect(await list()).toEqual([]);
    const again = codex('delete', '--force', id);
    expect(await again.ends()).toBe(1);
  },
);

it.each(['paginated', 'legacy'])('TUI-8 forks a %s thread by id, with what was said before', async (mode) => {
  const { client, id } = await startThread(`forked ${mode}`, mode);
  const tui = codex('fork', id);
  await tui.sees(`${ECHO_MARK} words of forked ${mode}`);
  await tui.chat('said in the fork');
  expect(await tui.quit()).toBe(0);
  const { data } = await client.call('thread/list', { searchTerm: `forked ${mode}` });
  expect(data).toHaveLength(2);
  const { thread } = await client.call('thread/read', { threadId: data.find((one: Json) => one.id !== id).id });
  expect(thread.forkedFromId).toBe(id);
});

it('TUI-9 shows in its overview of agents the threads of people, and opens one', async () => {
  const alone = await startDaemon(tempFolder(), ['--auth', 'none']);
  await startThread('seen from above', 'paginated', alone);
  const tui = codexAt(alone.url, ['agents']);
  await tui.sees(/seen from above +Ready/);
  tui.type(KEY.enter);
  await tui.sees(`${ECHO_MARK} words of seen from above`);
  await tui.chat('said from there');
  expect(await tui.quit()).toBe(0);
});

it('TUI-23 queues a message for a thread by name: it waits for the turn that runs, and is seen to be said then', async () => {
  const model = new PartlyByHand((words) => words === 'slowly');
  const server = await startServer({ model, store: await openLocalStore(tempFolder()) });
  const watcher = await server.connect();
  const { thread } = await watcher.call('thread/start', { cwd: tempFolder() });
  await watcher.call('thread/name/set', { threadId: thread.id, name: 'busy' });
  const watching = codexAt(server.url, ['resume', thread.id]);
  await watching.isReady();
  await watching.say('slowly');
  const call = await model.call();
  const queue = codexAt(server.url, ['queue', '--thread', 'busy', '--message', 'words for later']);
  expect(await queue.ends()).toBe(0);
  await watcher.notification('thread/queue/changed', ({ threadId }) => threadId === thread.id);
  const { data } = await watcher.call('thread/queue/list', { threadId: thread.id });
  expect(data.map(({ input }: Json) => input[0].text)).toEqual(['words for later']);
  await call.message('one', ['answered slowly']);
  await call.end();
  await watching.sees('answered slowly');
  await watching.sees('› words for later');
  await watching.sees(`${ECHO_MARK} words for later`);
  expect((await watcher.call('thread/queue/list', { threadId: thread.id })).data).toEqual([]);
  expect(await watching.quit()).toBe(0);
});

it('TUI-24 a message queued for a thread that is not loaded waits until somebody resumes it, at once with --resume', async () => {
  const server = await startServer({ store: await openLocalStore(tempFolder()), unloadDelayMs: 0 });
  const client = await server.connect();
  const { thread } = await client.call('thread/start', { cwd: tempFolder() });
  await client.turn(thread.id, 'said before');
  await client.call('thread/unsubscribe', { threadId: thread.id });
  await client.notification('thread/closed', ({ threadId }) => threadId === thread.id);
  const queue = (...args: readonly string[]): CodexTui =>
    codexAt(server.url, ['queue', '--thread', thread.id, ...args]);
  expect(await queue('--message', 'for whenever').ends()).toBe(0);
  expect((await client.call('thread/queue/list', { threadId: thread.id })).data).toHaveLength(1);
  expect(server.manager.loaded).toEqual([]);
  expect(await queue('--message', 'for now', '--resume').ends()).toBe(0);
  await eventually(async () => {
    const { data } = await client.call('thread/turns/list', { threadId: thread.id, sortDirection: 'asc' });
    const said = data.map(({ items }: Json) => items[0].content[0].text);
    expect(said).toEqual(['said before', 'for whenever', 'for now']);
  });
  expect((await client.call('thread/queue/list', { threadId: thread.id })).data).toEqual([]);
});
