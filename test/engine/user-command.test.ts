import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { internal } from '../../src/domain/errors.ts';
import type { JsonObject } from '../../src/domain/json.ts';
import type { UserCommand } from '../../src/engine/user-command.ts';
import type { CodexThread } from '../../src/runtime/codex-thread.ts';
import type { StartThread } from '../../src/runtime/thread-openings.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import { eventually } from '../support/eventually.ts';
import { interceptedStore } from '../support/intercepted-store.ts';
import { accepted, kindsOf, openRuntime, refusal, STORES, type Runtime } from '../support/runtime.ts';
import { tempFolder } from '../support/temp-home.ts';

const command = (text: string, changes: Partial<UserCommand> = {}): UserCommand => ({
  command: text,
  timeoutMs: 60_000,
  isAllowed: true,
  ...changes,
});

const memory = (): MemoryThreadStore => new MemoryThreadStore({ defaultModelProvider: 'default-provider' });

/** A thread in a folder that is there. */
async function threadIn(runtime: Runtime, params: Partial<StartThread> = {}): Promise<[CodexThread, string]> {
  const cwd = tempFolder();
  return [await runtime.start({ overrides: { cwd }, ...params }), cwd];
}

const run = (thread: CodexThread, text: string, changes: Partial<UserCommand> = {}): Promise<void> =>
  thread.runCommand(command(text, changes), () => {}, 'test');

/** Items of commands that have ended, as clients are told of them. */
const commandsTold = ({ heard }: Runtime): readonly JsonObject[] =>
  heard.flatMap(({ event }) =>
    event.type === 'itemCompleted' && event.item.type === 'commandExecution' ? [event.item] : [],
  );

const readIn = async (runtime: Runtime, thread: CodexThread): Promise<readonly string[]> =>
  (await runtime.words(thread.id)).filter((words) => words.includes('<user_shell_command>'));

describe.each(STORES)('commands of users over the %s', (_name, open) => {
  it('SHELL-1 a command is a turn of its own, told as it goes and recorded for people and for models', async () => {
    const runtime = openRuntime(await open());
    const [thread, cwd] = await threadIn(runtime);
    const order: string[] = [];
    runtime.manager.onEvent((_id, { type }) => order.push(type));
    await thread.runCommand(command('pwd; exit 4'), () => order.push('answered'), 'test');
    await runtime.whenIdle(thread);

    expect(order).toEqual([
      'answered',
      'statusChanged',
      'turnStarted',
      'itemStarted',
      'commandOutputDelta',
      'itemCompleted',
      'statusChanged',
      'turnCompleted',
    ]);
    expect(commandsTold(runtime)).toMatchObject([
      { source: 'userShell', status: 'failed', exitCode: 4, aggregatedOutput: `${cwd}\n`, cwd, processId: null },
    ]);
    const kinds = kindsOf(await runtime.records(thread.id));
    expect(kinds).toEqual([
      'session_meta',
      'task_started',
      'thread_settings_applied',
      'CommandExecution',
      'model reads user',
      'task_complete',
    ]);
    const [words = ''] = await readIn(runtime, thread);
    expect(words).toMatch(/<command>\npwd; exit 4\n<\/command>\n<result>\nExit code: 4\nDuration: 0\.0000 seconds\n/);
    expect(words).toContain(`Output:\n${cwd}\n`);
    const { data } = await runtime.store.listTurns({
      threadId: thread.id,
      limit: 10,
      direction: 'asc',
      itemsView: 'full',
    });
    expect(data).toMatchObject([{ status: 'completed', items: commandsTold(runtime) }]);
  });

  it('SHELL-2 legacy history has it for models only, and the turn', async () => {
    const runtime = openRuntime(await open());
    const [thread] = await threadIn(runtime, { historyMode: 'legacy' });
    await run(thread, 'echo hello');
    await runtime.whenIdle(thread);
    const kinds = kindsOf(await runtime.records(thread.id));
    expect(kinds).toEqual([
      'session_meta',
      'task_started',
      'thread_settings_applied',
      'model reads user',
      'task_complete',
    ]);
    expect(commandsTold(runtime)).toMatchObject([{ aggregatedOutput: 'hello\n' }]);
  });
});

it('SHELL-3 a command joins the turn that runs, which does not end before it', async () => {
  const runtime = openRuntime(memory());
  const [thread, cwd] = await threadIn(runtime);
  const { turn } = await accepted(thread, 'hello');
  const call = await runtime.model.call();
  await run(thread, 'while [ ! -e go ]; do sleep 0.02; done; echo went');
  call.answer('re: hello');
  await runtime.whenTold(thread.id, 'itemCompleted agentMessage');
  expect(thread.activeTurnId).toBe(turn.id);
  await run(thread, 'touch go');
  await runtime.whenIdle(thread);
  const told = runtime.told(thread.id);
  expect(told.slice(-2)).toEqual(['status idle', 'turnCompleted completed']);
  expect(told.filter((one) => one === 'turnStarted')).toHaveLength(1);
  // Either may be noticed first.
  const outputs = commandsTold(runtime).map(({ aggregatedOutput }) => aggregatedOutput);
  expect(new Set(outputs)).toEqual(new Set([null, 'went\n']));
  expect(existsSync(join(cwd, 'go'))).toBe(true);
});

it('SHELL-3 words that come while a command runs are answered in its turn, once', async () => {
  const runtime = openRuntime(memory());
  const [thread] = await threadIn(runtime);
  await run(thread, 'while [ ! -e go ]; do sleep 0.02; done');
  const { turn } = await accepted(thread, 'meanwhile');
  const call = await runtime.model.call();
  expect(call.said).toEqual(['meanwhile']);
  call.answer('re: meanwhile');
  await runtime.whenTold(thread.id, 'itemCompleted agentMessage');
  await thread.steer(turn.id, { input: [{ type: 'text', text: 'and this' }], clientId: null }, () => {});
  (await runtime.model.call()).answer('re: and this');
  await runtime.whenTold(thread.id, 'itemCompleted agentMessage', 2);
  await run(thread, 'touch go');
  await runtime.whenIdle(thread);
  const kinds = kindsOf(await runtime.records(thread.id));
  expect(kinds.filter((kind) => kind === 'turn_context')).toHaveLength(1);
  expect(kinds.filter((kind) => kind === 'UserMessage')).toHaveLength(2);
  expect(kinds.filter((kind) => kind === 'AgentMessage')).toHaveLength(2);
  expect(runtime.told(thread.id).filter((one) => one === 'turnStarted')).toHaveLength(1);
});

it('SHELL-3 a command that ends leaves the turn to the others that run in it', async () => {
  const runtime = openRuntime(memory());
  const [thread] = await threadIn(runtime);
  await run(thread, 'while [ ! -e go ]; do sleep 0.02; done');
  const turnId = thread.activeTurnId;
  await run(thread, 'true');
  await runtime.whenTold(thread.id, 'itemCompleted commandExecution');
  const { turn } = await accepted(thread, 'meanwhile');
  expect(turn.id).toBe(turnId);
  (await runtime.model.call()).answer('re: meanwhile');
  await run(thread, 'touch go');
  await runtime.whenIdle(thread);
});

it('SHELL-3 a turn whose model fails has its commands to their end, and is failed then', async () => {
  const runtime = openRuntime(memory());
  const [thread] = await threadIn(runtime);
  await accepted(thread, 'hello');
  const call = await runtime.model.call();
  await run(thread, 'while [ ! -e go ]; do sleep 0.02; done; echo went');
  call.fail('no model');
  await run(thread, 'touch go');
  await runtime.whenIdle(thread);
  expect(commandsTold(runtime)).toHaveLength(2);
  expect(runtime.told(thread.id).at(-1)).toBe('turnCompleted failed');
});

it('SHELL-4 an interrupt ends the commands of a turn, and is told as their failure before the turn has ended', async () => {
  const runtime = openRuntime(memory());
  const [thread, cwd] = await threadIn(runtime);
  await run(thread, 'echo $$ > pid; echo begun; sleep 60');
  await runtime.whenTold(thread.id, 'commandOutputDelta');
  thread.interrupt(thread.activeTurnId ?? '', 'test');
  await runtime.whenIdle(thread);
  expect(commandsTold(runtime)).toMatchObject([
    { status: 'failed', exitCode: -1, aggregatedOutput: 'begun\ncommand aborted by user' },
  ]);
  expect(runtime.told(thread.id).slice(-3)).toEqual([
    'itemCompleted commandExecution',
    'status idle',
    'turnCompleted interrupted',
  ]);
  expect(kindsOf(await runtime.records(thread.id)).at(-1)).toBe('turn_aborted');
  const pid = Number(readFileSync(join(cwd, 'pid'), 'utf8'));
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
});

it('SHELL-4 the end of a thread ends its commands, and has them in the history', async () => {
  const store = memory();
  const runtime = openRuntime(store);
  const [thread, cwd] = await threadIn(runtime);
  await run(thread, 'echo $$ > pid; echo begun; sleep 60');
  await runtime.whenTold(thread.id, 'commandOutputDelta');
  await thread.shutdown('test');
  const pid = Number(readFileSync(join(cwd, 'pid'), 'utf8'));
  expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  expect(kindsOf(await runtime.records(thread.id))).toContain('CommandExecution');
});

it('SHELL-5 people are shown 64 KiB of the output, and models read 10,000 bytes', async () => {
  const runtime = openRuntime(memory());
  const [thread] = await threadIn(runtime);
  await run(thread, 'head -c 200000 /dev/zero | tr "\\0" x');
  await runtime.whenIdle(thread);
  const [item] = commandsTold(runtime);
  expect(item?.['aggregatedOutput']).toMatch(/^x{32768}\n\[\.\.\. 134464 bytes left out \.\.\.\]\nx{32768}$/);
  const [words = ''] = await readIn(runtime, thread);
  expect(words).toMatch(/Output:\nx{5000}\n\[\.\.\. \d+ bytes left out \.\.\.\]\nx{5000}\n<\/result>/);
});

it('SHELL-9 a command that cannot be run fails in its turn, and says why', async () => {
  const runtime = openRuntime(memory());
  const thread = await runtime.start({ overrides: { cwd: join(tempFolder(), 'gone') } });
  await run(thread, 'echo x');
  await runtime.whenIdle(thread);
  expect(commandsTold(runtime)).toMatchObject([
    { status: 'failed', exitCode: -1, aggregatedOutput: expect.stringMatching(/^cannot run .*: .*ENOENT/) as string },
  ]);
  expect(runtime.told(thread.id).at(-1)).toBe('turnCompleted completed');
});

it('SHELL-10 a command of a daemon that is told to run none is declined, and does not run', async () => {
  const runtime = openRuntime(memory());
  const [thread, cwd] = await threadIn(runtime);
  await run(thread, 'touch was-here', { isAllowed: false });
  await runtime.whenIdle(thread);
  expect(existsSync(join(cwd, 'was-here'))).toBe(false);
  const why = expect.stringContaining('threads.shellCommand') as string;
  expect(commandsTold(runtime)).toMatchObject([{ status: 'declined', exitCode: -1, aggregatedOutput: why }]);
});

it('SHELL-11 a command whose turn cannot be stored is refused, and does not run', async () => {
  let isBroken = false;
  const store = interceptedStore(memory(), (method) => {
    if (isBroken && method === 'appendItems') throw internal('the disk is gone');
  });
  const runtime = openRuntime(store);
  const [thread, cwd] = await threadIn(runtime);
  isBroken = true;
  await expect(run(thread, 'touch was-here')).rejects.toThrow(refusal('internal', 'the disk is gone'));
  await runtime.whenIdle(thread);
  isBroken = false;
  expect(runtime.told(thread.id)).not.toContain('itemStarted commandExecution');
  expect(existsSync(join(cwd, 'was-here'))).toBe(false);
});

it('SHELL-11 sixteen commands run in a turn, and no more', async () => {
  const runtime = openRuntime(memory());
  const [thread] = await threadIn(runtime);
  for (let count = 1; count <= 16; count += 1) await run(thread, 'sleep 60');
  await expect(run(thread, 'sleep 60')).rejects.toThrow(refusal('overloaded', '16 commands run'));
  thread.interrupt(thread.activeTurnId ?? '', 'test');
  await runtime.whenIdle(thread);
  await eventually(() => expect(commandsTold(runtime)).toHaveLength(16));
});
