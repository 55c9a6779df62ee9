import { describe, expect, it } from 'vitest';
import { internal } from '../../src/domain/errors.ts';
import { newThreadId, type ThreadId } from '../../src/domain/ids.ts';
import type { HistoryMode } from '../../src/domain/session-meta.ts';
import { sandboxPolicyOf } from '../../src/domain/sandbox-policy.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import { eventually } from '../support/eventually.ts';
import { gate, interceptedStore } from '../support/intercepted-store.ts';
import { filesBelow, openLocalStore } from '../support/local-store.ts';
import { usage } from '../support/model-double.ts';
import { headerPayload, record, T0, turnItems } from '../support/records.ts';
import { accepted, forkOf, message, NEW, openRuntime, refusal, STORES, type Runtime } from '../support/runtime.ts';
import { tempFolder } from '../support/temp-home.ts';
import { until } from '../support/until.ts';
import { NO_FACTS } from '../../src/domain/thread-facts.ts';

const memory = (): MemoryThreadStore => new MemoryThreadStore({ defaultModelProvider: 'default-provider' });

/** A stored thread that another one has spawned. */
async function spawned(runtime: Runtime, parentId: ThreadId, mode: HistoryMode = 'paginated'): Promise<ThreadId> {
  const threadId = newThreadId();
  const header = headerPayload(threadId, mode, { parent_thread_id: parentId });
  const { store } = runtime;
  await store.createThread({ threadId, historyMode: mode, cwd: '/work', createdAtMs: T0, header: async () => header });
  const records = turnItems(mode, threadId, 'a task', 'done').items.map((item) => record(item));
  await store.appendItems({ threadId, records, facts: NO_FACTS, durability: 'process', onFailure: 'keep' });
  await store.shutdownThread(threadId);
  return threadId;
}

describe.each(STORES)('thread manager over the %s', (_name, open) => {
  it('MGR-1 starts a thread loaded, idle and lazy, and finds it by its id', async () => {
    const { manager, start, told } = bound(openRuntime(await open()));
    const [one, two] = [await start(), await start()];
    expect(manager.loadedIds).toEqual([one.id, two.id].toSorted());
    expect(manager.get(one.id)).toBe(one);
    expect(one.states).toEqual({ persistence: 'lazy', turn: 'idle' });
    expect(one.status).toEqual({ type: 'idle' });
    expect(told(one.id)).toEqual(['threadStarted']);
    expect(() => manager.get(newThreadId())).toThrow(/thread not found/);
    expect(await manager.readThread(one.id)).toMatchObject({ id: one.id, preview: '', cwd: '/work/project' });
  });

  it('MGR-2 answers whoever asked before it tells anyone', async () => {
    const runtime = openRuntime(await open());
    const { manager, heard } = runtime;
    const order: string[] = [];
    const answered = (what: string) => async (): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve));
      order.push(`${what} answered after ${heard.length - seen}`);
    };
    let seen = heard.length;
    const of = async (work: Promise<unknown>): Promise<void> => {
      await work;
      order.push(...runtime.heard.slice(seen).map(({ event }) => event.type));
      seen = heard.length;
    };
    await of(manager.startThread(NEW, answered('start')));
    const thread = await runtime.talked(['hello'], { historyMode: 'legacy' });
    seen = heard.length;
    await of(manager.forkThread(forkOf(thread.id, { kind: 'interrupted' }), answered('fork')));
    await of(manager.updateMetadata(thread.id, { name: 'a name' }, answered('name')));
    await manager.registry.close(thread.id, 'test');
    seen = heard.length;
    await of(manager.archiveThread(thread.id, 'test', answered('archive')));
    await of(manager.unarchiveThread(thread.id, answered('unarchive')));
    await of(manager.deleteThread(thread.id, 'test', answered('delete')));
    expect(order).toEqual([
      'start answered after 0',
      'threadStarted',
      'fork answered after 0',
      'threadStarted',
      'name answered after 0',
      'threadNamed',
      'archive answered after 0',
      'threadArchived',
      'unarchive answered after 0',
      'threadUnarchived',
      'delete answered after 0',
      'threadDeleted',
    ]);
  });

  it('MGR-3 resumes a stored thread with what was said, its tokens and its settings; what the client says wins', async () => {
    const runtime = openRuntime(await open());
    const { manager, model } = runtime;
    const thread = await runtime.start({
      overrides: { model: 'model-2', approvalPolicy: 'never', sandbox: 'workspace-write', cwd: '/elsewhere' },
    });
    await accepted(thread, 'hello');
    (await model.call()).answer('hi', usage(7, 3));
    await runtime.whenIdle(thread);
    const { settings } = thread;
    await manager.registry.close(thread.id, 'test');
    const resumed = await manager.resumeThread({ threadId: thread.id, overrides: {} });
    expect(resumed).not.toBe(thread);
    expect(resumed.settings).toEqual(settings);
    expect(resumed.tokens).toEqual(usage(7, 3));
    expect(resumed.described).toMatchObject({ preview: 'hello', model: 'model-2' });
    expect(resumed.states).toEqual({ persistence: 'materialized', turn: 'idle' });
    await accepted(resumed, 'more');
    (await model.call()).answer('sure', usage(1, 1));
    await runtime.whenIdle(resumed);
    expect(resumed.tokens).toEqual(usage(8, 4));
    await manager.registry.close(thread.id, 'test');
    const overrides = { model: 'model-3', sandbox: 'read-only' } as const;
    const overridden = await manager.resumeThread({ threadId: thread.id, overrides });
    expect(overridden.settings).toEqual({
      ...settings,
      model: 'model-3',
      sandboxPolicy: sandboxPolicyOf('read-only'),
    });
  });

  it('MGR-4 gives everyone who resumes a thread the same one, while it is opening and when it is loaded', async () => {
    const runtime = openRuntime(await open());
    const { manager } = runtime;
    const { id } = await runtime.talked(['hello']);
    await manager.registry.close(id, 'test');
    const from = runtime.heard.length;
    const resume = (): ReturnType<typeof manager.resumeThread> => manager.resumeThread({ threadId: id, overrides: {} });
    const [one, two] = await Promise.all([resume(), resume()]);
    expect(two).toBe(one);
    expect(await resume()).toBe(one);
    expect(runtime.told(id, from)).toEqual(['status idle']);
  });

  it('MGR-5 refuses to load an id twice, an unknown thread, an archived one and an unknown provider', async () => {
    const runtime = openRuntime(await open());
    const { manager } = runtime;
    const thread = await runtime.talked(['hello']);
    const unused = async (): Promise<never> => expect.fail('nothing is prepared for an id that is loaded');
    await expect(manager.registry.load(thread.id, unused)).rejects.toEqual(refusal('conflict', 'already running'));
    const unknown = { threadId: newThreadId(), overrides: {} };
    await expect(manager.resumeThread(unknown)).rejects.toEqual(refusal('notFound', unknown.threadId));
    await expect(runtime.start({ overrides: { modelProvider: 'nope' } })).rejects.toThrow(/provider `nope` not found/);
    await manager.archiveThread(thread.id, 'test');
    const archived = { threadId: thread.id, overrides: {} };
    await expect(manager.resumeThread(archived)).rejects.toEqual(refusal('invalidRequest', 'is archived'));
    expect(manager.loadedIds).toEqual([]);
  });

  it('MGR-6 refuses to resume a thread that is being unloaded, and does so afterwards', async () => {
    const held = gate();
    const store = interceptedStore(await open(), (method) => (method === 'shutdownThread' ? held.passed : undefined));
    const runtime = openRuntime(store);
    const { manager } = runtime;
    const { id } = await runtime.talked(['hello']);
    const closing = manager.registry.close(id, 'test');
    const resume = (): ReturnType<typeof manager.resumeThread> => manager.resumeThread({ threadId: id, overrides: {} });
    await expect(resume()).rejects.toEqual(refusal('invalidRequest', 'is closing; retry thread/resume'));
    expect(manager.registry.close(id, 'another')).toBe(closing);
    held.open();
    await closing;
    expect((await resume()).id).toBe(id);
  });

  it('MGR-7 changes metadata of threads that are loaded, lazy, cold, on their way in or out, but not of ephemeral ones', async () => {
    const held = { shutdownThread: gate(), readThread: gate() };
    let isHeld = false;
    const store = interceptedStore(await open(), (method) =>
      isHeld && method in held ? held[method as keyof typeof held].passed : undefined,
    );
    const runtime = openRuntime(store);
    const { manager } = runtime;
    const rename = (threadId: ThreadId, name: string): Promise<{ readonly name: string | null }> =>
      manager.updateMetadata(threadId, { name });
    const thread = await runtime.talked(['hello']);
    expect((await rename(thread.id, 'loaded')).name).toBe('loaded');
    expect(thread.described.name).toBe('loaded');
    const lazy = await runtime.start();
    expect((await rename(lazy.id, 'lazy')).name).toBe('lazy');
    expect(lazy.isStored).toBe(true);
    isHeld = true;
    const closing = manager.registry.close(thread.id, 'test');
    const meanwhile = rename(thread.id, 'closing');
    held.shutdownThread.open();
    await closing;
    expect((await meanwhile).name).toBe('closing');
    const resuming = manager.resumeThread({ threadId: thread.id, overrides: {} });
    const opening = rename(thread.id, 'opening');
    held.readThread.open();
    const resumed = await resuming;
    expect((await opening).name).toBe('opening');
    expect(resumed.described.name).toBe('opening');
    await manager.registry.close(thread.id, 'test');
    expect((await rename(thread.id, 'cold')).name).toBe('cold');
    const ephemeral = await runtime.start({ isEphemeral: true });
    await expect(rename(ephemeral.id, 'x')).rejects.toThrow(
      `ephemeral thread does not support metadata updates: ${ephemeral.id}`,
    );
    await expect(rename(newThreadId(), 'x')).rejects.toMatchObject({ code: 'notFound' });
    expect(runtime.heard.filter(({ event }) => event.type === 'threadNamed')).toHaveLength(5);
  });

  it('MGR-8 archives what is loaded, running, lazy or cold, with what it spawned, and brings it back', async () => {
    const runtime = openRuntime(await open());
    const { manager, store } = runtime;
    const running = await runtime.talked(['hello']);
    const childId = await spawned(runtime, running.id);
    const grandchildId = await spawned(runtime, childId);
    await manager.resumeThread({ threadId: childId, overrides: {} });
    await accepted(running, 'and more');
    await runtime.model.call();
    const from = runtime.heard.length;
    expect(await manager.archiveThread(running.id, 'test')).toEqual([running.id, childId, grandchildId]);
    expect(runtime.told(running.id, from)).toEqual([
      'tokensUsed',
      'status idle',
      'turnCompleted interrupted',
      'status notLoaded',
      'threadArchived',
    ]);
    expect(runtime.told(childId, from)).toEqual(['status notLoaded', 'threadArchived']);
    expect(runtime.told(grandchildId, from)).toEqual(['threadArchived']);
    expect(manager.loadedIds).toEqual([]);
    await expect(manager.archiveThread(running.id, 'test')).rejects.toMatchObject({ code: 'notFound' });
    for (const id of [running.id, childId]) {
      expect((await manager.unarchiveThread(id)).archivedAtMs).toBeNull();
    }
    const { data } = await store.listTurns({ threadId: running.id, limit: 9, direction: 'asc', itemsView: 'summary' });
    expect(data.map(({ status }) => status)).toEqual(['completed', 'interrupted']);

    const lazy = await runtime.start();
    expect(await manager.archiveThread(lazy.id, 'test')).toEqual([lazy.id]);
    expect((await manager.readThread(lazy.id)).archivedAtMs).not.toBeNull();
    const ephemeral = await runtime.start({ isEphemeral: true });
    await expect(manager.archiveThread(ephemeral.id, 'test')).rejects.toMatchObject({ code: 'notFound' });
    await expect(manager.archiveThread(newThreadId(), 'test')).rejects.toMatchObject({ code: 'notFound' });
  });

  it('MGR-9 keeps a thread unloaded while it is archived, deleted or reverted, whoever resumes it meanwhile', async () => {
    const held = new Map(['archiveThreads', 'deleteThreads', 'revertThread'].map((name) => [name, gate()]));
    const store = interceptedStore(await open(), (method) => held.get(method)?.passed);
    const runtime = openRuntime(store);
    const { manager } = runtime;
    const work: Readonly<Record<string, (id: ThreadId, turnId: string) => Promise<unknown>>> = {
      revertThread: (id, turnId) => manager.revertThread(id, turnId, 'test'),
      archiveThreads: (id) => manager.archiveThread(id, 'test'),
      deleteThreads: (id) => manager.deleteThread(id, 'test'),
    };
    for (const [method, begin] of Object.entries(work)) {
      const thread = await runtime.start();
      const turnId = await runtime.turn(thread, 'hello');
      const working = begin(thread.id, turnId);
      await until(() => manager.find(thread.id) === undefined);
      await expect(manager.resumeThread({ threadId: thread.id, overrides: {} }), method).rejects.toThrow(/is closing/);
      held.get(method)?.open();
      await working;
      expect(manager.registry.isClosing(thread.id), method).toBe(false);
    }
  });

  it('MGR-10 waits for a thread that is just being opened before it is archived or deleted', async () => {
    const held = gate();
    const store = interceptedStore(await open(), (method) => (method === 'resumeThread' ? held.passed : undefined));
    const runtime = openRuntime(store);
    const { manager } = runtime;
    const { id } = await runtime.talked(['hello']);
    await manager.registry.close(id, 'test');
    const resuming = manager.resumeThread({ threadId: id, overrides: {} });
    const deleting = manager.deleteThread(id, 'test');
    held.open();
    await Promise.all([resuming, deleting]);
    expect(manager.loadedIds).toEqual([]);
    await expect(store.readThread(id, { includeArchived: true })).rejects.toMatchObject({ code: 'notFound' });
  });

  it('MGR-11 deletes what is loaded, running, lazy, archived or cold, with what it spawned', async () => {
    const runtime = openRuntime(await open());
    const { manager, store } = runtime;
    const gone = (id: ThreadId): Promise<unknown> =>
      expect(store.readThread(id, { includeArchived: true })).rejects.toMatchObject({ code: 'notFound' });
    const running = await runtime.start();
    const childId = await spawned(runtime, running.id);
    await accepted(running, 'hello');
    await runtime.model.call();
    const from = runtime.heard.length;
    expect(await manager.deleteThread(running.id, 'test')).toEqual([running.id, childId]);
    expect(runtime.told(running.id, from).slice(-3)).toEqual([
      'turnCompleted interrupted',
      'status notLoaded',
      'threadDeleted',
    ]);
    await gone(running.id);
    await gone(childId);

    const lazy = await runtime.start();
    expect(await manager.deleteThread(lazy.id, 'test')).toEqual([lazy.id]);
    await gone(lazy.id);
    expect(manager.find(lazy.id)).toBeUndefined();

    const archived = await runtime.talked(['hello']);
    await manager.archiveThread(archived.id, 'test');
    expect(await manager.deleteThread(archived.id, 'test')).toEqual([archived.id]);

    const ephemeral = await runtime.start({ isEphemeral: true });
    await expect(manager.deleteThread(ephemeral.id, 'test')).rejects.toThrow('thread is not persisted');
    await expect(manager.deleteThread(newThreadId(), 'test')).rejects.toMatchObject({ code: 'notFound' });
    expect(manager.loadedIds).toEqual([ephemeral.id]);
  });

  it('MGR-12 deletes a lazy thread for good, also if its first turn begins meanwhile', async () => {
    const runtime = openRuntime(await open());
    const { manager, store } = runtime;
    for (const isFirst of [true, false]) {
      const thread = await runtime.start();
      const take = (): Promise<unknown> => accepted(thread, 'hello').catch(() => {});
      const before = isFirst ? take() : undefined;
      const deleting = manager.deleteThread(thread.id, 'test');
      const after = isFirst ? undefined : take();
      expect(await deleting).toEqual([thread.id]);
      await Promise.all([before, after]);
      await expect(store.readThread(thread.id, { includeArchived: true })).rejects.toMatchObject({ code: 'notFound' });
    }
    expect((await store.listThreads(ALL)).data).toEqual([]);
  });

  it('MGR-13 takes a thread back to before a turn, a running one interrupted, and keeps its settings and its id', async () => {
    const runtime = openRuntime(await open());
    const { manager, model } = runtime;
    const thread = await runtime.talked(['one']);
    const second = await runtime.turn(thread, 'two');
    await thread.takeInput({ message: message('three'), overrides: { model: 'model-9' }, accepted: () => {} }, 'test');
    await model.call();
    const from = runtime.heard.length;
    const reverted = await manager.revertThread(thread.id, second, 'test');
    expect(runtime.told(thread.id, from)).toEqual([
      'tokensUsed',
      'status idle',
      'turnCompleted interrupted',
      'status notLoaded',
      'status idle',
      'threadReverted',
    ]);
    expect(manager.get(thread.id)).toBe(reverted);
    expect(reverted.settings).toMatchObject({ model: 'model-9' });
    expect(await runtime.words(thread.id)).toEqual(['user: one', 'assistant: re: one']);
    await runtime.turn(reverted, 'two again');
    expect(await runtime.words(thread.id)).toEqual([
      'user: one',
      'assistant: re: one',
      'user: two again',
      'assistant: re: two again',
    ]);
  });

  it('MGR-14 loads a thread again whose revert was refused, and refuses what has no turns to go back to', async () => {
    const runtime = openRuntime(await open());
    const { manager } = runtime;
    const thread = await runtime.talked(['one']);
    await expect(manager.revertThread(thread.id, 'nope', 'test')).rejects.toThrow('turn not found: nope');
    expect(manager.get(thread.id).states).toEqual({ persistence: 'materialized', turn: 'idle' });
    await runtime.turn(manager.get(thread.id), 'two');
    const legacy = await runtime.talked(['one'], { historyMode: 'legacy' });
    const ephemeral = await runtime.start({ isEphemeral: true });
    for (const [{ id }, why] of [
      [legacy, 'only supports paginated threads'],
      [ephemeral, 'ephemeral threads do not support'],
    ] as const) {
      await expect(manager.revertThread(id, 'x', 'test')).rejects.toThrow(why);
      expect(manager.find(id)).toBeDefined();
    }
    const lazy = await runtime.start();
    await expect(manager.revertThread(lazy.id, 'x', 'test')).rejects.toThrow('turn not found: x');
    await expect(manager.revertThread(newThreadId(), 'x', 'test')).rejects.toThrow('thread not found');
  });

  it('MGR-15 ends all threads, and reports each', async () => {
    let isBroken = true;
    const failing = new Set<ThreadId>();
    const hanging = new Set<ThreadId>();
    const held = gate();
    const store = interceptedStore(await open(), async (method, [id]) => {
      if (method !== 'shutdownThread') return;
      if (failing.has(id as ThreadId) && isBroken) throw internal('the disk is full');
      if (hanging.has(id as ThreadId)) await held.passed;
    });
    const runtime = openRuntime(store);
    const { manager } = runtime;
    const fine = [await runtime.talked(['a']), await runtime.start(), await runtime.start({ isEphemeral: true })];
    const bad = [await runtime.talked(['b']), await runtime.talked(['c'])];
    for (const { id } of bad) failing.add(id);
    const slow = await runtime.talked(['d']);
    hanging.add(slow.id);
    // Long enough for those that do end, whatever else the machine does.
    const ending = manager.registry.shutdownAll(2_000, 'test');
    const [failed] = bad;
    await eventually(() => expect(failed?.states.persistence).toBe('recovering'));
    const report = await ending;
    const idsOf = (threads: readonly { readonly id: ThreadId }[]): readonly ThreadId[] =>
      threads.map(({ id }) => id).toSorted();
    expect(report).toEqual({
      completed: idsOf(fine),
      failed: idsOf(bad).map((threadId) => ({ threadId, reason: 'the disk is full' })),
      timedOut: [slow.id],
    });
    expect(manager.loadedIds).toEqual(idsOf([...bad, slow]));
    // What failed can be tried again; what was slow is unloaded when it ends after all.
    isBroken = false;
    held.open();
    await runtime.whenTold(slow.id, 'status notLoaded');
    expect(manager.loadedIds).toEqual(idsOf(bad));
    expect((await manager.registry.shutdownAll(5_000, 'test')).completed).toEqual(idsOf(bad));
    expect(manager.loadedIds).toEqual([]);
  });

  it('MGR-16 gives up what is still opening when all threads end, leaves nothing of it, and says that the daemon stops', async () => {
    const held = gate();
    const live = new Set<unknown>();
    const opened = await open();
    const store = interceptedStore(opened, async (method, [params]) => {
      if (method === 'createThread') await held.passed;
      if (method === 'createThread') live.add((params as { readonly threadId: ThreadId }).threadId);
      if (method === 'discardThread') live.delete(params);
    });
    const runtime = openRuntime(store);
    const { manager } = runtime;
    const starting = runtime.start().catch((error: unknown) => error);
    const ending = manager.registry.shutdownAll(5_000, 'test');
    held.open();
    expect(await ending).toEqual({ completed: [], failed: [], timedOut: [] });
    expect(await starting).toMatchObject({
      code: 'overloaded',
      message: expect.stringContaining('stopping') as string,
    });
    expect(live.size).toBe(0);
    const { writers } = await opened.inspect();
    expect(writers).toEqual([]);
    manager.registry.refuseNew();
    await expect(runtime.start()).rejects.toMatchObject({ code: 'overloaded' });
  });

  it('MGR-17 waits no longer than it was given for what hangs while it opens', async () => {
    const held = gate();
    const store = interceptedStore(await open(), (method) => (method === 'createThread' ? held.passed : undefined));
    const runtime = openRuntime(store);
    const starting = runtime.start().catch((error: unknown) => error);
    expect(await runtime.manager.registry.shutdownAll(20, 'test')).toMatchObject({ timedOut: [] });
    held.open();
    expect(await starting).toBeInstanceOf(Error);
  });

  it('MGR-17 what hangs while it opens and what hangs at its end share the time that was given', async () => {
    const held = gate();
    const store = interceptedStore(await open(), (method) => (method === 'shutdownThread' ? held.passed : undefined));
    const runtime = openRuntime(store);
    const { id } = await runtime.talked(['a']);
    const opening = runtime.manager.registry
      .load(newThreadId(), async () => {
        await held.passed;
        throw new Error('given up');
      })
      .catch((error: unknown) => error);
    const [from, givenMs] = [performance.now(), 1_000];
    expect(await runtime.manager.registry.shutdownAll(givenMs, 'test')).toMatchObject({ timedOut: [id] });
    expect((performance.now() - from) / givenMs).toBeLessThan(1.8);
    held.open();
    expect(await opening).toBeInstanceOf(Error);
  });

  it('MGR-18 takes a thread out without ending it, and only if it is the one given', async () => {
    const runtime = openRuntime(await open());
    const { manager } = runtime;
    const thread = await runtime.talked(['hello']);
    await manager.registry.close(thread.id, 'test');
    const resumed = await manager.resumeThread({ threadId: thread.id, overrides: {} });
    expect(manager.registry.remove(thread)).toBe(false);
    expect(manager.get(thread.id)).toBe(resumed);
    expect(manager.registry.remove(resumed)).toBe(true);
    expect(manager.find(thread.id)).toBeUndefined();
    expect(resumed.isOver).toBe(false);
    await resumed.shutdown('test');
  });

  it('MGR-19 drops a thread whose machine has failed, answers who waits for it, and can resume it', async () => {
    const runtime = openRuntime(await open());
    const { manager } = runtime;
    const other = await runtime.talked(['other']);
    const thread = await runtime.talked(['hello']);
    const running = await accepted(thread, 'more');
    const call = await runtime.model.call();
    const steering = thread
      .takeInput({ message: message('and'), accepted: () => {} }, 'test')
      .catch((error: unknown) => error);
    const waiting = thread
      .takeInput({ message: message('this'), accepted: () => {} }, 'test')
      .catch((error: unknown) => error);
    const idle = manager.registry.whenIdle(new AbortController().signal);
    runtime.onNow = () => {
      runtime.onNow = () => {};
      throw new Error('a defect');
    };
    const interrupted = (): void => thread.interrupt(running.turn.id, 'test');
    interrupted();
    await expect(thread.shutdown('test')).resolves.toBeUndefined();
    expect(thread.isOver).toBe(true);
    expect(manager.find(thread.id)).toBeUndefined();
    expect(runtime.problems).toEqual([`thread ${thread.id} failed and was dropped`]);
    expect(runtime.told(thread.id).at(-1)).toBe('status notLoaded');
    call.answer('too late');
    await Promise.all([steering, waiting, idle]);
    await expect(accepted(thread, 'anyone?')).rejects.toThrow(/closing/);
    await expect(thread.flush('test')).rejects.toThrow(/ended/);
    await manager.registry.whenSettled(thread.id);
    const resumed = await manager.resumeThread({ threadId: thread.id, overrides: {} });
    await runtime.turn(resumed, 'again');
    expect((await runtime.words(thread.id)).slice(-2)).toEqual(['user: again', 'assistant: re: again']);
    expect(other.isOver).toBe(false);
    await runtime.turn(other, 'still here');
  });

  it('MGR-20 says when no turn runs any more, or when nobody wants to know', async () => {
    const runtime = openRuntime(await open());
    const { manager, model } = runtime;
    const never = new AbortController();
    await manager.registry.whenIdle(never.signal);
    const [one, two] = [await runtime.start(), await runtime.start({ isEphemeral: true })];
    await accepted(one, 'a');
    const first = await model.call();
    await accepted(two, 'b');
    const second = await model.call();
    let isIdle = false;
    const idle = manager.registry.whenIdle(never.signal).then(() => (isIdle = true));
    first.answer('done');
    await runtime.whenIdle(one);
    expect(isIdle).toBe(false);
    const givenUp = new AbortController();
    const unwanted = manager.registry.whenIdle(givenUp.signal);
    givenUp.abort();
    await unwanted;
    second.answer('done');
    await idle;
  });
});

const ALL = { sortKey: 'createdAt', direction: 'desc', limit: 100, isArchived: false } as const;

/** The parts that need no `this`. */
const bound = (runtime: Runtime): Pick<Runtime, 'manager' | 'start' | 'told'> => ({
  manager: runtime.manager,
  start: (params) => runtime.start(params),
  told: (id, from) => runtime.told(id, from),
});

describe('thread manager', () => {
  it('MGR-49 a deletion that forks stand against changes nothing: the thread stays loaded, and the turn that runs goes on', async () => {
    const runtime = openRuntime(await openLocalStore(tempFolder()));
    const { manager } = runtime;
    const thread = await runtime.talked(['one']);
    const fork = await manager.forkThread(forkOf(thread.id, { kind: 'interrupted' }));
    await accepted(thread, 'two');
    const call = await runtime.model.call();
    const from = runtime.heard.length;
    await expect(manager.deleteThread(thread.id, 'test')).rejects.toThrow('forked history still references it');
    expect(manager.find(thread.id)).toBe(thread);
    expect(runtime.told(thread.id, from)).toEqual([]);
    call.answer('re: two');
    await runtime.whenIdle(thread);
    expect(await runtime.words(thread.id)).toContain('assistant: re: two');
    await manager.deleteThread(fork.id, 'test');
    expect(await manager.deleteThread(thread.id, 'test')).toEqual([thread.id]);
  });

  it('MGR-48 how a thread is run is recorded when it is news, and restored whole by a later resume', async () => {
    const home = tempFolder();
    const runtime = openRuntime(await openLocalStore(home));
    const { manager } = runtime;
    const recordsOf = async (id: ThreadId): Promise<number> =>
      (await runtime.records(id)).filter(({ payload }) => payload['type'] === 'thread_settings_applied').length;
    const thread = await runtime.talked(['one', 'two']);
    expect(await recordsOf(thread.id)).toBe(1);
    const changed = {
      cwd: '/elsewhere',
      model: 'other-model',
      reasoningEffort: 'high',
      serviceTier: 'priority',
      approvalsReviewer: 'guardian_subagent',
      sandboxPolicy: { type: 'dangerFullAccess' },
    } as const;
    await thread.takeInput({ message: message('three'), overrides: changed, accepted: () => {} }, 'test');
    (await runtime.model.call()).answer('re: three');
    await runtime.whenIdle(thread);
    expect(await recordsOf(thread.id)).toBe(2);
    const { settings } = thread;
    expect(settings).toMatchObject(changed);
    const fork = await manager.forkThread(forkOf(thread.id, { kind: 'interrupted' }));
    for (const id of [thread.id, fork.id]) {
      await manager.registry.close(id, 'test');
      expect((await manager.resumeThread({ threadId: id, overrides: {} })).settings).toEqual(settings);
    }
  });

  it('MGR-21 a loaded thread is resumed by its own path, and refused by another', async () => {
    const home = tempFolder();
    const runtime = openRuntime(await openLocalStore(home));
    const { manager } = runtime;
    const [one, two] = [await runtime.talked(['one']), await runtime.talked(['two'])];
    const path = one.described.path ?? '';
    const resume = (by: string): ReturnType<typeof manager.resumeThread> =>
      manager.resumeThread({ threadId: one.id, path: by, overrides: {} });
    expect(await resume(path)).toBe(one);
    const other = two.described.path ?? '';
    await expect(resume(other)).rejects.toThrow('cannot resume running thread');
    await manager.registry.close(one.id, 'test');
    await expect(resume(other)).rejects.toThrow(/is not the current rollout of thread/);
    expect(manager.find(one.id)).toBeUndefined();
    expect((await resume(path)).described.path).toBe(path);
    expect(filesBelow(home).filter((file) => file.endsWith('.jsonl') && file.includes(one.id))).toHaveLength(1);
  });

  it('MGR-22 an ephemeral thread needs no store at all, from its first word to its end', async () => {
    const store = interceptedStore(memory(), (method) => {
      if (method !== 'close') throw internal(`${method} was called`);
    });
    const runtime = openRuntime(store);
    const { manager, model } = runtime;
    const thread = await runtime.start({ isEphemeral: true });
    expect(thread.described).toMatchObject({ path: null });
    await runtime.turn(thread, 'hello');
    await thread.injectItems([{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'aside' }] }]);
    await thread.flush('test');
    await thread.persist('test');
    await accepted(thread, 'more');
    const call = await model.call();
    const read: string[] = [];
    for await (const { item } of call.request.history()) read.push(item.type);
    expect(read.filter((type) => type === 'response_item')).toHaveLength(4);
    thread.interrupt(thread.activeTurnId ?? '', 'test');
    await runtime.whenIdle(thread);
    expect(await manager.readThread(thread.id)).toMatchObject({ id: thread.id, path: null });
    await manager.registry.close(thread.id, 'test');
    expect(runtime.told(thread.id).at(-1)).toBe('status notLoaded');
    expect(thread.isOver).toBe(true);
  });

  it('MGR-23 who looks at transitions cannot hurt threads', async () => {
    const runtime = openRuntime(memory());
    const stop = runtime.manager.registry.onTransition(() => {
      throw new Error('a debugger failed');
    });
    const thread = await runtime.talked(['hello']);
    expect(thread.isOver).toBe(false);
    expect(new Set(runtime.problems)).toEqual(new Set(['a listener to transitions failed']));
    stop();
  });
});
