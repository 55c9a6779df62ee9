import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { newUuid, type ThreadId } from '../../../../src/domain/ids.ts';
import type { JsonObject } from '../../../../src/domain/json.ts';
import type { HistoryMode } from '../../../../src/domain/session-meta.ts';
import { NO_FACTS } from '../../../../src/domain/thread-facts.ts';
import type { ForkBoundary, ThreadStore } from '../../../../src/store/thread-store.ts';
import { startCodex } from '../../../support/codex.ts';
import { startDaemon } from '../../../support/daemon.ts';
import { writeRollout } from '../../../support/home-files.ts';
import { openLocalStore } from '../../../support/local-store.ts';
import { query } from '../../../support/open-index.ts';
import { headerPayload, record, someThreadId, T0, turnItems } from '../../../support/records.ts';
import { startScriptedModel } from '../../../support/responses-api.ts';
import type { Json, RpcClient } from '../../../support/rpc-client.ts';
import { tempFolder } from '../../../support/temp-home.ts';

const MODES: readonly HistoryMode[] = ['legacy', 'paginated'];

it('INDEX-1 without its folder a store finds everything again that was done in it', async () => {
  const home = tempFolder();
  const store = await openLocalStore(home);
  const begin = async (mode: HistoryMode, said: readonly string[]): Promise<readonly [ThreadId, ...string[]]> => {
    const threadId = someThreadId();
    const turns = said.map((text) => turnItems(mode, threadId, text, `re: ${text}`));
    await store.createThread({
      threadId,
      historyMode: mode,
      cwd: '/work/project',
      createdAtMs: T0,
      header: async () => headerPayload(threadId, mode),
    });
    const records = turns.flatMap(({ items }) => items.map((item) => record(item)));
    await store.appendItems({ threadId, records, facts: NO_FACTS, durability: 'process', onFailure: 'keep' });
    await store.shutdownThread(threadId);
    return [threadId, ...turns.map(({ turnId }) => turnId)];
  };
  const fork = async (sourceId: ThreadId, mode: HistoryMode, boundary: ForkBoundary): Promise<ThreadId> => {
    const threadId = someThreadId();
    const header = async (): Promise<JsonObject> => headerPayload(threadId, mode);
    await store.forkThread({ threadId, sourceId, boundary, historyMode: mode, cwd: '/fork', createdAtMs: T0, header });
    await store.shutdownThread(threadId);
    return threadId;
  };
  for (const mode of MODES) {
    const [named] = await begin(mode, ['one', 'two']);
    await store.updateThreadMetadata(named, { name: `named ${mode}` });
    const [changed] = await begin(mode, ['three']);
    const git = { sha: 'abc', branch: 'main', originUrl: null };
    await store.updateThreadMetadata(changed, { name: 'all at once', memoryMode: 'disabled', gitInfo: git });
    const [forked, turnId = ''] = await begin(mode, ['four', 'five', 'six']);
    await fork(forked, mode, { kind: 'throughTurn', turnId });
    const ofFork = await fork(await fork(forked, mode, { kind: 'latest' }), mode, { kind: 'latest' });
    await store.archiveThreads([forked]);
    await store.archiveThreads([ofFork]);
    await store.unarchiveThread(ofFork);
  }
  const [reverted, first = '', second = '', third = ''] = await begin('paginated', ['seven', 'eight', 'nine']);
  await store.revertThread(reverted, third);
  await store.revertThread(reverted, second);
  await store.updateThreadMetadata(reverted, { name: 'reverted' });
  const ofReverted = await fork(reverted, 'paginated', { kind: 'latest' });
  await store.updateThreadMetadata(ofReverted, { memoryMode: 'disabled' });
  await store.revertThread(ofReverted, first);
  const answers = await everythingIn(store);
  await store.close();
  expect(answers).toHaveLength(14);

  rmSync(join(home, 'skein'), { recursive: true });
  const again = await openLocalStore(home);
  try {
    expect(await everythingIn(again)).toEqual(answers);
  } finally {
    await again.close();
  }
});

async function everythingIn(store: ThreadStore): Promise<readonly unknown[]> {
  const found: unknown[] = [];
  for (const isArchived of [false, true]) {
    for (const { id, preview } of (await store.listThreads(query({ isArchived }))).data) {
      const page = { threadId: id, limit: 100, direction: 'asc' } as const;
      const history: unknown[] = [];
      for await (const line of store.loadHistory(id, { includeArchived: true })) history.push(line);
      found.push([
        await store.readThread(id, { includeArchived: true }),
        await store.listTurns({ ...page, itemsView: 'full' }),
        await store.listItems(page),
        await store.searchThreads({ query: query({ isArchived }), term: preview }),
        await store.descendantsOf(id),
        history,
      ]);
    }
  }
  return found;
}

it('INDEX-1 a daemon whose folder was deleted lists what Codex and it have written as before', async () => {
  const home = tempFolder();
  const codex = await startCodex(home, await startScriptedModel());
  const peer = await codex.connect();
  for (const historyMode of MODES) {
    const { thread } = await peer.call('thread/start', { cwd: home, historyMode });
    await peer.turn(thread.id, `by codex in ${historyMode}`);
    await peer.call('thread/name/set', { threadId: thread.id, name: `codex ${historyMode}` });
  }
  await codex.stop();

  const daemon = await startDaemon(home);
  const client = await daemon.connect();
  const { thread } = await client.call('thread/start', { cwd: home });
  await client.turn(thread.id, 'by skein');
  await client.call('thread/name/set', { threadId: thread.id, name: 'skein' });
  const { thread: archived } = await client.call('thread/start', { cwd: home });
  await client.turn(archived.id, 'to be archived');
  await client.call('thread/archive', { threadId: archived.id });
  await daemon.stop();

  const first = await startDaemon(home);
  const before = await listsOf(await first.connect());
  await first.stop();
  expect(before.map((page) => page.data.length)).toEqual([3, 1, 3, 3]);

  expect(existsSync(join(home, 'skein', 'index.sqlite'))).toBe(true);
  rmSync(join(home, 'skein'), { recursive: true });
  const second = await startDaemon(home);
  expect(await listsOf(await second.connect())).toEqual(before);
});

const listsOf = (client: RpcClient): Promise<readonly Json[]> =>
  Promise.all(
    [{}, { archived: true }, { sortKey: 'updated_at' }, { sortKey: 'recency_at', sortDirection: 'asc' }].map((params) =>
      client.call('thread/list', { modelProviders: [], ...params }),
    ),
  );

it('INDEX-11 a daemon that reads a whole home for a list answers others meanwhile', async () => {
  const home = tempFolder();
  const said = Array.from({ length: 60 }, (_, number) => `message ${number} ${newUuid()}`);
  for (let number = 0; number < 60; number += 1) writeRollout(home, { said, createdAtMs: T0 + number * 1_000 });
  const daemon = await startDaemon(home);
  const client = await daemon.connect();
  const health = async (): Promise<'healthy'> => {
    const response = await fetch(`${daemon.url.replace('ws:', 'http:')}/healthz`);
    expect([response.status, await response.text()]).toEqual([200, expect.any(String)]);
    return 'healthy';
  };
  await health();
  const listing = client.call('thread/list', { limit: 100, modelProviders: [] }).then((page) => {
    expect(page.data).not.toEqual([]);
    return 'listed' as const;
  });
  let answered = 0;
  while ((await Promise.race([listing, health()])) === 'healthy') answered += 1;
  expect(answered).toBeGreaterThan(2);
});
