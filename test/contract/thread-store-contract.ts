import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newUuid, type ThreadId } from '../../src/domain/ids.ts';
import { stringMember, type JsonObject } from '../../src/domain/json.ts';
import type { RolloutItem } from '../../src/domain/rollout-line.ts';
import type { HistoryMode } from '../../src/domain/session-meta.ts';
import type { StoredThread } from '../../src/domain/stored-thread.ts';
import { NO_FACTS } from '../../src/domain/thread-facts.ts';
import type { ThreadQuery } from '../../src/domain/thread-query.ts';
import type { ThreadStore } from '../../src/store/thread-store.ts';
import { event, headerPayload, record, someThreadId, T0, turnItems } from '../support/records.ts';

/** A store under test, and what the suite needs to look at it from outside. */
export interface StoreUnderTest {
  readonly store: ThreadStore;
  /** Another instance over the same data, as after a restart; the first one is closed. Absent: the data dies with it. */
  readonly reopen?: () => Promise<ThreadStore>;
  /** True if nothing at all of a thread is stored. */
  readonly holdsNothingOf: (threadId: ThreadId) => Promise<boolean>;
  /** A resume counts as an update here. */
  readonly isUpdatedByResume?: boolean;
  readonly teardown: () => Promise<void>;
}

const BOTH_MODES: readonly HistoryMode[] = ['legacy', 'paginated'];

/** The contract of `ThreadStore`: every store passes it (SPEC STORE, META, LIST, HIST, FORK, REV, ARCH, DEL). */
export function registerThreadStoreContract(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`ThreadStore contract: ${name}`, () => {
    let subject: StoreUnderTest;
    let store: ThreadStore;

    beforeEach(async () => {
      subject = await open();
      ({ store } = subject);
    });
    afterEach(() => subject.teardown());

    const create = async (
      threadId: ThreadId,
      mode: HistoryMode = 'paginated',
      overrides: JsonObject = {},
      createdAtMs = T0,
    ): Promise<void> => {
      await store.createThread({
        threadId,
        historyMode: mode,
        cwd: '/work/project',
        createdAtMs,
        header: async () =>
          headerPayload(threadId, mode, { timestamp: new Date(createdAtMs).toISOString(), ...overrides }),
      });
    };
    const append = (threadId: ThreadId, items: readonly RolloutItem[], atMs = T0): Promise<void> =>
      store.appendItems({
        threadId,
        records: items.map((item) => record(item, atMs)),
        facts: NO_FACTS,
        durability: 'process',
        onFailure: 'keep',
      });
    const turn = async (threadId: ThreadId, mode: HistoryMode, said: string, turnId = newUuid()): Promise<string> => {
      await append(threadId, turnItems(mode, threadId, said, `re: ${said}`, turnId).items);
      return turnId;
    };
    /** A stored thread with the given messages, no longer live. */
    const stored = async (
      mode: HistoryMode,
      said: readonly string[],
      overrides: JsonObject = {},
      createdAtMs = T0,
    ): Promise<{ readonly threadId: ThreadId; readonly turnIds: readonly string[] }> => {
      const threadId = someThreadId();
      await create(threadId, mode, overrides, createdAtMs);
      const turnIds: string[] = [];
      for (const text of said) turnIds.push(await turn(threadId, mode, text));
      await store.shutdownThread(threadId);
      return { threadId, turnIds };
    };
    const historyOf = async (threadId: ThreadId): Promise<readonly string[]> => {
      const types: string[] = [];
      for await (const line of store.loadHistory(threadId, { includeArchived: true })) {
        types.push(stringMember(line.item.type === 'event_msg' ? line.item.payload : {}, 'type') ?? line.item.type);
      }
      return types;
    };
    const turnsOf = (threadId: ThreadId): Promise<readonly string[]> =>
      store
        .listTurns({ threadId, limit: 100, direction: 'asc', itemsView: 'full' })
        .then((page) => page.data.map((shown) => shown.items.map(textOf).join(' / ')));
    const query = (overrides: Partial<ThreadQuery> = {}): ThreadQuery => ({
      sortKey: 'createdAt',
      direction: 'desc',
      limit: 25,
      isArchived: false,
      ...overrides,
    });
    const listed = async (overrides: Partial<ThreadQuery> = {}): Promise<readonly ThreadId[]> =>
      (await store.listThreads(query(overrides))).data.map((thread) => thread.id);

    const fork = (
      sourceId: ThreadId,
      boundary: Parameters<ThreadStore['forkThread']>[0]['boundary'],
      mode: HistoryMode,
    ): Promise<StoredThread> => {
      const threadId = someThreadId();
      return store.forkThread({
        threadId,
        sourceId,
        boundary,
        historyMode: mode,
        cwd: '/work/project',
        createdAtMs: T0 + 5_000,
        header: async () => headerPayload(threadId, mode, { timestamp: new Date(T0 + 5_000).toISOString() }),
      });
    };

    describe('live threads', () => {
      it('STORE-1 create stores nothing until the first append, which stores header and records', async () => {
        const threadId = someThreadId();
        await create(threadId);
        expect(await subject.holdsNothingOf(threadId)).toBe(true);
        await expect(store.readThread(threadId)).rejects.toMatchObject({ code: 'notFound' });
        await turn(threadId, 'paginated', 'hello');
        expect(await historyOf(threadId)).toEqual([
          'session_meta',
          'task_started',
          'response_item',
          'item_completed',
          'item_completed',
          'response_item',
          'task_complete',
        ]);
      });

      it('STORE-2 flush of an unused thread does nothing; persist stores its header; both can be repeated', async () => {
        const threadId = someThreadId();
        await create(threadId);
        await store.flushThread(threadId, 'power');
        expect(await subject.holdsNothingOf(threadId)).toBe(true);
        await store.persistThread(threadId, 'power');
        await store.persistThread(threadId, 'process');
        await store.flushThread(threadId, 'power');
        expect(await historyOf(threadId)).toEqual(['session_meta']);
      });

      it('STORE-3 shutdown and discard of an unused thread leave nothing', async () => {
        const [one, other] = [someThreadId(), someThreadId()];
        await create(one);
        await create(other);
        await store.shutdownThread(one);
        await store.discardThread(other);
        expect(await subject.holdsNothingOf(one)).toBe(true);
        expect(await subject.holdsNothingOf(other)).toBe(true);
      });

      it('STORE-4 after shutdown or discard every write answers notFound, and the id can be used again', async () => {
        for (const end of ['shutdownThread', 'discardThread'] as const) {
          const threadId = someThreadId();
          await create(threadId);
          await store[end](threadId);
          const refusal = { code: 'notFound', message: `thread ${threadId} not found` };
          await expect(append(threadId, [event('task_started')])).rejects.toMatchObject(refusal);
          await expect(store.persistThread(threadId, 'process')).rejects.toMatchObject(refusal);
          await expect(store.flushThread(threadId, 'process')).rejects.toMatchObject(refusal);
          await expect(store.shutdownThread(threadId)).rejects.toMatchObject(refusal);
          await expect(store.discardThread(threadId)).rejects.toMatchObject(refusal);
          await create(threadId);
          await store.discardThread(threadId);
        }
      });

      it('STORE-5 an id that is live is refused to create and to resume', async () => {
        const threadId = someThreadId();
        await create(threadId);
        const refusal = { code: 'invalidRequest', message: expect.stringContaining('already has a live local writer') };
        await expect(store.resumeThread({ threadId })).rejects.toMatchObject(refusal);
        await turn(threadId, 'paginated', 'hello');
        await expect(create(threadId)).rejects.toMatchObject(refusal);
        await expect(store.resumeThread({ threadId })).rejects.toMatchObject(refusal);
      });

      it('STORE-6 create without a working directory is refused', async () => {
        const threadId = someThreadId();
        const refused = store.createThread({
          threadId,
          historyMode: 'legacy',
          cwd: '',
          createdAtMs: T0,
          header: async () => headerPayload(threadId, 'legacy'),
        });
        await expect(refused).rejects.toMatchObject({
          code: 'invalidRequest',
          message: expect.stringContaining('cwd'),
        });
      });

      it.each(BOTH_MODES)('STORE-7 resume goes on with the history as it is (%s)', async (mode) => {
        const { threadId } = await stored(mode, ['first']);
        const before = await store.readThread(threadId);
        const resumed = await store.resumeThread({ threadId });
        const { updatedAtMs } = subject.isUpdatedByResume === true ? resumed : before;
        expect(resumed).toEqual({ ...before, updatedAtMs });
        expect(await store.readThread(threadId)).toEqual({ ...before, updatedAtMs });
        await turn(threadId, mode, 'second');
        await store.shutdownThread(threadId);
        expect(await turnsOf(threadId)).toEqual(['first / re: first', 'second / re: second']);
      });

      it('STORE-8 resume of an unknown thread is notFound, and leaves no writer behind', async () => {
        const threadId = someThreadId();
        await expect(store.resumeThread({ threadId })).rejects.toMatchObject({
          code: 'notFound',
          message: `no rollout found for thread id ${threadId}`,
        });
        await expect(store.flushThread(threadId, 'process')).rejects.toMatchObject({ code: 'notFound' });
      });

      it('STORE-9 records keep the order of their appends, however many are under way', async () => {
        const threadId = someThreadId();
        await create(threadId, 'legacy');
        const texts = Array.from({ length: 200 }, (_, index) => `message ${index}`);
        await Promise.all(texts.map((message) => append(threadId, [event('agent_message', { message })])));
        const found: unknown[] = [];
        for await (const line of store.loadHistory(threadId)) {
          if (line.item.type === 'event_msg') found.push(line.item.payload['message']);
        }
        expect(found).toEqual(texts);
      });

      it('STORE-10 paginated records are numbered without gaps from 0, legacy records are not', async () => {
        for (const mode of BOTH_MODES) {
          const { threadId } = await stored(mode, ['a']);
          await store.resumeThread({ threadId });
          await turn(threadId, mode, 'b');
          const ordinals: (number | undefined)[] = [];
          for await (const line of store.loadHistory(threadId)) ordinals.push(line.ordinal);
          const expected = mode === 'paginated' ? ordinals.map((_, index) => index) : ordinals.map(() => undefined);
          expect(ordinals).toEqual(expected);
          expect(ordinals.length).toBe(13);
        }
      });

      it('STORE-11 unknown kinds and members of records come back as they were given', async () => {
        const threadId = someThreadId();
        await create(threadId, 'legacy');
        const odd = { type: 'brand_new', payload: { 'ключ\u2028': [1, null, { deep: 'ü\u0000' }], number: 1e21 } };
        await append(threadId, [odd]);
        const items: RolloutItem[] = [];
        for await (const line of store.loadHistory(threadId)) items.push(line.item);
        expect(items[1]).toEqual(odd);
      });

      it('STORE-12 what was acknowledged is there for the next process', async () => {
        if (subject.reopen === undefined) return;
        const { threadId } = await stored('paginated', ['kept']);
        await store.updateThreadMetadata(threadId, { name: 'a name', memoryMode: 'disabled' });
        const before = await store.readThread(threadId);
        store = await subject.reopen();
        expect(await store.readThread(threadId)).toEqual(before);
        expect(await turnsOf(threadId)).toEqual(['kept / re: kept']);
      });
    });

    describe('metadata', () => {
      it('META-1 is derived from what was appended', async () => {
        const { threadId } = await stored('paginated', ['  hello there  '], {
          git: { commit_hash: 'abc', branch: 'main' },
          memory_mode: 'disabled',
        });
        await store.resumeThread({ threadId });
        await append(threadId, [
          {
            type: 'turn_context',
            payload: { turn_id: 't', cwd: '/elsewhere', model: 'm-1', effort: 'high', approval_policy: 'never' },
          },
          event('token_count', { info: { total_token_usage: { total_tokens: 42 } } }),
        ]);
        expect(await store.readThread(threadId)).toMatchObject({
          id: threadId,
          preview: 'hello there',
          firstUserMessage: 'hello there',
          modelProvider: 'mock',
          model: 'm-1',
          reasoningEffort: 'high',
          cwd: '/work/project',
          source: 'vscode',
          originator: 'test',
          cliVersion: '1.2.3',
          createdAtMs: T0,
          git: { sha: 'abc', branch: 'main', originUrl: null },
          memoryMode: 'disabled',
          approvalPolicy: 'never',
          tokenUsage: { total_tokens: 42 },
          archivedAtMs: null,
          name: null,
        });
      });

      it.each(BOTH_MODES)('META-2 sets the name, the memory mode and git facts (%s)', async (mode) => {
        const { threadId } = await stored(mode, ['hello']);
        expect(await store.updateThreadMetadata(threadId, { name: 'My thread' })).toMatchObject({ name: 'My thread' });
        expect(await store.updateThreadMetadata(threadId, { memoryMode: 'disabled' })).toMatchObject({
          memoryMode: 'disabled',
          name: 'My thread',
        });
        const git = { sha: 'abc', branch: 'main', originUrl: 'https://example.test/x.git' };
        expect(await store.updateThreadMetadata(threadId, { gitInfo: git })).toMatchObject({
          git,
          memoryMode: 'disabled',
        });
        expect(await store.readThread(threadId)).toMatchObject({ name: 'My thread', memoryMode: 'disabled', git });
      });

      it('META-3 changes only the git members given; null clears; with none left there is no git info', async () => {
        const { threadId } = await stored('legacy', ['hello'], { git: { commit_hash: 'abc', branch: 'main' } });
        expect(await store.updateThreadMetadata(threadId, { gitInfo: { branch: 'dev' } })).toMatchObject({
          git: { sha: 'abc', branch: 'dev', originUrl: null },
        });
        expect(await store.updateThreadMetadata(threadId, { gitInfo: { branch: null } })).toMatchObject({
          git: { sha: 'abc', branch: null, originUrl: null },
        });
        const cleared = { sha: null, branch: null, originUrl: null };
        expect(await store.updateThreadMetadata(threadId, { gitInfo: cleared })).toMatchObject({ git: null });
      });

      it('META-4 applies several members as one', async () => {
        const { threadId } = await stored('paginated', ['hello']);
        const after = await store.updateThreadMetadata(threadId, {
          name: 'both',
          memoryMode: 'disabled',
          gitInfo: { sha: 'def' },
        });
        expect(after).toMatchObject({ name: 'both', memoryMode: 'disabled', git: { sha: 'def' } });
      });

      it('META-5 refuses a bad member and applies none', async () => {
        const { threadId } = await stored('legacy', ['hello']);
        const before = await store.readThread(threadId);
        await expect(
          store.updateThreadMetadata(threadId, { name: '  ', memoryMode: 'disabled' }),
        ).rejects.toMatchObject({ code: 'invalidRequest', message: 'thread name must not be empty' });
        await expect(
          store.updateThreadMetadata(threadId, { memoryMode: 'disabled', gitInfo: { branch: '' } }),
        ).rejects.toMatchObject({ code: 'invalidRequest', message: 'gitInfo.branch must not be empty' });
        expect(await store.readThread(threadId)).toEqual(before);
      });

      it('META-6 an empty patch is a read', async () => {
        const { threadId } = await stored('legacy', ['hello']);
        const before = await store.readThread(threadId);
        expect(await store.updateThreadMetadata(threadId, {})).toEqual(before);
        expect(await store.updateThreadMetadata(threadId, { gitInfo: {} })).toEqual(before);
        expect(await store.readThread(threadId)).toEqual(before);
      });

      it('META-7 works on live threads, and stores a lazy one first with its history mode', async () => {
        for (const mode of BOTH_MODES) {
          const threadId = someThreadId();
          await create(threadId, mode);
          expect(await store.updateThreadMetadata(threadId, { memoryMode: 'disabled' })).toMatchObject({
            memoryMode: 'disabled',
            historyMode: mode,
          });
          await turn(threadId, mode, 'hello');
          await store.updateThreadMetadata(threadId, { name: 'live', gitInfo: { sha: 'x' } });
          await turn(threadId, mode, 'again');
          await store.shutdownThread(threadId);
          expect(await store.readThread(threadId)).toMatchObject({
            name: 'live',
            memoryMode: 'disabled',
            git: { sha: 'x' },
          });
          expect(await turnsOf(threadId)).toEqual(['hello / re: hello', 'again / re: again']);
        }
      });

      it('META-8 keeps an archived thread archived', async () => {
        const { threadId } = await stored('legacy', ['hello']);
        await store.archiveThreads([threadId]);
        const after = await store.updateThreadMetadata(threadId, { name: 'x', memoryMode: 'disabled' });
        expect(after.archivedAtMs).not.toBeNull();
        expect(await listed({ isArchived: true })).toEqual([threadId]);
        expect(await listed()).toEqual([]);
      });

      it('META-9 of an unknown thread is notFound', async () => {
        await expect(store.updateThreadMetadata(someThreadId(), { name: 'x' })).rejects.toMatchObject({
          code: 'notFound',
        });
      });

      it('META-10 a name that only repeats the preview is no name', async () => {
        const { threadId } = await stored('legacy', ['hello']);
        expect(await store.updateThreadMetadata(threadId, { name: 'hello' })).toMatchObject({ name: null });
      });

      it('META-13 a long name is shown cut, between characters', async () => {
        const { threadId } = await stored('legacy', ['hello']);
        const long = `${'x'.repeat(1_999)}\u{1f9f6}${'y'.repeat(3_000_000)}`;
        expect((await store.updateThreadMetadata(threadId, { name: long })).name).toBe('x'.repeat(1_999));
        expect((await store.readThread(threadId)).name).toBe('x'.repeat(1_999));
      });

      it.each(BOTH_MODES)(
        'META-12 git facts that were cleared stay so, whatever is changed next (%s)',
        async (mode) => {
          const { threadId } = await stored(mode, ['a'], { git: { commit_hash: 'abc' } });
          expect((await store.readThread(threadId)).git).toMatchObject({ sha: 'abc' });
          await store.updateThreadMetadata(threadId, { gitInfo: { sha: null } });
          expect((await store.updateThreadMetadata(threadId, { memoryMode: 'disabled' })).git).toBeNull();
          expect((await store.updateThreadMetadata(threadId, { name: 'named' })).git).toBeNull();
        },
      );

      it('META-11 facts about other threads in a copied history are ignored', async () => {
        const other = someThreadId();
        const threadId = someThreadId();
        await create(threadId, 'legacy', { git: { branch: 'mine' } });
        await append(threadId, [
          {
            type: 'session_meta',
            payload: headerPayload(other, 'legacy', { git: { branch: 'theirs' }, memory_mode: 'disabled' }),
          },
        ]);
        await turn(threadId, 'legacy', 'hi');
        expect(await store.readThread(threadId)).toMatchObject({
          id: threadId,
          git: { branch: 'mine' },
          memoryMode: 'enabled',
        });
      });
    });

    describe('lists', () => {
      const many = async (
        count: number,
        overrides: (index: number) => JsonObject = () => ({}),
      ): Promise<readonly ThreadId[]> => {
        const ids: ThreadId[] = [];
        for (let index = 0; index < count; index += 1) {
          const { threadId } = await stored(
            index % 2 === 0 ? 'legacy' : 'paginated',
            [`thread ${index}`],
            overrides(index),
            T0 + index * 1_000,
          );
          ids.push(threadId);
        }
        return ids;
      };

      it('LIST-1 shows threads that have a preview, newest first', async () => {
        const ids = await many(3);
        const silent = someThreadId();
        await create(silent);
        await store.persistThread(silent, 'process');
        await store.shutdownThread(silent);
        expect(await listed()).toEqual(ids.toReversed());
        expect((await store.readThread(silent)).preview).toBe('');
      });

      it('LIST-2 pages reach every thread exactly once, in both directions, with equal keys too', async () => {
        const ids: ThreadId[] = [];
        for (let index = 0; index < 7; index += 1) ids.push((await stored('legacy', [`same ${index}`])).threadId);
        for (const direction of ['asc', 'desc'] as const) {
          const met: ThreadId[] = [];
          let after: ThreadQuery['after'];
          for (let page = 0; page < 10; page += 1) {
            const { data, nextCursor } = await store.listThreads(
              query({ direction, limit: 2, ...(after === undefined ? {} : { after }) }),
            );
            met.push(...data.map((thread) => thread.id));
            const last = data.at(-1);
            if (nextCursor === null || last === undefined) break;
            after = { keyMs: last.createdAtMs, id: last.id };
          }
          const expected = direction === 'asc' ? ids.toSorted() : ids.toSorted().toReversed();
          expect(met).toEqual(expected);
        }
      });

      it('LIST-3 sorts by creation, by update and by recency', async () => {
        const [first, second, third] = (await many(3)) as [ThreadId, ThreadId, ThreadId];
        await store.resumeThread({ threadId: first });
        const lastUpdate = (await store.readThread(third)).updatedAtMs;
        do {
          await append(first, [event('task_started', { turn_id: newUuid() })], T0 + 50_000);
        } while ((await store.readThread(first)).updatedAtMs <= lastUpdate);
        await store.shutdownThread(first);
        expect(await listed({ sortKey: 'createdAt' })).toEqual([third, second, first]);
        expect((await listed({ sortKey: 'updatedAt' }))[0]).toBe(first);
        expect((await listed({ sortKey: 'recencyAt' }))[0]).toBe(first);
        expect((await listed({ sortKey: 'recencyAt', direction: 'asc' })).at(-1)).toBe(first);
      });

      it('LIST-4 a backwards cursor re-reads the page from the other side, first element included', async () => {
        const ids = await many(4);
        const page = await store.listThreads(query({ limit: 2 }));
        const [keyText = ''] = (page.backwardsCursor ?? '').split('|');
        const back = await listed({ direction: 'asc', after: { keyMs: Date.parse(keyText), id: null } });
        expect(back).toEqual([ids[3]]);
      });

      it('LIST-5 filters by provider; a thread without one counts as the default', async () => {
        const { threadId: plain } = await stored('legacy', ['a'], { model_provider: null });
        const { threadId: other } = await stored('legacy', ['b'], { model_provider: 'other' });
        expect(await listed({ modelProviders: ['default-provider'] })).toEqual([plain]);
        expect(await listed({ modelProviders: ['other'] })).toEqual([other]);
        expect((await listed({ modelProviders: ['other', 'default-provider'] })).length).toBe(2);
        expect(await listed({ modelProviders: ['none'] })).toEqual([]);
      });

      it('LIST-6 filters by origin', async () => {
        const { threadId: cli } = await stored('legacy', ['a'], { source: 'cli' });
        const { threadId: exec } = await stored('legacy', ['b'], { source: 'exec' });
        const { threadId: agent } = await stored('legacy', ['c'], { source: { subagent: 'review' } });
        expect(await listed({ sourceKinds: ['cli'] })).toEqual([cli]);
        expect(await listed({ sourceKinds: ['exec'] })).toEqual([exec]);
        expect(await listed({ sourceKinds: ['subAgent'] })).toEqual([agent]);
        expect(await listed({ sourceKinds: ['subAgentReview'] })).toEqual([agent]);
        expect(await listed({ sourceKinds: ['subAgentCompact'] })).toEqual([]);
      });

      it('LIST-7 filters by working directory; an empty list matches nothing', async () => {
        const { threadId: here } = await stored('legacy', ['a'], { cwd: '/here' });
        await stored('legacy', ['b'], { cwd: '/here/below' });
        expect(await listed({ cwds: ['/here'] })).toEqual([here]);
        expect(await listed({ cwds: ['/here/'] })).toEqual([here]);
        expect((await listed({ cwds: ['/here', '/here/below'] })).length).toBe(2);
        expect(await listed({ cwds: [] })).toEqual([]);
      });

      it('LIST-8 finds threads by their title, whatever the case', async () => {
        const { threadId: named } = await stored('legacy', ['something']);
        await store.updateThreadMetadata(named, { name: 'Größe Plan' });
        const { threadId: plain } = await stored('legacy', ['the plan is to test']);
        expect((await listed({ titleContains: 'PLAN' })).toSorted()).toEqual([named, plain].toSorted());
        expect(await listed({ titleContains: 'GRÖSSE'.replace('SS', 'ß') })).toEqual([named]);
        expect(await listed({ titleContains: 'something' })).toEqual([]);
      });

      it('LIST-9 excludes ids, and finds children and descendants', async () => {
        const { threadId: root } = await stored('legacy', ['root']);
        const { threadId: child } = await stored('legacy', ['child'], { parent_thread_id: root }, T0 + 1_000);
        const { threadId: grandchild } = await stored(
          'legacy',
          ['grandchild'],
          { parent_thread_id: child },
          T0 + 2_000,
        );
        expect(await listed({ excludedIds: [root, child] })).toEqual([grandchild]);
        expect(await listed({ parentId: root })).toEqual([child]);
        expect(await listed({ ancestorId: root })).toEqual([grandchild, child]);
        expect(await store.descendantsOf(root)).toEqual([child, grandchild]);
      });

      it('LIST-10 searches what was said', async () => {
        const { threadId: one } = await stored('legacy', ['alpha Beta gamma']);
        const { threadId: two } = await stored('paginated', ['delta', 'epsilon beta']);
        await stored('paginated', ['zeta']);
        const found = await store.searchThreads({ query: query(), term: 'BETA' });
        expect(found.data.map((hit) => hit.thread.id).toSorted()).toEqual([one, two].toSorted());
        for (const hit of found.data) expect(hit.snippet.toLowerCase()).toContain('beta');
        expect((await store.searchThreads({ query: query(), term: 'no such words' })).data).toEqual([]);
        const limited = await store.searchThreads({ query: query({ limit: 1 }), term: 'beta' });
        expect(limited.data.length).toBe(1);
        expect(limited.nextCursor).not.toBeNull();
      });
    });

    describe('history', () => {
      it.each(BOTH_MODES)('HIST-1 turns page both ways without gap or double (%s)', async (mode) => {
        const texts = Array.from({ length: 7 }, (_, index) => `m${index}`);
        const { threadId, turnIds } = await stored(mode, texts);
        for (const direction of ['asc', 'desc'] as const) {
          const met: string[] = [];
          let cursor: string | undefined;
          for (let page = 0; page < 10; page += 1) {
            const result = await store.listTurns({
              threadId,
              limit: 3,
              direction,
              itemsView: 'notLoaded',
              ...(cursor === undefined ? {} : { cursor }),
            });
            met.push(...result.data.map((shown) => shown.id));
            if (result.nextCursor === null) break;
            cursor = result.nextCursor;
          }
          expect(met).toEqual(direction === 'asc' ? turnIds : turnIds.toReversed());
        }
      });

      it.each(BOTH_MODES)('HIST-2 item views: none, first user and last agent message, all (%s)', async (mode) => {
        const threadId = someThreadId();
        await create(threadId, mode);
        const { items, turnId } = turnItems(mode, threadId, 'question', 'final');
        const commentary =
          mode === 'legacy'
            ? event('agent_message', { message: 'thinking aloud', phase: 'commentary' })
            : event('item_completed', {
                thread_id: threadId,
                turn_id: turnId,
                item: {
                  type: 'AgentMessage',
                  id: newUuid(),
                  phase: 'commentary',
                  content: [{ type: 'Text', text: 'thinking aloud' }],
                },
              });
        await append(threadId, [...items.slice(0, 3), commentary, ...items.slice(3)]);
        const texts = async (itemsView: 'notLoaded' | 'summary' | 'full'): Promise<readonly string[]> => {
          const { data } = await store.listTurns({ threadId, limit: 1, direction: 'desc', itemsView });
          expect(data[0]?.itemsView).toBe(itemsView);
          return data[0]?.items.map(textOf) ?? [];
        };
        expect(await texts('notLoaded')).toEqual([]);
        expect(await texts('summary')).toEqual(['question', 'final']);
        expect(await texts('full')).toEqual(['question', 'thinking aloud', 'final']);
      });

      it.each(BOTH_MODES)('HIST-3 a turn carries its status, times and error (%s)', async (mode) => {
        const threadId = someThreadId();
        await create(threadId, mode);
        await turn(threadId, mode, 'fine');
        await append(threadId, [
          event('task_started', { turn_id: 'failing', root_turn_id: 'failing', started_at: 10 }),
          event('task_complete', {
            turn_id: 'failing',
            error: { message: 'boom' },
            completed_at: 12,
            duration_ms: 2_000,
          }),
          event('task_started', { turn_id: 'stopped', started_at: 20 }),
          event('turn_aborted', { turn_id: 'stopped', reason: 'interrupted', completed_at: 21, duration_ms: 900 }),
          event('task_started', { turn_id: 'open', started_at: 30 }),
        ]);
        const { data } = await store.listTurns({ threadId, limit: 10, direction: 'asc', itemsView: 'notLoaded' });
        expect(data.map((shown) => shown.status)).toEqual(['completed', 'failed', 'interrupted', 'inProgress']);
        expect(data[1]).toMatchObject({
          id: 'failing',
          rootTurnId: 'failing',
          error: { message: 'boom' },
          startedAt: 10,
          completedAt: 12,
          durationMs: 2_000,
        });
        expect(data[3]).toMatchObject({ id: 'open', completedAt: null, durationMs: null });
      });

      it.each(BOTH_MODES)(
        'HIST-4 items page through the thread and within a turn, from an anchor too (%s)',
        async (mode) => {
          const { threadId, turnIds } = await stored(mode, ['a', 'b', 'c']);
          const page = (
            overrides: Partial<Parameters<ThreadStore['listItems']>[0]>,
          ): ReturnType<ThreadStore['listItems']> =>
            store.listItems({ threadId, limit: 4, direction: 'asc', ...overrides });
          const first = await page({});
          expect(first.data.map((entry) => textOf(entry.item))).toEqual(['a', 're: a', 'b', 're: b']);
          expect(first.data[0]?.turnId).toBe(turnIds[0]);
          const rest = await page({ cursor: first.nextCursor ?? '' });
          expect(rest.data.map((entry) => textOf(entry.item))).toEqual(['c', 're: c']);
          expect(rest.nextCursor).toBeNull();
          const back = await page({ cursor: rest.backwardsCursor ?? '', direction: 'desc', limit: 2 });
          expect(back.data.map((entry) => textOf(entry.item))).toEqual(['c', 're: b']);
          const [, second = ''] = turnIds;
          const ofTurn = await page({ turnId: second });
          expect(ofTurn.data.map((entry) => textOf(entry.item))).toEqual(['b', 're: b']);
          const behind = await page({ turnId: second, anchorItemId: ofTurn.data[0]?.item.id ?? '' });
          expect(behind.data.map((entry) => textOf(entry.item))).toEqual(['re: b']);
          expect((await page({ turnId: 'nope' })).data).toEqual([]);
          await expect(page({ turnId: second, anchorItemId: 'nope' })).rejects.toMatchObject({
            code: 'invalidRequest',
          });
          await expect(page({ anchorItemId: 'nope' })).rejects.toMatchObject({ code: 'invalidRequest' });
        },
      );

      it('HIST-5 refuses cursors that are garbage, of another thread, or of another kind of list', async () => {
        const { threadId } = await stored('paginated', ['a', 'b']);
        const { threadId: other } = await stored('paginated', ['a', 'b']);
        const turns = (id: ThreadId, cursor: string): Promise<unknown> =>
          store.listTurns({ threadId: id, limit: 1, direction: 'asc', itemsView: 'notLoaded', cursor });
        const { nextCursor } = await store.listTurns({ threadId, limit: 1, direction: 'asc', itemsView: 'notLoaded' });
        const refusal = { code: 'invalidRequest', message: expect.stringContaining('invalid cursor: ') };
        for (const bad of ['zzz', '', '{}', 'null', '[]', '{"rolloutOrdinal":1}']) {
          await expect(turns(threadId, bad)).rejects.toMatchObject(refusal);
        }
        await expect(turns(other, nextCursor ?? '')).rejects.toMatchObject(refusal);
        await expect(
          store.listItems({ threadId, limit: 1, direction: 'asc', cursor: nextCursor ?? '' }),
        ).rejects.toMatchObject(refusal);
      });

      it('HIST-6 a later record of an item replaces it and keeps its place', async () => {
        const threadId = someThreadId();
        await create(threadId);
        const completed = (id: string, text: string): RolloutItem =>
          event('item_completed', {
            turn_id: 't1',
            item: { type: 'AgentMessage', id, content: [{ type: 'Text', text }] },
          });
        await append(threadId, [
          event('task_started', { turn_id: 't1' }),
          completed('a', 'one'),
          completed('b', 'two'),
          completed('a', 'one again'),
        ]);
        expect(await turnsOf(threadId)).toEqual(['one again / two']);
      });

      it('HIST-7 a turn that has ended stays as it ended', async () => {
        const threadId = someThreadId();
        await create(threadId);
        await append(threadId, [
          event('task_started', { turn_id: 't1' }),
          event('task_complete', { turn_id: 't1', completed_at: 5 }),
          event('turn_aborted', { turn_id: 't1', completed_at: 9 }),
        ]);
        const { data } = await store.listTurns({ threadId, limit: 5, direction: 'asc', itemsView: 'full' });
        expect(data).toMatchObject([{ status: 'completed', completedAt: 5 }]);
      });

      it('HIST-8 legacy history without markers makes implicit turns; reasoning parts make one item; rollbacks remove turns', async () => {
        const threadId = someThreadId();
        await create(threadId, 'legacy');
        await append(threadId, [
          event('user_message', { message: 'one' }),
          event('agent_reasoning', { text: 'hm' }),
          event('agent_reasoning', { text: 'aha' }),
          event('agent_reasoning_raw_content', { text: 'raw' }),
          event('agent_message', { message: 'first' }),
          event('user_message', { message: 'two' }),
          event('agent_message', { message: 'second' }),
          event('user_message', { message: 'three' }),
        ]);
        const before = await store.listTurns({ threadId, limit: 5, direction: 'asc', itemsView: 'full' });
        expect(before.data.map((shown) => [shown.id, shown.status])).toEqual([
          ['rollout-1', 'completed'],
          ['rollout-6', 'completed'],
          ['rollout-8', 'completed'],
        ]);
        expect(before.data[0]?.items.map((item) => item.id)).toEqual(['item-1', 'item-2', 'item-3']);
        expect(before.data[0]?.items[1]).toMatchObject({ type: 'reasoning', summary: ['hm', 'aha'], content: ['raw'] });
        await append(threadId, [
          event('thread_rolled_back', { num_turns: 2 }),
          event('user_message', { message: 'four' }),
        ]);
        expect(await turnsOf(threadId)).toEqual(['one /  / first', 'four']);
      });

      it('HIST-9 of an unknown thread is notFound', async () => {
        const threadId = someThreadId();
        await expect(
          store.listTurns({ threadId, limit: 1, direction: 'asc', itemsView: 'full' }),
        ).rejects.toMatchObject({ code: 'notFound' });
        await expect(store.listItems({ threadId, limit: 1, direction: 'asc' })).rejects.toMatchObject({
          code: 'notFound',
        });
        await expect(historyOf(threadId)).rejects.toMatchObject({ code: 'notFound' });
      });
    });

    describe('forks', () => {
      it.each(BOTH_MODES)('FORK-1 begins with its source and goes its own way (%s)', async (mode) => {
        const { threadId: source } = await stored(mode, ['a', 'b']);
        await store.updateThreadMetadata(source, { name: 'the source' });
        const child = await fork(source, { kind: 'latest' }, mode);
        expect(child).toMatchObject({ forkedFromId: source, historyMode: mode, preview: 'a', name: 'the source' });
        await turn(child.id, mode, 'c');
        await store.shutdownThread(child.id);
        await store.resumeThread({ threadId: source });
        await turn(source, mode, 'd');
        expect(await turnsOf(child.id)).toEqual(['a / re: a', 'b / re: b', 'c / re: c']);
        expect(await turnsOf(source)).toEqual(['a / re: a', 'b / re: b', 'd / re: d']);
        expect((await listed()).toSorted()).toEqual([source, child.id].toSorted());
      });

      it.each(BOTH_MODES)('FORK-2 keeps through a turn, or before one (%s)', async (mode) => {
        const { threadId: source, turnIds } = await stored(mode, ['a', 'b', 'c']);
        const [first = '', second = ''] = turnIds;
        expect(await turnsOf((await fork(source, { kind: 'throughTurn', turnId: second }, mode)).id)).toEqual([
          'a / re: a',
          'b / re: b',
        ]);
        expect(await turnsOf((await fork(source, { kind: 'beforeTurn', turnId: second }, mode)).id)).toEqual([
          'a / re: a',
        ]);
        const empty = await fork(source, { kind: 'beforeTurn', turnId: first }, mode);
        expect(await turnsOf(empty.id)).toEqual([]);
        expect(empty.preview).toBe('');
        await expect(fork(source, { kind: 'throughTurn', turnId: 'nope' }, mode)).rejects.toMatchObject({
          code: 'invalidRequest',
          message: 'turn not found: nope',
        });
      });

      it.each(BOTH_MODES)(
        'FORK-3 keeps strictly before the n-th user message; past the last it keeps all (%s)',
        async (mode) => {
          const { threadId: source } = await stored(mode, ['a', 'b', 'c']);
          const cut = async (index: number): Promise<readonly string[]> =>
            turnsOf((await fork(source, { kind: 'beforeUserMessage', index }, mode)).id);
          expect(await cut(0)).toEqual([]);
          expect(await cut(2)).toEqual(['a / re: a', 'b / re: b']);
          expect(await cut(3)).toEqual(['a / re: a', 'b / re: b', 'c / re: c']);
          expect(await cut(Number.MAX_SAFE_INTEGER)).toEqual(['a / re: a', 'b / re: b', 'c / re: c']);
        },
      );

      it.each(BOTH_MODES)('FORK-4 past the last message a turn that goes on is left out (%s)', async (mode) => {
        const { threadId: source } = await stored(mode, ['a']);
        await store.resumeThread({ threadId: source });
        await append(source, turnItems(mode, source, 'b', 'unfinished').items.slice(0, 4));
        const child = await fork(source, { kind: 'beforeUserMessage', index: 99 }, mode);
        expect(await turnsOf(child.id)).toEqual(['a / re: a']);
        const latest = await fork(source, { kind: 'latest' }, mode);
        expect(await turnsOf(latest.id)).toEqual(['a / re: a', 'b / unfinished']);
      });

      it.each(BOTH_MODES)('FORK-5 of a fork (%s)', async (mode) => {
        const { threadId: source, turnIds } = await stored(mode, ['a', 'b']);
        const child = await fork(source, { kind: 'latest' }, mode);
        await turn(child.id, mode, 'c');
        const grandchild = await fork(child.id, { kind: 'latest' }, mode);
        await turn(grandchild.id, mode, 'd');
        expect(await turnsOf(grandchild.id)).toEqual(['a / re: a', 'b / re: b', 'c / re: c', 'd / re: d']);
        const early = await fork(grandchild.id, { kind: 'throughTurn', turnId: turnIds[0] ?? '' }, mode);
        expect(await turnsOf(early.id)).toEqual(['a / re: a']);
      });

      it('FORK-11 a turn that its source had not ended is interrupted in a paginated fork, and stays so', async () => {
        const { threadId: source } = await stored('paginated', ['a']);
        await store.resumeThread({ threadId: source });
        const { turnId, items } = turnItems('paginated', source, 'b', 'ended later');
        await append(source, items.slice(0, 3));
        const child = await fork(source, { kind: 'latest' }, 'paginated');
        const statusIn = async (threadId: ThreadId): Promise<unknown> => {
          const page = { limit: 9, direction: 'asc', itemsView: 'notLoaded' } as const;
          return (await store.listTurns({ threadId, ...page })).data.find(({ id }) => id === turnId)?.status;
        };
        expect([await statusIn(source), await statusIn(child.id)]).toEqual(['inProgress', 'interrupted']);
        await append(source, items.slice(3));
        await append(child.id, items.slice(-1));
        expect([await statusIn(source), await statusIn(child.id)]).toEqual(['completed', 'interrupted']);
        const grandchild = await fork(child.id, { kind: 'latest' }, 'paginated');
        expect(await statusIn(grandchild.id)).toBe('interrupted');
      });

      it('FORK-6 of a lazy source stores it first; of an unknown one is notFound', async () => {
        const source = someThreadId();
        await create(source);
        const child = await fork(source, { kind: 'latest' }, 'paginated');
        expect(child).toMatchObject({ forkedFromId: source });
        expect(await turnsOf(child.id)).toEqual([]);
        await turn(child.id, 'paginated', 'own words');
        expect(await store.readThread(child.id)).toMatchObject({ preview: 'own words' });
        const missing = someThreadId();
        await expect(fork(missing, { kind: 'latest' }, 'paginated')).rejects.toMatchObject({ code: 'notFound' });
      });

      it('FORK-8 that fails leaves no thread, no writer and no name', async () => {
        const { threadId: source } = await stored('paginated', ['a']);
        await store.updateThreadMetadata(source, { name: 'the source' });
        const threadId = someThreadId();
        const params = {
          threadId,
          sourceId: source,
          boundary: { kind: 'latest' },
          historyMode: 'paginated',
          cwd: '/work/project',
          createdAtMs: T0,
        } as const;
        const failing = store.forkThread({ ...params, header: () => Promise.reject(new Error('no header')) });
        await expect(failing).rejects.toThrow('no header');
        await expect(store.readThread(threadId)).rejects.toMatchObject({ code: 'notFound' });
        expect(await listed()).toEqual([source]);
        await create(threadId);
        await turn(threadId, 'paginated', 'of its own');
        expect(await store.readThread(threadId)).toMatchObject({ name: null, preview: 'of its own' });
      });

      it('STORE-14 a write under way when its thread is discarded stores nothing afterwards', async () => {
        const threadId = someThreadId();
        let goOn = (_header: JsonObject): void => {};
        await store.createThread({
          threadId,
          historyMode: 'paginated',
          cwd: '/work/project',
          createdAtMs: T0,
          header: () =>
            new Promise((resolve) => {
              goOn = resolve;
            }),
        });
        const writing = append(threadId, [event('task_started')]).then(
          () => 'stored',
          () => 'refused',
        );
        await new Promise((resolve) => setImmediate(resolve));
        const discarding = store.discardThread(threadId);
        goOn(headerPayload(threadId, 'paginated'));
        await discarding;
        expect(await writing).toBe('refused');
        expect(await subject.holdsNothingOf(threadId)).toBe(true);
        await create(threadId);
      });

      it.each(BOTH_MODES)('FORK-7 works with an archived source, and pages cross the border (%s)', async (mode) => {
        const { threadId: source } = await stored(mode, ['a', 'b']);
        const child = await fork(source, { kind: 'latest' }, mode);
        await turn(child.id, mode, 'c');
        await store.archiveThreads([source]);
        expect(await turnsOf(child.id)).toEqual(['a / re: a', 'b / re: b', 'c / re: c']);
        const met: string[] = [];
        let cursor: string | undefined;
        for (let page = 0; page < 5; page += 1) {
          const result = await store.listTurns({
            threadId: child.id,
            limit: 1,
            direction: 'desc',
            itemsView: 'full',
            ...(cursor === undefined ? {} : { cursor }),
          });
          met.push(...result.data.map((shown) => shown.items.map(textOf)[0] ?? ''));
          if (result.nextCursor === null) break;
          cursor = result.nextCursor;
        }
        expect(met).toEqual(['c', 'b', 'a']);
      });
    });

    it.each(BOTH_MODES)('FORK-9 is as recent as it is young, whenever its source last spoke (%s)', async (mode) => {
      const { threadId: source } = await stored(mode, ['a']);
      const child = await fork(source, { kind: 'latest' }, mode);
      expect(child).toMatchObject({ createdAtMs: T0 + 5_000, recencyAtMs: T0 + 5_000 });
    });

    it.each(BOTH_MODES)('FORK-10 begins with what stands before the first turn, too (%s)', async (mode) => {
      const source = someThreadId();
      await create(source, mode);
      await append(source, [{ type: 'response_item', payload: { type: 'message', role: 'user', content: [] } }]);
      const ownWords = async (threadId: ThreadId): Promise<readonly string[]> =>
        (await historyOf(threadId)).filter((type) => type !== 'session_meta');
      expect(await ownWords((await fork(source, { kind: 'latest' }, mode)).id)).toEqual(['response_item']);
      const turnId = await turn(source, mode, 'a');
      expect(await ownWords((await fork(source, { kind: 'beforeTurn', turnId }, mode)).id)).toEqual(['response_item']);
    });

    describe('reverts', () => {
      it('REV-1 hides a turn and all later ones, again and again, and keeps the id', async () => {
        const { threadId, turnIds } = await stored('paginated', ['a', 'b', 'c']);
        const [, second = '', third = ''] = turnIds;
        expect(await store.revertThread(threadId, third)).toMatchObject({ id: threadId, preview: 'a' });
        expect(await turnsOf(threadId)).toEqual(['a / re: a', 'b / re: b']);
        await store.resumeThread({ threadId });
        const fourth = await turn(threadId, 'paginated', 'd');
        await store.shutdownThread(threadId);
        expect(await turnsOf(threadId)).toEqual(['a / re: a', 'b / re: b', 'd / re: d']);
        await store.revertThread(threadId, fourth);
        await store.revertThread(threadId, second);
        expect(await turnsOf(threadId)).toEqual(['a / re: a']);
        expect(await listed()).toEqual([threadId]);
        await expect(store.revertThread(threadId, third)).rejects.toMatchObject({
          message: `turn not found: ${third}`,
        });
      });

      it('REV-2 keeps metadata, and survives archive and unarchive', async () => {
        const { threadId, turnIds } = await stored('paginated', ['a', 'b']);
        await store.updateThreadMetadata(threadId, { name: 'kept', memoryMode: 'disabled', gitInfo: { sha: 's' } });
        await store.revertThread(threadId, turnIds[1] ?? '');
        const expected = { name: 'kept', memoryMode: 'disabled', git: { sha: 's' }, createdAtMs: T0 };
        expect(await store.readThread(threadId)).toMatchObject(expected);
        await store.archiveThreads([threadId]);
        expect(await turnsOf(threadId)).toEqual(['a / re: a']);
        await store.unarchiveThread(threadId);
        expect(await store.readThread(threadId)).toMatchObject(expected);
        expect(await turnsOf(threadId)).toEqual(['a / re: a']);
      });

      it('REV-6 keeps its preview with all turns taken back, and so its place in lists', async () => {
        const { threadId, turnIds } = await stored('paginated', ['a', 'b']);
        expect(await store.revertThread(threadId, turnIds[0] ?? '')).toMatchObject({ preview: 'a' });
        expect(await listed()).toEqual([threadId]);
        expect(await turnsOf(threadId)).toEqual([]);
      });

      it('REV-6 of a fork, too, that is taken back to what it began with, with all that is set for it', async () => {
        const source = await stored('paginated', ['a', 'b']);
        await store.updateThreadMetadata(source.threadId, { gitInfo: { sha: 'of the source' } });
        const { id } = await fork(source.threadId, { kind: 'latest' }, 'paginated');
        await store.updateThreadMetadata(id, { name: 'the fork', memoryMode: 'disabled', gitInfo: { sha: 'its own' } });
        await store.shutdownThread(id);
        const expected = { preview: 'a', name: 'the fork', memoryMode: 'disabled', git: { sha: 'its own' } };
        for (const turnId of source.turnIds.toReversed()) {
          expect(await store.revertThread(id, turnId)).toMatchObject(expected);
          expect((await listed()).toSorted()).toEqual([source.threadId, id].toSorted());
        }
        expect(await turnsOf(id)).toEqual([]);
        const again = await fork(id, { kind: 'latest' }, 'paginated');
        expect(await store.readThread(again.id)).toMatchObject({ preview: 'a' });
      });

      it('REV-8 keeps its recency: nothing moves in the list of recent threads', async () => {
        const { threadId } = await stored('paginated', ['a']);
        await store.resumeThread({ threadId });
        await append(threadId, [event('task_started', { turn_id: 'later' })], T0 + 50_000);
        await store.shutdownThread(threadId);
        expect(await store.revertThread(threadId, 'later')).toMatchObject({ recencyAtMs: T0 + 50_000 });
        expect(await store.readThread(threadId)).toMatchObject({ recencyAtMs: T0 + 50_000 });
      });

      it('REV-4 keeps an archived thread archived, and git facts that were cleared cleared', async () => {
        const { threadId, turnIds } = await stored('paginated', ['a', 'b'], { git: { commit_hash: 'abc' } });
        await store.updateThreadMetadata(threadId, { gitInfo: { sha: null } });
        await store.archiveThreads([threadId]);
        const reverted = await store.revertThread(threadId, turnIds[1] ?? '');
        expect(reverted).toMatchObject({ git: null, archivedAtMs: expect.any(Number) });
        expect(await listed()).toEqual([]);
        expect(await listed({ isArchived: true })).toEqual([threadId]);
        await store.unarchiveThread(threadId);
        expect(await turnsOf(threadId)).toEqual(['a / re: a']);
      });

      it.each([false, true])(
        'REV-5 of a fork, of its own turns and of those it began with (source archived: %s)',
        async (isArchived) => {
          const source = await stored('paginated', ['a', 'b', 'c']);
          if (isArchived) await store.archiveThreads([source.threadId]);
          const child = await fork(source.threadId, { kind: 'latest' }, 'paginated');
          const own = await turn(child.id, 'paginated', 'd');
          await turn(child.id, 'paginated', 'e');
          await store.shutdownThread(child.id);
          await store.revertThread(child.id, own);
          expect(await turnsOf(child.id)).toEqual(['a / re: a', 'b / re: b', 'c / re: c']);
          await store.revertThread(child.id, source.turnIds[1] ?? '');
          expect(await turnsOf(child.id)).toEqual(['a / re: a']);
          const grandchild = await fork(child.id, { kind: 'latest' }, 'paginated');
          await turn(grandchild.id, 'paginated', 'f');
          expect(await turnsOf(grandchild.id)).toEqual(['a / re: a', 'f / re: f']);
          expect(await turnsOf(source.threadId)).toEqual(['a / re: a', 'b / re: b', 'c / re: c']);
        },
      );

      it('REV-7 records that come with it stand behind the cut, once', async () => {
        const { threadId, turnIds } = await stored('paginated', ['a', 'b']);
        const inTurn = turnItems('paginated', threadId, 'c', 're: c').items.map((item) => record(item));
        await store.revertThread(threadId, turnIds[1] ?? '', inTurn);
        expect(await turnsOf(threadId)).toEqual(['a / re: a', 'c / re: c']);
        await store.resumeThread({ threadId });
        await turn(threadId, 'paginated', 'd');
        expect(await turnsOf(threadId)).toEqual(['a / re: a', 'c / re: c', 'd / re: d']);
        const ordinals: unknown[] = [];
        for await (const { ordinal } of store.loadHistory(threadId)) ordinals.push(ordinal);
        expect(new Set(ordinals).size).toBe(ordinals.length);
      });

      it('REV-3 is refused for legacy history, an unknown turn, a live or an unknown thread', async () => {
        const { threadId: legacy, turnIds } = await stored('legacy', ['a']);
        await expect(store.revertThread(legacy, turnIds[0] ?? '')).rejects.toMatchObject({
          code: 'invalidRequest',
          message: 'thread/revert only supports paginated threads',
        });
        const { threadId } = await stored('paginated', ['a']);
        await expect(store.revertThread(threadId, 'x')).rejects.toMatchObject({
          code: 'invalidRequest',
          message: 'turn not found: x',
        });
        await store.resumeThread({ threadId });
        await expect(store.revertThread(threadId, 'x')).rejects.toMatchObject({ code: 'conflict' });
        await expect(store.revertThread(someThreadId(), 'x')).rejects.toMatchObject({ code: 'notFound' });
      });
    });

    describe('archive and delete', () => {
      it.each(BOTH_MODES)('ARCH-1 archive hides, unarchive shows again and counts as an update (%s)', async (mode) => {
        const { threadId } = await stored(mode, ['a']);
        const before = await store.readThread(threadId);
        expect(await store.archiveThreads([threadId])).toEqual([threadId]);
        expect(await listed()).toEqual([]);
        expect(await listed({ isArchived: true })).toEqual([threadId]);
        await expect(store.readThread(threadId)).rejects.toMatchObject({ code: 'notFound' });
        const archived = await store.readThread(threadId, { includeArchived: true });
        expect(archived).toMatchObject({ preview: 'a', archivedAtMs: archived.updatedAtMs });
        expect(await turnsOf(threadId)).toEqual(['a / re: a']);
        const back = await store.unarchiveThread(threadId);
        expect(back.archivedAtMs).toBeNull();
        expect(back.updatedAtMs).toBeGreaterThanOrEqual(before.updatedAtMs);
        expect(await listed()).toEqual([threadId]);
      });

      it('ARCH-2 refuses what is unknown, archived twice or not archived', async () => {
        const { threadId } = await stored('legacy', ['a']);
        const unknown = someThreadId();
        await expect(store.archiveThreads([unknown])).rejects.toMatchObject({
          code: 'notFound',
          message: `no rollout found for thread id ${unknown}`,
        });
        await expect(store.unarchiveThread(threadId)).rejects.toMatchObject({
          code: 'notFound',
          message: `no archived rollout found for thread id ${threadId}`,
        });
        await store.archiveThreads([threadId]);
        await expect(store.archiveThreads([threadId])).rejects.toMatchObject({ code: 'notFound' });
      });

      it('ARCH-3 refuses live threads before anything moves, and names the holder', async () => {
        const { threadId: first } = await stored('legacy', ['a']);
        const { threadId: live } = await stored('legacy', ['b']);
        await store.resumeThread({ threadId: live });
        await expect(store.archiveThreads([first, live])).rejects.toMatchObject({
          code: 'conflict',
          detail: { holder: expect.any(String) },
        });
        expect((await listed()).toSorted()).toEqual([first, live].toSorted());
      });

      it('ARCH-6 unarchive refuses a live thread, archived or not', async () => {
        const { threadId } = await stored('legacy', ['a']);
        await store.archiveThreads([threadId]);
        await store.resumeThread({ threadId, includeArchived: true });
        await expect(store.unarchiveThread(threadId)).rejects.toMatchObject({ code: 'conflict' });
        await store.shutdownThread(threadId);
        await store.unarchiveThread(threadId);
        await store.resumeThread({ threadId });
        await expect(store.unarchiveThread(threadId)).rejects.toMatchObject({ code: 'conflict' });
      });

      it('ARCH-4 of several, the first must succeed and the others are tried', async () => {
        const { threadId: first } = await stored('legacy', ['a']);
        const { threadId: second } = await stored('legacy', ['b']);
        expect(await store.archiveThreads([first, someThreadId(), second])).toEqual([first, second]);
      });

      it('ARCH-5 threads that are named twice are archived once, and removed once', async () => {
        const { threadId: first } = await stored('legacy', ['a']);
        const { threadId: second } = await stored('legacy', ['b']);
        expect(await store.archiveThreads([first, second, first, second])).toEqual([first, second]);
        expect(await store.deleteThreads([first, second, first, second])).toEqual([first, second]);
        expect(await listed({ isArchived: true })).toEqual([]);
      });

      it('DEL-1 removes a thread for good, archived or not', async () => {
        for (const isArchived of [false, true]) {
          const { threadId } = await stored('paginated', ['a']);
          await store.updateThreadMetadata(threadId, { name: 'gone soon' });
          if (isArchived) await store.archiveThreads([threadId]);
          expect(await store.deleteThreads([threadId])).toEqual([threadId]);
          expect(await subject.holdsNothingOf(threadId)).toBe(true);
          await expect(store.readThread(threadId, { includeArchived: true })).rejects.toMatchObject({
            code: 'notFound',
          });
          expect(await listed()).toEqual([]);
        }
      });

      it('DEL-2 refuses an unknown thread; a missing one beside the first is fine', async () => {
        const { threadId } = await stored('legacy', ['a']);
        await expect(store.deleteThreads([someThreadId()])).rejects.toMatchObject({ code: 'notFound' });
        expect(await store.deleteThreads([threadId, someThreadId()])).toEqual([threadId]);
      });

      it('DEL-12 an unknown first one keeps the others', async () => {
        const { threadId } = await stored('legacy', ['a']);
        await expect(store.deleteThreads([someThreadId(), threadId])).rejects.toMatchObject({ code: 'notFound' });
        expect(await listed()).toEqual([threadId]);
      });

      it('DEL-3 refuses live threads, and removes nothing then', async () => {
        const { threadId: first } = await stored('legacy', ['a']);
        const { threadId: live } = await stored('legacy', ['b']);
        await store.resumeThread({ threadId: live });
        await expect(store.deleteThreads([first, live])).rejects.toMatchObject({ code: 'conflict' });
        expect((await listed()).length).toBe(2);
      });
    });

    it('STORE-15 an audit finds nothing wrong with what was done to it', async () => {
      const [first, second, third] = [
        await stored('legacy', ['a']),
        await stored('paginated', ['b', 'c']),
        await stored('legacy', ['d']),
      ];
      await store.updateThreadMetadata(first.threadId, { name: 'named' });
      await store.archiveThreads([first.threadId]);
      await store.deleteThreads([third.threadId]);
      await store.resumeThread({ threadId: second.threadId });
      const { findings, ...counts } = await store.audit();
      expect(findings).toEqual([]);
      expect(counts).toEqual({
        histories: 2,
        threads: 2,
        pending: 0,
        missing: 0,
        stale: 0,
        duplicate: 0,
        unreadable: 0,
      });
    });

    it('STORE-13 says what it is, as JSON', async () => {
      await create(someThreadId());
      const inspection = await store.inspect();
      expect(JSON.parse(JSON.stringify(inspection))).toMatchObject({ kind: expect.any(String) });
    });
  });
}

/** The words of an item, for comparison. */
function textOf(item: JsonObject): string {
  if (typeof item['text'] === 'string') return item['text'];
  const content = item['content'];
  if (!Array.isArray(content)) return '';
  return content
    .map((part) => (typeof part === 'object' && part !== null && 'text' in part ? String(part.text) : ''))
    .join('');
}
