import { chmodSync, existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { codexBinary } from '../support/codex-binary.ts';
import { SKEIN, startDaemon } from '../support/daemon.ts';
import { start, type Running } from '../support/process.ts';
import { skein } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';
import { KEY, startInTerminal } from '../support/terminal.ts';

/** A program called codex that tells how it was started, and ends with 7 when it is asked to. */
function pretender(): string {
  const folder = tempFolder();
  const path = join(folder, 'codex');
  writeFileSync(
    path,
    [
      `#!${process.execPath}`,
      `process.on('SIGTERM', () => process.exit(7));`,
      `const [, , ...args] = process.argv;`,
      `process.stdout.write(JSON.stringify({ args, token: process.env.SKEIN_TOKEN ?? null, pid: process.pid }) + '\\n');`,
      `if (args.includes('stay')) setInterval(() => {}, 1_000_000);`,
      '',
    ].join('\n'),
  );
  chmodSync(path, 0o755);
  return folder;
}

const withPath = (path: string): NodeJS.ProcessEnv => ({ ...process.env, PATH: path });

const connect = (home: string, path: string, ...args: readonly string[]): Running =>
  start(process.execPath, [SKEIN, 'connect', '--home', home, ...args], { env: withPath(path) });

/** Runs a line in a shell. @returns what the pretender told */
async function inShell(line: string): Promise<{ args: string[]; token: string | null }> {
  const running = start('sh', ['-c', line], { env: withPath(`${pretender()}:${process.env['PATH']}`) });
  await running.exited;
  return JSON.parse(running.output());
}

it('CLI-27 connect prints the line that starts the client, by the socket or with the token, which is not shown', async () => {
  const home = join(tempFolder(), "it's a home");
  const { info } = await startDaemon(home);
  const token = readFileSync(daemonFiles(home).token, 'utf8').trim();
  const bySocket = await skein(home, ['connect']);
  expect(bySocket).toMatchObject({ code: 0, stderr: '' });
  const folder = ['--cd', process.cwd()];
  expect(await inShell(bySocket.stdout)).toMatchObject({
    args: ['--remote', `unix://${info.socket}`, ...folder],
    token: null,
  });
  const byWebSocket = await skein(home, ['connect', '--ws', '--', 'resume', '--last', 'with spaces']);
  const remote = ['--remote', info.listen[0] ?? '', '--remote-auth-token-env', 'SKEIN_TOKEN'];
  expect(await inShell(byWebSocket.stdout)).toMatchObject({
    args: [...remote, ...folder, 'resume', '--last', 'with spaces'],
    token,
  });
  const asJson = await skein(home, ['connect', '--ws', '--json']);
  expect(asJson.json).toEqual({
    command: ['codex', ...remote, ...folder],
    address: info.listen[0],
    tokenVariable: 'SKEIN_TOKEN',
    tokenFile: daemonFiles(home).token,
    line: expect.stringMatching(/^SKEIN_TOKEN="\$\(cat .*\)" codex --remote ws:/),
  });
  for (const { stdout } of [bySocket, byWebSocket, asJson]) expect(stdout).not.toContain(token);
  expect((await skein(home, ['connect', '--ws', 'resume'])).code).toBe(2);
});

it('CLI-27 connect starts the daemon if none runs, unless that is not wanted', async () => {
  const home = tempFolder();
  const refused = await skein(home, ['connect', '--no-start']);
  expect(refused).toMatchObject({ code: 3, stdout: '' });
  onTestFinished(async () => void (await skein(home, ['stop', '--now'])));
  const started = await skein(home, ['connect', '--json']);
  const status = (await skein(home, ['status', '--json'])).json;
  expect(started.json.address).toBe(`unix://${status.socket}`);
  expect(started.json).toMatchObject({ tokenVariable: null, tokenFile: null });
  expect(started.stderr).toContain(`(pid ${status.pid})`);
  // Without a token there is nothing to hand over.
  await skein(home, ['restart', '--auth', 'none']);
  const open = await skein(home, ['connect', '--ws']);
  expect(open.stdout).toMatch(/^codex --remote ws:\/\/127\.0\.0\.1:\d+ --cd \S+\n$/);
  await skein(home, ['restart', '--listen', `unix://${home}/other.sock`]);
  const none = await skein(home, ['connect', '--ws']);
  expect(none).toMatchObject({ code: 2, stdout: '' });
  expect(none.stderr).toContain('does not listen on a WebSocket address');
});

it.each([
  ['by the socket', [], ['hello']],
  // The last one of this folder, as ever in Codex.
  ['by WebSocket with the token', ['--ws'], ['resume', '--last']],
])('CLI-28 connect --exec runs the client in the terminal, %s, with the words behind --', async (_, options, words) => {
  const [home, cwd, codexHome] = [tempFolder(), tempFolder(), tempFolder()];
  const client = await (await startDaemon(home)).connect();
  if (words.includes('resume')) {
    for (const [folder, text] of [
      [cwd, 'hello'],
      [codexHome, 'elsewhere'],
    ] as const) {
      const { thread } = await client.call('thread/start', { cwd: folder });
      await client.turn(thread.id, text);
    }
  }
  const line = [process.execPath, SKEIN, 'connect', '--home', home, '--exec', ...options, '--', ...words];
  const tui = startInTerminal(`${line.join(' ')} && echo it ended with $?`, {
    cwd,
    env: { PATH: `${dirname(codexBinary())}:${process.env['PATH']}`, HOME: codexHome, CODEX_HOME: codexHome },
  });
  await tui.sees(`${ECHO_MARK} hello`);
  const { data } = await client.call('thread/list', { cwd: realpathSync(cwd) });
  expect(data).toMatchObject([{ preview: 'hello' }]);
  tui.type('/quit');
  await tui.sees('/quit');
  tui.type(KEY.enter);
  expect(await tui.exited).toBe(0);
});

it('CLI-32 connect names the folder where its user stands, unless the words behind -- name one', async () => {
  const [home, cwd] = [tempFolder(), join(tempFolder(), "it's `a` $HOME")];
  mkdirSync(cwd);
  await startDaemon(home);
  const printing = start(process.execPath, [SKEIN, 'connect', '--home', home], { cwd });
  await printing.exited;
  expect((await inShell(printing.output())).args.slice(2)).toEqual(['--cd', realpathSync(cwd)]);
  const named = [['-C', '/usr'], ['-C/usr'], ['resume', '--cd', '/usr'], ['--cd=/usr', 'words']];
  const results = await Promise.all(named.map((words) => skein(home, ['connect', '--json', '--', ...words])));
  expect(results.map(({ json }) => json.command.slice(3))).toEqual(named);
});

it('CLI-29 connect --exec ends as the client ends, passes signals on, and hands the token over in the environment', async () => {
  const [home, path] = [tempFolder(), pretender()];
  await startDaemon(home);
  const token = readFileSync(daemonFiles(home).token, 'utf8').trim();
  const short = connect(home, path, '--exec', '--ws');
  expect(await short.exited).toBe(0);
  expect(JSON.parse(short.output())).toMatchObject({ token, args: expect.not.arrayContaining([token]) });
  const asked = connect(home, path, '--exec', '--', 'stay');
  await asked.said(/\n/);
  expect(JSON.parse(asked.output())).toMatchObject({ token: null });
  expect(await asked.stop('SIGTERM')).toBe(7);
  const killed = connect(home, path, '--exec', '--', 'stay');
  await killed.said(/\n/);
  process.kill(JSON.parse(killed.output()).pid, 'SIGKILL');
  expect(await killed.exited).toBe(128 + 9);
});

it('CLI-30 without the client connect --exec says how to install it, and starts nothing', async () => {
  const home = join(tempFolder(), 'home');
  const without = connect(home, tempFolder(), '--exec');
  expect(await without.exited).toBe(4);
  expect(without.output()).toBe('skein: codex is not in the PATH; to install it: npm install --global @openai/codex\n');
  expect(existsSync(home)).toBe(false);
});
