import { expect, it } from 'vitest';
import { PINNED_SECTION } from '../../src/domain/organization.ts';
import {
  ask,
  bothServers,
  differences,
  ENDLESS,
  startNamed,
  UNKNOWN_ID,
  type Question,
} from '../support/both-servers.ts';
import { eventually } from '../support/eventually.ts';
import { words } from '../support/organized.ts';
import type { Json } from '../support/rpc-client.ts';

/** What people organize around threads, with the real Codex asked the same. */

const PIN = PINNED_SECTION.id;
const STATES = ['idle', 'busy', 'legacy', 'lazy', 'ephemeral', 'archived', 'unloaded', 'unknown'];

const both = bothServers(async (side, cwd, asked) => {
  const { client, names } = side;
  for (const name of ['idle', 'busy', 'a', 'b', 'c']) await startNamed(side, name, { cwd }, 1);
  await startNamed(side, 'legacy', { cwd, historyMode: 'legacy' }, 1);
  await startNamed(side, 'lazy', { cwd }, 0);
  await startNamed(side, 'ephemeral', { cwd, ephemeral: true }, 1);
  for (const name of ['archived', 'unloaded']) {
    const threadId = await startNamed(side, name, { cwd }, 1);
    await client.call('thread/archive', { threadId });
    if (name === 'unloaded') await client.call('thread/unarchive', { threadId });
  }
  const threadId = names.get('busy');
  await client.call('turn/start', { threadId, input: words(ENDLESS) });
  const isAsked = (): void => {
    if (!asked.includes(ENDLESS)) throw new Error('the model has not been asked yet');
  };
  if (side.name === 'codex') await eventually(isAsked);
  for (const name of ['first', 'second', 'third']) {
    const params = { threadId, input: words(name), clientUserMessageId: name };
    names.set(name, (await client.call('thread/queue/add', params)).queuedSubmission.id);
  }
  for (const name of ['work', 'play']) {
    names.set(name, (await client.call('threadSection/create', { name })).section.id);
  }
});

const inEveryState = (...asked: readonly (readonly [string, object])[]): readonly Question[] =>
  STATES.flatMap((state) => asked.map(([method, params]) => ask(method, { threadId: `@${state}`, ...params })));

/** Whoever may not: the whole method is experimental, comes too early, or has no or wrong parameters. */
const gates = (method: string, params: object): readonly Question[] => [
  ask(method, {}),
  ask(method, params, { on: 'plain' }),
  ask(method, params, { on: 'new' }),
  ...Object.keys(params).flatMap((name) => [
    ask(method, { ...params, [name]: undefined }),
    ask(method, { ...params, [name]: 5 }),
    ask(method, { ...params, [name]: {} }),
  ]),
];

it('QUEUE-9 questions about queues are answered and refused as by Codex', async () => {
  const input = words('x');
  const add = { threadId: '@busy', input, clientUserMessageId: 'c' };
  const update = { threadId: '@busy', queuedSubmissionId: '@first', input };
  const REMOTE = [{ type: 'image', url: 'https://a/b.png' }];
  const LONG = words('x'.repeat(1_048_577));
  const seen = ({ data, nextCursor }: Json): unknown => [data, nextCursor];
  const changed = ({ queuedSubmission }: Json): unknown => queuedSubmission;
  const bad = ['bad', '', `${UNKNOWN_ID}0`];
  expect(
    await differences(both(), [
      ...gates('thread/queue/add', { ...add, threadId: '@unknown' }),
      ...gates('thread/queue/list', { threadId: '@unknown' }),
      ...gates('thread/queue/update', { ...update, threadId: '@unknown' }),
      ...gates('thread/queue/delete', { threadId: '@unknown', queuedSubmissionId: 'x' }),
      ...gates('thread/queue/reorder', { threadId: '@unknown', queuedSubmissionIds: [] }),
      ...gates('thread/queue/start', { threadId: '@unknown' }),
      ...bad.flatMap((threadId) =>
        [input, [], REMOTE, LONG].flatMap((said) => [
          ask('thread/queue/add', { ...add, threadId, input: said }),
          ask('thread/queue/update', { ...update, threadId, input: said }),
        ]),
      ),
      ...inEveryState(
        ['thread/queue/add', { input: [], clientUserMessageId: 'c' }],
        ['thread/queue/add', { input: REMOTE, clientUserMessageId: 'c' }],
        ['thread/queue/add', { input: LONG, clientUserMessageId: 'c' }],
        ['thread/queue/update', { queuedSubmissionId: 'no such', input }],
        ['thread/queue/update', { queuedSubmissionId: 'no such', input: [] }],
        ['thread/queue/delete', { queuedSubmissionId: 'no such' }],
        ['thread/queue/reorder', { queuedSubmissionIds: ['no such'] }],
        ['thread/queue/start', {}],
        ['thread/queue/start', { queuedSubmissionId: 'no such' }],
        ['thread/queue/list', {}],
        ['thread/queue/list', { cursor: 'bad' }],
      ),
      ...[{}, { limit: 1 }, { limit: 0 }, { limit: 2, cursor: '1' }, { cursor: '3' }, { cursor: '1000' }].map((page) =>
        ask('thread/queue/list', { threadId: '@busy', ...page }, { seen }),
      ),
      ...['-1', '', '1.5', '99999999999999999999999', ' 1', '+1'].map((cursor) =>
        ask('thread/queue/list', { threadId: '@busy', cursor }),
      ),
      ask('thread/queue/reorder', { threadId: '@busy', queuedSubmissionIds: ['@first', '@second'] }),
      ask('thread/queue/reorder', { threadId: '@busy', queuedSubmissionIds: ['@first', '@first', '@second'] }),
      ask('thread/queue/reorder', { threadId: '@idle', queuedSubmissionIds: [] }),
      ask('thread/queue/start', { threadId: '@busy', queuedSubmissionId: '@second' }),
    ]),
  ).toEqual([]);
  // One after the other: each sees what the one before has done.
  for (const question of [
    ask('thread/queue/update', { ...update, responsesapiClientMetadata: { a: 'b' } }, { seen: changed }),
    ask('thread/queue/update', { ...update, responsesapiClientMetadata: {} }, { seen: changed }),
    ask('thread/queue/update', { ...update, responsesapiClientMetadata: null }, { seen: changed }),
    ask('thread/queue/reorder', { threadId: '@busy', queuedSubmissionIds: ['@third', '@first', '@second'] }),
    ask('thread/queue/list', { threadId: '@busy' }, { seen }),
    ask('thread/queue/delete', { threadId: '@busy', queuedSubmissionId: '@first' }, { seen: ({ deleted }) => deleted }),
    ask('thread/queue/delete', { threadId: '@busy', queuedSubmissionId: '@first' }, { seen: ({ deleted }) => deleted }),
    ask('thread/queue/list', { threadId: '@busy' }, { seen }),
  ])
    expect(await differences(both(), [question])).toEqual([]);
});

it('SEEN-5 questions about marks are answered and refused as by Codex', async () => {
  const read = { operation: { type: 'read' }, expectedRevision: 'x' };
  const position = ({ readState }: Json): unknown =>
    readState === null ? null : [readState.firstUnread?.type, readState.revision.startsWith('initial:')];
  expect(
    await differences(both(), [
      ...gates('thread/readState/update', { threadId: '@unknown', ...read }),
      ...['bad', ''].map((threadId) => ask('thread/readState/update', { threadId, ...read })),
      ask('thread/readState/update', { threadId: '@idle', ...read, operation: { type: 'other' } }),
      ask('thread/readState/update', { threadId: '@idle', ...read, operation: {} }),
      ...inEveryState(['thread/readState/update', read]),
      ...['idle', 'legacy', 'lazy', 'ephemeral', 'archived', 'unloaded'].map((name) =>
        ask('thread/read', { threadId: `@${name}` }, { seen: position }),
      ),
      ask('thread/list', {}, { seen: ({ data, readStates }) => Object.keys(readStates).length === data.length }),
    ]),
  ).toEqual([]);
});

const namesOf = ({ data, nextCursor }: Json): unknown => [data, nextCursor];

it('SECT-7 questions about sections are answered and refused as by Codex', async () => {
  const listed = ({ data, nextCursor, backwardsCursor }: Json): unknown => [
    data.map(({ id, section }: Json) => [id, section]),
    nextCursor,
    backwardsCursor,
  ];
  const LONG = 'x'.repeat(65);
  const inOrder = { sectionId: PIN, sortKey: 'section_position', useStateDbOnly: true };
  const open = (method: string, params: object): readonly Question[] =>
    gates(method, params).filter(({ on }) => on !== 'plain');
  const asked: readonly Question[] = [
    ...open('threadSection/create', { name: '' }),
    ...open('threadSection/update', { sectionId: '@unknown', name: '' }),
    ...open('threadSection/delete', { sectionId: '@unknown' }),
    ...open('thread/section/move', { threadId: '@unknown', sectionId: PIN }),
    ask('threadSection/list', {}, { on: 'plain', seen: namesOf }),
    ...[{}, { limit: 1 }, { limit: 0 }, { limit: 1, cursor: PIN }, { cursor: 'x' }, { limit: -1 }].map((page) =>
      ask('threadSection/list', page, { seen: namesOf }),
    ),
    ask('threadSection/create', { name: '  ' }),
    ask('threadSection/create', { name: 'x', appearance: { icon: LONG, color: LONG } }),
    ask('threadSection/create', { name: 'x', appearance: { color: 'é'.repeat(33) } }),
    ask('threadSection/create', { name: 'x', appearance: 'x' }),
    ask('threadSection/update', { sectionId: '@unknown', name: 'x' }),
    ask('threadSection/update', { sectionId: 'bad', name: 'x' }),
    ask('threadSection/update', { sectionId: PIN, name: 'x' }),
    ask('threadSection/update', { sectionId: PIN, name: ' ' }),
    ask('threadSection/update', { sectionId: PIN, name: 'x', appearance: { icon: LONG } }),
    ask('threadSection/delete', { sectionId: 'bad' }),
    ask('threadSection/delete', { sectionId: PIN }),
    ...['bad', ''].map((threadId) => ask('thread/section/move', { threadId, sectionId: PIN })),
    ...inEveryState(
      ['thread/section/move', { sectionId: 'bad' }],
      ['thread/section/move', { sectionId: PIN, beforeThreadId: 'bad' }],
      ['thread/section/move', { sectionId: PIN, beforeThreadId: '@unknown' }],
      ['thread/section/move', { sectionId: null, beforeThreadId: '@a' }],
      ['thread/section/move', { sectionId: 'bad', beforeThreadId: '@a' }],
    ),
    ask('thread/section/move', { threadId: '@a', sectionId: PIN, beforeThreadId: '@a' }),
    ask('thread/list', { sortKey: 'section_position' }),
    ask('thread/list', { sortKey: 'section_position', sectionId: null }),
    ...['bad', '', '@unknown', '@work'].flatMap((sectionId) => [
      ask('thread/list', { ...inOrder, sectionId }, { seen: listed }),
      ask('thread/list', { sectionId }, { seen: listed }),
    ]),
    ...['bad', '5', '5|x', '2026-01-01T00:00:00Z', `5|${UNKNOWN_ID}|`, `x|${UNKNOWN_ID}`].map((cursor) =>
      ask('thread/list', { ...inOrder, cursor }),
    ),
    ask('thread/list', { sectionId: PIN, cursor: `5|${UNKNOWN_ID}` }),
  ];
  expect(await differences(both(), asked)).toEqual([]);
  const move = (name: string, sectionId: string | null, before?: string): Question =>
    ask('thread/section/move', {
      threadId: `@${name}`,
      sectionId,
      ...(before === undefined ? {} : { beforeThreadId: `@${before}` }),
    });
  for (const moved of [
    move('a', PIN),
    move('b', PIN),
    move('c', PIN, 'b'),
    move('legacy', PIN),
    move('unloaded', PIN, 'a'),
    move('a', PIN),
    move('c', '@work'),
    move('b', PIN, 'c'),
    move('b', PIN, 'unloaded'),
    move('legacy', null),
    move('legacy', null),
  ]) {
    const lists = [{}, { sortDirection: 'asc' }, { sortDirection: 'desc' }, { limit: 1 }, { archived: true }].map(
      (more) => ask('thread/list', { ...inOrder, ...more }, { seen: listed }),
    );
    expect(await differences(both(), [moved])).toEqual([]);
    expect(
      await differences(both(), [...lists, ask('thread/list', { ...inOrder, sectionId: '@work' }, { seen: listed })]),
    ).toEqual([]);
  }
  expect(await differences(both(), [ask('threadSection/delete', { sectionId: '@work' })])).toEqual([]);
  const shown = ({ thread: { section, sectionEnteredAt } }: Json): unknown => [section, sectionEnteredAt === null];
  const reads = ['a', 'b', 'c', 'legacy'].map((name) => ask('thread/read', { threadId: `@${name}` }, { seen: shown }));
  expect(await differences(both(), reads)).toEqual([]);
});
