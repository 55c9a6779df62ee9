import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { internal } from '../../src/domain/errors.ts';
import { newThreadId } from '../../src/domain/ids.ts';
import type { StoredThread } from '../../src/domain/stored-thread.ts';
import { LiveThread } from '../../src/live/live-thread.ts';
import { CodexThread } from '../../src/runtime/codex-thread.ts';
import type { ThreadStore } from '../../src/store/thread-store.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import { gate, interceptedStore, type Intercept } from '../support/intercepted-store.ts';
import { ModelDouble, saying } from '../support/model-double.ts';
import { headerPayload, T0 } from '../support/records.ts';
import { accepted, message, openRuntime, refusal, SETTINGS, STORES, type Runtime } from '../support/runtime.ts';
import { until } from '../support/until.ts';

const memory = (): ThreadStore => new MemoryThreadStore({ defaultModelProvider: 'default-provider' });

/**
 * A store that cannot write for a while: appends that are kept go through when it can again, as a real store's do;
 * barriers fail meanwhile.
 */
function faulty(store: ThreadStore): { readonly store: ThreadStore; break: () => void; heal: () => void } {
  let isBroken = false;
  const kept: (() => Promise<void>)[] = [];
  const intercept: Intercept = async (method, [first]) => {
    if (!isBroken || !['appendItems', 'flushThread', 'persistThread', 'shutdownThread'].includes(method)) {
      if (method === 'flushThread') for (const write of kept.splice(0)) await write();
      return;
    }
    const params = first as Parameters<ThreadStore['appendItems']>[0];
    if (method === 'appendItems' && params.onFailure === 'keep') kept.push(() => store.appendItems(params));
    throw internal('the disk is full');
  };
  return {
    store: interceptedStore(store, intercept),
    break: () => {
      isBroken = true;
    },
    heal: () => {
      isBroken = false;
    },
  };
}

const take = (thread: CodexThread, text: string): Promise<void> =>
  thread.takeInput({ message: message(text), accepted: () => {} }, 'test');

const warnings = (runtime: Runtime): readonly string[] =>
  runtime.heard.flatMap(({ event }) => (event.type === 'warning' ? [event.message] : []));

describe.each(STORES)('loaded thread over the %s', (_name, open) => {
  it('MGR-30 runs a turn: the answer first, then what happens in it, and its end last', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.start();
    const from = runtime.heard.length;
    let toldBefore: number | undefined;
    const overrides = { model: 'model-2' };
    const answered = (): void => void (toldBefore = runtime.heard.length - from);
    await thread.takeInput({ message: message('hello'), overrides, accepted: answered }, 'test');
    expect(thread.status).toEqual({ type: 'active', activeFlags: [] });
    (await runtime.model.call()).send(...saying('m', 'hi')).end();
    await runtime.whenIdle(thread);
    expect(runtime.told(thread.id, from)).toEqual([
      'settingsChanged',
      'status active',
      'turnStarted',
      'itemStarted userMessage',
      'itemCompleted userMessage',
      'itemStarted agentMessage',
      'agentMessageDelta',
      'itemCompleted agentMessage',
      'readStateChanged',
      'status idle',
      'turnCompleted completed',
    ]);
    // Only the change of settings is known before the words are durable.
    expect(toldBefore).toBe(1);
    expect(thread.states).toEqual({ persistence: 'materialized', turn: 'idle' });
  });

  it('MGR-31 a failed turn is told with its error, and the status says so until the next one begins', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.start();
    await accepted(thread, 'hello');
    const from = runtime.heard.length;
    (await runtime.model.call()).fail('no network');
    await runtime.whenIdle(thread);
    expect(runtime.told(thread.id, from)).toEqual([
      'status systemError',
      'turnFailed',
      'readStateChanged',
      'turnCompleted failed',
    ]);
    expect(thread.status).toEqual({ type: 'systemError' });
    await runtime.turn(thread, 'again');
    expect(thread.status).toEqual({ type: 'idle' });
  });

  it('MGR-32 input that comes while a turn runs joins it, and input that comes as it ends begins the next', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.start();
    const first = await accepted(thread, 'one');
    await runtime.model.call();
    const joined = accepted(thread, 'two');
    const call = await runtime.model.call();
    expect(call.said).toEqual(['one', 'two']);
    expect((await joined).turn.id).toBe(first.turn.id);
    thread.interrupt(first.turn.id, 'test');
    const next = accepted(thread, 'three');
    const second = await runtime.model.call();
    expect(second.said).toEqual(['three']);
    expect((await next).turn.id).not.toBe(first.turn.id);
    expect(runtime.told(thread.id)).toContain('turnCompleted interrupted');
    second.answer('fine');
    await runtime.whenIdle(thread);
  });

  it('MGR-33 steers and interrupts the turn that is meant, and no other', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.start();
    const steer = (turnId: string, text = 'and'): Promise<void> => thread.steer(turnId, message(text), () => {});
    await expect(steer('x')).rejects.toThrow('no active turn to steer');
    expect(() => thread.interrupt('x', 'test')).toThrow('no active turn to interrupt');
    const { turn } = await accepted(thread, 'hello');
    await runtime.model.call();
    await expect(steer('x')).rejects.toThrow(`expected active turn id \`x\` but found \`${turn.id}\``);
    expect(() => thread.interrupt('x', 'test')).toThrow(`expected active turn id x but found ${turn.id}`);
    await expect(thread.steer(turn.id, { input: [], clientId: null }, () => {})).rejects.toThrow('must not be empty');
    await steer(turn.id, 'and this');
    expect((await runtime.model.call()).said).toEqual(['hello', 'and this']);
    thread.interrupt(turn.id, 'test');
    await expect(steer(turn.id)).rejects.toThrow('no active turn to steer');
    await runtime.whenIdle(thread);
  });

  it('MGR-34 ends with a turn running, though its model ignores that, and takes no more words', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.start();
    await accepted(thread, 'hello');
    const call = await runtime.model.call();
    const ending = [thread.shutdown('one'), thread.shutdown('two')];
    await expect(take(thread, 'too late')).rejects.toEqual(refusal('invalidRequest', 'is closing'));
    await Promise.all(ending);
    expect(call.signal.aborted).toBe(true);
    expect(thread.states).toEqual({ persistence: 'shutDown', turn: 'idle' });
    await thread.shutdown('three');
    await expect(take(thread, 'much too late')).rejects.toEqual(refusal('invalidRequest', 'is closing'));
    await expect(thread.persist('test')).rejects.toThrow('the thread has ended');
    const records = await runtime.records(thread.id);
    expect(records.at(-1)?.payload).toMatchObject({ type: 'turn_aborted', reason: 'interrupted' });
    expect(runtime.manager.loadedIds).toEqual([]);
  });

  it('MGR-35 adds raw items to what the model reads', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.start();
    await expect(thread.injectItems([])).rejects.toThrow('items must not be empty');
    const content = [{ type: 'input_text', text: 'an aside' }];
    await thread.injectItems([{ type: 'message', role: 'developer', content }]);
    expect(await runtime.words(thread.id)).toEqual(['developer: an aside']);
    await runtime.turn(thread, 'hello');
    expect(await runtime.words(thread.id)).toEqual(['developer: an aside', 'user: hello', 'assistant: re: hello']);
  });
});

describe('loaded thread', () => {
  it('MGR-40 a store that fails during a turn: told once, the turn goes on, everything is kept, healing is told', async () => {
    const { store, ...disk } = faulty(memory());
    const runtime = openRuntime(store);
    const thread = await runtime.start();
    await accepted(thread, 'hello');
    const call = await runtime.model.call();
    disk.break();
    call.answer('hi');
    await runtime.whenIdle(thread);
    expect(runtime.told(thread.id)).toContain('turnCompleted completed');
    expect(thread.states.persistence).toBe('recovering');
    expect(thread.failure).toMatchObject({ message: 'the disk is full' });
    await expect(thread.flush('test')).rejects.toThrow('the disk is full');
    expect(warnings(runtime)).toEqual(['Saving this thread failed and will be tried again: the disk is full']);
    disk.heal();
    await runtime.whenTold(thread.id, 'warning', 2);
    expect(warnings(runtime).at(-1)).toBe('Saving this thread works again.');
    expect(await runtime.words(thread.id)).toEqual(['user: hello', 'assistant: hi']);
    expect(thread.states.persistence).toBe('materialized');
    expect(thread.failure).toBeNull();
  });

  it('MGR-41 words that cannot be stored are refused, and leave neither a turn nor a word; nothing is to be healed', async () => {
    const { store, ...disk } = faulty(memory());
    const runtime = openRuntime(store);
    const thread = await runtime.start();
    disk.break();
    await expect(take(thread, 'lost')).rejects.toThrow('the disk is full');
    expect(thread.states).toEqual({ persistence: 'lazy', turn: 'idle' });
    expect(thread.described.preview).toBe('');
    disk.heal();
    await runtime.turn(thread, 'hello');
    expect(await runtime.words(thread.id)).toEqual(['user: hello', 'assistant: re: hello']);
    expect(runtime.told(thread.id).filter((one) => one.startsWith('turnCompleted'))).toHaveLength(1);
    expect(warnings(runtime)).toEqual([]);
  });

  it('MGR-42 a shutdown that cannot write leaves the thread loaded with all it has, and succeeds when it can', async () => {
    const { store, ...disk } = faulty(memory());
    const runtime = openRuntime(store);
    const { manager } = runtime;
    const thread = await runtime.talked(['hello']);
    disk.break();
    await expect(manager.registry.close(thread.id, 'test')).rejects.toThrow('the disk is full');
    expect(manager.get(thread.id)).toBe(thread);
    expect(thread.states).toEqual({ persistence: 'recovering', turn: 'idle' });
    disk.heal();
    await runtime.turn(thread, 'still here');
    await manager.registry.close(thread.id, 'test');
    expect(manager.find(thread.id)).toBeUndefined();
  });

  it('MGR-43 lets 256 operations wait on a thread, and refuses more until one is done', async () => {
    const held = gate();
    const store = interceptedStore(memory(), (method) => (method === 'updateThreadMetadata' ? held.passed : undefined));
    const runtime = openRuntime(store);
    const thread = await runtime.start();
    const rename = (): Promise<unknown> => thread.updateMetadata({ name: 'a name' });
    const waiting = Array.from({ length: 256 }, rename);
    expect(thread.pendingOperations).toBe(256);
    await expect(rename()).rejects.toMatchObject({ code: 'overloaded' });
    await expect(take(thread, 'hello')).rejects.toMatchObject({ code: 'overloaded' });
    held.open();
    await Promise.all(waiting);
    expect(thread.pendingOperations).toBe(0);
    await rename();
  });

  it('MGR-44 says when anything last happened', async () => {
    const runtime = openRuntime(memory());
    const thread = await runtime.start();
    expect(thread.lastActivityMs).toBe(T0);
    runtime.now = T0 + 5_000;
    await accepted(thread, 'hello');
    expect(thread.lastActivityMs).toBe(T0 + 5_000);
    runtime.now = T0 + 9_000;
    (await runtime.model.call()).answer('hi');
    await runtime.whenIdle(thread);
    expect(thread.lastActivityMs).toBe(T0 + 9_000);
    expect(thread.described).toMatchObject({ preview: 'hello', recencyAtMs: T0 + 5_000 });
  });

  it('MGR-45 keeps the last 32 changes of its states, each with its cause', async () => {
    const runtime = openRuntime(memory());
    const thread = await runtime.start();
    for (let turn = 0; turn < 12; turn += 1) await runtime.turn(thread, `turn ${turn}`);
    const { recentTransitions } = thread;
    expect(recentTransitions).toHaveLength(32);
    const seqs = recentTransitions.map(({ seq }) => seq);
    expect(seqs).toEqual([...new Set(seqs)].toSorted((x, y) => x - y));
    expect(recentTransitions.find(({ event }) => event === 'turn.start')?.cause).toBe('test');
    expect(recentTransitions.find(({ event }) => event === 'active done')?.cause).toBe('actor');
  });

  it('MGR-47 a writer that was opened though the opening had been given up is discarded before that is answered', async () => {
    const store = memory();
    const id = newThreadId();
    const params = { threadId: id, historyMode: 'paginated', cwd: '/work', createdAtMs: T0 } as const;
    const header = async (): Promise<ReturnType<typeof headerPayload>> => headerPayload(id, 'paginated');
    const held = gate();
    const unheard = (): void => {};
    const thread = new CodexThread({
      id,
      settings: SETTINGS,
      // Does not look at the signal: as if it had been aborted just after the last look.
      open: async () => {
        const { live } = await LiveThread.create(store, { ...params, header });
        await held.passed;
        return { live, thread: { id, tokenUsage: null, lastCount: null } as StoredThread };
      },
      model: new ModelDouble(),
      durability: 'process',
      now: () => T0,
      assertMayBegin: unheard,
      onEvent: unheard,
      onTransition: unheard,
      onEnded: unheard,
      onCrash: unheard,
    });
    const opened = thread.opened.catch((error: unknown) => error);
    thread.cancel('test');
    held.open();
    expect(await opened).toBeInstanceOf(Error);
    expect((await store.inspect())['writers']).toEqual([]);
    expect(thread.isOver).toBe(true);
  });

  it('MGR-46 an ended thread is held by nothing, and idle ones are small', async () => {
    const runtime = openRuntime(memory());
    const { manager } = runtime;
    const collect = garbageCollector();
    const talk = async (): Promise<WeakRef<CodexThread>> => {
      const thread = await runtime.talked(['hello']);
      await manager.registry.close(thread.id, 'test');
      return new WeakRef(thread);
    };
    const ended = await Promise.all([talk(), talk(), talk()]);
    await until(() => {
      collect();
      return ended.every((thread) => thread.deref() === undefined);
    });

    const count = 2_000;
    runtime.heard.length = 0;
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let index = 0; index < count; index += 1) await runtime.start({ isEphemeral: true });
    runtime.heard.length = 0;
    collect();
    const perThread = (process.memoryUsage().heapUsed - before) / count;
    expect(perThread).toBeLessThan(24 * 1024);
  });
});

/** The collector, which tests need not be started with. */
function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
