import { expect, it } from 'vitest';
import { ask, bothServers, differences, type Question } from '../../support/both-servers.ts';
import { startDaemon } from '../../support/daemon.ts';
import type { Json } from '../../support/rpc-client.ts';
import { tempFolder } from '../../support/temp-home.ts';

/** What clients choose for all threads that are to come. */

const both = bothServers(async () => {});

const VALUE = 'config/value/write';
const BATCH = 'config/batchWrite';

const edit = (keyPath: unknown, value: unknown, mergeStrategy: unknown = 'replace'): object => ({
  keyPath,
  value,
  mergeStrategy,
});

const written = (method: string, params: object): Question =>
  ask(method, params, { seen: ({ version: _version, filePath: _filePath, ...rest }) => rest });

/** Everything that says what threads begin with. */
async function begin(side: ReturnType<typeof both>['skein']): Promise<Json> {
  const { config, origins, layers } = await side.client.call('config/read', { includeLayers: true });
  const { model, reasoningEffort } = await side.client.call('thread/start', { ephemeral: true });
  const own = layers.find(({ name }: Json) => name.type === 'user');
  return {
    config: [config.model, config.model_reasoning_effort],
    origin: origins.model_reasoning_effort?.name.type,
    isVersioned: origins.model_reasoning_effort?.version === own.version,
    layer: own.config.model_reasoning_effort,
    started: [model, reasoningEffort],
  };
}

it('HOST-10 model and effort are written, taken back and refused as by Codex, and threads begin with them', async () => {
  const { codex, skein } = both();
  const good = [
    written(BATCH, { edits: [edit('model', 'louder'), edit('model_reasoning_effort', 'high', 'upsert')] }),
    written(BATCH, { edits: [], reloadUserConfig: true }),
  ];
  expect(await differences(both(), good)).toEqual([]);
  const chosen = await begin(skein);
  expect(chosen).toEqual(await begin(codex));
  expect(chosen).toMatchObject({ config: ['louder', 'high'], origin: 'user', isVersioned: true });

  const refused = [
    ...[5, '', [], true].map((value) => written(VALUE, edit('model_reasoning_effort', value))),
    ...[5, {}].map((value) => written(VALUE, edit('model', value))),
    written(VALUE, edit('', 'x')),
    written(VALUE, edit('model', 'x', 'bogus')),
    written(VALUE, edit(5, 'x')),
    written(VALUE, { ...edit('model', 'x'), filePath: '/tmp/other.toml' }),
    written(VALUE, { ...edit('model', 'x'), expectedVersion: 'sha256:nope' }),
    written(BATCH, { edits: [edit('model', 'x')], expectedVersion: 'nope' }),
    written(BATCH, { edits: [edit('model', 'x'), edit('model_reasoning_effort', '')] }),
    written(BATCH, { edits: [edit('model', 'x'), {}] }),
    written(BATCH, { edits: 5 }),
    written(BATCH, {}),
  ];
  expect(await differences(both(), refused)).toEqual([]);
  expect(await begin(skein)).toEqual(chosen);

  // Whoever names the version that is there may write; what is said at the start of a thread wins.
  const { layers } = await skein.client.call('config/read', { includeLayers: true });
  const [{ version, name }] = layers;
  const next = { ...edit('model', 'other'), expectedVersion: version, filePath: name.file };
  const answer = await skein.client.call(VALUE, next);
  expect(answer).toMatchObject({ status: 'ok', filePath: name.file });
  expect((await skein.client.refusal(VALUE, next)).data).toMatchObject({
    config_write_error_code: 'configVersionConflict',
  });
  const said = await skein.client.call('thread/start', { ephemeral: true, model: 'said' });
  expect(said).toMatchObject({ model: 'said', reasoningEffort: 'high' });
  const models = await skein.client.call('model/list', {});
  expect(models.data.find(({ isDefault }: Json) => isDefault)).toMatchObject({ id: 'other' });

  const back = ['model', 'model_reasoning_effort'].map((key) => written(VALUE, edit(key, null)));
  expect(await differences(both(), back)).toEqual([]);
  expect((await begin(skein)).config).toEqual(['scripted-model', null]);
});

it('HOST-11 what Skein would not go by is refused by name, and nothing of its batch is written', async () => {
  const { client } = both().skein;
  const before = await begin(both().skein);
  for (const key of ['features.memories', 'nonsense', 'model.name', 'toString', 'approval_policy']) {
    const refusal = await client.refusal(BATCH, { edits: [edit('model', 'x'), edit(key, true)] });
    expect(refusal).toEqual({
      code: -32601,
      message: `config/batchWrite is not supported by Skein for \`${key}\``,
      data: { kind: 'unsupported', config_write_error_code: 'configSchemaUnknownKey' },
    });
  }
  expect(await begin(both().skein)).toEqual(before);
});

it('HOST-12 what was acknowledged is what threads begin with after `kill -9` of the daemon', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const client = await daemon.connect();
  const { version } = await client.call(BATCH, {
    edits: [edit('model', 'louder'), edit('model_reasoning_effort', 'high')],
  });
  await daemon.stop('SIGKILL');
  const again = await (await startDaemon(home)).connect();
  expect(await again.call('thread/start', {})).toMatchObject({ model: 'louder', reasoningEffort: 'high' });
  expect((await again.call('config/read', { includeLayers: true })).layers[0].version).toBe(version);
});
