import { existsSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { rolloutBytes } from '../../src/store/local/compressed-rollout.ts';
import { PROVIDER, startCodex } from '../support/codex.ts';
import { startDaemon } from '../support/daemon.ts';
import { filesBelow, openLocalStore } from '../support/local-store.ts';
import { saidIn, storeThread } from '../support/stored-threads.ts';
import { startScriptedModel } from '../support/responses-api.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { tempFolder } from '../support/temp-home.ts';

/** What the real Codex compresses, in both history modes. */

const DAY_MS = 24 * 60 * 60 * 1_000;

const rolloutsOf = (home: string): readonly string[] =>
  filesBelow(home)
    .filter((path) => /rollout-[^/]*\.jsonl/.test(path))
    .map((path) => join(home, path));

/** Lets Codex compress rollouts of a home, as it does with those that nobody has touched for a week. */
async function compressWithCodex(
  home: string,
  model: Awaited<ReturnType<typeof startScriptedModel>>,
  expected = rolloutsOf(home),
): Promise<void> {
  const old = new Date(Date.now() - 9 * DAY_MS);
  for (const path of rolloutsOf(home)) utimesSync(path, old, old);
  const codex = await startCodex(home, model, { settings: ['features.local_thread_store_compression = true'] });
  await expect.poll(() => expected.filter((path) => existsSync(path)), { timeout: 20_000 }).toEqual([]);
  await codex.stop();
}

const userWords = (turns: readonly Json[]): readonly string[] =>
  turns.flatMap((turn) =>
    turn.items.filter((item: Json) => item.type === 'userMessage').map((item: Json) => item.content[0].text),
  );

const said = async (client: RpcClient, threadId: string, mode: string): Promise<readonly string[]> =>
  userWords(
    mode === 'legacy'
      ? (await client.call('thread/read', { threadId, includeTurns: true })).thread.turns
      : (await client.call('thread/turns/list', { threadId, sortDirection: 'asc', itemsView: 'full', limit: 50 })).data,
  );

describe.each(['legacy', 'paginated'] as const)('%s threads', (mode) => {
  it('CONF-7 compressed by Codex are listed, read, found, resumed and continued by Skein, and then by Codex again', async () => {
    const [home, cwd] = [tempFolder(), tempFolder()];
    const model = await startScriptedModel();
    const codex = await startCodex(home, model);
    const writer = await codex.connect();
    const start = async (words: string): Promise<string> => {
      const { thread } = await writer.call('thread/start', { historyMode: mode, cwd });
      await writer.turn(thread.id, words);
      return thread.id;
    };
    const kept = await start('words to keep');
    const archived = await start('words to put away');
    await writer.call('thread/archive', { threadId: archived });
    await codex.stop();
    await compressWithCodex(home, model);
    const compressed = rolloutsOf(home);
    expect(compressed).toHaveLength(2);

    const daemon = await startDaemon(home, ['--set', `model.provider=${PROVIDER}`]);
    const client = await daemon.connect();
    const list = async (params: object = {}): Promise<Json> =>
      (await client.call('thread/list', { modelProviders: [], ...params })).data;
    expect(await list()).toMatchObject([
      { id: kept, preview: 'words to keep', path: expect.stringMatching(/\.jsonl$/) },
    ]);
    expect(await list({ archived: true })).toMatchObject([{ id: archived, preview: 'words to put away' }]);
    expect(await said(client, kept, mode)).toEqual(['words to keep']);
    expect((await client.call('thread/search', { searchTerm: 'TO KEEP' })).data).toHaveLength(1);
    expect(rolloutsOf(home)).toEqual(compressed);
    await client.call('thread/unarchive', { threadId: archived });
    for (const threadId of [kept, archived]) {
      await client.call('thread/resume', { threadId, excludeTurns: true });
      expect(await client.turn(threadId, 'said to Skein')).toMatchObject({ status: 'completed', error: null });
    }
    expect(rolloutsOf(home).filter((path) => path.endsWith('.zst'))).toEqual([]);
    await client.call('thread/archive', { threadId: archived });
    expect(await daemon.stop()).toBe(0);

    const again = await startCodex(home, model);
    const reader = await again.connect();
    await reader.call('thread/unarchive', { threadId: archived });
    for (const [threadId, first] of [
      [kept, 'words to keep'],
      [archived, 'words to put away'],
    ] as const) {
      await reader.call('thread/resume', { threadId, excludeTurns: mode === 'paginated' });
      expect(await said(reader, threadId, mode)).toEqual([first, 'said to Skein']);
      expect(await reader.turn(threadId, 'back in Codex')).toMatchObject({ status: 'completed' });
    }
    await again.stop();
  });
});

it('CONF-8 a long thread that Codex compressed reads byte by byte as it was, and is made plain as it was', async () => {
  const home = tempFolder();
  const model = await startScriptedModel();
  const writer = await openLocalStore(home);
  // Repeats itself, as histories do, near and far: what compressing lives on.
  const texts = Array.from({ length: 40 }, (_, turn) =>
    Array.from({ length: 4_000 }, (__, word) => `word${(turn * 7_919 + word * word) % 5_003}`).join(' '),
  );
  const { threadId, path } = await storeThread(writer, 'paginated', texts);
  await writer.close();
  const original = readFileSync(path);
  await compressWithCodex(home, model);
  const text = Buffer.concat(Array.from(rolloutBytes(path), (bytes) => Buffer.from(bytes)));
  expect(text.equals(original)).toBe(true);
  expect(text.length).toBeGreaterThan(4 * 1024 * 1024);

  const store = await openLocalStore(home);
  expect(await saidIn(store, threadId)).toEqual(texts);
  await store.resumeThread({ threadId });
  expect(readFileSync(path).equals(original)).toBe(true);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await store.close();
});

it('CONF-9 a thread that is loaded in Skein is left alone by Codex, however old its file', async () => {
  const home = tempFolder();
  const model = await startScriptedModel();
  const store = await openLocalStore(home);
  const { path: idle } = await storeThread(store, 'legacy', ['nobody has it']);
  await store.close();
  const daemon = await startDaemon(home, ['--set', `model.provider=${PROVIDER}`]);
  const client = await daemon.connect();
  const { thread: loaded } = await client.call('thread/start', { historyMode: 'legacy', cwd: home });
  await client.turn(loaded.id, 'before');
  await compressWithCodex(home, model, [idle]);
  expect(new Set(rolloutsOf(home))).toEqual(new Set([`${idle}.zst`, loaded.path]));
  await client.turn(loaded.id, 'after');
  expect(await said(client, loaded.id, 'legacy')).toEqual(['before', 'after']);
  expect(await daemon.stop()).toBe(0);
});
