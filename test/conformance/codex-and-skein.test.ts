import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { PROVIDER, startCodex } from '../support/codex.ts';
import { startDaemon } from '../support/daemon.ts';
import { startScriptedModel } from '../support/responses-api.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { tempFolder } from '../support/temp-home.ts';

/**
 * The real Codex and Skein on one home, with the real files between them: what one has written the other lists,
 * reads, resumes and goes on with. A scripted model stands for the one that Codex would ask.
 */

const MODES = ['paginated', 'legacy'] as const;
type Mode = (typeof MODES)[number];

/** Skein records a provider that this Codex knows: it opens no other threads. */
const SKEIN_ARGS = ['--set', `model.provider=${PROVIDER}`];

const answerOf = { codex: (text: string) => `you said: ${text}`, skein: (text: string) => `${ECHO_MARK} ${text}` };

/** User's and agent's words of all turns, as a client sees them that has resumed the thread. */
async function conversation(client: RpcClient, threadId: string, mode: Mode): Promise<readonly string[]> {
  const turns = mode === 'legacy' ? await readTurns(client, threadId) : await listTurns(client, threadId);
  return turns.flatMap((turn) => turn.items.map(wordsOf).filter((words: string | undefined) => words !== undefined));
}

const readTurns = async (client: RpcClient, threadId: string): Promise<readonly Json[]> =>
  (await client.call('thread/read', { threadId, includeTurns: true })).thread.turns;

const listTurns = async (client: RpcClient, threadId: string): Promise<readonly Json[]> =>
  (await client.call('thread/turns/list', { threadId, sortDirection: 'asc', itemsView: 'full', limit: 50 })).data;

function wordsOf(item: Json): string | undefined {
  if (item.type === 'userMessage') return item.content.map((part: Json) => part.text).join('');
  return item.type === 'agentMessage' ? item.text : undefined;
}

const startThread = async (client: RpcClient, historyMode: Mode, cwd: string): Promise<string> =>
  (await client.call('thread/start', { historyMode, cwd })).thread.id;

const list = async (client: RpcClient, params: object = {}): Promise<readonly Json[]> =>
  (await client.call('thread/list', { modelProviders: [], ...params })).data;

const byId = (threads: readonly Json[], id: string): Json => threads.find((thread) => thread.id === id);

/** What either side writes and the other must understand: a named thread of two turns, a fork of it, an archived one. */
async function writeThreads(
  client: RpcClient,
  mode: Mode,
  cwd: string,
): Promise<{ readonly named: string; readonly fork: string; readonly archived: string }> {
  const named = await startThread(client, mode, cwd);
  await client.turn(named, 'first words');
  await client.turn(named, 'second words');
  await client.call('thread/name/set', { threadId: named, name: `named ${mode}` });
  const forked = await client.call('thread/fork', { threadId: named, excludeTurns: true });
  const fork = forked.thread.id;
  await client.turn(fork, 'words of the fork');
  const archived = await startThread(client, mode, cwd);
  await client.turn(archived, 'words to put away');
  await client.call('thread/archive', { threadId: archived });
  return { named, fork, archived };
}

/**
 * Everything that {@link writeThreads} has written, seen from the other side.
 * @param seen what is the other side's own affair
 */
async function expectThreads(
  client: RpcClient,
  mode: Mode,
  { named, fork, archived }: Awaited<ReturnType<typeof writeThreads>>,
  seen: { readonly name: string | null; readonly forkPreview: string },
): Promise<void> {
  const { name, forkPreview } = seen;
  const active = await list(client);
  expect(byId(active, named)).toMatchObject({ name, preview: 'first words', historyMode: mode });
  expect(byId(active, fork)).toMatchObject({ name, preview: forkPreview, historyMode: mode });
  expect(byId(active, archived)).toBeUndefined();
  expect(byId(await list(client, { archived: true }), archived)).toMatchObject({ preview: 'words to put away' });
  for (const threadId of [named, fork, archived]) {
    const { thread } = await client.call('thread/read', { threadId });
    expect(existsSync(thread.path)).toBe(true);
  }
}

describe.each(MODES)('%s threads', (mode) => {
  it('CONF-1 written by Codex are listed, read, resumed and continued by Skein, and then by Codex again', async () => {
    const [home, cwd] = [tempFolder(), tempFolder()];
    const model = await startScriptedModel();
    const { codex: first, skein } = answerOf;

    const codex = await startCodex(home, model);
    const written = await writeThreads(await codex.connect(), mode, cwd);
    await codex.stop();

    const daemon = await startDaemon(home, SKEIN_ARGS);
    const client = await daemon.connect();
    await expectThreads(client, mode, written, { name: `named ${mode}`, forkPreview: 'first words' });
    const twoTurns = ['first words', first('first words'), 'second words', first('second words')];
    const ofFork = [...twoTurns, 'words of the fork', first('words of the fork')];
    expect(await conversation(client, written.named, mode)).toEqual(twoTurns);
    expect(await conversation(client, written.fork, mode)).toEqual(ofFork);
    await client.call('thread/unarchive', { threadId: written.archived });
    for (const threadId of Object.values(written)) {
      await client.call('thread/resume', { threadId, excludeTurns: true });
      const turn = await client.turn(threadId, 'said to Skein');
      expect(turn).toMatchObject({ status: 'completed', error: null });
    }
    const bySkein = ['said to Skein', skein('said to Skein')];
    expect(await conversation(client, written.named, mode)).toEqual([...twoTurns, ...bySkein]);
    // Where a thread is, Codex takes from its own database, too: it is put back where Codex left it.
    await client.call('thread/archive', { threadId: written.archived });
    expect(await daemon.stop()).toBe(0);

    const again = await startCodex(home, model);
    const reader = await again.connect();
    await reader.call('thread/unarchive', { threadId: written.archived });
    const active = await list(reader);
    for (const threadId of Object.values(written)) {
      expect(byId(active, threadId)).toBeDefined();
      await reader.call('thread/resume', { threadId, excludeTurns: mode === 'paginated' });
    }
    expect(await conversation(reader, written.named, mode)).toEqual([...twoTurns, ...bySkein]);
    expect(await conversation(reader, written.fork, mode)).toEqual([...ofFork, ...bySkein]);
    expect(await conversation(reader, written.archived, mode)).toEqual([
      'words to put away',
      first('words to put away'),
      ...bySkein,
    ]);
    const after = await reader.turn(written.fork, 'back in Codex');
    expect(after.status).toBe('completed');
    await again.stop();
  });

  it('CONF-2 written by Skein are listed, read, resumed and continued by Codex, and then by Skein again', async () => {
    const [home, cwd] = [tempFolder(), tempFolder()];
    const model = await startScriptedModel();
    const { codex: second, skein } = answerOf;

    const daemon = await startDaemon(home, SKEIN_ARGS);
    const written = await writeThreads(await daemon.connect(), mode, cwd);
    expect(await daemon.stop()).toBe(0);

    const codex = await startCodex(home, model);
    const client = await codex.connect();
    // Names of paginated threads Codex has in its own database alone, which Skein never opens; and what a fork
    // begins with it looks for in the fork's own file.
    const ofPaginated = { name: null, forkPreview: 'words of the fork' };
    const ofLegacy = { name: 'named legacy', forkPreview: 'first words' };
    await expectThreads(client, mode, written, mode === 'legacy' ? ofLegacy : ofPaginated);
    await client.call('thread/unarchive', { threadId: written.archived });
    for (const threadId of Object.values(written)) {
      await client.call('thread/resume', { threadId, excludeTurns: mode === 'paginated' });
    }
    const twoTurns = ['first words', skein('first words'), 'second words', skein('second words')];
    const ofFork = [...twoTurns, 'words of the fork', skein('words of the fork')];
    expect(await conversation(client, written.named, mode)).toEqual(twoTurns);
    expect(await conversation(client, written.fork, mode)).toEqual(ofFork);
    for (const threadId of Object.values(written)) {
      expect(await client.turn(threadId, 'said to Codex')).toMatchObject({ status: 'completed', error: null });
    }
    await codex.stop();

    const again = await startDaemon(home, SKEIN_ARGS);
    const reader = await again.connect();
    const byCodex = ['said to Codex', second('said to Codex')];
    expect(await conversation(reader, written.named, mode)).toEqual([...twoTurns, ...byCodex]);
    expect(await conversation(reader, written.fork, mode)).toEqual([...ofFork, ...byCodex]);
    await reader.call('thread/resume', { threadId: written.fork, excludeTurns: true });
    expect(await reader.turn(written.fork, 'back in Skein')).toMatchObject({ status: 'completed' });
    expect(await again.stop()).toBe(0);
  });

  it('CONF-3 have one writer while both are open on the home, and the refusal names it', async () => {
    const [home, cwd] = [tempFolder(), tempFolder()];
    const model = await startScriptedModel();
    const codex = await startCodex(home, model);
    const daemon = await startDaemon(home, SKEIN_ARGS);
    const [inCodex, inSkein] = [await codex.connect(), await daemon.connect()];

    const ofCodex = await startThread(inCodex, mode, cwd);
    await inCodex.turn(ofCodex, 'held by Codex');
    expect(byId(await list(inSkein), ofCodex)).toMatchObject({ preview: 'held by Codex' });
    const refused = await inSkein.refusal('thread/resume', { threadId: ofCodex });
    expect(refused).toMatchObject({ code: -32600, data: { kind: 'conflict' } });
    expect(refused.message).toContain(`thread ${ofCodex} already has an active writer`);
    expect(refused.data.holder).toContain(String(codex.child.pid));
    for (const method of ['thread/archive', 'thread/delete', 'thread/memoryMode/set', 'thread/metadata/update']) {
      const params = { threadId: ofCodex, mode: 'disabled', gitInfo: { sha: 'abc' } };
      const { data } = await inSkein.refusal(method, params);
      expect(data).toMatchObject({ kind: 'conflict', holder: expect.stringMatching(/^pid \d+ \(codex\)$/) });
    }
    // A name needs no writer, and Codex hears of it where it looks for names.
    await inSkein.call('thread/name/set', { threadId: ofCodex, name: 'by Skein' });
    expect(byId(await list(inSkein), ofCodex)).toMatchObject({ name: 'by Skein' });
    await inCodex.call('thread/name/set', { threadId: ofCodex, name: 'by Codex' });
    expect(byId(await list(inSkein), ofCodex)).toMatchObject({ name: 'by Codex' });
    expect(await conversation(inSkein, ofCodex, mode)).toEqual(['held by Codex', answerOf.codex('held by Codex')]);

    const ofSkein = await startThread(inSkein, mode, cwd);
    await inSkein.turn(ofSkein, 'held by Skein');
    expect(byId(await list(inCodex), ofSkein)).toMatchObject({ preview: 'held by Skein' });
    const refusedThere = await inCodex.refusal('thread/resume', { threadId: ofSkein });
    expect(refusedThere.message).toContain('already has an active writer');

    // The end of one writer is enough for the other.
    await codex.stop();
    await inSkein.call('thread/resume', { threadId: ofCodex, excludeTurns: true });
    expect(await inSkein.turn(ofCodex, 'taken over')).toMatchObject({ status: 'completed' });
    await daemon.stop();
  });
});
