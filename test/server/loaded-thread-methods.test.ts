import { expect, it } from 'vitest';
import {
  ask,
  bothServers,
  differences,
  ENDLESS,
  startNamed,
  type Exception,
  type Question,
  type Side,
} from '../support/both-servers.ts';
import { RpcClient, type Json } from '../support/rpc-client.ts';

/** Methods that make a loaded thread do something besides chatting: the real Codex and Skein are asked the same. */

const STATES = ['paginated', 'legacy', 'ephemeral', 'archived', 'unloaded', 'unknown'];

const both = bothServers(async (side, cwd) => {
  await startNamed(side, 'paginated', { cwd, historyMode: 'paginated' }, 1);
  await startNamed(side, 'legacy', { cwd, historyMode: 'legacy' }, 1);
  await startNamed(side, 'ephemeral', { cwd, ephemeral: true }, 0);
  for (const name of ['archived', 'unloaded']) {
    const threadId = await startNamed(side, name, { cwd }, 1);
    await side.client.call('thread/archive', { threadId });
    if (name === 'unloaded') await side.client.call('thread/unarchive', { threadId });
  }
});

/** The same of threads in every state, and of ids that are none. */
const ofAll = (method: string, params: object = {}): readonly Question[] => [
  ...STATES.map((state) => ask(method, { threadId: `@${state}`, ...params }, { seen: (result) => result })),
  ask(method, { threadId: 'none', ...params }),
  ask(method, { ...params }),
  ask(method),
  ask(method, { threadId: 5, ...params }),
];

const CHANGES_OTHERWISE: readonly Exception[] = [
  {
    reason: 'no folder has a NUL in its name: the terminal program would go on in one that is not there',
    fits: ({ params }, codex, skein) => (params as Json).cwd === 'a\0b' && codex === 'ok' && /NUL/.test(skein),
  },
];

it('SET-6 answers and refusals of changes are those of Codex, word by word', async () => {
  const change = (params: object, options: object = {}): Question =>
    ask('thread/settings/update', { threadId: '@paginated', ...params }, options);
  const granular = { granular: { sandbox_approval: true, rules: true, mcp_elicitations: true } };
  expect(
    await differences(
      both(),
      [
        ...ofAll('thread/settings/update'),
        ...ofAll('thread/settings/update', { model: null, effort: null, cwd: null, serviceTier: null }),
        ...[
          { model: 5 },
          { effort: '' },
          { effort: 5 },
          { cwd: 5 },
          { cwd: 'a\0b' },
          { approvalPolicy: 'nope' },
          { approvalPolicy: granular },
          { approvalsReviewer: 'nope' },
          { sandboxPolicy: { type: 'nope' } },
          { sandboxPolicy: { type: 'readOnly' }, permissions: ':workspace' },
          { permissions: 'nope' },
          { permissions: ':read-only' },
          { permissions: 5 },
          { serviceTier: 5 },
          { summary: 'nope' },
          { personality: 'nope' },
          { multiAgentMode: 5 },
          { collaborationMode: 5 },
          { collaborationMode: { mode: 'nope', settings: { model: 'x' } } },
          { collaborationMode: { mode: 'default' } },
          { collaborationMode: { mode: 'default', settings: {} } },
          { disabledPluginIds: 5 },
          { disabledPluginIds: [5] },
          { environments: 5 },
          { unknownMember: 5 },
        ].map((params) => change(params)),
        change({ model: 'x' }, { on: 'plain' }),
        change({ model: 5 }, { on: 'plain' }),
        change({ model: 'x' }, { on: 'new' }),
        ...[
          {},
          { turnId: 'x' },
          { turnId: 'x', model: 'y' },
          { turnId: 'x', nope: 1 },
          { turnId: 'x', nope: 1, model: 5 },
          { turnId: 'x', model: 5, nope: 1 },
          { turnId: 5 },
          { nope: 1 },
          { turnId: 'x', effort: '' },
        ].map((params) => ask('turn/settings/update', { threadId: '@paginated', ...params })),
        ask('turn/settings/update', { threadId: '@unknown', turnId: 'x' }),
        ask('turn/settings/update', { threadId: '@paginated', turnId: 'x' }, { on: 'plain' }),
        ask('turn/settings/update', { threadId: 'none', turnId: 'x' }),
      ],
      CHANGES_OTHERWISE,
    ),
  ).toEqual([]);
});

it('SHELL-12 refusals of commands are those of Codex, word by word', async () => {
  const run = (params: object, options: object = {}): Question =>
    ask('thread/shellCommand', { threadId: '@unknown', ...params }, options);
  expect(
    await differences(both(), [
      run({ command: 'true' }),
      run({ command: '' }),
      run({ command: ' \n ' }),
      run({ command: 5 }),
      run({}),
      run({ command: 'true', timeoutMs: -5 }),
      run({ command: 'true', timeoutMs: 'x' }),
      run({ command: 'true', timeoutMs: null }),
      run({ command: 'true' }, { on: 'plain' }),
      run({ command: 'true' }, { on: 'new' }),
      ...['none', '@archived', '@unloaded'].map((threadId) => run({ threadId, command: 'true' })),
      run({ threadId: 'none', command: '' }),
      run({ threadId: 'none', command: 'x', timeoutMs: -1 }),
      ask('thread/compact/start', { threadId: '@unknown' }),
      ask('thread/compact/start', { threadId: '@archived' }),
      ask('thread/compact/start', { threadId: '@unloaded' }),
      ask('thread/compact/start', { threadId: 'none' }),
      ask('thread/compact/start', {}),
      ask('thread/compact/start', { threadId: '@unknown' }, { on: 'plain' }),
    ]),
  ).toEqual([]);
});

it('SHELL-14 background terminals are none, and asked for as of Codex', async () => {
  const [list, clean, terminate] = [
    'thread/backgroundTerminals/list',
    'thread/backgroundTerminals/clean',
    'thread/backgroundTerminals/terminate',
  ] as const;
  expect(
    await differences(both(), [
      ...ofAll(list),
      ...ofAll(clean),
      ...ofAll(terminate, { processId: '7' }),
      ...['', 'x', '-1', '1.5', '7 '].map((processId) =>
        ask(terminate, { threadId: '@paginated', processId }, { seen: (result) => result }),
      ),
      ...['', 'x', '0', '5'].map((cursor) => ask(list, { threadId: '@paginated', cursor })),
      ask(list, { threadId: '@paginated', limit: 0 }),
      ask(list, { threadId: '@paginated', limit: -1 }),
      ...[list, clean, terminate].map((what) => ask(what, { threadId: '@paginated', processId: '7' }, { on: 'plain' })),
    ]),
  ).toEqual([]);
});

it('GOAL-1 there are none, and setting one is refused; other refusals are those of Codex', async () => {
  const set = (params: object): Question => ask('thread/goal/set', { threadId: '@paginated', ...params });
  const exceptions: readonly Exception[] = [
    {
      reason: 'no model here can work at a goal by itself: accepting one would say something untrue',
      fits: ({ method, params }, codex, skein) =>
        method === 'thread/goal/set' &&
        (params as Json).objective === 'reach it' &&
        codex === 'ok' &&
        skein === '-32600 goals are not supported: the model echo cannot work at one by itself',
    },
  ];
  expect(
    await differences(
      both(),
      [
        ...ofAll('thread/goal/get'),
        ...ofAll('thread/goal/clear'),
        ...ofAll('thread/goal/set', { status: 'paused' }),
        set({ objective: '' }),
        set({ objective: '  ' }),
        set({ objective: 'x', tokenBudget: 0 }),
        set({ objective: 'x', tokenBudget: -1 }),
        set({ objective: 'x', tokenBudget: 'x' }),
        set({ objective: 'é'.repeat(4_001), status: 'paused' }),
        set({ objective: 'x', status: 'nope' }),
        set({ objective: 'x', origin: 'nope' }),
        set({ objective: 5 }),
        set({ status: 'complete', tokenBudget: 5 }),
        set({}),
      ],
      [],
    ),
  ).toEqual([]);
  // A goal that is paused: it starts nothing.
  const question = set({ objective: 'reach it', status: 'paused' });
  expect(await differences(both(), [question], exceptions)).toEqual([]);
  const { client, names } = both().skein;
  const isOfGoal = ({ threadId, message }: Json): boolean =>
    threadId === names.get('paginated') && message.startsWith('goals are not supported');
  await client.notification('warning', isOfGoal);
  await both().codex.client.call('thread/goal/clear', { threadId: both().codex.names.get('paginated') });
});

/** An item of a command without what differs from run to run, and from server to server. */
function comparable(item: Json): Json {
  const { command, exitCode, aggregatedOutput } = item;
  const kindOf = (value: unknown): string => (value === null ? 'null' : typeof value);
  const kinds = ['id', 'startedAtMs', 'completedAtMs', 'durationMs'].map((name) => [name, kindOf(item[name])]);
  return {
    ...item,
    ...Object.fromEntries(kinds),
    // Each has words of its own for what went wrong, and its own quoting of words with quotation marks in them.
    aggregatedOutput: exitCode === -1 ? kindOf(aggregatedOutput) : aggregatedOutput,
    command: command.includes('"') ? kindOf(command) : command,
  };
}

/** What was told of a thread to who watches it and to who does not, in order, without what only Codex tells. */
interface Told {
  readonly watcher: readonly string[];
  readonly bystander: readonly string[];
}

const NOT_OURS = new Set([
  'account/rateLimits/updated',
  'thread/tokenUsage/updated',
  'thread/readState/changed',
  // Codex tells everyone at each resume, and late.
  'thread/goal/cleared',
  // About models that its catalogue does not have; and from Skein, that its own model compacts nothing.
  'warning',
]);

function nameOf({ method, params }: Json): string {
  if (method === 'thread/status/changed') return `status ${params.status.type}`;
  if (method === 'turn/completed') return `${method} ${params.turn.status}, ${params.turn.itemsView}`;
  if (params.item !== undefined) return `${method} ${params.item.type} ${params.item.status ?? ''}`.trim();
  return method;
}

/** Plays something to a server, and says what came of it. */
async function told(side: Side, threadId: string, play: (watcher: RpcClient) => Promise<void>): Promise<Told> {
  const [watcher, bystander] = [await RpcClient.connect(side.url), await RpcClient.connect(side.url)];
  try {
    await watcher.call('thread/resume', { threadId, excludeTurns: true });
    await watcher.call('thread/loaded/list', {});
    const from = [watcher.frames.length, bystander.frames.length];
    await play(watcher);
    await Promise.all([watcher, bystander].map((client) => client.call('thread/loaded/list', {})));
    const [ofWatcher = [], ofBystander = []] = [watcher, bystander].map(({ frames }, index) =>
      frames
        .slice(from[index])
        .filter(({ id, method, params }) => id === undefined && params.threadId === threadId && !NOT_OURS.has(method))
        .map(nameOf)
        // However many pieces.
        .filter((name, at, names) => name !== 'item/commandExecution/outputDelta' || names[at - 1] !== name),
    );
    return { watcher: ofWatcher, bystander: ofBystander };
  } finally {
    await Promise.all([watcher.close(), bystander.close()]);
  }
}

/** Plays the same to both, on threads of their own. */
async function bothTold(
  params: object,
  play: (watcher: RpcClient, threadId: string) => Promise<void>,
): Promise<readonly [Told, Told]> {
  const { codex, skein, cwd } = both();
  const of = async (side: Side): Promise<Told> => {
    const threadId = await startNamed(side, 'played', { cwd, ...params }, 1);
    return told(side, threadId, (watcher) => play(watcher, threadId));
  };
  return Promise.all([of(codex), of(skein)]);
}

const statusOf = async (client: RpcClient, threadId: string, type: string, from: number): Promise<void> =>
  void (await client.notification(
    'thread/status/changed',
    (params) => params.threadId === threadId && params.status.type === type,
    from,
  ));

/** Does something that is a turn, to its end. */
async function toItsEnd(client: RpcClient, method: string, params: object): Promise<Json> {
  const from = client.frames.length;
  expect(await client.call(method, params)).toEqual({});
  const { params: ended } = await client.notification('turn/completed', () => true, from);
  return ended.turn;
}

/** Begins a turn that does not end by itself. */
async function beginEndless(client: RpcClient, threadId: string): Promise<string> {
  const from = client.frames.length;
  const input = [{ type: 'text', text: ENDLESS, text_elements: [] }];
  const { turn } = await client.call('turn/start', { threadId, input });
  await client.notification('item/completed', ({ item }) => item.type === 'userMessage', from);
  return turn.id;
}

it.each(['paginated', 'legacy'])('SHELL-12 a command in a %s thread is told as by Codex', async (historyMode) => {
  const [theirs, ours] = await bothTold({ historyMode }, async (client, threadId) => {
    await toItsEnd(client, 'thread/shellCommand', { threadId, command: 'echo out; exit 3' });
    await toItsEnd(client, 'thread/shellCommand', { threadId, command: 'true' });
  });
  expect(ours).toEqual(theirs);
  expect(ours.watcher).toContain('item/commandExecution/outputDelta');
});

it('SHELL-12 a command that is interrupted is told as by Codex', async () => {
  const [theirs, ours] = await bothTold({}, async (client, threadId) => {
    const from = client.frames.length;
    await client.call('thread/shellCommand', { threadId, command: 'echo begun; sleep 60' });
    await client.notification('item/commandExecution/outputDelta', () => true, from);
    const { params } = await client.notification('turn/started', () => true, from);
    await client.call('turn/interrupt', { threadId, turnId: params.turn.id });
    await client.notification('turn/completed', () => true, from);
  });
  expect(ours).toEqual(theirs);
});

it('SHELL-12 a command in a turn that runs is told as by Codex', async () => {
  const [theirs, ours] = await bothTold({}, async (client, threadId) => {
    const turnId = await beginEndless(client, threadId);
    const from = client.frames.length;
    await client.call('thread/shellCommand', { threadId, command: 'echo out' });
    await client.notification('item/completed', ({ item }) => item.type === 'commandExecution', from);
    await client.call('turn/interrupt', { threadId, turnId });
    await client.notification('turn/completed', () => true, from);
  });
  // How far the model had come is its own affair.
  const quiet = ({ watcher, bystander }: Told): Told => ({
    watcher: watcher.filter((name) => !/agentMessage/.test(name)),
    bystander,
  });
  expect(quiet(ours)).toEqual(quiet(theirs));
});

it('SHELL-12 the item of a command has the same members, and says the same', async () => {
  const { codex, skein, cwd } = both();
  const commands = ['echo hi', 'true', 'echo \'it is\' "so"', 'cat <<E\nx\nE\n', 'exit 7', 'kill -9 $$'];
  const itemsOf = async (side: Side): Promise<readonly Json[]> => {
    const threadId = await startNamed(side, 'items', { cwd }, 0);
    const items: Json[] = [];
    for (const command of commands) {
      const from = side.client.frames.length;
      await toItsEnd(side.client, 'thread/shellCommand', { threadId, command });
      const isOne = ({ item }: Json): boolean => item?.type === 'commandExecution';
      const started = await side.client.notification('item/started', isOne, from);
      const completed = await side.client.notification('item/completed', isOne, from);
      items.push(started.params.item, completed.params.item);
    }
    const { data } = await side.client.call('thread/turns/list', { threadId, sortDirection: 'asc', itemsView: 'full' });
    items.push(...data.flatMap((turn: Json) => turn.items));
    return items.map(comparable);
  };
  const [theirs, ours] = await Promise.all([itemsOf(codex), itemsOf(skein)]);
  expect(ours).toEqual(theirs);
});

it.each(['paginated', 'legacy'])('COMPACT-7 compaction of a %s thread is told as by Codex', async (historyMode) => {
  const [theirs, ours] = await bothTold({ historyMode }, async (client, threadId) => {
    await toItsEnd(client, 'thread/compact/start', { threadId });
  });
  expect(ours).toEqual(theirs);
});

it('COMPACT-7 compaction while a turn runs is told as by Codex', async () => {
  const [theirs, ours] = await bothTold({}, async (client, threadId) => {
    await beginEndless(client, threadId);
    const from = client.frames.length;
    await client.call('thread/compact/start', { threadId });
    await client.notification('item/completed', ({ item }) => item.type === 'contextCompaction', from);
    await client.notification('turn/completed', ({ turn }) => turn.status === 'completed', from);
  });
  const quiet = ({ watcher, bystander }: Told): Told => ({
    watcher: watcher.filter((name) => !/agentMessage/.test(name)),
    bystander,
  });
  expect(quiet(ours)).toEqual(quiet(theirs));
});

it('SET-5 a way of working together says model and effort, as in Codex', async () => {
  const { codex, skein, cwd } = both();
  const play = async ({ client }: Side): Promise<readonly Json[]> => {
    const { thread } = await client.call('thread/start', { cwd });
    const heard: Json[] = [];
    for (const settings of [
      { model: 'one', reasoning_effort: 'high' },
      { model: 'two', reasoning_effort: null },
    ]) {
      const from = client.frames.length;
      const collaborationMode = { mode: 'default', settings };
      const change = { threadId: thread.id, collaborationMode, model: 'three', effort: 'low' };
      await client.call('thread/settings/update', change);
      const { params } = await client.notification('thread/settings/updated', () => true, from);
      heard.push([params.threadSettings.model, params.threadSettings.effort]);
    }
    return heard;
  };
  const [theirs, ours] = await Promise.all([play(codex), play(skein)]);
  expect(ours).toEqual(theirs);
  expect(ours).toEqual([
    ['one', 'high'],
    ['two', null],
  ]);
});

it('SET-6 a change is told as by Codex, and says the same', async () => {
  const { codex, skein, cwd } = both();
  const changes: readonly object[] = [
    { model: 'other', effort: 'low' },
    { model: 'other' },
    { cwd: '/tmp', approvalPolicy: 'untrusted' },
    { sandboxPolicy: { type: 'dangerFullAccess' } },
    { sandboxPolicy: { type: 'workspaceWrite', writableRoots: ['/var/x'], networkAccess: true } },
    { permissions: ':workspace' },
    { serviceTier: 'fast' },
    { serviceTier: 'flex' },
    { serviceTier: null },
    { approvalsReviewer: 'auto_review' },
  ];
  const play = async (side: Side): Promise<readonly Json[]> => {
    const threadId = await startNamed(side, 'changed', { cwd, approvalPolicy: 'never', sandbox: 'read-only' }, 1);
    const from = side.client.frames.length;
    for (const change of changes) {
      const at = side.client.frames.length;
      await side.client.call('thread/settings/update', { threadId, ...change });
      // What changes nothing is told by nobody: there is nothing to wait for.
      if (change !== changes[1]) await side.client.notification('thread/settings/updated', () => true, at);
    }
    const heard = side.client.frames.slice(from).filter(({ method }) => method === 'thread/settings/updated');
    return heard.map(({ params }) => params.threadSettings);
  };
  const [theirs, ours] = await Promise.all([play(codex), play(skein)]);
  // It shows the instructions of a mode.
  const plain = (all: readonly Json[]): readonly Json[] =>
    all.map(({ collaborationMode: { mode, settings }, environments, ...others }) => ({
      ...others,
      environments: environments.length,
      collaborationMode: { mode, model: settings.model, effort: settings.reasoning_effort },
    }));
  expect(plain(ours)).toEqual(plain(theirs));
  await statusOf(skein.client, skein.names.get('changed') ?? '', 'idle', 0);
});
