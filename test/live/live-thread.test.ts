import { appendFileSync, mkdirSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { internal, overloaded, uncertain, type SkeinError } from '../../src/domain/errors.ts';
import type { ThreadId } from '../../src/domain/ids.ts';
import { localTimeOf } from '../../src/domain/rollout-file-name.ts';
import type { RolloutItem } from '../../src/domain/rollout-line.ts';
import type { HistoryMode } from '../../src/domain/session-meta.ts';
import { LiveThread } from '../../src/live/live-thread.ts';
import { HomeLayout } from '../../src/store/local/home-layout.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import type { CreateThread, ThreadStore } from '../../src/store/thread-store.ts';
import { gate, interceptedStore, type Intercept } from '../support/intercepted-store.ts';
import { filesBelow, homeHoldsNothingOf, openLocalStore } from '../support/local-store.ts';
import { event, headerPayload, responseMessage, someThreadId, T0, turnItems } from '../support/records.ts';
import { tempFolder } from '../support/temp-home.ts';

const params = (threadId: ThreadId, historyMode: HistoryMode = 'paginated'): CreateThread => ({
  threadId,
  historyMode,
  cwd: '/work/project',
  createdAtMs: T0,
  header: async () => headerPayload(threadId, historyMode),
});

const userMessage = (text: string): RolloutItem =>
  event('item_completed', {
    turn_id: 'turn',
    item: { type: 'UserMessage', id: text, content: [{ type: 'text', text, text_elements: [] }] },
  });

const memory = (): MemoryThreadStore => new MemoryThreadStore({ defaultModelProvider: 'default-provider' });

async function local(): Promise<{ readonly home: string; readonly store: ThreadStore }> {
  const home = tempFolder();
  const store = await openLocalStore(home);
  onTestFinished(() => store.close());
  return { home, store };
}

/** A live thread over a store in memory whose calls are written down, and may be interfered with. */
async function watched(
  intercept: Intercept = () => {},
): Promise<{ readonly live: LiveThread; readonly calls: string[]; readonly queued: () => number }> {
  const calls: string[] = [];
  const store = interceptedStore(memory(), (method, args) => {
    calls.push(method);
    return intercept(method, args);
  });
  const { live } = await LiveThread.create(store, params(someThreadId()));
  let count = 0;
  live.onQueued(() => (count += 1));
  calls.length = 0;
  return { live, calls, queued: () => count };
}

const historyOf = async (live: LiveThread): Promise<readonly string[]> => {
  const seen: string[] = [];
  for await (const { item } of live.loadHistory()) seen.push(JSON.stringify(item.payload));
  return seen;
};

const count = (texts: readonly string[], part: string): number => texts.filter((text) => text.includes(part)).length;

describe('live thread', () => {
  it('LIVE-1 is lazy until its first append that the policy keeps, or until it is persisted', async () => {
    const { home, store } = await local();
    for (const materialize of [
      (live: LiveThread) => live.append([userMessage('hello')]),
      (live: LiveThread) => live.persist('process'),
    ]) {
      const threadId = someThreadId();
      const { live, path } = await LiveThread.create(store, params(threadId));
      await live.append([event('agent_message_delta', { delta: 'never kept' })]);
      await live.flush('power');
      expect(live.isStored).toBe(false);
      expect(homeHoldsNothingOf(home, threadId)).toBe(true);
      await materialize(live);
      expect(live.isStored).toBe(true);
      expect(filesBelow(home)).toContain(path?.slice(home.length + 1));
    }
  });

  it('LIVE-2 shutdown and discard of an unused thread leave neither file nor lock', async () => {
    const { home, store } = await local();
    for (const end of ['shutdown', 'discard'] as const) {
      const threadId = someThreadId();
      const { live } = await LiveThread.create(store, params(threadId));
      await live[end]();
      expect(homeHoldsNothingOf(home, threadId)).toBe(true);
      expect(filesBelow(home).filter((path) => path.includes(threadId))).toEqual([]);
    }
  });

  it('LIVE-3 what the policy does not keep is no store call, and says nothing about the thread', async () => {
    const { live, calls, queued } = await watched();
    await live.append([]);
    await live.append([event('agent_message_delta', { delta: 'a' }), event('warning', { message: 'b' })]);
    await live.append([event('user_message', { message: 'an event of the other history mode' })]);
    expect(calls).toEqual([]);
    expect(queued()).toBe(0);
    expect(live.facts.preview).toBe('');
  });

  it('LIVE-4 a failed append that is kept is written once, by whatever is written next', async () => {
    const { home, store } = await local();
    const { live, path } = await LiveThread.create(store, params(someThreadId()));
    await live.append([userMessage('first')]);
    // Another writer's bytes in the file: nothing is written until they are gone.
    const file = path ?? '';
    const { size } = statSync(file);
    appendFileSync(file, 'foreign');
    await expect(live.append([userMessage('second')])).rejects.toThrow(/another process/);
    await expect(live.flush('process')).rejects.toThrow(/another process/);
    truncateSync(file, size);
    await live.append([userMessage('third')]);
    const history = await historyOf(live);
    for (const text of ['first', 'second', 'third']) expect(count(history, `"${text}"`), text).toBe(1);
    expect(history.findIndex((one) => one.includes('second'))).toBeLessThan(
      history.findIndex((one) => one.includes('third')),
    );
    await live.shutdown();
    expect(filesBelow(home).filter((name) => name.endsWith('.lock') && name.includes(live.threadId))).toEqual([]);
  });

  it('LIVE-5 what was withdrawn leaves no facts, whatever else is under way', async () => {
    const first = gate();
    const second = gate();
    const gates = [first, second];
    const { live } = await watched(async (method) => {
      if (method !== 'appendItems') return;
      const mine = gates.shift();
      await mine?.passed;
      if (mine === first) throw internal('the disk is full');
    });
    const withdrawn = live.append([userMessage('withdrawn')], { onFailure: 'withdraw' });
    const kept = live.append([userMessage('kept')], { onFailure: 'withdraw' });
    expect(live.facts.preview).toBe('withdrawn');
    first.open();
    await expect(withdrawn).rejects.toThrow('the disk is full');
    expect(live.facts.preview).toBe('kept');
    second.open();
    await kept;
    expect(live.facts.preview).toBe('kept');
    expect((await live.read()).preview).toBe('kept');
  });

  it('LIVE-6 an append that the store refused to queue counts as withdrawn, whatever was asked', async () => {
    const { live, queued } = await watched((method) => {
      if (method === 'appendItems') throw overloaded('too much waits already');
    });
    await expect(live.append([userMessage('refused')])).rejects.toMatchObject({ code: 'overloaded' });
    expect(live.facts.preview).toBe('');
    expect(live.isStored).toBe(false);
    expect(queued()).toBe(1);
  });

  it('LIVE-7 a failed sync is made up for by the next barrier, which is asked for', async () => {
    const durabilities: unknown[] = [];
    let isBroken = true;
    const { live, queued } = await watched((method, args) => {
      if (method === 'appendItems' && isBroken) throw internal('the sync failed');
      if (method !== 'flushThread') return;
      durabilities.push(args[1]);
      if (isBroken) throw internal('the sync failed');
    });
    await expect(live.append([userMessage('hello')], { durability: 'power' })).rejects.toThrow('the sync failed');
    expect(queued()).toBe(2);
    await expect(live.flush('process')).rejects.toThrow('the sync failed');
    isBroken = false;
    await live.flush('process');
    await live.flush('process');
    expect(durabilities).toEqual(['power', 'power', 'process']);
  });

  it('LIVE-8 says when a barrier has something to do: when records stay queued, a withdrawable append is stored, or one is uncertain', async () => {
    const held = gate();
    let broken: SkeinError | null = null;
    const { live, queued } = await watched((method) => {
      if (method !== 'appendItems') return;
      if (broken !== null) throw broken;
      return held.passed;
    });
    const withdrawable = live.append([userMessage('one')], { onFailure: 'withdraw' });
    expect(queued()).toBe(0);
    const kept = live.append([userMessage('two')]);
    expect(queued()).toBe(1);
    held.open();
    await Promise.all([withdrawable, kept]);
    expect(queued()).toBe(2);
    for (const [error, times] of [
      [internal('the disk is full'), 2],
      [uncertain(internal('the disk is full')), 3],
    ] as const) {
      broken = error;
      await expect(live.append([userMessage('three')], { onFailure: 'withdraw' })).rejects.toThrow(error);
      expect(queued()).toBe(times);
    }
  });

  it.each(['legacy', 'paginated'] as const)('LIVE-9 derives what a thread is about from %s records', async (mode) => {
    const threadId = someThreadId();
    const { live } = await LiveThread.create(memory(), params(threadId, mode), () => T0 + 1_000);
    await live.append([event('thread_goal_updated', { goal: { objective: '  build it ' } })]);
    expect(live.facts).toMatchObject({ preview: 'build it', firstUserMessage: '', recencyAtMs: null });
    await live.append(turnItems(mode, threadId, 'first words', 'an answer').items);
    await live.append(turnItems(mode, threadId, 'second words', 'another').items);
    await live.append([
      event('token_count', { info: { total_token_usage: { total_tokens: 7 } } }),
      {
        type: 'turn_context',
        payload: {
          model: 'm1',
          effort: 'high',
          cwd: '/elsewhere',
          approval_policy: 'never',
          sandbox_policy: 'read-only',
        },
      },
    ]);
    expect(live.facts).toMatchObject({
      preview: 'build it',
      firstUserMessage: 'first words',
      recencyAtMs: T0 + 1_000,
      tokenUsage: { total_tokens: 7 },
      model: 'm1',
      reasoningEffort: 'high',
      approvalPolicy: 'never',
      sandboxPolicy: 'read-only',
    });
    await live.append([
      event('thread_settings_applied', {
        thread_id: threadId,
        thread_settings: { model: 'm2', model_provider_id: 'p2', cwd: '/new', approval_policy: 'on-request' },
      }),
    ]);
    expect(live.facts).toMatchObject({
      model: 'm2',
      modelProvider: 'p2',
      reasoningEffort: null,
      cwd: '/new',
      approvalPolicy: 'on-request',
      sandboxPolicy: 'read-only',
    });
  });

  it('LIVE-10 a resume changes nothing that is stored, knows what the history says, and goes on from there', async () => {
    const { store } = await local();
    const threadId = someThreadId();
    const { live, path } = await LiveThread.create(store, params(threadId));
    await live.append(turnItems('paginated', threadId, 'first words', 'an answer').items);
    await live.shutdown();
    const file = path ?? '';
    utimesSync(file, T0 / 1_000, T0 / 1_000);
    const resumed = await LiveThread.resume(store, { threadId });
    expect(resumed.live.facts.preview).toBe('first words');
    await resumed.live.flush('power');
    await resumed.live.shutdown();
    expect(statSync(file).mtimeMs).toBe(T0);
    expect(await store.readThread(threadId)).toMatchObject({ updatedAtMs: T0, preview: 'first words' });
    const again = await LiveThread.resume(store, { threadId });
    await again.live.append(turnItems('paginated', threadId, 'second words', 'another').items);
    const read = await again.live.read();
    expect(read.preview).toBe('first words');
    expect(read.updatedAtMs).toBeGreaterThan(T0);
  });

  it('LIVE-11 the start of a turn advances recency, what follows only the time of the update', async () => {
    let now = T0;
    const { store } = await local();
    const { live } = await LiveThread.create(store, params(someThreadId()), () => now);
    await live.append([event('task_started', { turn_id: 't' }), userMessage('hello')]);
    const begun = await live.read();
    expect(begun.recencyAtMs).toBe(T0);
    now = T0 + 60_000;
    await live.append([responseMessage('assistant', 'hello yourself')]);
    const later = await live.read();
    expect(later.recencyAtMs).toBe(T0);
    expect(later.updatedAtMs).toBeGreaterThanOrEqual(begun.updatedAtMs);
    await live.append([event('task_started', { turn_id: 'u' })]);
    expect((await live.read()).recencyAtMs).toBe(T0 + 60_000);
  });

  it('LIVE-12 the first session_meta decides the history mode', async () => {
    const { home, store } = await local();
    const threadId = someThreadId();
    const place = { threadId, rolloutId: threadId, localTime: localTimeOf(T0), isCompressed: false };
    const file = new HomeLayout(home).activePath(place);
    mkdirSync(dirname(file), { recursive: true });
    const line = (mode: HistoryMode): string =>
      `${JSON.stringify({ timestamp: new Date(T0).toISOString(), type: 'session_meta', payload: headerPayload(threadId, mode) })}\n`;
    writeFileSync(file, line('legacy') + line('paginated'));
    const { live } = await LiveThread.resume(store, { threadId });
    expect(live.historyMode).toBe('legacy');
    await live.shutdown();
  });

  it('LIVE-13 changing metadata writes what is queued first, stores a lazy thread, and the facts follow', async () => {
    const { live, calls } = await watched();
    const updated = await live.updateMetadata({ memoryMode: 'disabled', gitInfo: { branch: 'topic' } });
    expect(calls).toEqual(['flushThread', 'updateThreadMetadata']);
    expect(updated).toMatchObject({ memoryMode: 'disabled', git: { branch: 'topic' }, historyMode: 'paginated' });
    expect(live.isStored).toBe(true);
    expect(live.facts).toMatchObject({ memoryMode: 'disabled', git: { branch: 'topic' } });
    await live.append([userMessage('hello')]);
    expect(live.facts).toMatchObject({ memoryMode: 'disabled', git: { branch: 'topic' }, preview: 'hello' });
  });
});
