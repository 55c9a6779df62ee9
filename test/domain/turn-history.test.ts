import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../src/domain/json.ts';
import type { RolloutItem, RolloutLine } from '../../src/domain/rollout-line.ts';
import type { HistoryMode } from '../../src/domain/session-meta.ts';
import { emptyHistory, foldLine } from '../../src/domain/turn-history.ts';
import type { Turn } from '../../src/domain/turn.ts';
import { turnsOf, turnView } from '../../src/store/memory/memory-history.ts';
import { event, responseMessage } from '../support/records.ts';

const lines = (items: readonly RolloutItem[]): readonly RolloutLine[] =>
  items.map((item, ordinal) => ({ timestamp: '', ordinal, item }));

const turns = (mode: HistoryMode, items: readonly RolloutItem[]): readonly Turn[] =>
  turnsOf({ lines: lines(items), historyMode: mode, borders: [] }).map((turn) => turnView(turn, mode, 'full'));

/** Turns as `id status: item item`. */
const shown = (mode: HistoryMode, items: readonly RolloutItem[]): readonly string[] =>
  turns(mode, items).map((turn) => {
    const words = turn.items.map((item) => {
      const text = item['text'] ?? (item['content'] as JsonObject[] | undefined)?.[0]?.['text'] ?? '';
      return `${item.id}=${item.type}${text === '' ? '' : `(${text as string})`}`;
    });
    return [`${turn.id} ${turn.status}:`, ...words].join(' ');
  });

const start = (turnId: string): RolloutItem => event('task_started', { turn_id: turnId });
const end = (turnId: string): RolloutItem => event('task_complete', { turn_id: turnId });
const user = (message: string): RolloutItem => event('user_message', { message });
const agent = (message: string): RolloutItem => event('agent_message', { message });
const item = (turnId: string, id: string, type = 'AgentMessage', text = ''): RolloutItem =>
  event('item_completed', { turn_id: turnId, item: { type, id, content: [{ type: 'Text', text }] } });

it('FOLD-1 markers of either name open and close turns, with their times, errors and roots', () => {
  expect(
    turns('paginated', [
      event('turn_started', { turn_id: 'a', root_turn_id: 'r', started_at: 10 }),
      event('turn_complete', { turn_id: 'a', completed_at: 12, duration_ms: 2_000 }),
      start('b'),
      event('task_complete', { turn_id: 'b', error: { message: 'no' } }),
      start('c'),
      event('turn_aborted', { turn_id: 'c', reason: 'interrupted', started_at: 20, completed_at: 21 }),
      start('d'),
    ]).map(({ id, rootTurnId, status, startedAt, completedAt, durationMs, error }) => [
      [id, rootTurnId, status],
      [startedAt, completedAt, durationMs, error?.message ?? null],
    ]),
  ).toEqual([
    [
      ['a', 'r', 'completed'],
      [10, 12, 2_000, null],
    ],
    [
      ['b', null, 'failed'],
      [null, null, null, 'no'],
    ],
    [
      ['c', null, 'interrupted'],
      [20, 21, null, null],
    ],
    [
      ['d', null, 'inProgress'],
      [null, null, null, null],
    ],
  ]);
});

it('FOLD-2 paginated items belong to the turn that they name, late ones too', () => {
  const late = [
    start('a'),
    item('a', '1'),
    end('a'),
    start('b'),
    item('a', '2'),
    item('b', '3'),
    item('c', '4'),
    end('b'),
  ];
  expect(shown('paginated', late)).toEqual([
    'a completed: 1=agentMessage 2=agentMessage',
    'b completed: 3=agentMessage',
  ]);
});

it('FOLD-3 a later record of an item replaces it in its place', () => {
  const items = [
    start('a'),
    item('a', '1', 'AgentMessage', 'half'),
    item('a', '2'),
    item('a', '1', 'AgentMessage', 'whole'),
  ];
  expect(shown('paginated', items)).toEqual(['a inProgress: 1=agentMessage(whole) 2=agentMessage']);
});

it('FOLD-4 paginated history knows no legacy events, and no turn without a marker', () => {
  expect(shown('paginated', [start('a'), user('x'), agent('y'), end('a')])).toEqual(['a completed:']);
  expect(shown('paginated', [item('a', '1'), user('x')])).toEqual([]);
});

it('FOLD-5 legacy items belong to the open turn; without one a message opens a turn, which counts as completed', () => {
  expect(shown('legacy', [start('a'), user('x'), agent('y'), end('a'), start('b'), user('z')])).toEqual([
    'a completed: item-1=userMessage(x) item-2=agentMessage(y)',
    'b inProgress: item-3=userMessage(z)',
  ]);
  expect(
    shown('legacy', [responseMessage('user', 'x'), user('x'), agent('y'), user('z'), agent('!'), user('?')]),
  ).toEqual([
    'rollout-1 completed: item-1=userMessage(x) item-2=agentMessage(y)',
    'rollout-3 completed: item-3=userMessage(z) item-4=agentMessage(!)',
    'rollout-5 completed: item-5=userMessage(?)',
  ]);
  // In a turn with a marker a second message steers it.
  expect(shown('legacy', [start('a'), user('x'), user('y'), end('a')])).toEqual([
    'a completed: item-1=userMessage(x) item-2=userMessage(y)',
  ]);
});

it('FOLD-6 an end closes an implicit turn whatever it is called; an end of another turn leaves the open one', () => {
  expect(shown('legacy', [user('x'), event('turn_aborted', { turn_id: 'other' }), agent('y')])).toEqual([
    'rollout-0 interrupted: item-1=userMessage(x)',
    'rollout-2 completed: item-2=agentMessage(y)',
  ]);
  expect(shown('legacy', [start('a'), end('b'), user('x'), event('task_complete')])).toEqual([
    'a completed: item-1=userMessage(x)',
  ]);
  expect(shown('legacy', [end('a'), event('turn_aborted')])).toEqual([]);
});

it('FOLD-7 reasoning parts in a row make one item, and anything shown ends the row', () => {
  const part = (text: string): RolloutItem => event('agent_reasoning', { text });
  const raw = event('agent_reasoning_raw_content', { text: 'raw' });
  const items = [user('x'), part('1'), raw, event('token_count'), part('2'), agent('y'), part('3')];
  const [turn] = turns('legacy', items);
  expect(turn?.items.map(({ id, type }) => `${id} ${type}`)).toEqual([
    'item-1 userMessage',
    'item-2 reasoning',
    'item-3 agentMessage',
    'item-4 reasoning',
  ]);
  expect(turn?.items[1]).toMatchObject({ summary: ['1', '2'], content: ['raw'] });
});

it('FOLD-8 a compaction outside any turn opens one, which the next message joins', () => {
  expect(shown('legacy', [{ type: 'compacted', payload: {} }, event('context_compacted'), user('x')])).toEqual([
    'rollout-0 completed: item-1=contextCompaction',
    'rollout-2 completed: item-2=userMessage(x)',
  ]);
  expect(shown('legacy', [{ type: 'compacted', payload: {} }, user('x'), user('y')])).toEqual([
    'rollout-0 completed: item-1=userMessage(x)',
    'rollout-2 completed: item-2=userMessage(y)',
  ]);
});

it('FOLD-9 rollbacks take the last turns away, one after the other, and no more than there are', () => {
  const back = (count: JsonValue): RolloutItem => event('thread_rolled_back', { num_turns: count });
  const three = [start('a'), user('1'), end('a'), start('b'), user('2'), end('b'), user('3')];
  expect(shown('legacy', [...three, back(1)])).toEqual([
    'a completed: item-1=userMessage(1)',
    'b completed: item-2=userMessage(2)',
  ]);
  expect(shown('legacy', [...three, back(1), back(1), user('4')])).toEqual([
    'a completed: item-1=userMessage(1)',
    'rollout-9 completed: item-4=userMessage(4)',
  ]);
  expect(shown('legacy', [...three, back(9)])).toEqual([]);
  for (const none of [0, -1, 'x', null]) expect(shown('legacy', [...three, back(none)]).length).toBe(3);
});

it('FOLD-10 the fold goes on from its state as JSON, and takes any record', () => {
  const kinds = [
    'task_started',
    'task_complete',
    'turn_aborted',
    'item_completed',
    'thread_rolled_back',
    'user_message',
  ];
  const more = ['agent_message', 'agent_reasoning', 'context_compacted', 'constructor', '__proto__', 'toString'];
  const ids = fc.constantFrom<JsonValue>('a', 'b', 7, null);
  const stored = fc.record({ type: fc.constantFrom('UserMessage', '__proto__', 'constructor'), id: ids });
  const payload = fc.record(
    {
      type: fc.constantFrom(...kinds, ...more),
      turn_id: ids,
      item: stored,
      num_turns: fc.integer({ min: -1, max: 3 }),
    },
    { requiredKeys: ['type'] },
  ) as fc.Arbitrary<JsonObject>;
  const record = fc.record({ type: fc.constantFrom('event_msg', 'compacted', '__proto__'), payload });
  fc.assert(
    fc.property(fc.array(record, { maxLength: 20 }), fc.constantFrom('legacy', 'paginated'), (items, mode) => {
      let whole = emptyHistory(mode);
      let revived = whole;
      for (const line of lines(items)) {
        const step = foldLine(whole, line);
        const again = foldLine(JSON.parse(JSON.stringify(revived)) as typeof revived, line);
        expect(again).toEqual(step);
        [whole, revived] = [step.fold, again.fold];
      }
      expect(turns(mode, items).length).toBeLessThanOrEqual(items.length);
    }),
  );
});
