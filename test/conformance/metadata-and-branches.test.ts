import { readFileSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { PROVIDER, startCodex } from '../support/codex.ts';
import { startDaemon } from '../support/daemon.ts';
import { startScriptedModel, type ScriptedModel } from '../support/responses-api.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { tempFolder } from '../support/temp-home.ts';

/** Changes of metadata, forks and reverts, as they stand in files: the real Codex and Skein write the same, and read each other's. */

const PEERS = ['codex', 'skein'] as const;

/** Either of the two on a home, until it is stopped. */
async function open(
  peer: (typeof PEERS)[number],
  home: string,
  model: ScriptedModel,
): Promise<{ readonly client: RpcClient; readonly stop: () => Promise<unknown> }> {
  const running =
    peer === 'codex' ? await startCodex(home, model) : await startDaemon(home, ['--set', `model.provider=${PROVIDER}`]);
  return { client: await running.connect(), stop: () => running.stop() };
}

const linesOf = (path: string): readonly Json[] =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

const startThread = async (client: RpcClient, historyMode: string, cwd: string): Promise<Json> =>
  (await client.call('thread/start', { historyMode, cwd })).thread;

const read = async (client: RpcClient, threadId: string): Promise<Json> =>
  (await client.call('thread/read', { threadId })).thread;

describe.each(['paginated', 'legacy'])('%s threads', (historyMode) => {
  it('CONF-4 go on in Codex behind metadata that Skein has written into them, and in Skein behind that of Codex', async () => {
    const [home, cwd] = [tempFolder(), tempFolder()];
    const model = await startScriptedModel();
    const skein = await open('skein', home, model);
    const { id: threadId, path } = await startThread(skein.client, historyMode, cwd);
    await skein.client.turn(threadId, 'first words');
    await skein.client.call('thread/metadata/update', { threadId, gitInfo: { sha: 'abc', branch: 'main' } });
    await skein.client.call('thread/memoryMode/set', { threadId, mode: 'disabled' });
    await skein.client.turn(threadId, 'behind it');
    await skein.client.call('thread/metadata/update', { threadId, gitInfo: { branch: null } });
    await skein.stop();
    expect(linesOf(path).filter(({ type }) => type === 'session_meta').length).toBe(4);

    const codex = await open('codex', home, model);
    const { data } = await codex.client.call('thread/list', { modelProviders: [] });
    const gitInfo = { sha: 'abc', branch: null, originUrl: null };
    const expected = { id: threadId, preview: 'first words', historyMode };
    expect(data).toMatchObject([expected]);
    expect(await read(codex.client, threadId)).toMatchObject({ ...expected, gitInfo });
    await codex.client.call('thread/resume', { threadId, excludeTurns: historyMode === 'paginated' });
    expect(await codex.client.turn(threadId, 'in Codex')).toMatchObject({ status: 'completed' });
    await codex.client.call('thread/metadata/update', { threadId, gitInfo: { branch: 'of Codex' } });
    await codex.stop();

    const again = await open('skein', home, model);
    // What Codex keeps in its own database alone, Skein does not see.
    const branch = historyMode === 'legacy' ? 'of Codex' : null;
    expect(await read(again.client, threadId)).toMatchObject({ ...expected, gitInfo: { ...gitInfo, branch } });
    await again.client.call('thread/resume', { threadId, excludeTurns: true });
    expect(await again.client.turn(threadId, 'in Skein again')).toMatchObject({ status: 'completed' });
    await again.stop();
    const ordinals = linesOf(path).map(({ ordinal }) => ordinal);
    expect(ordinals).toEqual(ordinals.map((_, index) => (historyMode === 'paginated' ? index : undefined)));
  });
});

describe.each([
  ['skein', 'codex'],
  ['codex', 'skein'],
] as const)('threads run by %s', (writer, reader) => {
  it('CONF-10 are run the same way by the other, and so are their forks', async () => {
    const [home, cwd, elsewhere] = [tempFolder(), tempFolder(), tempFolder()];
    const model = await startScriptedModel();
    const first = await open(writer, home, model);
    const { client } = first;
    const settings = { cwd: elsewhere, effort: 'high', approvalPolicy: 'never', model: 'another-model' };
    const written: { readonly threadId: string; readonly runs: object }[] = [];
    const runs = { cwd: elsewhere, reasoningEffort: 'high', model: 'another-model', approvalPolicy: 'never' };
    for (const historyMode of ['paginated', 'legacy']) {
      const { id } = await startThread(client, historyMode, cwd);
      await client.turn(id, 'one');
      await client.turn(id, 'two', settings);
      // Codex runs a fork by its configuration again, Skein as its source.
      const fork = await client.call('thread/fork', { threadId: id, excludeTurns: true });
      const { reasoningEffort, model: forkModel, approvalPolicy } = fork;
      written.push(
        { threadId: id, runs },
        { threadId: fork.thread.id, runs: { cwd: fork.cwd, reasoningEffort, model: forkModel, approvalPolicy } },
      );
    }
    await first.stop();
    const second = await open(reader, home, model);
    for (const thread of written) {
      const { threadId } = thread;
      expect(await second.client.call('thread/resume', { threadId, excludeTurns: true })).toMatchObject(thread.runs);
    }
    await second.stop();
  });
});

describe.each(PEERS)('forks and reverts of %s', (peer) => {
  it('CONF-5 name what they continue, up to its byte and ordinal, and legacy forks copy it', async () => {
    const [home, cwd] = [tempFolder(), tempFolder()];
    const { client, stop } = await open(peer, home, await startScriptedModel());
    const source = await startThread(client, 'paginated', cwd);
    await client.turn(source.id, 'one');
    const second = await client.turn(source.id, 'two');
    const { size } = statSync(source.path);
    const lines = linesOf(source.path);
    const base = { thread_id: source.id, end_ordinal_exclusive: lines.length, end_byte_offset: size };

    const { thread: fork } = await client.call('thread/fork', { threadId: source.id, excludeTurns: true });
    const [header] = linesOf(fork.path);
    expect(header).toMatchObject({
      ordinal: lines.length,
      type: 'session_meta',
      payload: {
        id: fork.id,
        session_id: fork.id,
        forked_from_id: source.id,
        forked_from_ordinal_exclusive: lines.length,
        history_mode: 'paginated',
        history_base: base,
        cwd,
      },
    });
    expect(
      linesOf(fork.path)
        .slice(1)
        .some(({ type }) => type === 'session_meta'),
    ).toBe(false);

    const { thread: reverted } = await client.call('thread/revert', { threadId: source.id, beforeTurnId: second.id });
    const cut = lines.findIndex(({ payload }) => payload.type === 'task_started' && payload.turn_id === second.id);
    expect(reverted.path).toMatch(new RegExp(`-${source.id}_[0-9a-f-]{36}\\.jsonl$`));
    const [revertedHeader] = linesOf(reverted.path);
    expect(revertedHeader).toMatchObject({
      ordinal: cut,
      payload: {
        id: source.id,
        session_id: source.id,
        history_mode: 'paginated',
        history_base: {
          thread_id: source.id,
          end_ordinal_exclusive: cut,
          end_byte_offset: Buffer.byteLength(
            `${readFileSync(source.path, 'utf8').split('\n').slice(0, cut).join('\n')}\n`,
          ),
        },
      },
    });
    expect(revertedHeader.payload.forked_from_id).toBeUndefined();
    expect(statSync(source.path).size).toBe(size);

    const legacy = await startThread(client, 'legacy', cwd);
    await client.turn(legacy.id, 'three');
    const copied = linesOf(legacy.path);
    const { thread: copy } = await client.call('thread/fork', { threadId: legacy.id, excludeTurns: true });
    const [copyHeader, ...rest] = linesOf(copy.path);
    expect(copyHeader).toMatchObject({ payload: { id: copy.id, forked_from_id: legacy.id, history_mode: 'legacy' } });
    expect(copyHeader.payload.history_base).toBeUndefined();
    const parts = ({ type, payload }: Json): Json => ({ type, payload });
    expect(rest.slice(0, copied.length).map(parts)).toEqual(copied.map(parts));
    await stop();
  });
});

it('CONF-6 a revert by Codex takes back turns, and nothing that Skein has set for the thread', async () => {
  const [home, cwd] = [tempFolder(), tempFolder()];
  const model = await startScriptedModel();
  const skein = await open('skein', home, model);
  const { id: threadId } = await startThread(skein.client, 'paginated', cwd);
  await skein.client.turn(threadId, 'one');
  const second = await skein.client.turn(threadId, 'two');
  await skein.client.call('thread/metadata/update', { threadId, gitInfo: { sha: 'abc', branch: 'main' } });
  await skein.client.call('thread/name/set', { threadId, name: 'kept' });
  const before = await read(skein.client, threadId);
  await skein.stop();

  const codex = await open('codex', home, model);
  await codex.client.call('thread/resume', { threadId, excludeTurns: true });
  await codex.client.call('thread/revert', { threadId, beforeTurnId: second.id });
  expect(await codex.client.turn(threadId, 'in place of two')).toMatchObject({ status: 'completed' });
  await codex.stop();

  const again = await open('skein', home, model);
  const { createdAt, gitInfo, name, preview } = before;
  expect(await read(again.client, threadId)).toMatchObject({ createdAt, gitInfo, name, preview });
  const { data } = await again.client.call('thread/turns/list', { threadId, sortDirection: 'asc', itemsView: 'full' });
  expect(data.map(({ items }: Json) => items[0].content[0].text)).toEqual(['one', 'in place of two']);
  await again.stop();
});
