import { expect, it, onTestFinished } from 'vitest';
import {
  ask,
  bothServers,
  differences,
  ENDLESS,
  startNamed,
  UNKNOWN_ID,
  type Exception,
  type Question,
  type Side,
} from '../support/both-servers.ts';
import { RpcClient, type Json } from '../support/rpc-client.ts';

/** What is refused, with the real Codex asked the same. */

const INPUT = [{ type: 'text', text: 'words', text_elements: [] }];
const ITEM = { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'x' }] };
const GRANULAR = { granular: { sandbox_approval: true, rules: true, mcp_elicitations: true } };

/** Threads in every state. */
const STATES = [
  'paginated',
  'legacy',
  'lazyLegacy',
  'ephemeral',
  'archivedPaginated',
  'archivedLegacy',
  'unloadedPaginated',
  'unloadedLegacy',
  'unknown',
];

const both = bothServers(async (side, cwd) => {
  for (const [mode, name] of [
    ['paginated', 'Paginated'],
    ['legacy', 'Legacy'],
  ] as const) {
    const params = { cwd, historyMode: mode };
    await startNamed(side, mode, params, 2);
    if (mode === 'legacy') await startNamed(side, 'lazyLegacy', params, 0);
    for (const state of ['archived', 'unloaded']) {
      const threadId = await startNamed(side, `${state}${name}`, params, 1);
      await side.client.call('thread/archive', { threadId });
      // What comes back from the archive is not loaded.
      if (state === 'unloaded') await side.client.call('thread/unarchive', { threadId });
    }
    await nameTurns(side, mode);
  }
  await startNamed(side, 'ephemeral', { cwd, ephemeral: true }, 1);
});

async function nameTurns({ client, names }: Side, name: string): Promise<void> {
  const { data } = await client.call('thread/turns/list', { threadId: names.get(name), sortDirection: 'asc' });
  for (const [index, { id }] of data.entries()) names.set(`${name}Turn${index + 1}`, id);
}

const ofState = (states: readonly string[], ...asked: readonly (readonly [string, object])[]): readonly Question[] =>
  states.flatMap((state) => asked.map(([method, params]) => ask(method, { threadId: `@${state}`, ...params })));

const isOf = (question: Question, ...states: readonly string[]): boolean =>
  states.some((state) => (question.params as Json).threadId === `@${state}`);

it('ERR-1 say what a thread is not: known, loaded, stored, of a kind that can be read so', async () => {
  expect(
    await differences(both(), [
      ...ofState(
        STATES,
        ['thread/read', {}],
        ['thread/read', { includeTurns: true }],
        ['thread/turns/list', {}],
        ['thread/items/list', {}],
        ['thread/items/list', { turnId: 'x' }],
        ['thread/items/list', { cursor: { type: 'item', itemId: 'x' } }],
        ['thread/items/list', { cursor: { type: 'item', itemId: 'x' }, turnId: 'x' }],
        ['turn/steer', { input: INPUT, expectedTurnId: 'x' }],
        ['turn/steer', { input: [], expectedTurnId: 'x' }],
        ['turn/steer', { input: INPUT, expectedTurnId: '' }],
        ['turn/interrupt', { turnId: 'x' }],
        ['turn/interrupt', { turnId: '' }],
        ['thread/inject_items', { items: [] }],
      ),
      ...ofState(['unknown', 'unloadedLegacy'], ['thread/unsubscribe', {}]),
      ...ofState(
        ['unknown', 'archivedPaginated', 'archivedLegacy', 'unloadedPaginated', 'unloadedLegacy'],
        ['turn/start', { input: INPUT }],
        ['thread/inject_items', { items: [ITEM] }],
      ),
    ]),
  ).toEqual([]);
  // The peer may store such a thread on its own at any time: one for each question.
  const asked = ['thread/turns/list', 'thread/items/list', 'thread/read'];
  for (const side of [both().codex, both().skein]) {
    for (const method of asked) await startNamed(side, `lazy ${method}`, { historyMode: 'paginated' }, 0);
  }
  expect(
    await differences(
      both(),
      asked.map((method) =>
        ask(method, { threadId: `@lazy ${method}`, ...(method === 'thread/read' ? { includeTurns: true } : {}) }),
      ),
      [],
    ),
  ).toEqual([]);
});

it('ERR-2 of lifecycle: nothing is resumed, forked or moved from where it is not', async () => {
  const lazy: Exception = {
    reason: 'a thread can be joined before its first turn, and forked: nothing gains by refusing',
    fits: (question, codex) => isOf(question, 'lazyLegacy') && codex.includes('no rollout found'),
  };
  expect(
    await differences(
      both(),
      [
        ...ofState(
          ['lazyLegacy', 'ephemeral', 'archivedPaginated', 'archivedLegacy', 'unknown'],
          ['thread/resume', { excludeTurns: true }],
        ),
        ...ofState(
          ['ephemeral', 'archivedPaginated', 'archivedLegacy', 'unknown'],
          ['thread/fork', { excludeTurns: true }],
          ['thread/fork', { ephemeral: true }],
          ['thread/fork', { beforeTurnId: 'x', lastTurnId: 'y' }],
          ['thread/archive', {}],
          ['thread/resume', { path: '' }],
        ),
        ...ofState(['ephemeral', 'unknown'], ['thread/delete', {}]),
        ...ofState(
          STATES.filter((state) => !state.startsWith('archived')),
          ['thread/unarchive', {}],
        ),
        ...ofState(
          STATES.filter((state) => !state.startsWith('lazy')),
          ['thread/revert', { beforeTurnId: 'x' }],
          ['thread/revert', { beforeTurnId: '' }],
          ['thread/fork', { lastTurnId: 'x', excludeTurns: true }],
          ['thread/fork', { beforeTurnId: 'x', excludeTurns: true }],
          ['thread/fork', { lastTurnId: '', excludeTurns: true }],
          ['thread/fork', { beforeTurnId: '', excludeTurns: true }],
          ['thread/fork', { beforeTurnId: '', lastTurnId: '', excludeTurns: true }],
        ),
        ...ofState(['lazyLegacy'], ['thread/revert', { beforeTurnId: 'x' }]),
        ask('thread/fork', { threadId: '@paginated', ephemeral: true }),
        ask('thread/fork', { threadId: '@paginated', ephemeral: true, lastTurnId: 'x' }),
        ask('thread/fork', { threadId: 'zz', beforeTurnId: 'x', lastTurnId: 'y' }),
        ask('thread/fork', { threadId: '@legacy', modelProvider: 'nope' }),
        ask('thread/fork', { threadId: '@unknown', modelProvider: 'nope' }),
        ask('thread/fork', { threadId: '@unknown', experimentalDisablePredictionMcp: true }),
        ask('thread/fork', { threadId: '@unknown', experimentalPredictionMode: true }),
        ...['thread/start', 'thread/resume', 'thread/fork'].map((method) =>
          ask(method, { threadId: '@unknown', permissions: 'x', sandbox: 'read-only' }),
        ),
        ask('thread/start', { modelProvider: 'nope' }),
        ask('thread/start', { modelProvider: '' }),
        ask('thread/start', { projectId: 'x' }),
        ask('thread/start', { projectId: '' }),
        ask('thread/start', { projectId: 'x', modelProvider: 'nope' }),
        ask('thread/resume', { threadId: '@unknown', modelProvider: 'nope' }),
        ask('thread/resume', { threadId: 'zz', path: '/nonexistent.jsonl' }),
        ask('thread/resume', { threadId: '@unknown', path: 'nonexistent.jsonl' }),
        ask('thread/resume', { threadId: '@legacy', path: '/nonexistent.jsonl' }),
        ask('thread/fork', { threadId: '@legacy', path: '/nonexistent.jsonl' }),
        ask('thread/resume', { threadId: 'zz', history: [] }),
        ask('thread/resume', { threadId: '@legacy', history: [] }),
        ask('thread/resume', { threadId: '@legacy', history: [ITEM] }),
      ],
      [lazy],
    ),
  ).toEqual([]);
});

it('ERR-3 of metadata: an update must say something, and nothing blank', async () => {
  const archived: Exception = {
    reason: 'names and memory mode lie in files that an archived thread has, too',
    fits: ({ method, ...question }, codex) =>
      isOf({ method, ...question }, 'archivedPaginated', 'archivedLegacy') &&
      ['thread/name/set', 'thread/memoryMode/set'].includes(method) &&
      codex.includes('no rollout found'),
  };
  expect(
    await differences(
      both(),
      [
        ...ofState(
          STATES,
          ['thread/name/set', { name: '' }],
          ['thread/name/set', { name: ' \n' }],
          ['thread/metadata/update', {}],
          ['thread/metadata/update', { gitInfo: null }],
          ['thread/metadata/update', { gitInfo: {} }],
          ['thread/metadata/update', { gitInfo: { branch: '' } }],
          ['thread/metadata/update', { gitInfo: { sha: ' ' } }],
          ['thread/metadata/update', { gitInfo: { branch: '', sha: '' } }],
          ['thread/metadata/update', { gitInfo: { sha: '', branch: '', originUrl: '' } }],
          ['thread/metadata/update', { projectId: 'x' }],
        ),
        ...ofState(
          ['ephemeral', 'unknown', 'archivedPaginated', 'archivedLegacy', 'unloadedLegacy'],
          ['thread/name/set', { name: 'x' }],
          ['thread/memoryMode/set', { mode: 'enabled' }],
          ['thread/metadata/update', { gitInfo: { branch: 'x' } }],
        ),
        ask('thread/name/set', { threadId: 'zz', name: '' }),
        ask('thread/metadata/update', { threadId: 'zz' }),
        ask('thread/metadata/update', { threadId: 'zz', gitInfo: { branch: '' } }),
        ask('thread/metadata/update', { threadId: '@unknown', gitInfo: {}, projectId: 'x' }),
        ask(
          'thread/metadata/update',
          { threadId: '@paginated', gitInfo: { sha: ' s\n', branch: '\tb ', originUrl: null } },
          { seen: ({ thread }) => thread.gitInfo },
        ),
      ],
      [archived],
    ),
  ).toEqual([]);
});

it('ERR-4 of cursors: garbage, and those of another thread or another list', async () => {
  const lists = {
    turns: ['thread/turns/list', { threadId: '@paginated' }],
    items: ['thread/items/list', { threadId: '@paginated' }],
    legacyTurns: ['thread/turns/list', { threadId: '@legacy' }],
    threads: ['thread/list', {}],
    found: ['thread/search', { searchTerm: 'words' }],
    loaded: ['thread/loaded/list', {}],
  } as const;
  for (const { client, names } of [both().codex, both().skein]) {
    for (const [name, [method, params]] of Object.entries(lists)) {
      const threadId = 'threadId' in params ? names.get(params.threadId.slice(1)) : undefined;
      const page = await client.call(method, { ...params, threadId, limit: 1 });
      names.set(`${name}Cursor`, page.nextCursor);
    }
  }
  const garbage = ['', 'zz', '5', 'null', '{}', '[]', '"x"', UNKNOWN_ID.slice(1), '2026-01-01', 'now', '|'];
  const cursors = [...Object.keys(lists).map((name) => `@${name}Cursor`), ...garbage];
  const others = [
    ['thread/turns/list', { threadId: '@unloadedPaginated' }],
    ['thread/items/list', { threadId: '@unloadedPaginated' }],
    ...STATES.map((state) => ['thread/turns/list', { threadId: `@${state}` }] as const),
  ] as const;
  expect(
    await differences(
      both(),
      [...Object.values(lists), ...others].flatMap(([method, params]) =>
        cursors.map((cursor) => ask(method, { ...params, cursor })),
      ),
      [
        {
          reason: 'legacy cursors of the peer do not name their thread, so that it looks for the turn',
          fits: ({ params }, codex) =>
            (params as Json).cursor === '@legacyTurnsCursor' && codex.includes('anchor turn is no longer present'),
        },
      ],
    ),
  ).toEqual([]);
  const instants = ['2026-01-01T00:00:00Z', `2026-01-01T00:00:00Z|${UNKNOWN_ID}`, '2026-01-01T00:00:00.123Z'];
  const odd = ['2026-01-01T00:00:00+01:00', '2026-01-01T00-00-00', '2026-01-01T00:00:00Z|zz', '2026-01-01T00:00:00Z|'];
  expect(
    await differences(both(), [
      ...[...instants, ...odd].flatMap((cursor) => [
        ask('thread/list', { cursor }),
        ask('thread/search', { cursor, searchTerm: 'words' }),
      ]),
      ...[UNKNOWN_ID, UNKNOWN_ID.toUpperCase(), `{${UNKNOWN_ID}}`].map((cursor) =>
        ask('thread/loaded/list', { cursor }),
      ),
      ask('thread/search', { searchTerm: '', cursor: 'zz' }),
      ask('thread/search', { searchTerm: ' ' }),
    ]),
  ).toEqual([]);
});

it('ERR-5 of lists: filters that cannot be, alone and in pairs', async () => {
  const filters = {
    excludedThreadIds: ['zz'],
    originators: ['x'],
    parentThreadId: 'p',
    ancestorThreadId: '',
    attachedToThreadId: 'zz',
    includeAttachedThreads: true,
    projectId: 'x',
    sectionId: 'x',
    sortKey: 'section_position',
    cursor: 'zz',
  };
  const names = Object.keys(filters) as (keyof typeof filters)[];
  const pairs = names.flatMap((first, index) =>
    names.slice(index).map((second) => ask('thread/list', { [first]: filters[first], [second]: filters[second] })),
  );
  expect(
    await differences(both(), [
      ...pairs,
      ask('thread/list', { projectId: '' }),
      ask('thread/list', { originators: [] }),
      ask('thread/list', { includeAttachedThreads: true, searchTerm: ' ' }),
      ask('thread/list', { includeAttachedThreads: true, searchTerm: 'words' }),
      ask('thread/list', { excludedThreadIds: [] }),
      ask('thread/list', { excludedThreadIds: Array.from({ length: 100 }, () => UNKNOWN_ID) }),
      ask('thread/list', { excludedThreadIds: Array.from({ length: 101 }, () => 'zz') }),
      ...['', 'x'].map((sectionId) => ask('thread/list', { sectionId }, { seen: ({ data }) => data.length })),
      ask('thread/list', { attachedToThreadId: UNKNOWN_ID }, { seen: ({ data }) => data.length }),
      ask('thread/list', { parentThreadId: UNKNOWN_ID }, { seen: ({ data }) => data.length }),
    ]),
  ).toEqual([]);
});

it('ERR-6 of the experimental protocol, to a connection that has not asked for it: the first such member is named', async () => {
  const members: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    'thread/start': {
      ephemeral: true,
      allowProviderModelFallback: true,
      runtimeWorkspaceRoots: [],
      approvalPolicy: GRANULAR,
      permissions: 'x',
      multiAgentMode: 'none',
      historyMode: 'legacy',
      projectId: 'x',
      daybreakEnabled: false,
      environments: [],
      dynamicTools: [],
      selectedCapabilityRoots: [],
      mockExperimentalField: 'x',
      experimentalRawEvents: true,
    },
    'thread/resume': {
      history: [],
      path: '/x',
      runtimeWorkspaceRoots: [],
      approvalPolicy: GRANULAR,
      permissions: 'x',
      initialTurnsPage: {},
      excludeTurns: true,
      personality: 'none',
    },
    'thread/fork': {
      experimentalPredictionMode: true,
      experimentalDisablePredictionMcp: true,
      beforeTurnId: 'x',
      path: '/x',
      runtimeWorkspaceRoots: [],
      approvalPolicy: GRANULAR,
      permissions: 'x',
      attachToSource: true,
      deferGoalContinuation: true,
      lastTurnId: 'x',
      ephemeral: true,
    },
    'thread/list': {
      projectId: 'x',
      includeAttachedThreads: true,
      parentThreadId: UNKNOWN_ID,
      ancestorThreadId: UNKNOWN_ID,
      attachedToThreadId: UNKNOWN_ID,
      sectionId: 'x',
      useStateDbOnly: false,
      sortKey: 'section_position',
    },
    'thread/metadata/update': { projectId: 'x', daybreakEnabled: false },
    'thread/items/list': { deferOutput: { commandExecution: true }, turnId: 'x' },
    'turn/start': {
      responsesapiClientMetadata: {},
      responsesapiClientMetadataPatch: {},
      additionalContext: {},
      toolOutput: { name: 'x', output: 'x' },
      environments: [],
      runtimeWorkspaceRoots: [],
      approvalPolicy: GRANULAR,
      permissions: 'x',
      collaborationMode: { mode: 'default', settings: { model: 'x' } },
      multiAgentMode: 'none',
      cyberAccessProgram: 'standard',
      summary: 'none',
      outputSchema: {},
      turnTrigger: 'user',
      disabledPluginIds: [],
      serviceTierForTurn: 'x',
      rootTurnId: 'x',
      parentTurnId: 'x',
    },
    'turn/steer': { responsesapiClientMetadata: {}, responsesapiClientMetadataPatch: {}, additionalContext: {} },
  };
  const questions = Object.entries(members).flatMap(([method, used]) => {
    const names = Object.keys(used);
    const least = { threadId: '@unknown', input: INPUT, expectedTurnId: 'x' };
    return names.flatMap((first, index) =>
      names
        .slice(index)
        .map((second) => ask(method, { ...least, [first]: used[first], [second]: used[second] }, { on: 'plain' })),
    );
  });
  const off = { experimentalRawEvents: false, allowProviderModelFallback: false, historyMode: null, permissions: null };
  const plain = { on: 'plain' } as const;
  expect(
    await differences(both(), [
      ...questions,
      ask('thread/start', { ...off, modelProvider: 'nope' }, plain),
      ask('thread/fork', { threadId: '@unknown', attachToSource: false, deferGoalContinuation: false }, plain),
      ask('thread/start', { approvalPolicy: { never: null }, modelProvider: 'nope' }, plain),
      ask('thread/search', { searchTerm: 'x' }, plain),
      ask('thread/search', { searchTerm: '' }, plain),
      ask('thread/memoryMode/set', { threadId: 'zz', mode: 'enabled' }, plain),
      ask('thread/items/list', { threadId: '@paginated', deferOutput: { mcpToolCall: true } }, plain),
      // What is wrong is said first.
      ask('thread/search', { searchTerm: 5 }, plain),
      ask('thread/memoryMode/set', { threadId: '@unknown', mode: 'x' }, plain),
      ask('thread/start', { historyMode: 'x' }, plain),
      ask('thread/start', { dynamicTools: 5 }, plain),
    ]),
  ).toEqual([]);
});

it('ERR-10 of a turn that runs: another one is not steered, ended, or forked through', async () => {
  const watched = await Promise.all(
    [both().codex, both().skein].map(async (side) => {
      const client = await RpcClient.connect(side.url, { optOut: ['item/agentMessage/delta'] });
      onTestFinished(() => client.close());
      const { thread } = await client.call('thread/start', { cwd: both().cwd, historyMode: 'legacy' });
      const input = [{ type: 'text', text: ENDLESS, text_elements: [] }];
      const { turn } = await client.call('turn/start', { threadId: thread.id, input });
      await client.notification('turn/started');
      side.names.set('running', thread.id).set('runningTurn', turn.id);
      return client;
    }),
  );
  expect(
    await differences(both(), [
      ...ofState(
        ['running'],
        ['turn/steer', { input: INPUT, expectedTurnId: 'x' }],
        ['turn/steer', { input: INPUT, expectedTurnId: '' }],
        ['turn/steer', { input: [], expectedTurnId: '@runningTurn' }],
        ['turn/steer', { input: [], expectedTurnId: 'x' }],
        ['turn/interrupt', { turnId: 'x' }],
        ['thread/fork', { lastTurnId: '@runningTurn' }],
        ['thread/fork', { lastTurnId: 'x' }],
        ['thread/unarchive', {}],
      ),
    ]),
  ).toEqual([]);
  // No turn named: the one that runs.
  expect(await differences(both(), ofState(['running'], ['turn/interrupt', { turnId: '' }]))).toEqual([]);
  for (const client of watched) {
    const { params } = await client.notification('turn/completed');
    expect(params.turn).toMatchObject({ status: 'interrupted', error: null });
  }
});
