import { expect, it } from 'vitest';
import { connected } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { GatedStore } from '../support/gated-store.ts';
import { HandModel, type ModelCall } from '../support/hand-model.ts';
import { openLocalStore } from '../support/local-store.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { startServer, type RunningServer } from '../support/server.ts';
import { tempFolder } from '../support/temp-home.ts';

/** A turn step by step: two messages of the model, and one of the user in between. */
const STEPS: readonly ((call: ModelCall) => Promise<void>)[] = [
  (call) => call.emit({ type: 'messageStarted', itemId: 'one' }),
  (call) => call.emit({ type: 'messageDelta', itemId: 'one', delta: 'first ' }),
  (call) => call.emit({ type: 'messageDelta', itemId: 'one', delta: 'answer' }),
  (call) => call.emit({ type: 'messageCompleted', itemId: 'one', text: 'first answer' }),
  (call) => call.emit({ type: 'messageStarted', itemId: 'two' }),
  (call) => call.emit({ type: 'messageCompleted', itemId: 'two', text: 'second answer' }),
  (call) => call.end(),
];

const itemsIn = (turns: Json): readonly string[] => turns.flatMap(({ items }: Json) => items.map(({ id }: Json) => id));

/** What a client heard to be complete after an answer. */
function completedAfter(client: RpcClient, answered: Json): readonly string[] {
  const at = client.frames.findIndex((frame) => frame.result === answered);
  return client.frames
    .slice(at)
    .filter(({ method }) => method === 'item/completed')
    .map(({ params }) => params.item.id);
}

const allCompleted = (client: RpcClient): readonly string[] => completedAfter(client, client.frames[0]?.result);

/** Begins a turn in a thread that has one already. */
async function beginTurn(server: RunningServer, model: HandModel): Promise<[RpcClient, string, ModelCall]> {
  const speaker = await server.connect();
  const { thread } = await speaker.call('thread/start', {});
  const say = (text: string): Promise<Json> =>
    speaker.call('turn/start', { threadId: thread.id, input: [{ type: 'text', text }] });
  await say('earlier');
  const earlier = await model.call();
  await earlier.message('zero', ['done']);
  await earlier.end();
  await speaker.notification('turn/completed');
  await say('now');
  return [speaker, thread.id, await model.call()];
}

async function run(steps: typeof STEPS, call: ModelCall): Promise<void> {
  for (const step of steps) await step(call);
}

it('NOTE-1 whoever resumes at any point of a turn gets each item exactly once, in the answer or afterwards', async () => {
  const model = new HandModel();
  const server = await startServer({ model, store: await openLocalStore(tempFolder()) });
  for (let point = 0; point <= STEPS.length; point += 1) {
    const [speaker, threadId, call] = await beginTurn(server, model);
    const [joiner, pager] = [await server.connect(), await server.connect()];
    await run(STEPS.slice(0, point), call);
    // The turn goes on while both join.
    const rest = run(STEPS.slice(point), call);
    const [resumed, paged] = await Promise.all([
      joiner.call('thread/resume', { threadId }),
      pager.call('thread/resume', { threadId, excludeTurns: true }),
      rest,
    ]);
    await speaker.notification('turn/completed', ({ turn }) => turn.id !== allTurns(speaker)[0]);
    for (const client of [joiner, pager]) await client.call('thread/loaded/list', {});
    const everything = allCompleted(speaker);
    expect(everything).toHaveLength(5);
    expect([...itemsIn(resumed.thread.turns), ...completedAfter(joiner, resumed)]).toEqual(everything);
    const cursor = paged.itemsBackwardsCursor;
    const { data } = await pager.call('thread/items/list', { threadId, cursor, sortDirection: 'desc' });
    const older = data.map(({ item }: Json) => item.id).toReversed();
    expect([...older, ...completedAfter(pager, paged)]).toEqual(everything);
    const ended = joiner.methods().filter((method) => method === 'turn/completed').length;
    expect(resumed.thread.turns.at(-1).status === 'completed' || ended === 1).toBe(true);
  }
});

it('NOTE-2 so it is for a history that takes so long to read that the turn has ended meanwhile', async () => {
  const model = new HandModel();
  const store = new GatedStore();
  const server = await startServer({ model, store });
  for (let point = 0; point < STEPS.length; point += 1) {
    const [speaker, threadId, call] = await beginTurn(server, model);
    const joiner = await server.connect();
    await run(STEPS.slice(0, point), call);
    const reading = store.hold();
    const resuming = joiner.call('thread/resume', { threadId });
    await reading.reached;
    await run(STEPS.slice(point), call);
    await speaker.notification('turn/completed', ({ turn }) => turn.id !== allTurns(speaker)[0]);
    reading.release();
    const resumed = await resuming;
    await joiner.call('thread/loaded/list', {});
    expect([...itemsIn(resumed.thread.turns), ...completedAfter(joiner, resumed)]).toEqual(allCompleted(speaker));
    expect(resumed.thread).toMatchObject({ status: { type: 'idle' }, turns: [{}, { status: 'completed' }] });
  }
});

it('NOTE-9 two clients of one thread that speak at the same time get the same notifications, in the same order', async () => {
  const server = await startServer({ store: await openLocalStore(tempFolder()) });
  const [here, there] = [await server.connect(), await connected(`unix://${server.socket}`)];
  const { thread } = await here.call('thread/start', {});
  const threadId: string = thread.id;
  await here.turn(threadId, 'hello');
  await there.call('thread/resume', { threadId });
  await here.call('thread/loaded/list', {});
  const from = [here, there].map((client) => client.notifications.length);
  const say = async (client: RpcClient, word: string): Promise<void> => {
    for (let time = 0; time < 20; time += 1) {
      await client.call('turn/start', { threadId, input: [{ type: 'text', text: `${word} ${time}` }] });
    }
  };
  await Promise.all([say(here, 'here'), say(there, 'there')]);
  await eventually(async () => {
    expect((await here.call('thread/read', { threadId })).thread.status).toEqual({ type: 'idle' });
  });
  for (const client of [here, there]) await client.call('thread/loaded/list', {});
  const [heardHere = [], heardThere] = [here, there].map((client, index) => client.notifications.slice(from[index]));
  expect(heardThere).toEqual(heardHere);
  const said = heardHere.filter(
    ({ method, params }) => method === 'item/completed' && params.item.type === 'userMessage',
  );
  expect(said).toHaveLength(40);
});

const allTurns = (client: RpcClient): readonly string[] =>
  client.notifications.filter(({ method }) => method === 'turn/started').map(({ params }) => params.turn.id);
