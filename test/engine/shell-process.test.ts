import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  runShell,
  shellArgv,
  shellEnvironment,
  type ShellRequest,
  type ShellResult,
} from '../../src/engine/shell-process.ts';
import { eventually } from '../support/eventually.ts';
import { isAlive } from '../support/process.ts';
import { tempFolder } from '../support/temp-home.ts';

interface Run {
  readonly cwd: string;
  readonly said: string[];
  readonly abort: AbortController;
  readonly result: Promise<ShellResult>;
  /** Resolves when it has said something. */
  readonly whenSaid: (text: string) => Promise<void>;
}

function run(command: string, changes: Partial<ShellRequest> = {}): Run {
  const cwd = tempFolder();
  const said: string[] = [];
  const abort = new AbortController();
  let look = (): void => {};
  const request: ShellRequest = {
    argv: ['/bin/sh', '-c', command],
    cwd,
    env: shellEnvironment('thread-1'),
    timeoutMs: 60_000,
    maxOutputBytes: 65_536,
    onOutput: (text) => {
      said.push(text);
      look();
    },
    ...changes,
  };
  const whenSaid = (text: string): Promise<void> =>
    new Promise((resolve) => {
      look = () => {
        if (said.join('').includes(text)) resolve();
      };
      look();
    });
  return { cwd, said, abort, result: runShell(request, abort.signal), whenSaid };
}

const pidsIn = (said: readonly string[]): readonly number[] =>
  Array.from(said.join('').matchAll(/pid (\d+)/g), ([, pid]) => Number(pid));

/** The processes of a group. */
const groupOf = (group: number): readonly number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && isAlive(pid) && statOf(pid)[2] === String(group));

/** From the state on: of the name before it, anything may be part. */
const statOf = (pid: number): readonly string[] =>
  readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');

it('SHELL-1 a command runs in its folder, has no input, and says how it ended', async () => {
  const { cwd, result, said } = run('pwd; cat; echo to stderr >&2; exit 3');
  expect(await result).toEqual({ exitCode: 3, output: expect.any(String) as string, failure: null });
  const { output } = await result;
  expect(output.split('\n').toSorted()).toEqual(['', cwd, 'to stderr'].toSorted());
  expect(said.join('').length).toBe(output.length);
});

it('SHELL-4 an interrupt ends the whole group, also those who ignore being asked', async () => {
  const stubborn = `sh -c 'trap "" TERM; echo pid $$; while :; do sleep 1; done'`;
  const { result, abort, said, whenSaid } = run(`${stubborn} & ${stubborn} & echo pid $$; echo all; wait`);
  await whenSaid('all');
  await eventually(() => expect(pidsIn(said)).toHaveLength(3));
  abort.abort();
  const { exitCode, failure } = await result;
  expect({ exitCode, failure }).toEqual({ exitCode: -1, failure: 'command aborted by user' });
  await eventually(() => expect(pidsIn(said).filter(isAlive)).toEqual([]));
});

it('SHELL-4 a command that ignores being asked to end is killed', async () => {
  const { result, abort, whenSaid } = run('trap "" TERM; echo ready; while :; do sleep 1; done');
  await whenSaid('ready');
  abort.abort();
  expect(await result).toEqual({ exitCode: -1, output: 'ready\n', failure: 'command aborted by user' });
});

it('SHELL-4 the end of its time is told as its failure, with what it has said', async () => {
  const { result } = run('echo before; sleep 60; echo after', { timeoutMs: 100 });
  expect(await result).toEqual({ exitCode: -1, output: 'before\n', failure: 'command timed out after 100 ms' });
});

it('SHELL-4 one that was given up before it began does not begin, and one that a signal ends says which', async () => {
  const killed = run('kill -9 $$');
  expect(await killed.result).toEqual({ exitCode: -1, output: '', failure: 'command ended by SIGKILL' });
  const abort = AbortSignal.abort();
  const request = {
    argv: ['/bin/sh', '-c', 'echo x'] as const,
    cwd: '/',
    env: {},
    timeoutMs: 1_000,
    maxOutputBytes: 10,
  };
  const result = await runShell({ ...request, onOutput: () => expect.unreachable() }, abort);
  expect(result).toEqual({ exitCode: -1, output: '', failure: 'command aborted by user' });
});

it('SHELL-6 output is told in few pieces, whole characters, and not more than a mebibyte of it', async () => {
  const many = run('i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done');
  const { output } = await many.result;
  expect(many.said.join('')).toBe(output);
  expect(many.said.length).toBeLessThan(30);

  const split = run(`printf 'a\\303'; sleep 0.2; printf '\\251b'`);
  await split.result;
  expect(split.said.join('')).toBe('aéb');
  expect(split.said.join('')).not.toContain('\ufffd');

  const much = run('head -c 5000000 /dev/zero | tr "\\0" x');
  const { output: kept } = await much.result;
  expect(kept.length).toBeLessThan(66_000);
  expect(kept).toMatch(/^x+\n\[\.\.\. 4934464 bytes left out \.\.\.\]\nx+$/);
  expect(much.said.join('').length).toBeGreaterThanOrEqual(1_048_576);
  expect(much.said.join('').length).toBeLessThan(1_300_000);
});

it('SHELL-7 a command that has ended leaves nobody behind', async () => {
  const { result, said } = run('echo pid $$');
  await result;
  const [group = 0] = pidsIn(said);
  await eventually(() => expect(groupOf(group)).toEqual([]));
});

it('SHELL-7 what is left in the background keeps nobody waiting, and goes on', async () => {
  const { result, said } = run('sh -c "echo pid \\$\\$; exec sleep 60" & sleep 0.2; echo started');
  expect(await result).toMatchObject({ exitCode: 0, failure: null });
  expect((await result).output).toContain('started');
  const [pid = 0] = pidsIn(said);
  expect(isAlive(pid)).toBe(true);
  process.kill(pid, 'SIGKILL');
});

it('SHELL-7 an interrupt while something in the background is waited for ends that, too', async () => {
  const { result, said, abort, whenSaid } = run('sh -c "echo pid \\$\\$; exec sleep 60" & echo pid $$');
  await whenSaid('pid');
  await eventually(() => expect(pidsIn(said)).toHaveLength(2));
  await eventually(() => expect(pidsIn(said).filter(isAlive)).toHaveLength(1));
  abort.abort();
  expect(await result).toMatchObject({ exitCode: -1, failure: 'command aborted by user' });
  await eventually(() => expect(pidsIn(said).filter(isAlive)).toEqual([]));
});

it('SHELL-8 a command has the environment of a login, and nothing else of the daemon’s', () => {
  const daemons = { PATH: '/bin', HOME: '/home/me', LANG: 'C', LC_ALL: 'C', XDG_RUNTIME_DIR: '/run/1' };
  const secrets = {
    SKEIN_TOKEN: 'x',
    GIT_DIR: '/x',
    OPENAI_API_KEY: 'x',
    NODE_OPTIONS: 'x',
    AWS_SECRET: 'x',
    A: undefined,
  };
  expect(shellEnvironment('thread-1', { ...daemons, ...secrets })).toEqual({ ...daemons, CODEX_THREAD_ID: 'thread-1' });
});

it('SHELL-1 the shell is the login shell of the user, if it takes commands', () => {
  expect(shellArgv('x y', '/usr/bin/zsh')).toEqual(['/usr/bin/zsh', '-lc', 'x y']);
  for (const none of [null, '', '/usr/sbin/nologin', '/bin/false']) {
    expect(shellArgv('x', none)).toEqual(['/bin/sh', '-lc', 'x']);
  }
});

it('SHELL-9 what cannot be run says why', async () => {
  expect(await run('echo a\0b').result).toMatchObject({
    exitCode: -1,
    failure: expect.stringMatching(/^cannot run/) as string,
  });
  const long = await run(`: ${'x'.repeat(3_000_000)}`).result;
  expect(long).toMatchObject({ exitCode: -1, failure: expect.stringContaining('E2BIG') as string });
  const { cwd, result } = run('echo x', { cwd: join(tempFolder(), 'gone') });
  expect(cwd).not.toBe('');
  expect(await result).toMatchObject({
    exitCode: -1,
    output: '',
    failure: expect.stringContaining('ENOENT') as string,
  });
});
