import { execFileSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { VERSION } from '../../src/version.ts';
import { codexBinary } from '../support/codex-binary.ts';
import { SKEIN } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { openWindow, type Answer } from '../support/editor-window.ts';
import { sharedDaemon } from '../support/shared-daemon.ts';
import { skein } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';

/** The app-server client of the AI SDK, unmodified, which launches `skein` under the name of `codex`. */

/** An answer that lasts until somebody ends it, or longer than a test. */
const ENDLESS = `and so on ${'x '.repeat(400_000)}`;

const shared = sharedDaemon([]);

const isOnItsWay = (answer: Answer): Promise<unknown> => eventually(() => expect(answer.text()).not.toBe(''));

/** What a window was told of items, in order. Where a message is cut into pieces depends on how fast its window reads. */
function itemsIn({ told }: Answer): readonly string[] {
  const items: string[] = [];
  let text = '';
  for (const { method, params } of told) {
    if (method === 'item/agentMessage/delta') text += params.delta;
    else if (method.startsWith('item/')) {
      items.push(text, `${method} ${JSON.stringify(params.item)}`);
      text = '';
    }
  }
  return items;
}

it('STDIO-18 a client that launches its codex chats, steers, interrupts, and resumes in another instance', async () => {
  const daemon = shared();
  const { home } = daemon.info;
  const one = openWindow(home);
  expect(await one.models()).toMatchObject([{ id: 'echo', isDefault: true }]);
  const first = await one.say('hello');
  expect(await first.ended).toBe('completed');
  // As it puts what its user says first.
  expect(first.text()).toBe(`${ECHO_MARK} User: hello`);
  const { threadId } = one.session();

  const steered = await one.say(ENDLESS);
  await isOnItsWay(steered);
  await one.session().injectMessage('rather this');
  expect(await steered.ended).toBe('completed');
  expect(steered.text().slice(-100)).toContain(`${ECHO_MARK} rather this`);

  const interrupted = await one.say(ENDLESS);
  await isOnItsWay(interrupted);
  await one.session().interrupt();
  expect(await interrupted.ended).toBe('interrupted');
  await one.close();

  const other = openWindow(home, threadId);
  expect(await (await other.say('and on')).ended).toBe('completed');
  const client = await daemon.connect();
  const { data } = await client.call('thread/turns/list', { threadId, itemsView: 'full', sortDirection: 'asc' });
  expect(data.map(({ status }: { status: string }) => status)).toEqual([
    'completed',
    'completed',
    'interrupted',
    'completed',
  ]);
  const [{ originator, cwd }] = (await client.call('thread/list', {})).data;
  expect([originator, cwd]).toEqual(['ai-sdk-provider-codex-cli', home]);
  // All that it was told fits what it knows of the protocol.
  expect([one.complaints, other.complaints]).toEqual([[], []]);
});

it('STDIO-7 two windows on one thread show every item in the same order; one is closed, the other goes on', async () => {
  const { home } = shared().info;
  const one = openWindow(home);
  await (
    await one.say('before the other came')
  ).ended;
  const other = openWindow(home, one.session().threadId);
  await (
    await other.say('now I am here')
  ).ended;
  const first = await one.say(ENDLESS);
  await isOnItsWay(first);
  // The words of the other join the answer that is on its way.
  const second = await other.say('from the other');
  expect(await Promise.all([first.ended, second.ended])).toEqual(['completed', 'completed']);
  const [rest = '', ...items] = itemsIn(second);
  expect(items.filter((item) => item.startsWith('item/completed'))).toHaveLength(2);
  const before = itemsIn(first).slice(-items.length - 1);
  expect(before.slice(1)).toEqual(items);
  expect(before[0]?.endsWith(rest)).toBe(true);
  expect(first.text().slice(-100)).toContain('from the other');

  const left = await one.say(ENDLESS);
  await isOnItsWay(left);
  const gone = one.close();
  const stays = await other.say('is it still there?');
  expect(await stays.ended).toBe('completed');
  expect(stays.text()).toContain(`${ECHO_MARK} is it still there?`);
  await gone;
});

it('STDIO-19 when the daemon is restarted under it such a client launches its server anew with what it asks next', async () => {
  const home = tempFolder();
  onTestFinished(async () => void (await skein(home, ['stop', '--now'])));
  // It is the one that starts the daemon, too.
  const window = openWindow(home);
  expect(await (await window.say('before')).ended).toBe('completed');
  const { threadId } = window.session();
  await skein(home, ['restart']);
  await eventually(() => expect(window.complaints).toHaveLength(1));
  expect(window.complaints[0]).toMatch(/exited \(code=1, .* the daemon has stopped \(1001\); threads are kept/);
  const next = await window.say('after');
  expect(await next.ended).toBe('completed');
  expect(next.text()).toBe(`${ECHO_MARK} after`);
  const shown = (await skein(home, ['thread', 'show', threadId, '--json'])).json;
  expect(shown.turns).toHaveLength(2);
});

it('CLI-31 called by the name of Codex, the command answers --version as Codex does, and else with its own', async () => {
  const codex = join(tempFolder(), 'codex');
  symlinkSync(SKEIN, codex);
  const theirs = execFileSync(codexBinary(), ['--version'], { encoding: 'utf8', env: {}, stdio: 'pipe' }).trim();
  expect(execFileSync(codex, ['--version'], { encoding: 'utf8' })).toBe(`${theirs} (skein ${VERSION})\n`);
  expect((await skein(tempFolder(), ['--version'])).stdout).toBe(`${VERSION}\n`);
});
