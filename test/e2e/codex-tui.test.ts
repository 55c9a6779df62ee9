import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { sharedDaemon } from '../support/shared-daemon.ts';
import { tempFolder } from '../support/temp-home.ts';
import { KEY, startCodexTui } from '../support/terminal.ts';

/** The terminal program of the real Codex, unmodified, against Skein: coming and going. */

const daemon = sharedDaemon([]);
const withoutToken = sharedDaemon(['--auth', 'none']);

const WITH_TOKEN = ['--remote-auth-token-env', 'SKEIN_TOKEN'];
const token = (): string => readFileSync(join(daemon().info.home, 'skein/token'), 'utf8').trim();

describe.each([
  { over: 'a WebSocket with a token', address: () => daemon().url, args: WITH_TOKEN },
  { over: 'a WebSocket without one', address: () => withoutToken().url, args: [] },
  { over: 'a Unix socket', address: () => `unix://${daemon().info.socket}`, args: [] },
])('over $over', ({ over, address, args }) => {
  it('TUI-1 starts, and chats', async () => {
    const env = { SKEIN_TOKEN: token() };
    const tui = startCodexTui(['--remote', address(), ...args], { cwd: tempFolder(), env });
    for (const words of [`first over ${over}`, 'second words', 'third words']) {
      await tui.chat(words);
    }
    expect(await tui.quit()).toBe(0);
    const used = address().startsWith('ws') && args.length === 0 ? withoutToken() : daemon();
    const client = await used.connect();
    const { data } = await client.call('thread/list', {});
    expect(data.filter(({ preview }: { preview: string }) => preview === `first over ${over}`)).toMatchObject([
      { originator: 'codex-tui', status: { type: 'idle' } },
    ]);
  });
});

it('TUI-5 without the token, or with a wrong one, is told so and ends', async () => {
  for (const args of [[], WITH_TOKEN]) {
    const tui = startCodexTui(['--remote', daemon().url, ...args], { env: { SKEIN_TOKEN: 'wrong' } });
    expect(await tui.ends()).toBe(1);
    await tui.sees(/failed to connect to remote app server.*401 Unauthorized/s);
  }
});

it('TUI-6 ends with /quit or Ctrl-C, names the thread, and comes back to it', async () => {
  const args = ['--remote', withoutToken().url];
  const first = startCodexTui(args, { cwd: tempFolder() });
  await first.chat('words to come back to');
  first.type(KEY.ctrlC);
  expect(await first.ends()).toBe(0);
  const [, id = ''] = /resume ([-0-9a-f]{36})/.exec(first.screen().join('\n')) ?? [];
  expect(id).not.toBe('');
  const second = startCodexTui([...args, 'resume', id], { cwd: tempFolder() });
  await second.sees(`${ECHO_MARK} words to come back to`);
  await second.chat('back again');
  expect(await second.quit()).toBe(0);
});

it('TUI-20 begins at once in the folder that is named, with the words that are given', async () => {
  const cwd = tempFolder();
  const tui = startCodexTui(['--remote', withoutToken().url, '-C', cwd, 'words from the command line']);
  await tui.sees(`${ECHO_MARK} words from the command line`);
  const client = await withoutToken().connect();
  const { data } = await client.call('thread/list', { cwd });
  expect(data).toMatchObject([{ preview: 'words from the command line', cwd }]);
  expect(await tui.quit()).toBe(0);
});
