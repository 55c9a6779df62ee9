import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { isAlive } from '../support/process.ts';
import type { RpcClient } from '../support/rpc-client.ts';
import { tempFolder } from '../support/temp-home.ts';

const threadIn = async (client: RpcClient, cwd: string): Promise<string> =>
  (await client.call('thread/start', { cwd })).thread.id;

it('SHELL-10 a daemon that is told to run no commands shows them as declined', async () => {
  const cwd = tempFolder();
  const daemon = await startDaemon(tempFolder(), ['--set', 'threads.shellCommand=false']);
  const client = await daemon.connect();
  const threadId = await threadIn(client, cwd);
  expect(await client.call('thread/shellCommand', { threadId, command: 'touch was-here' })).toEqual({});
  const { params } = await client.notification('item/completed');
  expect(params.item).toMatchObject({ type: 'commandExecution', status: 'declined', exitCode: -1 });
  expect(params.item.aggregatedOutput).toContain('threads.shellCommand');
  await client.notification('turn/completed');
  expect(existsSync(join(cwd, 'was-here'))).toBe(false);
});

it('SHELL-4 a daemon that is stopped at once ends its commands, which know nothing of it', async () => {
  const cwd = tempFolder();
  const daemon = await startDaemon(tempFolder(), ['--set', 'limits.drainSeconds=0']);
  const client = await daemon.connect();
  const threadId = await threadIn(client, cwd);
  await client.call('thread/shellCommand', { threadId, command: 'env > env; echo $$ > pid; echo begun; sleep 60' });
  await client.notification('item/commandExecution/outputDelta');
  expect(await daemon.stop()).toBe(0);
  const pid = Number(readFileSync(join(cwd, 'pid'), 'utf8'));
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  const environment = readFileSync(join(cwd, 'env'), 'utf8');
  expect(environment).toContain(`CODEX_THREAD_ID=${threadId}\n`);
  expect(environment).not.toMatch(/^(SKEIN|VITEST|NODE|npm)_/m);
});

it('SHELL-15 after kill -9 of the daemon its commands end, also those that do not want to; what others have left goes on', async () => {
  const cwd = tempFolder();
  const daemon = await startDaemon(tempFolder());
  const client = await daemon.connect();
  const threadId = await threadIn(client, cwd);
  const pidOf = (name: string): number => Number(readFileSync(join(cwd, name), 'utf8'));
  const run = (command: string): Promise<unknown> => client.call('thread/shellCommand', { threadId, command });
  await run('sleep 60 >/dev/null 2>&1 & echo $! > left');
  await client.notification('turn/completed');
  const stubborn = `sh -c 'trap "" TERM; echo $$ > stubborn; while :; do sleep 1; done'`;
  // Nobody reads any more what they say then.
  await run(`exec 2>/dev/null; trap 'echo asked > asked; exit' TERM; echo $$ > willing; while :; do sleep 0.05; done`);
  await run(`${stubborn} & wait`);
  await eventually(() => expect(['willing', 'stubborn'].map(pidOf).map(isAlive)).toEqual([true, true]));
  await daemon.stop('SIGKILL');
  await eventually(() => expect(['willing', 'stubborn'].map(pidOf).map(isAlive)).toEqual([false, false]));
  expect(readFileSync(join(cwd, 'asked'), 'utf8')).toBe('asked\n');
  expect(isAlive(pidOf('left'))).toBe(true);
  process.kill(pidOf('left'), 'SIGKILL');
});
