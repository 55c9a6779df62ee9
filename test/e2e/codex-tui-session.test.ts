import { expect, it } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { startCodex } from '../support/codex.ts';
import { startDaemon } from '../support/daemon.ts';
import { startScriptedModel } from '../support/responses-api.ts';
import type { Json } from '../support/rpc-client.ts';
import { sharedDaemon } from '../support/shared-daemon.ts';
import { tempFolder } from '../support/temp-home.ts';
import { KEY, startCodexTui, type CodexTui } from '../support/terminal.ts';
import { isByChance, tapWire, type Wiretap } from '../support/wiretap.ts';

/** The commands that people give in the terminal program of Codex. */

/** Chooses the second of the answers that a question offers. */
async function choosesSecond(tui: CodexTui, which: RegExp): Promise<void> {
  await tui.sees(/› 1\./);
  tui.type(KEY.down);
  await tui.sees(which);
  tui.type(KEY.enter);
}

/** Takes the conversation back to before its last message. */
async function rewinds(tui: CodexTui): Promise<void> {
  await tui.isReady();
  tui.type(KEY.escape);
  await tui.sees('esc again to edit previous message');
  tui.type(KEY.escape);
  await tui.sees('rewind');
  tui.type(KEY.enter);
  await tui.sees('Conversation reverted to this point');
}

/** The box that shows a warning, whole. */
const WARNING = /Warnings? · \d+ of \d+[^\n]*\n([^]*?)\n +k keep/;

/** What the terminal program has to complain of, dismissed one by one. */
async function warnings(tui: CodexTui): Promise<readonly string[]> {
  const found: string[] = [];
  while (/\d warnings? · f2/.test(tui.screen().join('\n'))) {
    tui.type(KEY.f2);
    await tui.sees(WARNING);
    const [, text = ''] = WARNING.exec(tui.screen().join('\n')) ?? [];
    found.push(text.replaceAll(/\s+/g, ' ').trim());
    tui.type(KEY.escape);
    await tui.seesNoMore('k keep');
    await tui.isReady();
  }
  return found;
}

/** Everything that a session may hold, with the screens that a person sees on the way. */
async function session(
  tap: Wiretap,
): Promise<{ readonly refusals: readonly string[]; readonly warned: readonly string[] }> {
  const tui = startCodexTui(['--remote', tap.url], { cwd: tempFolder() });
  await tui.chat('first words');
  await tui.chat('second words');
  const warned = await warnings(tui);
  await tui.say('/rename a good name');
  await tui.sees(/ · a good name\n/);
  await tui.say('/fork');
  await tui.sees('Thread forked from a good name');
  await tui.say('/rename the branch');
  await tui.sees(/ · the branch\n/);
  await tui.chat('said in the fork');
  await rewinds(tui);
  tui.type(KEY.ctrlC);
  await tui.say('/new');
  await tui.seesNoMore('first words');
  await tui.chat('in a new one');
  await tui.say('/resume');
  await tui.sees(/› .* in a new one/);
  await tui.sees(/ the branch/);
  tui.type('good');
  await tui.sees(/› .* a good name/);
  tui.type(KEY.enter);
  await tui.sees(`${ECHO_MARK} second words`);
  await tui.chat('back in the first');
  await tui.say('/archive');
  await choosesSecond(tui, /› 2\. Yes, archive/);
  await tui.sees('Agent command center');
  await tui.sees(/in a new one +Ready/);
  await tap.heard('thread/archive');
  const unexpected = /\S* ?(?:Service v|< Codex CLI)[^\n]*/.exec(tui.screen().join('\n'));
  tui.type(KEY.ctrlC);
  await tui.ends();
  return { refusals: tap.refusals(), warned: [...warned, ...(unexpected ?? [])] };
}

/** What the refusals are about: ids aside. */
const kindsOf = (refusals: readonly string[]): readonly string[] => [
  ...new Set(refusals.map((text) => text.replaceAll(/[-0-9a-f]{36}/g, 'ID').replace(/, expected one of .*/, ''))),
];

/** Of the machine that the terminal program runs on, and of the model that stands for one, which only the peer looks up. */
const isBesides = (warning: string): boolean => /^(?:Codex could not find bubblewrap|Model metadata for)/.test(warning);

it(
  'TUI-2 a session brings up no refusal and no warning that the real app-server would not bring up',
  { timeout: 60_000 },
  async () => {
    const model = await startScriptedModel((text) => `${ECHO_MARK} ${text}`);
    const [daemon, codex] = await Promise.all([
      startDaemon(tempFolder(), ['--auth', 'none']),
      startCodex(tempFolder(), model),
    ]);
    const [ofSkein, ofCodex] = await Promise.all([
      session(await tapWire(daemon.url)),
      session(await tapWire(codex.url)),
    ]);
    const seen = kindsOf(ofSkein.refusals).filter((text) => !isByChance(text));
    const onlyHere = seen.filter((text) => !kindsOf(ofCodex.refusals).includes(text));
    expect(onlyHere).toEqual([]);
    const ofServer = (warned: readonly string[]): readonly string[] => warned.filter((text) => !isBesides(text));
    expect(ofServer(ofSkein.warned)).toEqual(ofServer(ofCodex.warned));
  },
);

const daemon = sharedDaemon(['--auth', 'none']);

/** A terminal, and a client of ours that sees what became of what is done there. */
async function startTui() {
  const tap = await tapWire(daemon().url);
  const client = await daemon().connect();
  const tui = startCodexTui(['--remote', tap.url], { cwd: tempFolder() });
  await tui.isReady();
  const { answer } = await tap.heard('thread/start');
  const list = async (params: object = {}): Promise<readonly Json[]> =>
    (await client.call('thread/list', { limit: 100, ...params })).data;
  return { tap, client, tui, list, id: answer?.result.thread.id as string };
}

const byId = (threads: readonly Json[], id: string): Json => threads.find((thread) => thread.id === id);

it('TUI-10 gives names, forks and begins anew, and everyone who asks sees it so', async () => {
  const { tap, client, tui, list, id } = await startTui();
  await tui.chat('of the first');
  await tui.say('/rename the first');
  await client.notification('thread/name/updated', ({ threadId }) => threadId === id);
  await tui.say('/fork');
  await tui.sees('Thread forked from the first');
  const fork = (await tap.heard('thread/fork')).answer?.result.thread.id;
  await tui.chat('of the fork');
  await tui.say('/new');
  await tui.seesNoMore('of the fork');
  await tui.chat('of the other');
  const threads = await list();
  expect(byId(threads, id)).toMatchObject({ name: 'the first', preview: 'of the first' });
  expect(byId(threads, fork)).toMatchObject({ name: 'the first', preview: 'of the first' });
  const words = async (threadId: string): Promise<readonly string[]> =>
    (await client.call('thread/items/list', { threadId, limit: 50 })).data
      .filter(({ item }: Json) => item.type === 'userMessage')
      .map(({ item }: Json) => item.content[0].text);
  expect(await words(id)).toEqual(['of the first']);
  expect(await words(fork)).toEqual(['of the first', 'of the fork']);
  expect(await words(threads.find(({ preview }) => preview === 'of the other').id)).toEqual(['of the other']);
  expect(await tui.quit()).toBe(0);
});

it('TUI-11 goes back to before a message with Esc Esc, and says it otherwise', async () => {
  const { client, tui, id } = await startTui();
  await tui.chat('to be kept');
  await tui.chat('to be taken back');
  await rewinds(tui);
  await tui.seesNoMore(`${ECHO_MARK} to be taken back`);
  // What was said stands in the prompt again, to be changed.
  await tui.sees('› to be taken back');
  tui.paste(', or not');
  await tui.sees('› to be taken back, or not');
  tui.type(KEY.enter);
  await tui.sees(`${ECHO_MARK} to be taken back, or not`);
  expect(await tui.quit()).toBe(0);
  const { data } = await client.call('thread/turns/list', { threadId: id, sortDirection: 'asc', itemsView: 'full' });
  expect(data.map(({ items }: Json) => items[0].content[0].text)).toEqual(['to be kept', 'to be taken back, or not']);
});

it('TUI-12 archives and deletes after asking', async () => {
  const [archiving, deleting] = await Promise.all([startTui(), startTui()]);
  await Promise.all([archiving.tui.chat('to be put away'), deleting.tui.chat('to be gone')]);
  await archiving.tui.say('/archive');
  await choosesSecond(archiving.tui, /› 2\. Yes, archive/);
  await archiving.tui.sees('Agent command center');
  expect(byId(await archiving.list(), archiving.id)).toBeUndefined();
  expect(byId(await archiving.list({ archived: true }), archiving.id)).toMatchObject({ preview: 'to be put away' });

  await deleting.tui.say('/delete');
  await choosesSecond(deleting.tui, /› 2\. Yes, delete/);
  await deleting.tui.sees('Agent command center');
  const gone = await deleting.client.refusal('thread/read', { threadId: deleting.id });
  expect(gone.message).toBe(`thread not loaded: ${deleting.id}`);
});

it('TUI-13 the hidden thread that looks for a title is in no list, on no disk, and hurts nobody', async () => {
  const { tap, client, tui, list, id } = await startTui();
  await tui.chat('words that want a title');
  const { params, answer } = await tap.heard('thread/start', (call) => call.params.threadSource === 'thread_title');
  const hidden = answer?.result.thread.id;
  expect(params.ephemeral).toBe(true);
  const asked = await tap.heard('turn/start', (call) => call.params.threadId === hidden);
  expect(asked.params.outputSchema).toMatchObject({ required: ['title'] });
  await tap.heard('thread/unsubscribe', (call) => call.params.threadId === hidden);
  expect(answer?.result.thread).toMatchObject({ ephemeral: true, path: null });
  for (const sourceKinds of [[], ['vscode', 'cli', 'exec', 'appServer', 'unknown']]) {
    expect(byId(await list({ sourceKinds }), hidden)).toBeUndefined();
  }
  // No title came of it: the thread shows what was said first.
  const { thread } = await client.call('thread/read', { threadId: id });
  expect(thread).toMatchObject({ name: null, preview: 'words that want a title' });
  await tui.chat('and goes on');
  expect(await tui.quit()).toBe(0);
});

it('TUI-18 a side chat knows the thread, and leaves it as it was', async () => {
  const { tap, client, tui, list, id } = await startTui();
  await tui.chat('on the main road');
  await tui.say('/side a look aside');
  await tui.sees(`${ECHO_MARK} a look aside`);
  await tui.sees('Side from main thread');
  const { params, answer } = await tap.heard('thread/fork');
  expect(params).toMatchObject({ threadId: id, ephemeral: true });
  expect(answer?.result.thread).toMatchObject({ forkedFromId: id, ephemeral: true, path: null });
  expect(byId(await list(), answer?.result.thread.id)).toBeUndefined();
  tui.type(KEY.ctrlC);
  await tui.seesNoMore('Side from main thread');
  await tui.chat('further on the road');
  const { data } = await client.call('thread/turns/list', { threadId: id, sortDirection: 'asc', itemsView: 'full' });
  const words = data.map(({ items }: Json) => items[0].content[0].text);
  expect(words).toEqual(['on the main road', 'further on the road']);
  expect(await tui.quit()).toBe(0);
});
