import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { DaemonClient } from '../../src/cli/daemon-client.ts';
import { DebugServer } from '../../src/debug/debug-server.ts';
import { daemonFiles, type DaemonInfo } from '../../src/domain/daemon-files.ts';
import { ANSWERS, ask, QUESTIONS, requestsTo, startAsking, type Asking } from '../support/asking.ts';
import { connectDebug } from '../support/debug-lines.ts';
import { SKEIN } from '../support/daemon.ts';
import { start } from '../support/process.ts';
import { skein } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';

/** A home whose daemon is a server in this process. */
async function servedHome(home: string, { server }: Asking): Promise<DaemonInfo & { readonly debugSocket: string }> {
  const debugSocket = join(tempFolder(), 'debug.sock');
  const info = {
    pid: process.pid,
    version: '0.0.0',
    startedAtMs: Date.now(),
    nonce: 'one',
    home,
    listen: [server.url],
    auth: 'none' as const,
    socket: server.socket,
    debugSocket,
    log: '',
    model: 'hand',
    args: [],
  };
  const files = daemonFiles(home);
  mkdirSync(files.folder, { recursive: true });
  writeFileSync(files.info, JSON.stringify(info));
  const debug = await DebugServer.listen(debugSocket, { info, manager: server.manager, server: server.server });
  onTestFinished(() => debug.close());
  return info;
}

it('ASK-19 the debug socket and its command show what is open, by thread, until it is answered', async () => {
  const home = tempFolder();
  const asking = await startAsking({ home });
  const { actor, threadId, turnId, call } = asking;
  const { debugSocket } = await servedHome(home, asking);
  const { reply, request } = await ask(call, actor, 'item/tool/requestUserInput');
  const debug = await connectDebug(debugSocket);
  const { threads } = (await debug.call('snapshot')).result;
  expect(threads).toMatchObject([
    {
      threadId,
      turn: 'awaitingClient',
      clientRequests: [{ requestId: 0, method: 'item/tool/requestUserInput', turnId, askedAtMs: expect.any(Number) }],
    },
  ]);
  const [whole, one] = await Promise.all([
    skein(home, ['debug', 'snapshot']),
    skein(home, ['debug', 'thread', threadId]),
  ]);
  for (const { stdout } of [whole, one]) {
    expect(stdout).toMatch(new RegExp(`REQUEST.*\\n0 +${threadId} +item/tool/requestUserInput`));
  }
  expect(one.stdout).toContain('client.asked (item/tool/requestUserInput)');
  actor.send({ id: request.id, result: ANSWERS['item/tool/requestUserInput'] });
  await reply;
  const after = (await debug.call('thread', { threadId })).result;
  expect(after.clientRequests).toEqual([]);
  expect(after.transitions.at(-1)).toMatchObject({
    event: 'client.answered',
    cause: expect.stringMatching(/^answer of conn_/),
    to: 'materialized/running',
  });
});

it('CLI-33 watch and send say what a turn waits for, who can answer, and when it waits no more', async () => {
  const home = tempFolder();
  const asking = await startAsking({ home });
  const { actor, model, threadId, call } = asking;
  await servedHome(home, asking);
  const first = await ask(call, actor, 'item/commandExecution/requestApproval');
  // It waits already when they come.
  const run = (...args: readonly string[]): ReturnType<typeof start> =>
    start(process.execPath, [SKEIN, ...args, '--home', home]);
  const [watching, asJson, sending] = [
    run('watch', threadId),
    run('watch', threadId, '--json'),
    run('send', threadId, 'and this'),
  ];
  const who = `skein connect --home ${home} --exec -- resume ${threadId}`;
  const isAsked = `may it run touch here\\? \\(for any client that has the thread open, as: ${who}\\)`;
  await watching.said(new RegExp(`-- waits for an answer: ${isAsked}\\n`));
  await sending.said(new RegExp(`waits for an answer that send cannot give: ${isAsked}\\n`));
  const [line] = await asJson.said(/^\{"id".*\n/m);
  expect(JSON.parse(line)).toEqual(first.request);
  actor.send({ id: first.request.id, result: ANSWERS['item/commandExecution/requestApproval'] });
  await watching.said(/-- waits no more\n/);
  for (const [method, words] of Object.entries({
    'item/fileChange/requestApproval': /may it change files\?/,
    'item/permissions/requestApproval': /may it have more permissions\?/,
    'mcpServer/elicitation/request': /a server asks: Who are you\?/,
    'item/tool/requestUserInput': /Which\?/,
    'item/tool/call': /the tool lookup is to be run \(for the client that has it/,
  } as const)) {
    const { reply, request } = await ask(call, actor, method as keyof typeof QUESTIONS);
    await watching.said(words);
    actor.send({ id: request.id, result: ANSWERS[method as keyof typeof QUESTIONS] });
    await reply;
  }
  await call.message('msg_2', ['done']);
  await call.end();
  // The words of the send.
  const next = await model.call();
  await next.message('msg_3', ['done, too']);
  await next.end();
  expect(await sending.exited).toBe(0);
  expect(await watching.stop('SIGINT')).toBe(130);
});

it('ASK-20 commands take no question for an answer, and a send says when its turn waits for one that it cannot give', async () => {
  const home = tempFolder();
  const asking = await startAsking({ home });
  const { actor, model, threadId, call } = asking;
  await servedHome(home, asking);
  const client = await DaemonClient.find(home);
  await client?.call('thread/resume', { threadId, excludeTurns: true });
  const answered = client?.call('thread/loaded/list', {});
  // Their ids are those of the calls of the client, and they are there before its answer.
  const replies = Array.from({ length: 10 }, () =>
    call.request.clients.ask('item/tool/call', QUESTIONS['item/tool/call']),
  );
  expect(await answered).toMatchObject({ data: [threadId] });
  await client?.close();
  await actor.frame('the last request', ({ id, method }) => method !== undefined && id === 9);
  for (const { id } of requestsTo(actor)) actor.send({ id, result: ANSWERS['item/tool/call'] });
  await Promise.all(replies);
  const sending = start(process.execPath, [SKEIN, 'send', 'hello', '--home', home]);
  const asked = (await model.call()).request.clients.ask(
    'item/commandExecution/requestApproval',
    QUESTIONS['item/commandExecution/requestApproval'],
  );
  const [, sentTo] = await sending.said(
    /thread (\S+)\n[^]*waits for an answer that send cannot give: may it run touch here\?/,
  );
  await actor.call('thread/resume', { threadId: sentTo, excludeTurns: true });
  const { id } = await actor.frame('the request', ({ method }) => method === 'item/commandExecution/requestApproval');
  actor.send({ id, error: { code: 0, message: 'no' } });
  expect(await asked).toMatchObject({ type: 'failed' });
  await sending.stop('SIGINT');
});
