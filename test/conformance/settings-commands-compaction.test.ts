import { describe, expect, it } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { PROVIDER, startCodex } from '../support/codex.ts';
import { startDaemon } from '../support/daemon.ts';
import { openLocalStore } from '../support/local-store.ts';
import { ModelDouble, usage } from '../support/model-double.ts';
import { startScriptedModel, type ScriptedModel } from '../support/responses-api.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { startServer } from '../support/server.ts';
import { tempFolder } from '../support/temp-home.ts';

/** What a thread does besides chatting, done by the real Codex and by Skein, and gone on with by the other. */

interface Side {
  readonly client: RpcClient;
  readonly stop: () => Promise<unknown>;
}

const SIDES = {
  codex: async (home: string, model: ScriptedModel): Promise<Side> => {
    const codex = await startCodex(home, model);
    return { client: await codex.connect(), stop: () => codex.stop() };
  },
  skein: async (home: string, _model: ScriptedModel): Promise<Side> => {
    const daemon = await startDaemon(home, ['--set', `model.provider=${PROVIDER}`]);
    return { client: await daemon.connect(), stop: () => daemon.stop() };
  },
};

const COMMAND = 'echo "from a command"; exit 3';

/** Does something that is a turn, to its end. */
async function toItsEnd(client: RpcClient, method: string, params: object): Promise<void> {
  const from = client.frames.length;
  await client.call(method, params);
  const { params: ended } = await client.notification('turn/completed', () => true, from);
  expect(ended.turn).toMatchObject({ status: 'completed', error: null });
}

/** A turn, other settings, a command, and, if that is wanted, a compaction; unloaded then. */
async function write(
  { client, stop }: Side,
  historyMode: string,
  { isCompacted }: { readonly isCompacted: boolean },
): Promise<{ readonly threadId: string; readonly turns: readonly Json[]; readonly settings: Json }> {
  const { thread } = await client.call('thread/start', { historyMode, cwd: tempFolder(), approvalPolicy: 'never' });
  const threadId: string = thread.id;
  await client.turn(threadId, 'first words');
  const from = client.frames.length;
  const changes = { model: 'changed-model', effort: 'high', cwd: tempFolder(), approvalPolicy: 'untrusted' };
  await client.call('thread/settings/update', { threadId, ...changes });
  const { params } = await client.notification('thread/settings/updated', () => true, from);
  await toItsEnd(client, 'thread/shellCommand', { threadId, command: COMMAND });
  if (isCompacted) await toItsEnd(client, 'thread/compact/start', { threadId });
  const turns = await shownTurns(client, threadId);
  await stop();
  return { threadId, turns, settings: params.threadSettings };
}

/** All of a thread's turns, whole; without the ids of items, which are made while reading legacy history. */
async function shownTurns(client: RpcClient, threadId: string): Promise<readonly Json[]> {
  const withoutId = ({ id: _id, ...item }: Json): Json => item;
  const shown = (turn: Json): Json => ({ ...turn, items: turn.items.map(withoutId) });
  const { thread } = await client.call('thread/read', { threadId, includeTurns: true });
  return thread.turns.map(shown);
}

async function goOn(
  { client, stop }: Side,
  { threadId, turns, settings }: Awaited<ReturnType<typeof write>>,
): Promise<void> {
  const { data } = await client.call('thread/list', { modelProviders: [] });
  expect(data.map(({ id }: Json) => id)).toEqual([threadId]);
  // Turns of paginated threads that it has not written itself Codex shows from its first resume on.
  const resumed = await client.call('thread/resume', { threadId, excludeTurns: true });
  const { model, effort, cwd, approvalPolicy } = settings;
  expect(resumed).toMatchObject({ model, reasoningEffort: effort, cwd, approvalPolicy });
  expect(await shownTurns(client, threadId)).toEqual(turns);
  expect(await client.turn(threadId, 'and on')).toMatchObject({ status: 'completed', error: null });
  const now = await shownTurns(client, threadId);
  expect(now.slice(0, -1)).toEqual(turns);
  await stop();
}

describe.each(['paginated', 'legacy'])('%s threads', (mode) => {
  it('SHELL-13 what Skein did in a thread Codex shows, goes on with, and gives its model to read', async () => {
    const home = tempFolder();
    const model = await startScriptedModel();
    const written = await write(await SIDES.skein(home, model), mode, { isCompacted: false });
    await goOn(await SIDES.codex(home, model), written);
    const body = model.bodies.at(-1) ?? '';
    expect(body).toContain('first words');
    expect(body).toContain(`${ECHO_MARK} first words`);
    expect(body).toContain('from a command');
    expect(JSON.parse(body).model).toBe('changed-model');
  });

  it('SET-7 what Codex did in a thread Skein shows, and goes on with as Codex was told to', async () => {
    const home = tempFolder();
    const model = await startScriptedModel();
    const written = await write(await SIDES.codex(home, model), mode, { isCompacted: true });
    await goOn(await SIDES.skein(home, model), written);
    // And Codex again, behind that.
    const codex = await SIDES.codex(home, model);
    await codex.client.call('thread/resume', { threadId: written.threadId, excludeTurns: true });
    expect(await codex.client.turn(written.threadId, 'back')).toMatchObject({ status: 'completed' });
    expect(model.bodies.at(-1)).toContain(`${ECHO_MARK} and on`);
    await codex.stop();
  });

  it('COMPACT-8 what Skein has compacted Codex shows and goes on with, and its model reads all of it', async () => {
    const home = tempFolder();
    const model = await startScriptedModel();
    const written = await write(await SIDES.skein(home, model), mode, { isCompacted: true });
    expect(written.turns.at(-1).items).toMatchObject([{ type: 'contextCompaction' }]);
    await goOn(await SIDES.codex(home, model), written);
    expect(model.bodies.at(-1)).toContain('first words');
    expect(model.bodies.at(-1)).toContain('from a command');
  });
});

it.each(['paginated', 'legacy'])(
  'COMPACT-8 what a model of Skein has summarised Codex shows whole, and its model reads the summary: %s',
  async (historyMode) => {
    const home = tempFolder();
    const double = Object.assign(new ModelDouble(), {
      compact: () => Promise.resolve({ text: 'they greeted each other', usage: usage(5, 5) }),
    });
    const server = await startServer({ model: double, store: await openLocalStore(home) });
    const client = await server.connect();
    const { thread } = await client.call('thread/start', { historyMode, cwd: tempFolder() });
    const threadId: string = thread.id;
    const turn = client.turn(threadId, 'first words');
    (await double.call()).answer('what the double had answered');
    await turn;
    await toItsEnd(client, 'thread/compact/start', { threadId });
    const turns = await shownTurns(client, threadId);
    await server.manager.registry.shutdownAll(10_000, 'the test goes on');

    const model = await startScriptedModel();
    const provider = `{ name = "hand", base_url = "${model.baseUrl}", wire_api = "responses" }`;
    const codex = await startCodex(home, model, { settings: [`model_providers.hand = ${provider}`] });
    const reader = await codex.connect();
    await reader.call('thread/resume', { threadId, excludeTurns: true });
    expect(await shownTurns(reader, threadId)).toEqual(turns);
    expect(await reader.turn(threadId, 'and on')).toMatchObject({ status: 'completed', error: null });
    const body = model.bodies.at(-1) ?? '';
    expect(body).toContain('they greeted each other');
    expect(body).toContain('first words');
    expect(body).not.toContain('what the double had answered');
    await codex.stop();
  },
);
