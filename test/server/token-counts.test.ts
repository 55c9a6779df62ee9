import { expect, it } from 'vitest';
import { openLocalStore } from '../support/local-store.ts';
import { ModelGate, SessionModel } from '../support/peer-session.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { startServer } from '../support/server.ts';
import { tempFolder } from '../support/temp-home.ts';

const METHOD = 'thread/tokenUsage/updated';

/** Counts that a client was told of a thread from a place on: turn and total. */
const countsIn = ({ frames }: RpcClient, threadId: string, from = 0): readonly Json[] =>
  frames
    .slice(from)
    .filter(({ method, params }) => method === METHOD && params.threadId === threadId)
    .map(({ params }) => [params.turnId, params.tokenUsage.total.totalTokens]);

/** Tokens of a turn of the model of the test. */
const TURN = 15;

it('NOTE-7 whoever resumes is told how full the context is, and whoever watches when an answer is cut off', async () => {
  const server = await startServer({
    model: new SessionModel(new ModelGate()),
    store: await openLocalStore(tempFolder()),
  });
  const [actor, watcher] = [await server.connect(), await server.connect()];
  const { thread } = await actor.call('thread/start', { historyMode: 'paginated' });
  const counted = await actor.turn(thread.id, 'one');
  await watcher.call('thread/resume', { threadId: thread.id, excludeTurns: true });
  expect(countsIn(watcher, thread.id)).toEqual([]);
  await watcher.call('thread/resume', { threadId: thread.id });
  await watcher.notification(METHOD);
  expect(countsIn(watcher, thread.id)).toEqual([[counted.id, TURN]]);

  const from = watcher.frames.length;
  const input = [{ type: 'text', text: 'wait', text_elements: [] }];
  const { turn } = await actor.call('turn/start', { threadId: thread.id, input });
  await watcher.notification('item/agentMessage/delta', () => true, from);
  await actor.call('turn/interrupt', { threadId: thread.id, turnId: turn.id });
  await watcher.notification('turn/completed', () => true, from);
  expect(countsIn(watcher, thread.id, from)).toEqual([[turn.id, TURN]]);

  await actor.call('thread/archive', { threadId: thread.id });
  await actor.call('thread/unarchive', { threadId: thread.id });
  const again = watcher.frames.length;
  await watcher.call('thread/resume', { threadId: thread.id, excludeTurns: true });
  await watcher.notification(METHOD, () => true, again);
  expect(countsIn(watcher, thread.id, again)).toEqual([[turn.id, TURN]]);
});

it('NOTE-8 a fork and a revert count on from the place where they go on', async () => {
  const server = await startServer({
    model: new SessionModel(new ModelGate()),
    store: await openLocalStore(tempFolder()),
  });
  const actor = await server.connect();
  const { thread } = await actor.call('thread/start', { historyMode: 'paginated' });
  const turns = [];
  for (const text of ['one', 'two', 'three']) turns.push(await actor.turn(thread.id, text));
  const totalAfterTurn = async (threadId: string): Promise<number> => {
    await actor.turn(threadId, 'more');
    return countsIn(actor, threadId).at(-1)?.[1];
  };
  const whole = await actor.call('thread/fork', { threadId: thread.id, excludeTurns: true });
  expect(await totalAfterTurn(whole.thread.id)).toBe(4 * TURN);
  const ofFork = await actor.call('thread/fork', {
    threadId: whole.thread.id,
    lastTurnId: turns[0].id,
    excludeTurns: true,
  });
  expect(await totalAfterTurn(ofFork.thread.id)).toBe(2 * TURN);
  await actor.call('thread/revert', { threadId: thread.id, beforeTurnId: turns[2].id });
  expect(await totalAfterTurn(thread.id)).toBe(3 * TURN);
  await actor.call('thread/revert', { threadId: thread.id, beforeTurnId: turns[0].id });
  expect(await totalAfterTurn(thread.id)).toBe(TURN);
});
