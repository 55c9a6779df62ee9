import { expect, it } from 'vitest';
import { sharedDaemon } from '../support/shared-daemon.ts';
import { tempFolder } from '../support/temp-home.ts';
import { KEY, startCodexTui } from '../support/terminal.ts';
import { tapWire } from '../support/wiretap.ts';

/** What people do with the terminal program of Codex besides talking. */

const daemon = sharedDaemon(['--auth', 'none']);

it('TUI-21 a command of the user runs, /compact comes to its end, and the thread goes on after both', async () => {
  const tap = await tapWire(daemon().url);
  const tui = startCodexTui(['--remote', tap.url], { cwd: tempFolder() });
  await tui.isReady();
  await tui.chat('said before');
  tui.type('!');
  await tui.sees('Shell mode');
  tui.type("printf 'one%stwo' -");
  await tui.sees("! printf 'one%stwo' -");
  tui.type(KEY.enter);
  await tui.sees('one-two');
  expect((await tap.heard('thread/shellCommand')).answer?.result).toEqual({});
  // While its turn goes on there is no compaction.
  await tui.seesNoMore('esc to interrupt');
  await tui.isReady();
  await tui.say('/compact');
  expect((await tap.heard('thread/compact/start')).answer?.result).toEqual({});
  await tui.sees('Context compacted');
  await tui.isReady();
  await tui.chat('said after');
  expect(await tui.quit()).toBe(0);
});
