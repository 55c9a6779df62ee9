import { expect, it, onTestFinished, vi } from 'vitest';
import type { ThreadId } from '../../src/domain/ids.ts';
import {
  ANSWERS,
  ask,
  COMMAND,
  isRequest,
  KINDS,
  QUESTIONS,
  requestsTo,
  settled,
  startAsking,
  toldSince,
  words,
} from '../support/asking.ts';
import { eventually } from '../support/eventually.ts';
import { openLocalStore } from '../support/local-store.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { tempFolder } from '../support/temp-home.ts';

const APPROVAL = 'item/commandExecution/requestApproval';
const RESUME = { excludeTurns: true };

it('ASK-1 a question goes to everyone who watches its thread, under one id that counts from 0, and to nobody else', async () => {
  const { model, actor, watcher, other, threadId, turnId, call } = await startAsking();
  const { request } = await ask(call, watcher, APPROVAL);
  expect(request).toEqual({ id: 0, method: APPROVAL, params: { threadId, turnId, ...COMMAND } });
  await settled(actor);
  expect(requestsTo(actor)).toEqual([request]);
  const { thread } = await other.call('thread/start', {});
  await other.call('turn/start', { threadId: thread.id, input: words('and this') });
  const elsewhere = await ask(await model.call(), other, 'item/tool/call');
  expect(elsewhere.request).toMatchObject({ id: 1, params: { threadId: thread.id, tool: 'lookup' } });
  await settled(actor, watcher);
  expect(requestsTo(actor)).toHaveLength(1);
  expect(requestsTo(watcher)).toHaveLength(1);
  expect(requestsTo(other)).toEqual([elsewhere.request]);
});

it('ASK-2 the thread shows what it waits for, to everyone; a tool that a client runs is work, not waiting', async () => {
  const { actor, other, threadId, call } = await startAsking();
  const status = async (): Promise<Json> => (await other.call('thread/read', { threadId })).thread.status.activeFlags;
  expect(KINDS.toSorted()).toEqual([
    'item/commandExecution/requestApproval',
    'item/fileChange/requestApproval',
    'item/permissions/requestApproval',
    'item/tool/call',
    'item/tool/requestUserInput',
    'mcpServer/elicitation/request',
  ]);
  for (const method of KINDS) {
    const from = other.frames.length;
    const { reply, request } = await ask(call, actor, method);
    const flags =
      method === 'item/tool/call'
        ? []
        : [method === 'item/tool/requestUserInput' ? 'waitingOnUserInput' : 'waitingOnApproval'];
    expect([method, await status()]).toEqual([method, flags]);
    actor.send({ id: request.id, result: ANSWERS[method] });
    expect(await reply).toEqual({ type: 'answered', answer: ANSWERS[method] });
    expect(await status()).toEqual([]);
    await settled(other);
    expect(toldSince(other, from).filter((told) => told.startsWith('status'))).toEqual(
      flags.length === 0 ? [] : [`status active ${flags.join()}`, 'status active'],
    );
  }
  // Two at once: both are shown until each is answered.
  const from = other.frames.length;
  const approval = await ask(call, actor, APPROVAL);
  const question = await ask(call, actor, 'item/tool/requestUserInput');
  const second = await ask(call, actor, 'item/fileChange/requestApproval');
  for (const { request } of [approval, question, second]) {
    actor.send({ id: request.id, result: ANSWERS[request.method as keyof typeof ANSWERS] });
  }
  await Promise.all([approval.reply, question.reply, second.reply]);
  await settled(other);
  expect(toldSince(other, from)).toEqual([
    'status active waitingOnApproval',
    'status active waitingOnApproval waitingOnUserInput',
    'status active waitingOnApproval',
    'status active',
  ]);
});

it('ASK-3 the first answer counts, and those who watch are told before anything that follows from it', async () => {
  const { actor, watcher, threadId, call } = await startAsking();
  const { reply, request } = await ask(call, watcher, APPROVAL);
  await settled(actor);
  const from = [actor.frames.length, watcher.frames.length];
  watcher.send({ id: request.id, result: { decision: 'decline' } });
  await actor.notification('serverRequest/resolved');
  actor.send({ id: request.id, result: { decision: 'accept' } });
  watcher.send({ id: request.id, result: { decision: 'accept' } });
  await settled(actor, watcher);
  expect(await reply).toEqual({ type: 'answered', answer: { decision: 'decline' } });
  await call.message('msg_2', ['done']);
  await call.end();
  for (const [index, client] of [actor, watcher].entries()) {
    await client.notification('turn/completed', () => true, from[index]);
    expect(toldSince(client, from[index] ?? 0)).toEqual([
      'resolved 0',
      'status active',
      'item/started agentMessage',
      'item/agentMessage/delta',
      'item/completed agentMessage',
      'thread/tokenUsage/updated',
      'thread/readState/changed',
      'status idle',
      'turn/completed completed',
    ]);
  }
  const resolved = await actor.notification('serverRequest/resolved');
  expect(resolved.params).toEqual({ threadId, requestId: 0 });
});

it('ASK-4 only who watches the thread can answer, under the id as it was given', async () => {
  const { server, actor, watcher, other, threadId, call } = await startAsking();
  const { reply, request } = await ask(call, watcher, APPROVAL);
  const yes = { result: { decision: 'accept' } };
  const stranger = await server.connect({ isInitialized: false });
  stranger.send({ id: request.id, ...yes });
  other.send({ id: request.id, ...yes });
  await watcher.call('thread/unsubscribe', { threadId });
  watcher.send({ id: request.id, ...yes });
  for (const id of [String(request.id), request.id + 1, -1, 0.5, null]) actor.send({ id, ...yes });
  actor.send({ id: request.id });
  await settled(actor, watcher, other);
  await stranger.answer('thread/loaded/list', {});
  expect(server.server.clientRequests.of(threadId as ThreadId)).toHaveLength(1);
  expect(server.logged.filter((line) => line.includes('does not watch'))).toHaveLength(3);
  actor.send({ id: request.id, result: { decision: 'decline' } });
  expect(await reply).toEqual({ type: 'answered', answer: { decision: 'decline' } });
});

it('ASK-5 an error is passed on as one, and what is no answer to the question as a failure, never as consent', async () => {
  const { actor, call } = await startAsking();
  const answered = async (answer: object): Promise<unknown> => {
    const { reply, request } = await ask(call, actor, APPROVAL);
    actor.send({ id: request.id, ...answer });
    return reply;
  };
  expect(await answered({ error: { code: -1, message: 'nobody is here' } })).toEqual({
    type: 'failed',
    reason: 'error',
    message: 'nobody is here',
  });
  expect(await answered({ error: {}, result: { decision: 'accept' } })).toMatchObject({ reason: 'error' });
  const deep = JSON.parse('['.repeat(200) + ']'.repeat(200));
  for (const result of [
    null,
    true,
    'accept',
    ['accept'],
    {},
    { decision: null },
    { decision: 'yes' },
    { decision: 'Accept' },
    { decision: ['accept'] },
    { decision: { accept: {} } },
    { decision: { acceptWithExecpolicyAmendment: {} } },
    { decision: 'accept', note: '\ud800' },
    { decision: 'accept', note: deep },
  ]) {
    expect([result, await answered({ result })]).toMatchObject([result, { type: 'failed', reason: 'malformed' }]);
  }
  expect(await answered({ result: { decision: 'accept', note: 'thanks' } })).toEqual({
    type: 'answered',
    answer: { decision: 'accept' },
  });
});

it('ASK-6 a client that begins to watch is asked what is open, after the answer to its request, with the same ids', async () => {
  const { server, actor, watcher, other, threadId, call } = await startAsking();
  const first = await ask(call, actor, APPROVAL);
  const second = await ask(call, actor, 'item/tool/call');
  const answered = await ask(call, actor, 'item/fileChange/requestApproval');
  actor.send({ id: answered.request.id, result: { decision: 'accept' } });
  await answered.reply;
  const open = [first.request, second.request];
  const resumes = async (client: RpcClient): Promise<void> => {
    const from = client.frames.length;
    const { thread } = await client.call('thread/resume', { threadId, ...RESUME });
    expect(thread.status).toEqual({ type: 'active', activeFlags: ['waitingOnApproval'] });
    await settled(client);
    const asked = client.frames.slice(from).map((frame) => (isRequest(frame) ? frame : frame.result?.thread?.id));
    expect(asked.filter((frame) => frame !== undefined)).toEqual([threadId, ...open]);
  };
  await resumes(other);
  await resumes(watcher);
  // One that was cut off comes back, and one that had left.
  watcher.socket.terminate();
  const back = await server.connect();
  await resumes(back);
  await other.call('thread/unsubscribe', { threadId });
  await resumes(other);
  other.send({ id: first.request.id, result: { decision: 'accept' } });
  expect(await first.reply).toMatchObject({ type: 'answered' });
  back.send({ id: second.request.id, result: ANSWERS['item/tool/call'] });
  expect(await second.reply).toEqual({ type: 'answered', answer: ANSWERS['item/tool/call'] });
  await settled(actor, back, other);
  // Of a tool call that is done, its item tells.
  for (const client of [actor, back, other]) {
    expect(client.methods().filter((method) => method === 'serverRequest/resolved').length).toBeLessThanOrEqual(2);
    expect(toldSince(client, 0).findLast((told) => told.startsWith('resolved'))).toBe('resolved 0');
  }
  const late = await server.connect();
  await late.call('thread/resume', { threadId, ...RESUME });
  await settled(late);
  expect(requestsTo(late)).toEqual([]);
});

it('ASK-7 a question outlives everyone who was asked: the thread stays loaded, and waits for whoever comes', async () => {
  const { server, actor, watcher, threadId, call } = await startAsking({ unloadDelayMs: 5_000 });
  const { reply, request } = await ask(call, actor, APPROVAL);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
  onTestFinished(() => void vi.useRealTimers());
  actor.socket.terminate();
  await watcher.call('thread/unsubscribe', { threadId });
  const [loaded] = server.manager.loaded;
  await eventually(() => expect(server.server.connections).toHaveLength(2));
  for (let times = 0; times < 20; times += 1) await vi.advanceTimersByTimeAsync(60_000);
  expect(server.manager.loaded).toEqual([loaded]);
  expect(loaded?.states.turn).toBe('awaitingClient');
  const from = watcher.frames.length;
  await watcher.call('thread/resume', { threadId, ...RESUME });
  expect(await watcher.frame('the request', (frame) => isRequest(frame), from)).toEqual(request);
  watcher.send({ id: request.id, result: { decision: 'accept' } });
  expect(await reply).toMatchObject({ type: 'answered' });
  await call.end();
  await watcher.notification('turn/completed');
});

it('ASK-8 nobody needs to watch when a question is asked', async () => {
  const { actor, watcher, other, threadId, call } = await startAsking();
  for (const client of [actor, watcher]) await client.call('thread/unsubscribe', { threadId });
  const reply = call.request.clients.ask(APPROVAL, COMMAND);
  await other.call('thread/resume', { threadId, ...RESUME });
  const request = await other.frame('the request', (frame) => isRequest(frame));
  other.send({ id: request.id, result: { decision: 'cancel' } });
  expect(await reply).toEqual({ type: 'answered', answer: { decision: 'cancel' } });
  expect([...requestsTo(actor), ...requestsTo(watcher)]).toEqual([]);
});

it('ASK-9 an interrupt withdraws what is open: the thread is idle, the turn has ended, then the question is', async () => {
  const { server, actor, watcher, threadId, turnId, call } = await startAsking();
  const approval = await ask(call, watcher, APPROVAL);
  const tool = await ask(call, watcher, 'item/tool/call');
  const from = watcher.frames.length;
  await actor.call('turn/interrupt', { threadId, turnId });
  expect([await approval.reply, await tool.reply]).toEqual([{ type: 'withdrawn' }, { type: 'withdrawn' }]);
  await watcher.notification('serverRequest/resolved');
  expect(toldSince(watcher, from)).toEqual([
    'thread/tokenUsage/updated',
    'status idle',
    'turn/completed interrupted',
    'resolved 0',
  ]);
  // Too late.
  watcher.send({ id: approval.request.id, result: { decision: 'accept' } });
  expect(await call.request.clients.ask(APPROVAL, COMMAND)).toEqual({ type: 'withdrawn' });
  await settled(watcher);
  expect(requestsTo(watcher)).toHaveLength(2);
  expect(server.server.clientRequests.of(call.request.threadId as ThreadId)).toEqual([]);
});

it.each([
  ['archived', 'thread/archive', 'thread/archived'],
  ['deleted', 'thread/delete', 'thread/deleted'],
  ['reverted', 'thread/revert', 'thread/reverted'],
])('ASK-10 a question of a thread that is %s is withdrawn before that', async (_, method, told) => {
  const { server, actor, watcher, threadId, turnId, call } = await startAsking({
    store: await openLocalStore(tempFolder()),
  });
  const { reply, request } = await ask(call, watcher, APPROVAL);
  const from = watcher.frames.length;
  await actor.call(method, { threadId, ...(method === 'thread/revert' ? { beforeTurnId: turnId } : {}) });
  await watcher.notification(told);
  const reloaded = method === 'thread/revert' ? ['status idle'] : [];
  expect(toldSince(watcher, from)).toEqual([
    'thread/tokenUsage/updated',
    'status idle',
    'turn/completed interrupted',
    'resolved 0',
    'status notLoaded',
    ...reloaded,
    told,
  ]);
  expect(await reply).toEqual({ type: 'withdrawn' });
  actor.send({ id: request.id, result: { decision: 'accept' } });
  await settled(actor);
  expect(server.server.clientRequests.of(call.request.threadId as ThreadId)).toEqual([]);
});

it('ASK-11 a daemon that stops withdraws what is open, and its clients hear that before their connections end', async () => {
  const { server, watcher, call } = await startAsking();
  const { reply } = await ask(call, watcher, APPROVAL);
  const from = watcher.frames.length;
  await server.manager.registry.shutdownAll(10_000, 'stop');
  const closed = new Promise<number>((resolve) => watcher.socket.once('close', resolve));
  await server.server.close('stop');
  expect(await closed).toBe(1001);
  expect(toldSince(watcher, from).slice(0, 4)).toEqual([
    'thread/tokenUsage/updated',
    'status idle',
    'turn/completed interrupted',
    'resolved 0',
  ]);
  expect(await reply).toEqual({ type: 'withdrawn' });
});

it('ASK-12 steering leaves a question open: the words are taken at once, and the model gets them when it has its answer', async () => {
  const { model, actor, watcher, threadId, turnId, call } = await startAsking();
  const { reply, request } = await ask(call, watcher, APPROVAL);
  const from = watcher.frames.length;
  const steered = await actor.call('turn/steer', { threadId, expectedTurnId: turnId, input: words('rather this') });
  expect(steered).toEqual({ turnId });
  const joined = await actor.call('turn/start', { threadId, input: words('or that') });
  expect(joined.turn.id).toBe(turnId);
  expect(call.isCutOff).toBe(false);
  const { data } = await watcher.call('thread/turns/list', { threadId, limit: 1, itemsView: 'full' });
  expect(data[0].items.map(({ content }: Json) => content[0].text)).toEqual(['do it', 'rather this', 'or that']);
  watcher.send({ id: request.id, result: { decision: 'accept' } });
  expect(await reply).toMatchObject({ type: 'answered' });
  await call.message('msg_2', ['it is done']);
  await call.end();
  const again = await model.call();
  expect(again.request.messages).toHaveLength(3);
  expect(again.text).toBe('or that');
  await again.end();
  await watcher.notification('turn/completed', () => true, from);
  expect(toldSince(watcher, from).filter((told) => /^(item\/completed|turn|resolved)/.test(told))).toEqual([
    'item/completed userMessage',
    'item/completed userMessage',
    'resolved 0',
    'item/completed agentMessage',
    'turn/completed completed',
  ]);
});

it('ASK-13 a call that is over waits for no answer, and the turn goes on', async () => {
  const { actor, watcher, call } = await startAsking();
  const { reply } = await ask(call, watcher, APPROVAL);
  const from = watcher.frames.length;
  await call.end();
  await watcher.notification('turn/completed', () => true, from);
  expect(await reply).toEqual({ type: 'withdrawn' });
  expect(toldSince(watcher, from)).toEqual([
    'thread/tokenUsage/updated',
    'resolved 0',
    'status active',
    'thread/readState/changed',
    'status idle',
    'turn/completed completed',
  ]);
  await settled(actor);
});

it('ASK-14 a turn has at most 64 questions before its clients', async () => {
  const { actor, call } = await startAsking();
  const replies = Array.from({ length: 65 }, () =>
    call.request.clients.ask('item/tool/call', QUESTIONS['item/tool/call']),
  );
  expect(await replies[64]).toMatchObject({ type: 'failed', reason: 'error' });
  await actor.frame('the last request', ({ id, method }) => method === 'item/tool/call' && id === 63);
  actor.send({ id: 5, result: ANSWERS['item/tool/call'] });
  await replies[5];
  expect((await ask(call, actor, 'item/tool/call')).request.id).toBe(64);
});

it('ASK-15 a client that does not read loses no question, and costs no more than what is open', async () => {
  const { server, actor, watcher, threadId, turnId, call } = await startAsking();
  const connection = server.server.connections[1];
  watcher.socket.pause();
  // Until its bound is reached.
  const big = 'x'.repeat(1024 * 1024);
  await call.emit({ type: 'messageStarted', itemId: 'msg_2' });
  for (const dropped = () => connection?.droppedMessages ?? 0; dropped() === 0;)
    await call.emit({ type: 'messageDelta', itemId: 'msg_2', delta: big });
  const open = await ask(call, actor, APPROVAL, { ...COMMAND, reason: 'kept' });
  const before = connection?.queuedBytes ?? 0;
  for (let times = 0; times < 50; times += 1) {
    const { reply, request } = await ask(call, actor, APPROVAL, { ...COMMAND, reason: big.slice(0, 100_000) });
    actor.send({ id: request.id, result: { decision: 'decline' } });
    await reply;
  }
  expect((connection?.queuedBytes ?? 0) - before).toBeLessThan(100_000);
  const last = await ask(call, actor, 'item/tool/requestUserInput');
  watcher.socket.resume();
  await watcher.frame('the last request', ({ id }) => id === last.request.id);
  expect(requestsTo(watcher)).toEqual([open.request, last.request]);
  // It has lost news, so it asks for the thread as it is now: that comes with what is open.
  expect(await watcher.notification('warning', (params) => params.threadId === threadId)).toBeDefined();
  await watcher.call('thread/resume', { threadId, ...RESUME });
  await settled(watcher);
  expect(requestsTo(watcher).slice(2)).toEqual([open.request, last.request]);
  watcher.send({ id: open.request.id, result: { decision: 'accept' } });
  expect(await open.reply).toMatchObject({ type: 'answered' });
  await actor.call('turn/interrupt', { threadId, turnId });
});

it('ASK-16 a client without the experimental protocol is asked without what only that has', async () => {
  const { server, actor, threadId, call } = await startAsking();
  const plain = await server.connect({ isExperimental: false, optOut: [APPROVAL, 'serverRequest/resolved'] });
  await plain.call('thread/resume', { threadId, ...RESUME });
  const { request } = await ask(call, actor, APPROVAL, { ...COMMAND, additionalPermissions: { network: null } });
  const shown = await plain.frame('the request', (frame) => isRequest(frame));
  const { additionalPermissions, ...rest } = request.params;
  expect(additionalPermissions).toEqual({ network: null });
  expect(shown).toEqual({ ...request, params: rest });
});
