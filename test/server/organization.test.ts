import { describe, expect, it } from 'vitest';
import type { ThreadId } from '../../src/domain/ids.ts';
import { PINNED_SECTION, type OrganizationChange } from '../../src/domain/organization.ts';
import { MemoryOrganizationStore } from '../../src/store/memory/memory-organization-store.ts';
import type { WriteDurability } from '../../src/store/organization-store.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import { HandModel } from '../support/hand-model.ts';
import { enqueue, idsIn, queuedWords, saidWords, words } from '../support/organized.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { startServer } from '../support/server.ts';

const PIN = PINNED_SECTION.id;

/** Its next durable write waits until the test lets it go on. */
class HeldOrganizationStore extends MemoryOrganizationStore {
  #held: (() => Promise<void>) | undefined;

  hold(): { readonly reached: Promise<void>; readonly release: () => void } {
    let [reach, release] = [(): void => {}, (): void => {}];
    const reached = new Promise<void>((resolve) => (reach = resolve));
    const released = new Promise<void>((resolve) => (release = resolve));
    this.#held = () => {
      reach();
      return released;
    };
    return { reached, release };
  }

  override async write(changes: readonly OrganizationChange[], durability?: WriteDurability): Promise<void> {
    const held = durability === 'power' ? this.#held : undefined;
    if (held !== undefined) this.#held = undefined;
    await held?.();
    await super.write(changes);
  }
}

async function startThread(client: RpcClient): Promise<string> {
  return (await client.call('thread/start', {})).thread.id;
}

const told = (client: RpcClient, from: number): readonly string[] =>
  client.frames
    .slice(from)
    .filter(({ method }) => /queue|turn\/|readState/.test(method ?? ''))
    .map(({ method }) => method);

const turnEnd = (client: RpcClient, count: number): Promise<Json> => {
  let seen = 0;
  return client.notification('turn/completed', () => (seen += 1) === count);
};

describe('queues', () => {
  it('QUEUE-1 a message queued for an idle thread begins a turn at once', async () => {
    const client = await (await startServer()).connect();
    const threadId = await startThread(client);
    const from = client.frames.length;
    await enqueue(client, threadId, 'one');
    await turnEnd(client, 1);
    expect(told(client, from).filter((method) => !method.startsWith('thread/readState'))).toEqual([
      'thread/queue/changed',
      'thread/queue/changed',
      'turn/started',
      'turn/completed',
    ]);
    const { data } = await client.call('thread/turns/list', { threadId, itemsView: 'full' });
    expect(data[0].items[0]).toMatchObject({ type: 'userMessage', clientId: 'client one', content: words('one') });
  });

  it('QUEUE-1 messages queued in a turn are taken after it, one after the other, in order', async () => {
    const model = new HandModel();
    const client = await (await startServer({ model })).connect();
    const threadId = await startThread(client);
    await client.call('turn/start', { threadId, input: words('first') });
    const call = await model.call();
    for (const text of ['a', 'b', 'c']) await enqueue(client, threadId, text);
    expect(await queuedWords(client, threadId)).toEqual(['a', 'b', 'c']);
    await call.end();
    for (const [text, left] of [
      ['a', ['b', 'c']],
      ['b', ['c']],
      ['c', []],
    ] as const) {
      const next = await model.call();
      expect(next.text).toBe(text);
      expect(await queuedWords(client, threadId)).toEqual(left);
      await next.end();
    }
    await turnEnd(client, 4);
    expect(await saidWords(client, threadId)).toEqual(['first', 'a', 'b', 'c']);
  });

  it('QUEUE-2 what waits can be listed in pages, changed, removed, put in another order, and taken out of its turn', async () => {
    const model = new HandModel();
    const client = await (await startServer({ model })).connect();
    const threadId = await startThread(client);
    await client.call('turn/start', { threadId, input: words('first') });
    const call = await model.call();
    const ids: string[] = [];
    for (const text of ['a', 'b', 'c', 'd']) ids.push(await enqueue(client, threadId, text));
    const [a = '', b = '', c = '', d = ''] = ids;
    const first = await client.call('thread/queue/list', { threadId, limit: 3 });
    const second = await client.call('thread/queue/list', { threadId, limit: 3, cursor: first.nextCursor });
    expect([...first.data, ...second.data].map(({ id }: Json) => id)).toEqual(ids);
    expect(second.nextCursor).toBeNull();
    const changed = { threadId, queuedSubmissionId: b, input: words('B') };
    await client.call('thread/queue/update', { ...changed, responsesapiClientMetadata: { k: 'v' } });
    const { queuedSubmission } = await client.call('thread/queue/update', {
      ...changed,
      responsesapiClientMetadata: {},
    });
    expect(queuedSubmission).toEqual({
      id: b,
      input: words('B'),
      clientUserMessageId: 'client b',
      responsesapiClientMetadata: { k: 'v' },
    });
    const remove = { threadId, queuedSubmissionId: a };
    expect(await client.call('thread/queue/delete', remove)).toEqual({ deleted: true });
    expect(await client.call('thread/queue/delete', remove)).toEqual({ deleted: false });
    await client.call('thread/queue/reorder', { threadId, queuedSubmissionIds: [d, b, c] });
    expect(await queuedWords(client, threadId)).toEqual(['d', 'B', 'c']);
    await client.call('turn/interrupt', { threadId, turnId: '' });
    await turnEnd(client, 1);
    expect(call.isCutOff).toBe(true);
    const { turn } = await client.call('thread/queue/start', { threadId, queuedSubmissionId: c });
    expect(turn).toMatchObject({ status: 'inProgress', items: [] });
    for (const text of ['c', 'd', 'B']) {
      const next = await model.call();
      expect(next.text).toBe(text);
      await next.end();
    }
    await turnEnd(client, 4);
    expect(await saidWords(client, threadId)).toEqual(['first', 'c', 'd', 'B']);
  });

  it('QUEUE-3 at most 100 messages wait for a thread', async () => {
    const model = new HandModel();
    const client = await (await startServer({ model })).connect();
    const threadId = await startThread(client);
    await client.call('turn/start', { threadId, input: words('first') });
    await model.call();
    const texts = Array.from({ length: 100 }, (_, index) => `${index}`);
    await Promise.all(texts.map((text) => enqueue(client, threadId, text)));
    const refused = { threadId, input: words('too many'), clientUserMessageId: '' };
    expect((await client.refusal('thread/queue/add', refused)).message).toBe(
      'queue cannot contain more than 100 submissions',
    );
    expect(await queuedWords(client, threadId)).toEqual(texts);
  });

  it('QUEUE-4 an interrupt pauses the queue until a turn goes to its end; a failed turn does not', async () => {
    const model = new HandModel();
    const client = await (await startServer({ model })).connect();
    const threadId = await startThread(client);
    const { turn } = await client.call('turn/start', { threadId, input: words('first') });
    await model.call();
    await enqueue(client, threadId, 'a');
    await client.call('turn/interrupt', { threadId, turnId: turn.id });
    await turnEnd(client, 1);
    await enqueue(client, threadId, 'b');
    expect(await queuedWords(client, threadId)).toEqual(['a', 'b']);
    await client.call('turn/start', { threadId, input: words('by hand') });
    const byHand = await model.call();
    expect(byHand.text).toBe('by hand');
    await byHand.end();
    const a = await model.call();
    a.fail('broken');
    const b = await model.call();
    expect([a.text, b.text]).toEqual(['a', 'b']);
    await b.end();
    await turnEnd(client, 4);
    expect(await queuedWords(client, threadId)).toEqual([]);
  });

  it('QUEUE-4 an interrupt pauses what is queued later, too, over a restart', async () => {
    const [store, organization] = [
      new MemoryThreadStore({ defaultModelProvider: 'hand' }),
      new MemoryOrganizationStore(),
    ];
    const model = new HandModel();
    const first = await startServer({ store, organization, model });
    const client = await first.connect();
    const threadId = await startThread(client);
    const { turn } = await client.call('turn/start', { threadId, input: words('first') });
    await model.call();
    await client.call('turn/interrupt', { threadId, turnId: turn.id });
    await turnEnd(client, 1);
    await enqueue(client, threadId, 'a');
    await first.manager.registry.shutdownAll(5_000, 'restart');
    const second = await startServer({ store, organization, model });
    const next = await second.connect();
    await next.call('thread/resume', { threadId, excludeTurns: true });
    expect(await queuedWords(next, threadId)).toEqual(['a']);
    await next.call('thread/queue/start', { threadId });
    await (await model.call()).end();
    await turnEnd(next, 1);
    await enqueue(next, threadId, 'b');
    expect((await model.call()).text).toBe('b');
  });

  it('QUEUE-7 a message that is being stored is not lost when its queue is started meanwhile', async () => {
    const [model, organization] = [new HandModel(), new HeldOrganizationStore()];
    const server = await startServer({ model, organization });
    const client = await server.connect();
    const threadId = await startThread(client);
    await client.call('turn/start', { threadId, input: words('x') });
    await model.call();
    await client.call('turn/interrupt', { threadId, turnId: '' });
    await turnEnd(client, 1);
    const { reached, release } = organization.hold();
    const added = enqueue(client, threadId, 'a');
    await reached;
    server.manager.organization.queues.unpause(threadId as ThreadId);
    await client.call('thread/loaded/list', {});
    release();
    await added;
    expect((await model.call()).text).toBe('a');
  });

  it('QUEUE-4 an interrupt of an ephemeral thread leaves nothing', async () => {
    const [model, organization] = [new HandModel(), new MemoryOrganizationStore()];
    const client = await (await startServer({ model, organization })).connect();
    const threadId = (await client.call('thread/start', { ephemeral: true })).thread.id;
    await client.call('turn/start', { threadId, input: words('x') });
    await model.call();
    await client.call('turn/interrupt', { threadId, turnId: '' });
    await turnEnd(client, 1);
    const from = client.frames.length;
    await client.call('turn/start', { threadId, input: words('y') });
    await (await model.call()).end();
    await client.notification('turn/completed', undefined, from);
    expect([...organization.entries]).toEqual([]);
  });

  it('QUEUE-5 waits while its thread is not loaded or archived, goes on when it is resumed, and goes when it is deleted', async () => {
    const organization = new MemoryOrganizationStore();
    const server = await startServer({ organization });
    const client = await server.connect();
    const threadId = await startThread(client);
    await client.turn(threadId, 'first');
    await client.call('thread/archive', { threadId });
    const refusal = await client.refusal('thread/queue/list', { threadId });
    expect(refusal.message).toMatch(/^session .* is archived/);
    await client.call('thread/unarchive', { threadId });
    await enqueue(client, threadId, 'a');
    await enqueue(client, threadId, 'b');
    await client.call('thread/archive', { threadId });
    await client.call('thread/unarchive', { threadId });
    expect(await queuedWords(client, threadId)).toEqual(['a', 'b']);
    expect((await client.refusal('thread/queue/start', { threadId })).message).toBe(
      'resume the thread before starting a queued message',
    );
    await client.call('thread/resume', { threadId, excludeTurns: true });
    await turnEnd(client, 3);
    expect(await saidWords(client, threadId)).toEqual(['first', 'a', 'b']);
    await client.call('thread/archive', { threadId });
    await client.call('thread/unarchive', { threadId });
    await enqueue(client, threadId, 'c');
    await client.call('thread/section/move', { threadId, sectionId: PIN });
    await client.call('thread/delete', { threadId });
    expect([...organization.entries]).toEqual([]);
    expect((await client.refusal('thread/queue/list', { threadId })).code).toBe(-32603);
  });

  it('QUEUE-6 a thread that is not stored yet is stored before a message for it is acknowledged', async () => {
    const server = await startServer({ model: new HandModel() });
    const client = await server.connect();
    const threadId = await startThread(client);
    // Nothing but the queue itself makes it stored.
    server.manager.organization.queues.end();
    await enqueue(client, threadId, 'a');
    expect(server.manager.loaded[0]?.isStored).toBe(true);
  });

  it('QUEUE-10 a daemon that is about to end takes none', async () => {
    const model = new HandModel();
    const server = await startServer({ model });
    const client = await server.connect();
    const threadId = await startThread(client);
    await client.call('turn/start', { threadId, input: words('first') });
    const call = await model.call();
    await enqueue(client, threadId, 'a');
    server.manager.organization.queues.end();
    await call.end();
    await turnEnd(client, 1);
    expect(await queuedWords(client, threadId)).toEqual(['a']);
    expect((await client.call('thread/read', { threadId })).thread.status.type).toBe('idle');
  });
});

describe('what was read', () => {
  const readState = async (client: RpcClient, threadId: string): Promise<Json> =>
    (await client.call('thread/read', { threadId })).readState;

  it('SEEN-1 a turn that completes or fails leaves its thread unread from the first that nobody has read; an interrupted one does not', async () => {
    const model = new HandModel();
    const client = await (await startServer({ model })).connect();
    const threadId = await startThread(client);
    expect(await readState(client, threadId)).toBeNull();
    const turn = async (end: (call: Awaited<ReturnType<HandModel['call']>>) => unknown): Promise<string> => {
      const from = client.frames.length;
      const { turn: begun } = await client.call('turn/start', { threadId, input: words('x') });
      await end(await model.call());
      await client.notification('turn/completed', undefined, from);
      return begun.id;
    };
    await turn(() => client.call('turn/interrupt', { threadId, turnId: '' }));
    expect(await readState(client, threadId)).toEqual({ firstUnread: null, revision: `initial:${threadId}` });
    const failed = await turn((call) => call.fail('broken'));
    const first = await readState(client, threadId);
    expect(first.firstUnread).toEqual({ type: 'turn', turnId: failed });
    await turn((call) => call.end());
    const second = await readState(client, threadId);
    expect(second.firstUnread).toEqual(first.firstUnread);
    expect(second.revision).not.toBe(first.revision);
    await client.call('thread/readState/update', {
      threadId,
      operation: { type: 'read' },
      expectedRevision: second.revision,
    });
    const completed = await turn((call) => call.end());
    const third = await readState(client, threadId);
    expect(third.firstUnread).toEqual({ type: 'turn', turnId: completed });
    // A revert that takes the unread turn away leaves nothing unread.
    await client.call('thread/revert', { threadId, beforeTurnId: completed });
    expect((await readState(client, threadId)).firstUnread).toBeNull();
  });

  it('SEEN-2 a thread is marked as read, or as unread from its start, by whoever knows its last revision', async () => {
    const client = await (await startServer()).connect();
    const threadId = await startThread(client);
    await client.turn(threadId, 'x');
    const update = (type: string, expectedRevision: string): Promise<Json> =>
      client.answer('thread/readState/update', { threadId, operation: { type }, expectedRevision });
    const { revision } = await readState(client, threadId);
    const { result } = await update('read', revision);
    expect(result.readState.firstUnread).toBeNull();
    expect((await update('read', revision)).error.message).toBe('read state changed');
    const answers = await Promise.all([1, 2, 3].map(() => update('unread', result.readState.revision)));
    const taken = answers.filter(({ error }) => error === undefined);
    expect(taken).toHaveLength(1);
    expect(taken[0].result.readState.firstUnread).toEqual({ type: 'threadStart' });
    expect(await readState(client, threadId)).toEqual(taken[0].result.readState);
    const { readStates } = await client.call('thread/list', {});
    expect(readStates).toEqual({ [threadId]: taken[0].result.readState });
  });

  it('SEEN-4 marks survive a restart, and cost nothing for threads that nobody has marked and that had no turn here', async () => {
    const store = new MemoryThreadStore({ defaultModelProvider: 'hand' });
    const earlier = await (await startServer({ store })).connect();
    const [marked, unmarked] = [await startThread(earlier), await startThread(earlier)];
    for (const threadId of [marked, unmarked]) await earlier.turn(threadId, 'x');
    const organization = new MemoryOrganizationStore();
    const client = await (await startServer({ store, organization })).connect();
    const initial = { firstUnread: null, revision: `initial:${marked}` };
    expect(await readState(client, marked)).toEqual(initial);
    expect([...organization.entries]).toEqual([]);
    const unread = { threadId: marked, operation: { type: 'unread' }, expectedRevision: initial.revision };
    const { readState: mark } = await client.call('thread/readState/update', unread);
    const next = await (await startServer({ store, organization })).connect();
    expect(await readState(next, marked)).toEqual(mark);
    expect(await readState(next, unmarked)).toEqual({ firstUnread: null, revision: `initial:${unmarked}` });
    expect([...organization.entries]).toHaveLength(1);
  });

  it('SEEN-3 only clients of the experimental protocol that watch the thread are told', async () => {
    const server = await startServer();
    const [watcher, plain, bystander] = [
      await server.connect(),
      await server.connect({ isExperimental: false }),
      await server.connect(),
    ];
    const threadId = await startThread(watcher);
    await watcher.turn(threadId, 'x');
    await plain.call('thread/resume', { threadId });
    await watcher.turn(threadId, 'y');
    await enqueue(bystander, threadId, 'z');
    await turnEnd(watcher, 3);
    await bystander.call('thread/loaded/list', {});
    const isTold = (client: RpcClient): boolean => client.methods().some((method) => /readState|queue/.test(method));
    expect([isTold(watcher), isTold(plain), isTold(bystander)]).toEqual([true, false, false]);
    await turnEnd(plain, 2);
  });
});

describe('sections', () => {
  const stored = async (client: RpcClient, count: number): Promise<readonly string[]> => {
    const ids: string[] = [];
    for (let n = 0; n < count; n += 1) {
      const id = await startThread(client);
      await client.turn(id, `thread ${n}`);
      ids.push(id);
    }
    return ids;
  };

  it('SECT-1 sections are made, renamed and removed; the pinned one is always there, and stays as it is', async () => {
    const client = await (await startServer()).connect();
    const list = async (): Promise<Json> => (await client.call('threadSection/list', {})).data;
    const pinned = { id: PIN, name: 'Pinned', appearance: null };
    expect(await list()).toEqual([pinned]);
    const { section } = await client.call('threadSection/create', { name: ' work ', appearance: { icon: 'i' } });
    expect(section).toEqual({ id: section.id, name: 'work', appearance: { icon: 'i', color: null } });
    const renamed = await client.call('threadSection/update', { sectionId: section.id, name: 'play' });
    expect(renamed.section).toEqual({ ...section, name: 'play' });
    const plain = { sectionId: section.id, name: 'play', appearance: null };
    expect((await client.call('threadSection/update', plain)).section.appearance).toBeNull();
    const { section: other } = await client.call('threadSection/create', { name: 'play' });
    expect((await list()).map(({ id }: Json) => id)).toEqual([PIN, section.id, other.id]);
    const first = await client.call('threadSection/list', { limit: 2 });
    const second = await client.call('threadSection/list', { limit: 2, cursor: first.nextCursor });
    expect([...first.data, ...second.data]).toEqual(await list());
    await client.call('threadSection/delete', { sectionId: section.id });
    for (const method of ['update', 'delete'])
      expect((await client.refusal(`threadSection/${method}`, { sectionId: PIN, name: 'x' })).message).toMatch(
        /pinned/,
      );
    expect(await list()).toEqual([pinned, other]);
  });

  it('SECT-2 threads stand in a section in the order in which they were put there; pages go through it in both directions', async () => {
    const client = await (await startServer()).connect();
    const [a = '', b = '', c = '', d = ''] = await stored(client, 4);
    const move = (threadId: string, beforeThreadId: string | null = null): Promise<Json> =>
      client.call('thread/section/move', { threadId, sectionId: PIN, beforeThreadId });
    for (const id of [d, a, c]) await move(id);
    await move(b, a);
    expect(await idsIn(client, PIN)).toEqual([d, b, a, c]);
    await move(d);
    await move(c, b);
    expect(await idsIn(client, PIN)).toEqual([c, b, a, d]);
    for (const [sortDirection, expected] of [
      ['asc', [c, b, a, d]],
      ['desc', [d, a, b, c]],
    ] as const) {
      const params = { sectionId: PIN, sortKey: 'section_position', sortDirection, limit: 3 };
      const first = await client.call('thread/list', params);
      const second = await client.call('thread/list', { ...params, cursor: first.nextCursor });
      expect([...first.data, ...second.data].map(({ id }: Json) => id)).toEqual(expected);
      expect(second.nextCursor).toBeNull();
      const back = sortDirection === 'asc' ? 'desc' : 'asc';
      const again = { ...params, sortDirection: back, cursor: second.backwardsCursor };
      expect(await client.call('thread/list', again).then(({ data }) => data.map(({ id }: Json) => id))).toEqual(
        expected.toReversed().slice(0, 3),
      );
    }
    // Filters narrow it, and keep the order.
    expect(await idsIn(client, PIN, { searchTerm: 'thread 1' })).toEqual([b]);
    await client.call('thread/section/move', { threadId: b, sectionId: null });
    expect(await idsIn(client, PIN)).toEqual([c, a, d]);
  });

  it('SECT-4 a thread shows its section and since when it is there; lists are narrowed to a section, or to what is in none', async () => {
    const server = await startServer();
    const client = await server.connect();
    const [a = '', b = ''] = await stored(client, 2);
    const { section } = await client.call('threadSection/create', { name: 'work' });
    await client.call('thread/section/move', { threadId: a, sectionId: section.id });
    const { thread } = await client.call('thread/read', { threadId: a });
    expect(thread.section).toEqual(section);
    expect(Math.abs(thread.sectionEnteredAt - Date.now() / 1_000)).toBeLessThan(600);
    const ids = async (params: object): Promise<Json> =>
      (await client.call('thread/list', params)).data.map(({ id, section: its }: Json) => [id, its?.name ?? null]);
    expect(await ids({ sectionId: section.id })).toEqual([[a, 'work']]);
    expect(await ids({ sectionId: null })).toEqual([[b, null]]);
    expect(await ids({ sectionId: PIN })).toEqual([]);
    expect(await ids({ sectionId: 'no such' })).toEqual([]);
    expect(await ids({ sortDirection: 'asc' })).toEqual([
      [a, 'work'],
      [b, null],
    ]);
  });

  it('SECT-5 a thread that is not stored yet is stored when it is put into a section, and shown there', async () => {
    const server = await startServer();
    const client = await server.connect();
    const threadId = await startThread(client);
    await client.call('thread/section/move', { threadId, sectionId: PIN });
    expect(await idsIn(client, PIN)).toEqual([threadId]);
    expect((await client.call('thread/list', {})).data).toEqual([]);
    const ephemeral = (await client.call('thread/start', { ephemeral: true })).thread.id;
    const refusal = await client.refusal('thread/section/move', { threadId: ephemeral, sectionId: PIN });
    expect(refusal.message).toBe(`ephemeral thread does not support section moves: ${ephemeral}`);
  });

  it('SECT-6 a thread keeps its place when it is archived, and loses it with its section or when it is deleted', async () => {
    const organization = new MemoryOrganizationStore();
    const client = await (await startServer({ organization })).connect();
    const [a = '', b = ''] = await stored(client, 2);
    const { section } = await client.call('threadSection/create', { name: 'work' });
    for (const threadId of [a, b]) await client.call('thread/section/move', { threadId, sectionId: section.id });
    await client.call('thread/archive', { threadId: a });
    expect(await idsIn(client, section.id)).toEqual([b]);
    expect(await idsIn(client, section.id, { archived: true })).toEqual([a]);
    await client.call('thread/unarchive', { threadId: a });
    expect(await idsIn(client, section.id)).toEqual([a, b]);
    await client.call('thread/delete', { threadId: a });
    expect(await idsIn(client, section.id)).toEqual([b]);
    await client.call('threadSection/delete', { sectionId: section.id });
    const { thread } = await client.call('thread/read', { threadId: b });
    expect([thread.section, thread.sectionEnteredAt]).toEqual([null, null]);
    expect([...organization.entries].map(({ kind, key }) => [kind, key])).toEqual([['readState', b]]);
  });
});
