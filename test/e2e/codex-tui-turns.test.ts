import { expect, it } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { openLocalStore } from '../support/local-store.ts';
import { PartlyByHand } from '../support/partly-by-hand.ts';
import { startServer } from '../support/server.ts';
import { tempFolder } from '../support/temp-home.ts';
import { KEY, startCodexTui } from '../support/terminal.ts';
import { tapWire, type Wiretap } from '../support/wiretap.ts';

/** What people do with the terminal program of Codex while a turn runs. */

/** A session against a server whose model answers by hand where it is told to. */
async function startSession(isByHand = (words: string): boolean => words.startsWith('by hand')) {
  const model = new PartlyByHand(isByHand);
  const server = await startServer({ model, store: await openLocalStore(tempFolder()) });
  const tap = await tapWire(server.url);
  const tui = startCodexTui(['--remote', tap.url], { cwd: tempFolder() });
  await tui.isReady();
  return { model, server, tap, tui };
}

/** What was said to begin turns with. */
const said = ({ calls }: Wiretap): readonly string[] =>
  calls.flatMap(({ method, params }) => (method === 'turn/start' ? [params.input[0].text] : []));

it('TUI-3 what is typed while a turn runs steers it, and what is queued with Tab is said when it ends', async () => {
  const { model, tap, tui } = await startSession();
  await tui.say('by hand, slowly');
  const first = await model.call();
  await first.emit({ type: 'messageStarted', itemId: 'one' });
  await first.emit({ type: 'messageDelta', itemId: 'one', delta: 'thinking about it\n' });
  await tui.sees('thinking about it');
  await tui.say('by hand, but quicker');
  const second = await model.call();
  expect(second.text).toBe('by hand, but quicker');
  const { params, answer } = await tap.heard('turn/steer');
  expect(answer?.result).toEqual({ turnId: params.expectedTurnId });
  await tui.write('and then this');
  tui.type(KEY.tab);
  await tui.isReady();
  expect(said(tap)).not.toContain('and then this');
  await second.message('two', ['answered quicker']);
  await second.end();
  await tui.sees('answered quicker');
  await tui.sees(`${ECHO_MARK} and then this`);
  expect(said(tap).filter((words) => words === 'and then this')).toHaveLength(1);
  expect(await tui.quit()).toBe(0);
});

it('TUI-4 Esc interrupts a turn, and the thread goes on', async () => {
  const { model, tap, tui } = await startSession();
  await tui.say('by hand, endlessly');
  const call = await model.call();
  await call.emit({ type: 'messageStarted', itemId: 'one' });
  await call.emit({ type: 'messageDelta', itemId: 'one', delta: 'on and on\n' });
  await tui.sees('on and on');
  tui.type(KEY.escape);
  await tui.sees('Conversation interrupted');
  expect(call.isCutOff).toBe(true);
  expect((await tap.heard('turn/interrupt')).answer?.result).toEqual({});
  await tui.chat('something else');
  expect(await tui.quit()).toBe(0);
});

it('TUI-16 two terminals on one thread show the same, and one that comes in the middle of a turn sees its end', async () => {
  const { model, server, tap, tui } = await startSession();
  await tui.chat('said alone');
  const { answer } = await tap.heard('thread/start');
  const other = startCodexTui(['--remote', `unix://${server.socket}`, 'resume', answer?.result.thread.id], {
    cwd: tempFolder(),
  });
  await other.sees(`${ECHO_MARK} said alone`);
  await other.isReady();
  await tui.say('by hand, for both');
  const call = await model.call();
  await call.emit({ type: 'messageStarted', itemId: 'one' });
  await call.emit({ type: 'messageDelta', itemId: 'one', delta: 'the first line\n' });
  await Promise.all([tui, other].map((terminal) => terminal.sees('the first line')));
  expect(await tui.quit()).toBe(0);
  const back = startCodexTui(['--remote', server.url, 'resume', answer?.result.thread.id], { cwd: tempFolder() });
  await back.sees('› by hand, for both');
  await call.emit({ type: 'messageDelta', itemId: 'one', delta: 'the last line\n' });
  await call.emit({ type: 'messageCompleted', itemId: 'one', text: 'the first line\nthe last line\n' });
  await call.end();
  for (const terminal of [other, back]) {
    await terminal.sees(/the first line\n +the last line/);
    await terminal.chat('after it');
    expect(await terminal.quit()).toBe(0);
  }
});

it('TUI-17 a title that the model gives becomes the name of the thread', async () => {
  const isTitling = (words: string): boolean => words.includes('a journey') && words !== 'a journey to the sea';
  const { model, server, tui } = await startSession(isTitling);
  await tui.chat('a journey to the sea');
  const call = await model.call();
  await call.message('one', ['{"title":"Down to the sea"}']);
  await call.end();
  await tui.sees(/ · Down to the sea\n/);
  const client = await server.connect();
  const { data } = await client.call('thread/list', {});
  expect(data).toMatchObject([{ name: 'Down to the sea', preview: 'a journey to the sea' }]);
  expect(await tui.quit()).toBe(0);
});
