import { describe, expect, it } from 'vitest';
import { internal } from '../../src/domain/errors.ts';
import { newThreadId, type ThreadId } from '../../src/domain/ids.ts';
import type { RolloutItem } from '../../src/domain/rollout-line.ts';
import type { HistoryMode } from '../../src/domain/session-meta.ts';
import { NO_FACTS } from '../../src/domain/thread-facts.ts';
import type { ForkSnapshot } from '../../src/runtime/fork.ts';
import type { CodexThread } from '../../src/runtime/codex-thread.ts';
import { interceptedStore } from '../support/intercepted-store.ts';
import { event, headerPayload, record, responseMessage, T0, turnItems } from '../support/records.ts';
import { accepted, forkOf, openRuntime, STORES, wordsIn, type Runtime } from '../support/runtime.ts';

/** A stored legacy thread with whatever records. */
async function legacyThread(runtime: Runtime, items: readonly RolloutItem[]): Promise<ThreadId> {
  const threadId = newThreadId();
  const header = async (): Promise<RolloutItem['payload']> => headerPayload(threadId, 'legacy');
  const { store } = runtime;
  await store.createThread({ threadId, historyMode: 'legacy', cwd: '/work', createdAtMs: T0, header });
  const records = items.map((item) => record(item));
  await store.appendItems({ threadId, records, facts: NO_FACTS, durability: 'process', onFailure: 'keep' });
  await store.shutdownThread(threadId);
  return threadId;
}

/** What was said without a turn around it, as old histories have it. */
const said = (text: string): readonly RolloutItem[] => [
  event('user_message', { message: text }),
  responseMessage('user', text),
];

const answered = (text: string): readonly RolloutItem[] => [
  event('agent_message', { message: text }),
  responseMessage('assistant', text),
];

const truncated = (index: number): ForkSnapshot => ({ kind: 'truncateBeforeNthUserMessage', index });

const INTERRUPTED: ForkSnapshot = { kind: 'interrupted' };

/** Beyond any message: what upstream calls the largest number there is. */
const BEYOND = Number.MAX_SAFE_INTEGER;

/** The words of a fork, and how its turns ended. */
async function forkedWords(runtime: Runtime, sourceId: ThreadId, snapshot: ForkSnapshot): Promise<readonly string[]> {
  const fork = await runtime.manager.forkThread(forkOf(sourceId, snapshot));
  return seen(runtime, fork.id);
}

async function seen(runtime: Runtime, id: ThreadId): Promise<readonly string[]> {
  const words = await runtime.words(id);
  const { data } = await runtime.store.listTurns({ threadId: id, limit: 99, direction: 'asc', itemsView: 'notLoaded' });
  return [
    ...words.map((text) => (text.includes('<turn_aborted>') ? 'aborted' : text)),
    ...data.map(({ status }) => status),
  ];
}

describe.each(STORES)('forks over the %s', (_name, open) => {
  describe.each(['legacy', 'paginated'] as const)('of %s threads', (historyMode: HistoryMode) => {
    const talked = async (): Promise<{ readonly runtime: Runtime; readonly thread: CodexThread }> => {
      const runtime = openRuntime(await open());
      return { runtime, thread: await runtime.talked(['one', 'two'], { historyMode }) };
    };
    const WHOLE = ['user: one', 'assistant: re: one', 'user: two', 'assistant: re: two', 'completed', 'completed'];

    it('SNAP-1 truncated before a message keeps what is strictly before it; past the last, everything', async () => {
      const { runtime, thread } = await talked();
      expect(await forkedWords(runtime, thread.id, truncated(1))).toEqual([
        'user: one',
        'assistant: re: one',
        'completed',
      ]);
      expect(await forkedWords(runtime, thread.id, truncated(2))).toEqual(WHOLE);
      expect(await forkedWords(runtime, thread.id, truncated(BEYOND))).toEqual(WHOLE);
      expect(await seen(runtime, thread.id)).toEqual(WHOLE);
    });

    it('SNAP-2 truncated past the last message of a turn that goes on is cut at that turn’s start', async () => {
      const { runtime, thread } = await talked();
      await accepted(thread, 'three');
      const call = await runtime.model.call();
      expect(await forkedWords(runtime, thread.id, truncated(BEYOND))).toEqual(WHOLE);
      expect(await forkedWords(runtime, thread.id, truncated(1))).toHaveLength(3);
      call.answer('re: three');
      await runtime.whenIdle(thread);
    });

    it('SNAP-3 interrupted keeps everything; a turn that goes on ends in the fork, once, and goes on in its source', async () => {
      const { runtime, thread } = await talked();
      expect(await forkedWords(runtime, thread.id, INTERRUPTED)).toEqual(WHOLE);
      const { turn } = await accepted(thread, 'three');
      const call = await runtime.model.call();
      const fork = await runtime.manager.forkThread(forkOf(thread.id, INTERRUPTED));
      const cut = [...WHOLE.slice(0, 4), 'user: three', 'aborted', 'completed', 'completed', 'interrupted'];
      expect(await seen(runtime, fork.id)).toEqual(cut);
      expect((await runtime.records(fork.id)).slice(-2).map(({ payload }) => payload)).toMatchObject([
        { type: 'turn_aborted', turn_id: turn.id, reason: 'interrupted' },
        { type: 'thread_settings_applied', thread_id: fork.id },
      ]);
      // A fork of the fork adds nothing.
      expect(await forkedWords(runtime, fork.id, INTERRUPTED)).toEqual(cut);
      expect(await forkedWords(runtime, fork.id, truncated(BEYOND))).toEqual(cut);
      call.answer('re: three');
      await runtime.whenIdle(thread);
      expect((await seen(runtime, thread.id)).slice(-1)).toEqual(['completed']);
      await runtime.turn(fork, 'four');
      expect((await runtime.words(fork.id)).slice(-2)).toEqual(['user: four', 'assistant: re: four']);
    });

    it('SNAP-4 through a turn or before one; an unknown turn and one that goes on are refused, and nothing is left', async () => {
      const { runtime, thread } = await talked();
      const { manager, store } = runtime;
      const { turn } = await accepted(thread, 'three');
      const call = await runtime.model.call();
      const { data } = await store.listTurns({
        threadId: thread.id,
        limit: 9,
        direction: 'asc',
        itemsView: 'notLoaded',
      });
      const first = data[0]?.id ?? '';
      const through = await forkedWords(runtime, thread.id, { kind: 'throughTurn', turnId: first });
      expect(through).toEqual(['user: one', 'assistant: re: one', 'completed']);
      const before = await forkedWords(runtime, thread.id, { kind: 'beforeTurn', turnId: turn.id });
      expect(before).toEqual(WHOLE);
      const loaded = manager.loadedIds;
      const going = manager.forkThread(forkOf(thread.id, { kind: 'throughTurn', turnId: turn.id }));
      await expect(going).rejects.toThrow('identifies an in-progress turn');
      for (const isEphemeral of [true, false]) {
        for (const kind of ['throughTurn', 'beforeTurn'] as const) {
          const params = { ...forkOf(thread.id, { kind, turnId: 'nope' }), isEphemeral };
          await expect(manager.forkThread(params)).rejects.toThrow(
            historyMode === 'paginated' ? 'turn not found: nope' : `'nope' was not found in the source thread`,
          );
        }
      }
      expect(manager.loadedIds).toEqual(loaded);
      call.answer('done');
      await runtime.whenIdle(thread);
    });

    it('SNAP-5 cut to nothing begins empty, and takes a turn', async () => {
      const { runtime, thread } = await talked();
      const fork = await runtime.manager.forkThread(forkOf(thread.id, truncated(0)));
      expect(await seen(runtime, fork.id)).toEqual([]);
      await runtime.turn(fork, 'anew');
      expect(await seen(runtime, fork.id)).toEqual(['user: anew', 'assistant: re: anew', 'completed']);
    });

    it('SNAP-6 an ephemeral fork remembers the same as a stored one would, and is stored nowhere', async () => {
      const { runtime, thread } = await talked();
      const { manager, model } = runtime;
      await accepted(thread, 'three');
      const running = await model.call();
      const { data } = await runtime.store.listTurns({
        threadId: thread.id,
        limit: 9,
        direction: 'asc',
        itemsView: 'notLoaded',
      });
      const second = data[1]?.id ?? '';
      for (const snapshot of [
        INTERRUPTED,
        truncated(0),
        truncated(1),
        truncated(BEYOND),
        { kind: 'throughTurn', turnId: second },
        { kind: 'beforeTurn', turnId: second },
      ] as const) {
        const stored = await manager.forkThread(forkOf(thread.id, snapshot));
        const expected = await runtime.words(stored.id);
        await manager.deleteThread(stored.id, 'test');
        const fork = await manager.forkThread({ ...forkOf(thread.id, snapshot), isEphemeral: true });
        expect(fork.described).toMatchObject({ path: null, forkedFromId: thread.id });
        await accepted(fork, 'and now?');
        const call = await model.call();
        const remembered: RolloutItem[] = [];
        for await (const { item } of call.request.history()) remembered.push(item);
        expect(wordsIn(remembered), JSON.stringify(snapshot)).toEqual([...expected, 'user: and now?']);
        call.answer('yes');
        await runtime.whenIdle(fork);
        await expect(runtime.store.readThread(fork.id)).rejects.toMatchObject({ code: 'notFound' });
      }
      running.answer('done');
      await runtime.whenIdle(thread);
    });

    it('SNAP-12 cut before a message that steered a turn, an ephemeral fork has none of its words', async () => {
      const { runtime, thread } = await talked();
      await accepted(thread, 'three');
      await runtime.model.call();
      const steered = accepted(thread, 'rather this');
      const call = await runtime.model.call();
      await steered;
      const fork = await runtime.manager.forkThread({ ...forkOf(thread.id, truncated(3)), isEphemeral: true });
      call.answer('done');
      await runtime.whenIdle(thread);
      await accepted(fork, 'and now?');
      const forked = await runtime.model.call();
      const remembered: RolloutItem[] = [];
      for await (const { item } of forked.request.history()) remembered.push(item);
      expect(wordsIn(remembered)).toEqual([...WHOLE.slice(0, 4), 'user: three', 'user: and now?']);
      forked.answer('fine');
      await runtime.whenIdle(fork);
    });

    it('SNAP-13 a turn that ends while it is forked is not ended twice, and one that begins meanwhile ends', async () => {
      let meanwhile: (() => Promise<unknown>) | undefined;
      const store = interceptedStore(await open(), async (method) => {
        if (method !== 'forkThread') return;
        await meanwhile?.();
      });
      const runtime = openRuntime(store);
      const { model } = runtime;
      const thread = await runtime.talked(['one', 'two'], { historyMode });
      const whileForking = (work: () => Promise<unknown>): Promise<readonly string[]> => {
        meanwhile = work;
        return forkedWords(runtime, thread.id, INTERRUPTED);
      };
      await accepted(thread, 'three');
      const first = await model.call();
      const ended = await whileForking(async () => {
        first.answer('re: three');
        await runtime.whenIdle(thread);
      });
      expect(ended.slice(4)).toEqual(['user: three', 'assistant: re: three', 'completed', 'completed', 'completed']);
      const begun = await whileForking(() => accepted(thread, 'four'));
      expect(begun.slice(6)).toEqual(['user: four', 'aborted', 'completed', 'completed', 'completed', 'interrupted']);
      (await model.call()).answer('done');
      await runtime.whenIdle(thread);
    });

    it('SNAP-7 what its source adds later is not in a fork, and the other way round', async () => {
      const { runtime, thread } = await talked();
      const fork = await runtime.manager.forkThread(forkOf(thread.id, INTERRUPTED));
      await runtime.turn(thread, 'only here');
      await accepted(fork, 'only there');
      const call = await runtime.model.call();
      const history: RolloutItem[] = [];
      for await (const { item } of call.request.history()) history.push(item);
      expect(wordsIn(history)).toEqual([...WHOLE.slice(0, 4), 'user: only there']);
      call.answer('done');
      await runtime.whenIdle(fork);
      expect((await runtime.words(thread.id)).at(-2)).toBe('user: only here');
    });
  });

  it('SNAP-8 counts messages after what was rolled back, and none that a client never saw', async () => {
    const runtime = openRuntime(await open());
    const items = (...texts: readonly string[]): readonly RolloutItem[] =>
      texts.flatMap((text) => turnItems('legacy', newThreadId(), text, `re: ${text}`).items);
    const id = await legacyThread(runtime, [
      responseMessage('user', '<environment_context>'),
      ...items('one', 'taken back'),
      event('thread_rolled_back', { num_turns: 1 }),
      ...items('two', 'three'),
    ]);
    const kept = await forkedWords(runtime, id, truncated(2));
    expect(kept).toContain('user: two');
    expect(kept).not.toContain('user: three');
    const ephemeral = await runtime.manager.forkThread({ ...forkOf(id, truncated(2)), isEphemeral: true });
    await accepted(ephemeral, 'now');
    const call = await runtime.model.call();
    const history: RolloutItem[] = [];
    for await (const { item } of call.request.history()) history.push(item);
    expect(wordsIn(history)).toEqual([...kept.filter((text) => text.includes(': ')), 'user: now']);
    call.answer('done');
    await runtime.whenIdle(ephemeral);
  });

  it('SNAP-9 without turns, words that nobody has answered are a turn in its middle', async () => {
    const runtime = openRuntime(await open());
    const before = [...said('one'), ...answered('re: one')];
    const id = await legacyThread(runtime, [...before, ...said('two')]);
    const one = ['user: one', 'assistant: re: one'];
    const whole = [...one, 'user: two'];
    expect(await forkedWords(runtime, id, truncated(BEYOND))).toEqual([...one, 'completed']);
    expect(await forkedWords(runtime, id, truncated(1))).toEqual([...one, 'completed']);
    const fork = await runtime.manager.forkThread(forkOf(id, INTERRUPTED));
    const cut = [...whole, 'aborted', 'completed', 'interrupted'];
    expect(await seen(runtime, fork.id)).toEqual(cut);
    expect(await forkedWords(runtime, fork.id, INTERRUPTED)).toEqual(cut);
    expect(await forkedWords(runtime, fork.id, truncated(BEYOND))).toEqual(cut);
    // An answer ends it.
    const atRest = await legacyThread(runtime, before);
    expect(await forkedWords(runtime, atRest, truncated(BEYOND))).toEqual([...one, 'completed']);
    expect(await forkedWords(runtime, atRest, INTERRUPTED)).toEqual([...one, 'completed']);
  });

  it('SNAP-10 a fork that fails half-way leaves nothing, and its source as it was', async () => {
    let isBroken = false;
    const opened = await open();
    const store = interceptedStore(opened, (method) => {
      if (isBroken && method === 'appendItems') throw internal('the disk is full');
    });
    const runtime = openRuntime(store);
    const { manager } = runtime;
    const thread = await runtime.start();
    await accepted(thread, 'hello');
    const call = await runtime.model.call();
    isBroken = true;
    await expect(manager.forkThread(forkOf(thread.id, INTERRUPTED))).rejects.toThrow('the disk is full');
    isBroken = false;
    const all = { sortKey: 'createdAt', direction: 'desc', limit: 100, isArchived: false } as const;
    expect((await store.listThreads(all)).data.map(({ id }) => id)).toEqual([thread.id]);
    expect(manager.loadedIds).toEqual([thread.id]);
    call.answer('hi');
    await runtime.whenIdle(thread);
    expect(thread.states.persistence).toBe('materialized');
  });

  it('SNAP-11 a fork has the settings of its source, a lazy source is stored first, and an ephemeral or archived one refused', async () => {
    const runtime = openRuntime(await open());
    const { manager } = runtime;
    const source = await runtime.talked(['hello'], { overrides: { model: 'model-2', cwd: '/elsewhere' } });
    const fork = await manager.forkThread(forkOf(source.id, INTERRUPTED));
    expect(fork.settings).toMatchObject({ model: 'model-2', cwd: '/elsewhere' });
    expect(fork.described).toMatchObject({ forkedFromId: source.id, preview: 'hello' });
    const lazy = await runtime.start();
    const ofLazy = await manager.forkThread(forkOf(lazy.id, INTERRUPTED));
    expect([lazy.isStored, ofLazy.isStored]).toEqual([true, true]);
    const ephemeral = await runtime.start({ isEphemeral: true });
    await expect(manager.forkThread(forkOf(ephemeral.id, INTERRUPTED))).rejects.toMatchObject({ code: 'notFound' });
    await manager.archiveThread(source.id, 'test');
    await expect(manager.forkThread(forkOf(source.id, INTERRUPTED))).rejects.toThrow('is archived');
    await expect(manager.forkThread(forkOf(newThreadId(), INTERRUPTED))).rejects.toMatchObject({ code: 'notFound' });
  });
});
