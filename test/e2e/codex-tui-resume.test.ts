import { expect, it } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { PROVIDER, startCodex } from '../support/codex.ts';
import { startDaemon } from '../support/daemon.ts';
import { startScriptedModel } from '../support/responses-api.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { tempFolder } from '../support/temp-home.ts';
import { KEY, startCodexTui, type CodexTui } from '../support/terminal.ts';
import { tapWire } from '../support/wiretap.ts';

/** How people come back to their threads in the terminal program of Codex. */

const MODES = ['paginated', 'legacy'] as const;

interface Written {
  readonly id: string;
  readonly name: string;
}

/** One named thread of each history mode, with two turns. */
async function writeThreads(client: RpcClient, cwd: string, by: string): Promise<readonly Written[]> {
  const written: Written[] = [];
  for (const historyMode of MODES) {
    const { thread } = await client.call('thread/start', { historyMode, cwd });
    const name = `${historyMode} of ${by}`;
    await client.turn(thread.id, `first in ${name}`);
    await client.turn(thread.id, `second in ${name}`);
    await client.call('thread/name/set', { threadId: thread.id, name });
    written.push({ id: thread.id, name });
  }
  return written;
}

/** A home with threads that the real Codex has written, and some of Skein's. */
async function startMixedHome() {
  const [home, cwd] = [tempFolder(), tempFolder()];
  const codex = await startCodex(home, await startScriptedModel((text) => `${ECHO_MARK} ${text}`));
  const ofCodex = await writeThreads(await codex.connect(), cwd, 'Codex');
  await codex.stop();
  const daemon = await startDaemon(home, ['--auth', 'none', '--set', `model.provider=${PROVIDER}`]);
  const client = await daemon.connect();
  const ofSkein = await writeThreads(client, cwd, 'Skein');
  const tap = await tapWire(daemon.url);
  const resume = (...args: readonly string[]): CodexTui =>
    startCodexTui(['--remote', tap.url, 'resume', ...args], { cwd });
  return { client, tap, resume, threads: [...ofCodex, ...ofSkein] };
}

async function showsAll(tui: CodexTui, name: string): Promise<void> {
  for (const which of ['first', 'second']) {
    await tui.sees(`› ${which} in ${name}`);
    await tui.sees(`${ECHO_MARK} ${which} in ${name}`);
  }
}

it(
  'TUI-14 resumes threads of both history modes, of Skein and of Codex, by id, by name, from the list, and the last',
  { timeout: 90_000 },
  async () => {
    const { client, tap, resume, threads } = await startMixedHome();
    const goesOn = async ({ id, name }: Written, index: number): Promise<void> => {
      const tui = resume(index % 2 === 0 ? id : name);
      await showsAll(tui, name);
      await tui.chat(`third in ${name}`);
      expect(await tui.quit()).toBe(0);
    };
    await Promise.all(threads.map(goesOn));

    const { data } = await client.call('thread/list', { limit: 1, sortKey: 'updated_at', modelProviders: [] });
    const last = resume('--last');
    await showsAll(last, data[0].name);
    expect(await last.quit()).toBe(0);

    // The list, and from one thread to the next.
    const [first, ...others] = threads;
    const tui = resume();
    for (const { name } of threads) await tui.sees(new RegExp(`ago +${name}|now +${name}`));
    tui.paste(first?.name ?? '');
    for (const { name } of others) await tui.seesNoMore(name);
    tui.type(KEY.enter);
    await showsAll(tui, first?.name ?? '');
    for (const { name } of others) {
      await tui.say('/resume');
      await tui.sees('Resume a previous session');
      for (const one of threads) await tui.sees(new RegExp(`(?:ago|now) +${one.name}`));
      tui.paste(name);
      for (const one of threads.filter((thread) => thread.name !== name)) await tui.seesNoMore(`  ${one.name} `);
      tui.type(KEY.enter);
      await showsAll(tui, name);
      await tui.sees(`› third in ${name}`);
    }
    expect(await tui.quit()).toBe(0);

    for (const { id, name } of threads) {
      const { thread } = await client.call('thread/read', { threadId: id, includeTurns: true });
      expect(thread.turns.map(({ items }: Json) => items[0].content[0].text)).toEqual([
        `first in ${name}`,
        `second in ${name}`,
        `third in ${name}`,
      ]);
    }
    const refused = tap.refusals().filter((text) => !text.includes('unknown variant'));
    expect(refused).toEqual([]);
  },
);

it('TUI-15 goes on by itself when the daemon has been restarted under it, over either kind of socket', async () => {
  const [home, cwd] = [tempFolder(), tempFolder()];
  const first = await startDaemon(home, ['--auth', 'none']);
  const tuis = [first.url, `unix://${first.info.socket}`].map((address) =>
    startCodexTui(['--remote', address], { cwd }),
  );
  await Promise.all(tuis.map((tui, index) => tui.chat(`said before in ${index}`)));
  expect(await first.stop()).toBe(0);
  await Promise.all(tuis.map((tui) => tui.sees('Reconnecting to server')));
  const second = await startDaemon(home, ['--auth', 'none', '--listen', first.url]);
  const goesOn = async (tui: CodexTui): Promise<void> => {
    await tui.seesNoMore('Reconnecting to server');
    await tui.chat('said afterwards');
    expect(await tui.quit()).toBe(0);
  };
  await Promise.all(tuis.map(goesOn));
  const client = await second.connect();
  const { data } = await client.call('thread/list', {});
  expect(data.map(({ preview }: Json) => preview).toSorted()).toEqual(['said before in 0', 'said before in 1']);
  for (const { id } of data) {
    const turns = await client.call('thread/turns/list', { threadId: id, sortDirection: 'asc' });
    expect(turns.data).toMatchObject([{ status: 'completed' }, { status: 'completed' }]);
  }
});

it('TUI-19 finds a thread among more than its list shows at once', async () => {
  const [home, cwd] = [tempFolder(), tempFolder()];
  const daemon = await startDaemon(home, ['--auth', 'none', '--set', 'durability=process']);
  const client = await daemon.connect();
  const write = async (number: number): Promise<void> => {
    const { thread } = await client.call('thread/start', { cwd });
    await client.turn(thread.id, `thread number ${number} of many`);
  };
  await write(1);
  await Promise.all(Array.from({ length: 28 }, (_, index) => write(index + 2)));
  await write(30);
  const tap = await tapWire(daemon.url);
  const tui = startCodexTui(['--remote', tap.url, 'resume'], { cwd });
  await tui.sees('thread number 30 of many');
  tui.paste('number 1 of');
  await tui.sees(/› .* thread number 1 of many/);
  tui.type(KEY.enter);
  await tui.sees(`${ECHO_MARK} thread number 1 of many`);
  const pages = tap.calls.filter(({ method }) => method === 'thread/list').length;
  expect(pages).toBeGreaterThan(1);
  await tui.chat('found again');
  expect(await tui.quit()).toBe(0);
});
