import { expect, it } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { sharedDaemon } from '../support/shared-daemon.ts';
import { tempFolder } from '../support/temp-home.ts';
import { KEY, startCodexTui } from '../support/terminal.ts';
import { isByChance, tapWire } from '../support/wiretap.ts';

/** Choosing what answers in the terminal program of Codex. */

const OFFERED = ['--set', 'model.others=["louder"]', '--set', 'model.efforts=["low","high"]'];

const daemon = sharedDaemon(['--auth', 'none', ...OFFERED]);

it('TUI-22 /model changes model and effort of the thread, and everyone who asks sees it so', async () => {
  const tap = await tapWire(daemon().url);
  const cwd = tempFolder();
  const tui = startCodexTui(['--remote', tap.url], { cwd });
  await tui.chat('said to the first');
  const started = (await tap.heard('thread/start')).answer?.result;
  expect(started).toMatchObject({ model: 'echo', reasoningEffort: null });
  const { thread } = started;
  const watcher = await daemon().connect();
  await watcher.call('thread/resume', { threadId: thread.id });

  await tui.say('/model');
  await tui.sees(/› 1\. echo \(current\) .*\n +2\. louder /);
  tui.type(KEY.down);
  await tui.sees('› 2. louder');
  tui.type(KEY.enter);
  await tui.sees('Select Reasoning Level for louder');
  await tui.sees(/› 1\. Low.*\n +2\. High/);
  tui.type(KEY.down);
  await tui.sees('› 2. High');
  // For this thread only.
  tui.type('s');
  await tui.sees('louder high · ');
  const isChosen = ({ threadSettings }: { threadSettings: { model: string; effort: string | null } }): boolean =>
    threadSettings.model === 'louder' && threadSettings.effort === 'high';
  await watcher.notification('thread/settings/updated', isChosen);
  await tui.chat('said to the other');
  tui.type('\u001b,');
  await tui.sees('louder low · ');
  await tui.chat('said with less effort');
  expect(await tui.quit()).toBe(0);
  expect(tap.refusals().filter((text) => !isByChance(text))).toEqual([]);

  const chosen = { model: 'louder', reasoningEffort: 'low' };
  const other = await daemon().connect();
  expect((await other.call('thread/read', { threadId: thread.id })).thread).toMatchObject(chosen);
  expect(await other.call('thread/resume', { threadId: thread.id })).toMatchObject(chosen);
  const back = startCodexTui(['--remote', daemon().url, 'resume', thread.id], { cwd });
  await back.sees('louder low · ');
  await back.chat('said on coming back');
  expect(await back.quit()).toBe(0);
  expect((await other.call('thread/read', { threadId: thread.id })).thread).toMatchObject(chosen);
});

it('TUI-27 what /model chooses for all threads is what the next ones begin with, after a restart of the daemon, too', async () => {
  const home = tempFolder();
  const first = await startDaemon(home, ['--auth', 'none', ...OFFERED]);
  const tap = await tapWire(first.url);
  const cwd = tempFolder();
  const tui = startCodexTui(['--remote', tap.url], { cwd });
  await tui.chat('said to the first');
  await tui.say('/model');
  await tui.sees('› 1. echo (current)');
  tui.type(KEY.down);
  await tui.sees('› 2. louder');
  tui.type(KEY.enter);
  await tui.sees('› 1. Low');
  tui.type(KEY.enter);
  await tui.sees('louder low · ');
  await tap.heard('config/batchWrite');
  await tui.chat('said to the other');
  expect(await tui.quit()).toBe(0);
  expect(tap.refusals().filter((text) => !isByChance(text))).toEqual([]);
  await first.stop();

  const second = await startDaemon(home, ['--auth', 'none', ...OFFERED]);
  const again = startCodexTui(['--remote', second.url], { cwd });
  await again.sees('louder low · ');
  await again.chat('said in another thread');
  expect(await again.quit()).toBe(0);
});
