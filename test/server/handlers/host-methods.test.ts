import { expect, it } from 'vitest';
import { ask, bothServers, differences, UNKNOWN_ID, type Question } from '../../support/both-servers.ts';
import { schemaOf } from '../../support/protocol-schemas.ts';
import { MODEL, PROVIDER } from '../../support/codex.ts';
import type { Json } from '../../support/rpc-client.ts';
import { startServer } from '../../support/server.ts';
import { tempFolder } from '../../support/temp-home.ts';

/** What clients ask about the host: accounts, models, configuration, extensions, collections. */

const both = bothServers(async () => {});

const everything = (result: Json): Json => result;
const whole = (method: string, params?: unknown): Question => ask(method, params, { seen: everything });

it('HOST-1 there is no account, and whoever asks is told so as by a Codex where nobody has logged in', async () => {
  const others = [{ loginId: UNKNOWN_ID }, { loginId: 'zz' }, { loginId: '' }, { loginId: 5 }, {}];
  expect(
    await differences(both(), [
      ...[{}, { refreshToken: true }, { refreshToken: 5 }, { refreshToken: null }].map((params) =>
        whole('account/read', params),
      ),
      ...others.map((params) => whole('account/login/cancel', params)),
      whole('account/logout'),
      ...[undefined, {}, { providerId: 5 }].map((params) => whole('account/gatewayOAuth/read', params)),
      whole('account/gatewayOAuth/cancel'),
      whole('account/bedrock/checkGovCloudRequirements', {}),
      whole('account/securitySetup/read'),
      whole('accountSession/list', {}),
      ask('userVerification/status', {}, { seen: ({ unavailableMessage: _ownWords, ...rest }) => rest }),
      whole('userVerification/cancel', { requestId: 'x' }),
      whole('userVerification/cancel', {}),
    ]),
  ).toEqual([]);
  const { client } = both().skein;
  const gone = await client.answer('account/read', {});
  expect(gone.result).toEqual({ account: null, userId: null, requiresOpenaiAuth: false, workspaceRouting: null });
});

it('HOST-2 there is one model: the one that answers, shown to all, with no choice where there is none', async () => {
  const { client } = both().skein;
  const { thread, model, modelProvider } = await client.call('thread/start', { ephemeral: true });
  expect(thread.modelProvider).toBe(modelProvider);
  for (const params of [{}, { includeHidden: true }, { includeHidden: false, limit: 0 }, { cursor: '0', limit: 9 }]) {
    const { data, nextCursor } = await client.call('model/list', params);
    expect(data).toHaveLength(1);
    expect(data[0]).toMatchObject({
      id: model,
      model,
      hidden: false,
      isDefault: true,
      supportedReasoningEfforts: [],
      inputModalities: ['text', 'image'],
      serviceTiers: [],
      upgrade: null,
    });
    expect(nextCursor).toBeNull();
  }
  expect(model).toBe(MODEL);
  const providers = await client.call('modelProvider/list', {});
  expect(providers).toMatchObject({ defaultProviderId: PROVIDER, canChangeDefault: false });
  expect(providers.data.map(({ id }: Json) => id)).toContain(PROVIDER);
  expect(providers.data.every(({ canEdit }: Json) => canEdit === false)).toBe(true);
  // What the model cannot do is not offered.
  expect(await client.call('modelProvider/capabilities/read', {})).toEqual({
    imageGeneration: false,
    webSearch: false,
  });
  const modes = await client.call('collaborationMode/list', {});
  expect(modes.data.map(({ mode }: Json) => mode)).toEqual(['default']);
});

it('HOST-3 configuration is what threads begin with, and has all members of the protocol', async () => {
  const { skein, codex } = both();
  const { config, origins, ...more } = await skein.client.call('config/read', {});
  const started = await skein.client.call('thread/start', { ephemeral: true });
  expect(config).toMatchObject({
    model: started.model,
    model_provider: started.modelProvider,
    model_reasoning_effort: started.reasoningEffort,
    service_tier: started.serviceTier,
    approval_policy: started.approvalPolicy,
    approvals_reviewer: started.approvalsReviewer,
    sandbox_mode: { readOnly: 'read-only', workspaceWrite: 'workspace-write', dangerFullAccess: 'danger-full-access' }[
      started.sandbox.type as string
    ],
  });
  expect([origins, more]).toEqual([{}, {}]);
  const named = Object.keys(schemaOf('ConfigReadResponse').definitions?.['Config']?.properties ?? {});
  expect(named.length).toBeGreaterThan(20);
  expect(Object.keys(config).toSorted()).toEqual(named.toSorted());
  const { layers } = await skein.client.call('config/read', { includeLayers: true });
  expect(layers.map(({ name, config: own }: Json) => [name.type, own])).toEqual([['user', {}]]);
  // A client that reads the peer's finds in Skein's what the protocol names.
  const theirs = await codex.client.call('config/read', {});
  expect(Object.keys(theirs.config)).toEqual(expect.arrayContaining(named));
  expect(
    await differences(both(), [
      ask('config/read', { includeLayers: null }),
      ask('config/read', { cwd: 5 }),
      ask('config/read', { cwd: both().cwd }),
      ask('configRequirements/read', undefined, { seen: ({ requirements }) => requirements }),
      whole('config/mcpServer/reload'),
      ask('experimentalFeature/list', { cursor: 'zz' }),
      whole('externalAgentConfig/detect', {}),
      whole('externalAgentConfig/import/readHistories'),
      ask('remoteControl/status/read', undefined, { seen: ({ status, environmentId }) => [status, environmentId] }),
      whole('windowsSandbox/readiness'),
    ]),
  ).toEqual([]);
  expect(await skein.client.call('experimentalFeature/list', {})).toEqual({ data: [], nextCursor: null });
});

it('HOST-4 there are no skills, hooks, plugins, apps and MCP servers: as from a Codex that has none', async () => {
  const { cwd } = both();
  const folders = (result: Json): Json => result.data.map((entry: Json) => entry.cwd);
  expect(
    await differences(both(), [
      ...[[cwd, '/nowhere'], ['relative'], 5, [5], null].flatMap((cwds) => [
        ask('skills/list', { cwds }, { seen: folders }),
        whole('hooks/list', { cwds }),
      ]),
      ask('skills/list', { forceReload: 'x' }),
      whole('plugin/installed', {}),
      whole('plugin/list', {}),
      whole('plugin/search', { searchTerm: 'words' }),
      whole('plugin/search', {}),
      whole('plugin/reconcile', {}),
      whole('app/list', {}),
      whole('app/list', { cursor: 'zz' }),
      whole('app/installed', {}),
      whole('app/read', { appIds: ['one', 'two'] }),
      whole('app/read', { appIds: ['one', 'one'] }),
      whole('app/read', { appIds: [] }),
      whole('app/read', { appIds: 5 }),
      whole('app/read', {}),
      whole('mcpServerStatus/list', {}),
    ]),
  ).toEqual([]);
  const { client } = both().skein;
  expect((await client.call('skills/list', { cwds: ['/one', '/two'] })).data).toEqual([
    { cwd: '/one', skills: [], errors: [] },
    { cwd: '/two', skills: [], errors: [] },
  ]);
  expect(await client.call('plugin/share/list', {})).toEqual({ data: [] });
});

it('HOST-5 short lists are paged by places in them', async () => {
  const cursors = ['0', '1', '2', '3', '4', '+1', '-1', '1.5', '01', '', ' 1', 'zz', '99999999999999999999', undefined];
  const limits = [undefined, null, 0, 1, 2, 3, 100, 4294967295];
  expect(
    await differences(both(), [
      ...cursors.flatMap((cursor) => limits.map((limit) => whole('permissionProfile/list', { cursor, limit }))),
      ...[-1, 'x', 4294967296].map((limit) => whole('permissionProfile/list', { limit })),
      ...['0', '1', 'zz'].map((cursor) => whole('mcpServerStatus/list', { cursor })),
      ask('model/list', { cursor: 'zz' }),
      ask('model/list', { limit: 'x' }),
      ask('model/list', { includeHidden: 5 }),
    ]),
  ).toEqual([]);
  expect((await both().skein.client.refusal('model/list', { cursor: '2' })).message).toBe(
    'cursor 2 exceeds total models 1',
  );
});

it('HOST-6 there are no projects, attachments and memories', async () => {
  expect(
    await differences(both(), [
      whole('project/list', {}),
      whole('project/list', { limit: 0 }),
      whole('project/list', { cursor: 'zz' }),
      ...[UNKNOWN_ID, 'zz', ''].map((projectId) => whole('project/read', { projectId })),
      ...[UNKNOWN_ID, 'zz', ''].map((threadId) => whole('thread/attachment/list', { threadId })),
      whole('thread/attachmentOwner/list', { attachmentType: 'x', identityKey: 'x' }),
      whole('thread/attachmentOwner/list', { attachmentType: 'x' }),
      ...['zz', ''].map((threadId) => whole('thread/memory/read', { threadId })),
    ]),
  ).toEqual([]);
  const { client } = both().skein;
  expect(await client.call('thread/memory/read', { threadId: UNKNOWN_ID })).toEqual({ summary: null });
  expect(await client.call('memory/status', {})).toEqual({ v2ConsolidatedThreads: 0, v2Ready: false });
});

it('HOST-7 the daemon says which process it is, how much it holds, and how many threads and turns', async () => {
  const { client } = both().skein;
  const threads = async (): Promise<Json> => {
    const { process: found, gauges } = await client.call('server/diagnostics', {});
    expect(found.residentMemoryBytes).toBeGreaterThan(1_000_000);
    return [found.id, Object.fromEntries(gauges.map(({ name, value }: Json) => [name, value]))];
  };
  const [pid, before] = await threads();
  expect(pid).not.toBe(process.pid);
  await client.call('thread/start', { ephemeral: true });
  expect(await threads()).toEqual([
    pid,
    { 'core.threads.live': before['core.threads.live'] + 1, 'core.turns.active': 0 },
  ]);
});

it('HOST-8 other names and efforts that the operator lets clients choose from are shown beside the model’s own', async () => {
  const server = await startServer({ others: ['louder', 'softer'], efforts: ['low', 'high'] });
  const client = await server.connect();
  const { data } = await client.call('model/list', {});
  const efforts = ['low', 'high'].map((reasoningEffort) => ({ reasoningEffort, description: '' }));
  expect(data).toMatchObject(
    ['hand-model', 'louder', 'softer'].map((model, index) => ({
      id: model,
      model,
      displayName: model,
      isDefault: index === 0,
      supportedReasoningEfforts: efforts,
      defaultReasoningEffort: 'low',
    })),
  );
});

it('HOST-9 a review is a message that asks the model for one in the thread itself; one of nothing is refused', async () => {
  const server = await startServer();
  const client = await server.connect();
  const { thread } = await client.call('thread/start', { cwd: tempFolder() });
  const targets = [
    [{ type: 'uncommittedChanges' }, /not committed yet/],
    [{ type: 'baseBranch', branch: ' main ' }, /since this branch left main\./],
    [{ type: 'commit', sha: 'abc', title: 'A change' }, /commit abc \(A change\)\./],
    [{ type: 'commit', sha: 'abc' }, /commit abc\./],
    [{ type: 'custom', instructions: 'look at it' }, /look at it/],
  ] as const;
  for (const [target, words] of targets) {
    const from = client.frames.length;
    const { turn, reviewThreadId } = await client.call('review/start', { threadId: thread.id, target });
    expect(reviewThreadId).toBe(thread.id);
    const isOfTurn = (params: Json): boolean => params.turnId === turn.id && params.item.type === 'userMessage';
    const { params } = await client.notification('item/completed', isOfTurn, from);
    expect(params.item.content[0].text).toMatch(words);
    await client.notification('turn/completed', (ended) => ended.turn.id === turn.id, from);
  }
  const { skein, codex } = both();
  const ids = await Promise.all(
    [skein, codex].map(async (one) => (await one.client.call('thread/start', {})).thread.id as string),
  );
  for (const target of [
    { type: 'baseBranch', branch: ' ' },
    { type: 'commit', sha: '' },
    { type: 'custom', instructions: '' },
    { type: 'other' },
    {},
    5,
  ]) {
    const [ours, theirs] = await Promise.all(
      [skein, codex].map((one, index) => one.client.refusal('review/start', { threadId: ids[index], target })),
    );
    expect({ target, ...ours, data: undefined }).toEqual({ target, ...theirs, data: undefined });
  }
  expect(
    await differences(both(), [
      ...[UNKNOWN_ID, 'zz'].map((threadId) =>
        ask('review/start', { threadId, target: { type: 'uncommittedChanges' } }),
      ),
      ask('review/start', { threadId: UNKNOWN_ID }),
      ask('review/start', { threadId: UNKNOWN_ID, target: { type: 'uncommittedChanges' }, delivery: 'detached' }),
    ]),
  ).toEqual([]);
});
