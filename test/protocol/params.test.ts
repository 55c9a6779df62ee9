import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { list, map, parseParams } from '../../src/protocol/params/serde.ts';
import { turnStart } from '../../src/protocol/params/thread-params.ts';
import {
  ask,
  bothServers,
  differences,
  startNamed,
  UNKNOWN_ID,
  type Exception,
  type Question,
} from '../support/both-servers.ts';
import { schemaOf } from '../support/protocol-schemas.ts';
import type { Json } from '../support/rpc-client.ts';

/** Every method of Skein's with parameters that are wrong, asked of the real Codex, too. */

const INPUT = [{ type: 'text', text: 'words', text_elements: [] }];

/** Every method: the peer's type of its parameters, and the least it takes to be asked. */
const METHODS: Readonly<Record<string, readonly [string, Readonly<Record<string, unknown>>]>> = {
  'thread/start': ['ThreadStartParams', {}],
  'thread/resume': ['ThreadResumeParams', { threadId: '@unknown' }],
  'thread/fork': ['ThreadForkParams', { threadId: '@unknown' }],
  'thread/revert': ['ThreadRevertParams', { threadId: '@unknown', beforeTurnId: 'x' }],
  'thread/archive': ['ThreadArchiveParams', { threadId: '@unknown' }],
  'thread/unarchive': ['ThreadUnarchiveParams', { threadId: '@unknown' }],
  'thread/delete': ['ThreadDeleteParams', { threadId: '@unknown' }],
  'thread/unsubscribe': ['ThreadUnsubscribeParams', { threadId: '@unknown' }],
  'thread/read': ['ThreadReadParams', { threadId: '@unknown' }],
  'thread/list': ['ThreadListParams', {}],
  'thread/search': ['ThreadSearchParams', { searchTerm: 'words' }],
  'thread/loaded/list': ['ThreadLoadedListParams', {}],
  'thread/turns/list': ['ThreadTurnsListParams', { threadId: '@unknown' }],
  'thread/items/list': ['ThreadItemsListParams', { threadId: '@unknown' }],
  'thread/name/set': ['ThreadSetNameParams', { threadId: '@unknown', name: 'x' }],
  'thread/metadata/update': ['ThreadMetadataUpdateParams', { threadId: '@unknown' }],
  'thread/memoryMode/set': ['ThreadMemoryModeSetParams', { threadId: '@unknown', mode: 'enabled' }],
  'thread/inject_items': ['ThreadInjectItemsParams', { threadId: '@unknown', items: [] }],
  'turn/start': ['TurnStartParams', { threadId: '@unknown', input: INPUT }],
  'turn/steer': ['TurnSteerParams', { threadId: '@unknown', input: INPUT, expectedTurnId: 'x' }],
  'turn/interrupt': ['TurnInterruptParams', { threadId: '@unknown', turnId: 'x' }],
};

const WRONG = [5, 1.5, 'zz', '', true, null, [5], {}, { a: 1 }];

/** Last in the text and wrong: keeps what comes before it from being done when it is right. */
const STOP = { ephemeral: 0.25 };

const POSITIONAL: Exception = {
  reason: 'Rust reads arrays in place of objects, member by member; nobody sends that, and it says nothing',
  fits: ({ params }, _codex, skein) =>
    JSON.stringify(params).includes('[') && /invalid type: sequence, expected (struct|internally)/.test(skein),
};

const both = bothServers(async (side, cwd) => {
  await startNamed(side, 'loaded', { cwd, historyMode: 'paginated' }, 2);
});

describe('parameters', () => {
  it('PARAM-1 are an object, or the refusal says what they are instead', async () => {
    const questions = Object.keys(METHODS).flatMap((method) =>
      [undefined, null, [], ['x'], 'x', 5, 0.5, true].map((params) => ask(method, params)),
    );
    expect(await differences(both(), questions, [POSITIONAL])).toEqual([]);
  });

  it('PARAM-2 are what they should be, member by member, used or not', async () => {
    const questions = Object.entries(METHODS).flatMap(([method, [type, least]]) => {
      const { required = [], properties = {} } = schemaOf(type);
      const isStart = method === 'thread/start';
      const without = required.map((name) => {
        const { [name]: _absent, ...rest } = least;
        return ask(method, rest);
      });
      const wrong = Object.keys(properties).flatMap((name) =>
        WRONG.map((value) =>
          ask(method, { ...least, [name]: value, ...(isStart && name !== 'ephemeral' ? STOP : {}) }),
        ),
      );
      return (isStart ? wrong.filter(({ params }) => isRefused(params)) : wrong).concat(without);
    });
    expect(questions.length).toBeGreaterThan(1_000);
    expect(
      await differences(both(), questions, [
        POSITIONAL,
        {
          reason: 'what is not a switch is said of the whole spelling, also where a project would have to be loaded',
          fits: ({ method, params }, codex) =>
            method === 'thread/metadata/update' &&
            'daybreakEnabled' in (params as object) &&
            codex.includes('not found'),
        },
        {
          reason: 'a metadata update that clears the project changes nothing here, where there are none',
          fits: ({ params }, codex) => (params as Json).projectId === '' && codex.includes('failed to read thread'),
        },
        {
          reason: 'tools of clients come later: only the list is looked at',
          fits: ({ params }) => 'dynamicTools' in (params as object),
        },
      ]),
    ).toEqual([]);
  });

  it('PARAM-3 are refused for the first fault in their text; what is missing comes last', async () => {
    expect(
      await differences(both(), [
        ask('turn/start', { input: 5, threadId: true }),
        ask('turn/start', { threadId: true, input: 5 }),
        ask('turn/start', { model: 5 }),
        ask('turn/start', { cwd: true, model: 5 }),
        ask('turn/start', {}),
        ask('turn/steer', {}),
        ask('thread/list', { sortKey: 5, limit: 'x' }),
        ask('thread/list', { limit: 'x', sortKey: 5 }),
        ask('thread/list', { sourceKinds: ['cli', 5, 'zz'], limit: 'x' }),
        ask('thread/metadata/update', { gitInfo: { branch: 5, sha: true }, threadId: 7 }),
        ask('thread/resume', { initialTurnsPage: { itemsView: 'zz', limit: 'x' }, threadId: 7 }),
        ask('turn/start', { input: [{ text: 5, type: 'text' }, { type: 'zz' }], threadId: 7 }),
        ask('turn/start', { sandboxPolicy: { type: 'zz' }, threadId: 7, input: INPUT }),
        // Words in their second spelling, as the only member of an object.
        ...[{ asc: null }, { asc: 5 }, { zz: null }, { asc: null, desc: null }].map((sortDirection) =>
          ask('thread/list', { sortDirection, limit: 'x' }),
        ),
        ...[{ granular: null }, { granular: {} }, 'granular', { never: null }, { never: 5 }].map((approvalPolicy) =>
          ask('thread/fork', { threadId: '@unknown', approvalPolicy }),
        ),
      ]),
    ).toEqual([]);
  });

  it('PARAM-4 may have members that nobody knows, also of names that objects have anyway', async () => {
    const odd = JSON.parse('{"__proto__":{"threadId":5},"constructor":5,"toString":null,"zzz":{"a":[1]}}');
    const questions = Object.entries(METHODS)
      .filter(([method]) => method !== 'thread/start')
      .map(([method, [, least]]) => ask(method, { ...least, ...odd }));
    const inside = [
      ask('thread/read', JSON.parse(`{"__proto__":{"threadId":"${UNKNOWN_ID}"}}`)),
      ask('thread/metadata/update', { threadId: '@unknown', gitInfo: odd }),
      ask('thread/list', { sortDirection: '__proto__' }),
      ask('thread/list', { sortDirection: JSON.parse('{"__proto__":null}') }),
      ask('turn/start', { threadId: '@unknown', input: [{ type: '__proto__' }] }),
      ask('turn/start', { threadId: '@unknown', input: [{ type: 'constructor' }] }),
    ];
    expect(await differences(both(), [...questions, ...inside])).toEqual([]);
  });

  it('PARAM-5 of pages: a limit of nothing is one, a huge one is what there is', async () => {
    const listed = ['thread/list', 'thread/search', 'thread/turns/list', 'thread/items/list', 'thread/loaded/list'];
    const limits = [0, 1, 2, 100, 4_294_967_295, 4_294_967_296, -1, 1.5, '5', true, [], null];
    const questions = listed.flatMap((method) =>
      limits.map((limit) =>
        ask(
          method,
          { threadId: '@loaded', searchTerm: 'words', limit },
          { seen: ({ data, nextCursor }) => [data.length, nextCursor === null] },
        ),
      ),
    );
    expect(await differences(both(), questions)).toEqual([]);
  });

  it('PARAM-6 name threads as UUIDs are written: in groups, also in braces or as a URN, or bare; in any case', async () => {
    const id = UNKNOWN_ID;
    const bare = id.replaceAll('-', '');
    const texts = [
      '',
      'abc',
      'zz',
      '-',
      '-----',
      'ü',
      'aü',
      '💩'.repeat(8),
      'x'.repeat(36),
      '-'.repeat(36),
      `${id}0`,
      `${id}-`,
      id.slice(1),
      ` ${id}`,
      id.toUpperCase(),
      bare,
      bare.toUpperCase(),
      bare.slice(1),
      `${bare}0`,
      `{${id}}`,
      `{${id}`,
      `${id}}`,
      `{${bare}}`,
      '{}',
      '{abc}',
      '{g}',
      `{${id.slice(1)}}`,
      `{${id}}x`,
      `urn:uuid:${id}`,
      `urn:uuid:${bare}`,
      'urn:uuid:',
      'urn:uuid:zz',
      `URN:UUID:${id}`,
      `urn:uuid:{${id}}`,
      '1-2-3-4-5',
      'a-b',
      '11111111-22222-433-8444-555555555555',
      '11111111-2222-4333-8444',
      `${id}-1`,
      '00000000-0000-0000-0000-000000000000',
      id.replace('4', 'g'),
      `${id.slice(0, -1)}g`,
    ];
    const everywhere = Object.entries(METHODS)
      .filter(([, [, least]]) => 'threadId' in least)
      .flatMap(([method, [, least]]) =>
        ['', 'zz', `{${id}}`, id.toUpperCase()].map((threadId) => ask(method, { ...least, threadId })),
      );
    expect(
      await differences(both(), [...texts.map((threadId) => ask('thread/read', { threadId })), ...everywhere]),
    ).toEqual([]);
  });

  it('PARAM-7 hold input whose parts are what their type says, in all no longer than 1,048,576 characters', async () => {
    const parts = [
      5,
      'x',
      null,
      {},
      { type: 'zz' },
      { type: 'text' },
      { type: 'text', text: 5 },
      ...[5, null, [5], [{}], [{ byteRange: {} }], [{ byteRange: { start: -1, end: 1 } }], [{ byteRange: 5 }]].map(
        (text_elements) => ({ type: 'text', text: 'x', text_elements }),
      ),
      { type: 'image' },
      { type: 'image', url: 5 },
      { type: 'image', fileId: 'x' },
      { type: 'image', url: '' },

      { type: 'image', url: 'http://x' },
      { type: 'image', url: 'HTTPS://x' },
      { type: 'image', url: ' http://x' },
      ...['zz', 5, null, 'high'].map((detail) => ({ type: 'image', url: 'data:x', detail })),
      ...['zz', 5, null, 'high'].map((detail) => ({ type: 'localImage', path: 'x', detail })),
      { type: 'localImage' },
      { type: 'localImage', path: 5 },
      { type: 'audio' },
      { type: 'audio', url: 5 },
      { type: 'audio', url: 'http://x' },
      { type: 'localAudio' },
      { type: 'localAudio', path: 5 },
      { type: 'skill' },
      { type: 'skill', name: 'x' },
      { type: 'skill', path: 'x' },
      { type: 'skill', name: 5 },

      { type: 'mention', name: 5, path: 'x' },
      { type: 'mention', path: 5, name: 5 },
    ];
    const long = (length: number): object => ({ type: 'text', text: 'x'.repeat(length) });
    const most = 1_048_576;
    const questions: readonly Question[] = ['turn/start', 'turn/steer'].flatMap((method) => {
      const asked = (threadId: string, input: readonly unknown[], expectedTurnId = 'x'): Question =>
        ask(method, { threadId, expectedTurnId, input });
      const odd = [
        asked('@loaded', [long(most), long(1)]),
        asked('@unknown', [long(most + 1)]),
        asked('zz', [long(most + 1)]),
        asked('@unknown', [long(most + 1), { type: 'image', url: 'http:x' }]),
        asked('zz', [{ type: 'image', url: 'http:x' }]),
        asked('@loaded', [long(most + 1)], ''),
      ];
      return odd.concat(parts.map((part) => asked('@unknown', [part])));
    });
    expect(await differences(both(), questions)).toEqual([]);
    for (const { client, names } of [both().codex, both().skein]) {
      const refusal = await client.refusal('turn/start', {
        threadId: names.get('loaded'),
        input: [{ type: 'text', text: '🙂'.repeat(most + 1) }],
      });
      expect(refusal).toMatchObject({
        code: -32602,
        data: { input_error_code: 'input_too_large', max_chars: most, actual_chars: most + 1 },
      });
    }
  });

  it('PARAM-8 hold items for the model that other readers of the thread can read', async () => {
    const message = { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'x' }] };
    const items = [
      5,
      'x',
      null,
      {},
      { type: 5 },
      { type: 'message' },
      { type: 'message', role: 'user' },

      { ...message, role: 5 },
      { ...message, content: 'x' },
      { ...message, content: [{ type: 'input_text' }] },
      { type: 'reasoning' },
      { type: 'function_call' },
      { type: 'function_call_output' },

      { type: 'function_call_output', output: 'x' },
      { type: 'function_call_output', output: 5, call_id: 'x' },

      { type: 'function_call', name: 'x' },
      { type: 'function_call', name: 'x', arguments: 'x' },
    ];
    expect(
      await differences(both(), [
        ...items.map((item) => ask('thread/inject_items', { threadId: '@loaded', items: [item] })),
        ask('thread/inject_items', { threadId: '@loaded', items: [message, 'x'] }),
        ask('thread/inject_items', { threadId: '@loaded', items: [] }),
        ask('thread/inject_items', { threadId: '@unknown', items: [5] }),
        ask('thread/inject_items', { threadId: 'zz', items: [] }),
        ...items.slice(5).map((item) => ask('thread/resume', { threadId: '@unknown', history: [item] })),
      ]),
    ).toEqual([]);
  });

  it('PARAM-9 that are wrong in millions of places cost what the first one costs', () => {
    let looked = 0;
    const never = z.unknown().refine(() => {
      looked += 1;
      return false;
    });
    const wrong = Array.from({ length: 1_000 }, () => 5);
    expect(() => parseParams(list(never), wrong)).toThrow('Invalid request');
    expect(() => parseParams(map(never), Object.fromEntries(wrong.entries()))).toThrow('Invalid request');
    expect(looked).toBe(2);
    expect(() => parseParams(turnStart, { threadId: 'x', input: wrong })).toThrow('expected internally tagged enum');
  });
});

/** Not among those that start a thread: the peer would do it. */
const isRefused = (params: unknown): boolean =>
  'ephemeral' in (params as object) && ![true, null].includes((params as Json).ephemeral);
