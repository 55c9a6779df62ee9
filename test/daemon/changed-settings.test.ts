import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { tempFolder } from '../support/temp-home.ts';

const begun = async (client: RpcClient, params: object = {}): Promise<string> =>
  (await client.call('thread/start', { cwd: tempFolder(), ...params })).thread.id;

it('SET-12 what was acknowledged about how a thread is run survives kill -9', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const client = await daemon.connect();
  const change = { model: 'changed', effort: 'high', approvalPolicy: 'never' };
  const name = (threadId: string): Promise<unknown> => client.call('thread/name/set', { threadId, name: 'a name' });

  const renamed = await begun(client);
  await client.call('thread/settings/update', { threadId: renamed, ...change });
  await name(renamed);
  const begunSo = await begun(client, { model: 'changed', approvalPolicy: 'never' });
  await name(begunSo);
  const talked = await begun(client);
  await client.turn(talked, 'hello');
  await client.call('thread/settings/update', { threadId: talked, ...change });
  await daemon.stop('SIGKILL');

  const next = await (await startDaemon(home)).connect();
  const resumed = (threadId: string): Promise<Json> => next.call('thread/resume', { threadId });
  const expected = { model: 'changed', reasoningEffort: 'high', approvalPolicy: 'never' };
  expect(await resumed(renamed)).toMatchObject(expected);
  expect(await resumed(begunSo)).toMatchObject({ ...expected, reasoningEffort: null });
  expect(await resumed(talked)).toMatchObject(expected);
});

it('SET-15 what was changed while a turn runs survives kill -9, whatever is said in that turn afterwards', async () => {
  const [home, go] = [tempFolder(), join(tempFolder(), 'go')];
  const daemon = await startDaemon(home);
  const client = await daemon.connect();
  const threadId = await begun(client);
  await client.turn(threadId, 'hello');
  await client.call('thread/shellCommand', { threadId, command: `while [ ! -e ${go} ]; do sleep 0.02; done` });
  await client.call('thread/settings/update', { threadId, model: 'changed', effort: 'high' });
  // The first words in the turn of the command.
  await client.call('turn/start', { threadId, input: [{ type: 'text', text: 'beside it' }] });
  await daemon.stop('SIGKILL');
  writeFileSync(go, '');

  const next = await (await startDaemon(home)).connect();
  const expected = { model: 'changed', reasoningEffort: 'high' };
  expect(await next.call('thread/resume', { threadId })).toMatchObject(expected);
});
