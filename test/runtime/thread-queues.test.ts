import { cpSync, existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { expect, it } from 'vitest';
import { EchoModel } from '../../src/engine/echo-model.ts';
import type { ModelClient } from '../../src/engine/model-client.ts';
import { HomeLayout } from '../../src/store/local/home-layout.ts';
import { OrganizationFile } from '../../src/store/local/organization-file.ts';
import { PINNED_SECTION } from '../../src/domain/organization.ts';
import { eventually } from '../support/eventually.ts';
import { duringEachChange } from '../support/disk-images.ts';
import { failing } from '../support/failing-disk.ts';
import { HandModel } from '../support/hand-model.ts';
import { openLocalStore } from '../support/local-store.ts';
import { enqueue, queuedWords, saidWords, words } from '../support/organized.ts';
import type { RpcClient } from '../support/rpc-client.ts';
import { startServer, type RunningServer } from '../support/server.ts';
import { tempFolder } from '../support/temp-home.ts';

async function serve(home: string, model: ModelClient = new EchoModel()): Promise<RunningServer> {
  const organization = await OrganizationFile.open(new HomeLayout(home).organization);
  return startServer({ store: await openLocalStore(home), organization, model });
}

/** Until nothing waits and nothing runs. */
async function drained(client: RpcClient, threadId: string): Promise<void> {
  await eventually(async () => {
    expect(await queuedWords(client, threadId)).toEqual([]);
    expect((await client.call('thread/read', { threadId })).thread.status.type).toBe('idle');
  });
}

it('QUEUE-7 every message that was acknowledged makes one turn, at whatever change of the disk the daemon ends', async () => {
  const home = tempFolder();
  const server = await serve(home);
  const client = await server.connect();
  const threadId = (await client.call('thread/start', {})).thread.id;
  const acknowledged: string[] = [];
  /** Homes as a kill would have left them, with what had been acknowledged by then. */
  const images: { readonly home: string; readonly acknowledged: readonly string[] }[] = [];
  const copy = (): void => {
    const image = tempFolder();
    // Locks end with their holder, and Skein's own folder can be made anew.
    const isKept = (path: string): boolean => !/^(skein$|skein\/|thread-writer-locks)/.test(relative(home, path));
    cpSync(home, image, { recursive: true, preserveTimestamps: true, filter: isKept });
    images.push({ home: image, acknowledged: [...acknowledged] });
  };
  await duringEachChange(copy, async () => {
    for (const text of ['one', 'two']) {
      await enqueue(client, threadId, text);
      acknowledged.push(text);
    }
    await drained(client, threadId);
  });
  copy();
  expect(await saidWords(client, threadId)).toEqual(['one', 'two']);
  expect(images.length).toBeGreaterThan(12);
  const outcomes = new Set<string>();
  for (const image of images) {
    // Killed before anything was stored.
    if (!existsSync(join(image.home, 'skein_threads.jsonl')) && image.acknowledged.length === 0) continue;
    const next = await (await serve(image.home)).connect();
    const before = await queuedWords(next, threadId);
    await next.call('thread/resume', { threadId, excludeTurns: true });
    await drained(next, threadId);
    const said = await saidWords(next, threadId);
    const sorted = said.toSorted();
    expect(sorted, JSON.stringify(image)).toEqual([...new Set(sorted)]);
    expect(said, JSON.stringify(image)).toEqual(expect.arrayContaining([...image.acknowledged]));
    outcomes.add(`${image.acknowledged.length} acknowledged, ${before.length} waiting`);
  }
  // Kills before, in and after the making of a turn were among them.
  expect(outcomes.size).toBeGreaterThan(3);
});

it('QUEUE-7 every message makes one turn even if the disk takes no note of those that were made', async () => {
  const home = tempFolder();
  const client = await (await serve(home)).connect();
  const threadId = (await client.call('thread/start', {})).thread.id;
  const notesAnEnd = ([, bytes]: readonly unknown[]): boolean =>
    /"queueTaken","key":"[^"]*","value":null/.test(String(bytes));
  const queueAll = async (): Promise<void> => {
    for (const text of ['one', 'two', 'three']) await enqueue(client, threadId, text);
    await drained(client, threadId);
  };
  await failing('write', 'ENOSPC', queueAll, notesAnEnd);
  const image = tempFolder();
  for (const name of ['sessions', 'skein_threads.jsonl']) {
    cpSync(join(home, name), join(image, name), { recursive: true, preserveTimestamps: true });
  }
  const next = await (await serve(image)).connect();
  await next.call('thread/resume', { threadId, excludeTurns: true });
  await drained(next, threadId);
  expect(await saidWords(next, threadId)).toEqual(['one', 'two', 'three']);
});

it('QUEUE-8 a message whose turn could not be stored waits on, and is not tried again by itself', async () => {
  const home = tempFolder();
  const model = new HandModel();
  const server = await serve(home, model);
  const client = await server.connect();
  const threadId = (await client.call('thread/start', {})).thread.id;
  await client.call('turn/start', { threadId, input: words('first') });
  const first = await model.call();
  await first.end();
  await client.notification('turn/completed');
  const beginsTurn = ([, bytes]: readonly unknown[]): boolean => String(bytes).includes('task_started');
  const failed = async (): Promise<void> => {
    await enqueue(client, threadId, 'a');
    await eventually(() => expect(server.logged.join('\n')).toMatch(/could not be started/));
  };
  await failing('write', 'ENOSPC', failed, beginsTurn);
  expect(await queuedWords(client, threadId)).toEqual(['a']);
  expect(await saidWords(client, threadId)).toEqual(['first']);
  await enqueue(client, threadId, 'b');
  expect(await queuedWords(client, threadId)).toEqual(['a', 'b']);
  const from = client.frames.length;
  await client.call('thread/queue/start', { threadId });
  for (const text of ['a', 'b']) {
    const call = await model.call();
    expect(call.text).toBe(text);
    await call.end();
  }
  let ends = 0;
  await client.notification('turn/completed', () => (ends += 1) === 2, from);
  expect(await saidWords(client, threadId)).toEqual(['first', 'a', 'b']);
});

it('MGR-50 what people set for threads that are deleted keeps none of them from that', async () => {
  const server = await serve(tempFolder());
  const client = await server.connect();
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'hello');
  await client.call('thread/section/move', { threadId: thread.id, sectionId: PINNED_SECTION.id });
  const isOrganization = ([path]: readonly unknown[]): boolean => String(path).endsWith('skein_threads.jsonl');
  await failing('open', 'EIO', () => client.call('thread/delete', { threadId: thread.id }), isOrganization);
  expect((await client.call('thread/list', {})).data).toEqual([]);
});
