import { expect, it } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { startDaemon } from '../support/daemon.ts';
import { tempFolder } from '../support/temp-home.ts';
import { KEY, startCodexTui } from '../support/terminal.ts';

/** The terminal program of the real Codex, unmodified, against Skein. */

it('TUI-1 starts against the daemon, and chats', async () => {
  const [home, cwd] = [tempFolder(), tempFolder()];
  const daemon = await startDaemon(home, ['--auth', 'none']);
  const tui = startCodexTui(['--remote', daemon.url], { cwd });
  await tui.sees('Ask Codex to do anything');
  tui.type('first words');
  await tui.sees('› first words');
  tui.type(KEY.enter);
  await tui.sees(`${ECHO_MARK} first words`);
  tui.type('second words');
  await tui.sees('› second words');
  tui.type(KEY.enter);
  await tui.sees(`${ECHO_MARK} second words`);
  const client = await daemon.connect();
  const { data } = await client.call('thread/list', {});
  expect(data).toMatchObject([{ preview: 'first words', originator: 'codex-tui' }]);
  tui.type('/quit');
  await tui.sees('/quit');
  tui.type(KEY.enter);
  expect(await tui.exited).toBe(0);
});
