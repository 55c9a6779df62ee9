import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { JsonObject } from '../../src/domain/json.ts';
import type { RolloutItem } from '../../src/domain/rollout-line.ts';
import { readSessionMeta } from '../../src/domain/session-meta.ts';
import { NO_FACTS, withLine, type ThreadFacts } from '../../src/domain/thread-facts.ts';
import { event, headerPayload, someThreadId, T0, turnItems } from '../support/records.ts';

const id = someThreadId();
const otherId = someThreadId();

const meta = (payload: JsonObject = {}): RolloutItem => ({
  type: 'session_meta',
  payload: { ...headerPayload(id, 'legacy'), ...payload },
});

const factsOf = (items: readonly RolloutItem[]): ThreadFacts =>
  items.reduce(
    (facts, item, index) => withLine(facts, { timestamp: new Date(T0 + index).toISOString(), item }),
    NO_FACTS,
  );

const user = (message: string, more: JsonObject = {}): RolloutItem => event('user_message', { message, ...more });

it('FACT-1 the first usable header is the thread; later ones change its memory mode, its git facts and its name', () => {
  const facts = factsOf([
    { type: 'session_meta', payload: { id } },
    meta({ git: { commit_hash: 'a', branch: 'main' }, memory_mode: 'disabled' }),
    meta({
      cwd: '/elsewhere',
      history_mode: 'paginated',
      git: { commit_hash: 'b' },
      memory_mode: 'enabled',
      thread_name: 'n',
    }),
    meta({ git: undefined, memory_mode: undefined }),
  ]);
  expect(facts).toMatchObject({
    header: { threadId: id, historyMode: 'legacy', cwd: '/work/project' },
    cwd: '/work/project',
    git: { sha: 'b', branch: null, originUrl: null },
    memoryMode: 'enabled',
    namedInHistory: { name: 'n', atMs: T0 + 2 },
  });
  expect(factsOf([meta({ git: { branch: 'x' } }), meta({ git: {} })]).git).toBeNull();
});

it('FACT-2 headers of other threads in a copied history are ignored', () => {
  const own = factsOf([meta(), user('x')]);
  const copied = meta({ id: otherId, memory_mode: 'disabled', git: { branch: 'theirs' }, thread_name: 'theirs' });
  const foreignSettings = event('thread_settings_applied', { thread_id: otherId, thread_settings: { cwd: '/theirs' } });
  expect(factsOf([meta(), copied, foreignSettings, user('x')])).toEqual(own);
});

it.each([
  ['missingId', { id: 'x' }],
  ['missingId', { id: undefined }],
  ['missingCwd', { cwd: undefined }],
  ['missingCwd', { cwd: 7 }],
  ['unknownHistoryMode', { history_mode: 'holographic' }],
])('FACT-3 a header is refused as %s with %o', (defect, members) => {
  expect(readSessionMeta({ ...headerPayload(id, 'legacy'), ...members })).toBe(defect);
});

it('FACT-3 a header needs no more than an id and a folder, and is read whatever else it holds', () => {
  expect(readSessionMeta({ id: id.toUpperCase(), cwd: '/w' })).toMatchObject({
    threadId: id,
    sessionId: id,
    historyMode: 'legacy',
    source: 'vscode',
    historyBase: null,
    git: null,
    memoryMode: null,
    createdAtMs: 0,
  });
  const odd = { history_base: { thread_id: id }, git: 7, agent_type: 'worker', timestamp: '2026-03-04T05-06-07' };
  expect(readSessionMeta({ ...headerPayload(id, 'paginated'), ...odd })).toMatchObject({
    historyBase: null,
    git: null,
    agentRole: 'worker',
    createdAtMs: T0,
  });
});

it.each(['legacy', 'paginated'] as const)('FACT-4 the first %s message of a user is the preview', (mode) => {
  const said = (text: string): readonly RolloutItem[] => turnItems(mode, id, text, 'x').items;
  expect(factsOf([meta(), ...said('first'), ...said('second')])).toMatchObject({
    preview: 'first',
    firstUserMessage: 'first',
  });
  const marked = '# Context\nfile.ts\n\n## My request for Codex:\n  do it \n';
  expect(factsOf([meta(), ...said(marked)]).preview).toBe('do it');
  expect(factsOf([meta(), ...said(' \n '), ...said('words')]).preview).toBe('words');
});

it('FACT-5 a message without words shows what it carries', () => {
  const stored = (content: readonly JsonObject[]): RolloutItem =>
    event('item_completed', { item: { type: 'UserMessage', id: 'u', content } });
  const messages: readonly (readonly [RolloutItem, string])[] = [
    [user('', { images: ['data:a'] }), '[Image]'],
    [user('', { local_images: ['/a'] }), '[Image]'],
    [user('', { local_audio: ['/a'] }), '[Audio]'],
    [stored([{ type: 'image' }, { type: 'audio' }]), '[Image]'],
    [stored([{ type: 'local_image' }]), '[Image]'],
    [stored([{ type: 'localImage' }]), '[Image]'],
    [stored([{ type: 'audio' }]), '[Audio]'],
    [stored([{ type: 'image' }, { type: 'text', text: 'this' }]), 'this'],
    [stored([{ type: 'mention' }]), ''],
    [event('item_completed', { item: { type: 'AgentMessage', content: [{ type: 'Text', text: 'no' }] } }), ''],
  ];
  for (const [message, preview] of messages) {
    expect(factsOf([meta(), message])).toMatchObject({ preview, firstUserMessage: preview });
  }
});

it('FACT-6 a goal is the preview until something was said, and stays it then', () => {
  const goal = event('thread_goal_updated', { goal: { objective: ' be good ' } });
  expect(factsOf([meta(), goal, user('x')])).toMatchObject({ preview: 'be good', firstUserMessage: 'x' });
  expect(factsOf([meta(), user('x'), goal])).toMatchObject({ preview: 'x', firstUserMessage: 'x' });
  expect(factsOf([meta(), event('thread_goal_updated', { goal: { objective: ' ' } })]).preview).toBe('');
});

it('FACT-7 a preview has a bound, and never ends within a character', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1_990, max: 2_010 }), fc.constantFrom('😀', 'é', 'e\u0301'), (length, character) => {
      const said = 'a'.repeat(length) + character.repeat(20);
      for (const facts of [factsOf([user(said)]), factsOf([event('thread_goal_updated', { objective: said })])]) {
        expect(facts.preview.length).toBeGreaterThan(1_998);
        expect(facts.preview.length).toBeLessThanOrEqual(2_000);
        expect(Buffer.from(facts.preview).toString()).toBe(facts.preview);
        expect(said.startsWith(facts.preview)).toBe(true);
      }
    }),
  );
});

it('FACT-8 turns say how they were run, when, and what they used', () => {
  const context = {
    model: 'm',
    effort: 'low',
    cwd: '/later',
    approval_policy: 'never',
    sandbox_policy: { type: 'read-only' },
  };
  const facts = factsOf([
    meta(),
    event('task_started', { started_at: 5 }),
    { type: 'turn_context', payload: context },
    event('token_count', { info: { total_token_usage: { total_tokens: 7 } } }),
    event('token_count', { info: null }),
    { type: 'turn_context', payload: {} },
  ]);
  expect(facts).toMatchObject({
    model: 'm',
    reasoningEffort: 'low',
    cwd: '/work/project',
    approvalPolicy: 'never',
    sandboxPolicy: { type: 'read-only' },
    tokenUsage: { total_tokens: 7 },
    recencyAtMs: T0 + 1,
  });
  expect(factsOf([meta({ cwd: '' }), { type: 'turn_context', payload: context }]).cwd).toBe('/later');
});

it('FACT-9 settings that were applied win over what was before', () => {
  const settings = { model: 'n', model_provider_id: 'p', cwd: '/new', approval_policy: 'on-request' };
  const applied = event('thread_settings_applied', { thread_id: id, thread_settings: settings });
  const before = [meta(), { type: 'turn_context', payload: { model: 'm', effort: 'low', sandbox_policy: 's' } }];
  expect(factsOf([...before, applied])).toMatchObject({
    model: 'n',
    modelProvider: 'p',
    reasoningEffort: null,
    cwd: '/new',
    approvalPolicy: 'on-request',
    sandboxPolicy: 's',
  });
});

it('FACT-10 records that say nothing about the thread leave the very same facts', () => {
  const facts = factsOf([meta(), user('x')]);
  for (const item of [user('y'), event('agent_message'), event('constructor'), { type: 'brand_new', payload: {} }]) {
    expect(withLine(facts, { timestamp: '', item })).toBe(facts);
  }
  expect(JSON.parse(JSON.stringify(facts))).toEqual(facts);
});
