import { expect, it } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { startDaemon } from '../support/daemon.ts';
import type { Json } from '../support/rpc-client.ts';
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
