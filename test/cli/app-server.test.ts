import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import { ECHO_MARK } from '../../src/engine/echo-model.ts';
import { VERSION } from '../../src/version.ts';
import { codexBinary } from '../support/codex-binary.ts';
import { configureCodex, MODEL, PROVIDER } from '../support/codex.ts';
import { SKEIN, startDaemon } from '../support/daemon.ts';
import { connectDebug } from '../support/debug-lines.ts';
import { eventually } from '../support/eventually.ts';
import { UPGRADE } from '../support/raw-http.ts';
import { startScriptedModel } from '../support/responses-api.ts';
import type { Json } from '../support/rpc-client.ts';
import { skein } from '../support/skein.ts';
import { aloneWith, startBridge, startStdio, type StdioClient } from '../support/stdio-client.ts';
import { tempFolder } from '../support/temp-home.ts';
import { unloadedOnce } from '../support/unloaded-once.ts';

/** `skein app-server` as plugins of editors start it, beside `codex app-server`. */

/** A turn with it lasts until somebody ends it, and always has something to tell. */
const ENDLESS = 'while sleep 0.02; do echo and so on; done';

/** What only Codex tells, or tells in another measure (test/server/peer-notifications.test.ts has the reasons). */
const NOT_COMPARED = new Set([
  'configWarning',
  'warning',
  'account/rateLimits/updated',
  'thread/readState/changed',
  'thread/tokenUsage/updated',
  'thread/goal/cleared',
  // Where an answer is cut is each model's affair.
  'item/agentMessage/delta',
]);

async function startCodexStdio(isInitialized = true): Promise<StdioClient> {
  const model = await startScriptedModel((text) => `${ECHO_MARK} ${text}`);
  const home = join(tempFolder(), 'codex');
  configureCodex(home, model);
  return startStdio(codexBinary(), ['app-server'], { ...aloneWith(home), isInitialized });
}

async function startSkeinStdio(isInitialized = true): Promise<StdioClient> {
  const home = tempFolder();
  await startDaemon(home, ['--set', `model.provider=${PROVIDER}`, '--set', `model.name=${MODEL}`]);
  return startBridge(home, [], { isInitialized });
}

/** The session of an editor: what it is told, in order. */
async function session({ rpc, write, leave }: StdioClient, cwd: string): Promise<readonly string[]> {
  const asked = new Map<number, string>();
  let lastId = 100;
  const ask = async (method: string, params?: unknown): Promise<Json> => {
    lastId += 1;
    const id = lastId;
    asked.set(id, method);
    write(`${JSON.stringify({ id, method, ...(params === undefined ? {} : { params }) })}\n`);
    return rpc.frame(method, (frame) => frame.id === id && frame.method === undefined);
  };
  const clientInfo = { name: 'an-editor', title: 'An editor', version: '1.0.0' };
  await ask('thread/list', {});
  await ask('initialize', { clientInfo, capabilities: { experimentalApi: true } });
  write('{"method":"initialized"}\n');
  await ask('initialize', { clientInfo });
  const { thread } = (await ask('thread/start', { cwd, approvalPolicy: 'never' })).result;
  const threadId = thread.id;
  for (const text of ['hello', 'grüße ☃ 𝄞']) {
    const from = rpc.frames.length;
    await ask('turn/start', { threadId, input: [{ type: 'text', text, text_elements: [] }] });
    await rpc.notification('turn/completed', () => true, from);
    await rpc.notification('thread/status/changed', ({ status }) => status.type === 'idle', from);
  }
  await ask('thread/name/set', { threadId, name: 'from an editor' });
  await rpc.notification('thread/name/updated');
  await ask('thread/turns/list', { threadId });
  await ask('thread/read', { threadId, includeTurns: true });
  await ask('thread/list', {});
  await ask('turn/start', { threadId });
  await ask('turn/interrupt', { threadId, turnId: 'none' });
  await ask('no/such/method', {});
  await ask('thread/archive', { threadId });
  await rpc.notification('thread/archived');
  expect(await leave()).toBe(0);
  return rpc.frames
    .filter(({ method }) => !NOT_COMPARED.has(method))
    .map((frame) => nameOf(frame, asked).replaceAll(threadId, 'THREAD'));
}

/** What a frame says, as far as it is the same for both. */
function nameOf({ id, method, params, result, error }: Json, asked: ReadonlyMap<number, string>): string {
  if (method !== undefined) return [method, params.item?.type, params.status?.type, params.turn?.status].join(' ');
  const words = error?.message.replace(/expected one of `initialize`.*$/, 'expected one of …');
  const said = result?.data?.flatMap((one: Json) => one.preview ?? one.items?.map(({ text }: Json) => text ?? ''));
  return `${asked.get(id)}: ${error === undefined ? JSON.stringify(said ?? 'ok') : `${error.code} ${words}`}`;
}

it('STDIO-1 a session brings the same answers and notifications, in the same order, as from codex app-server', async () => {
  const cwd = tempFolder();
  const [codex, bridge] = await Promise.all([startCodexStdio(false), startSkeinStdio(false)]);
  const [theirs, ours] = await Promise.all([session(codex, cwd), session(bridge, cwd)]);
  expect(ours).toEqual(unloadedOnce(theirs));
  expect(ours.length).toBeGreaterThan(30);
});

it('STDIO-2 lines are taken as by codex app-server: either end, cut anywhere, blank ones and garbage between', async () => {
  const request = (id: string): string => JSON.stringify({ id, method: 'thread/loaded/list', params: {} });
  const both = await Promise.all([startCodexStdio(), startSkeinStdio()]);
  for (const { rpc, write, leave } of both) {
    write(`${request('unix')}\n\n   \n\t\r\n${request('dos')}\r\nnot json\n{"id":\n[1]\n"x"\n{"id":1}\nnull\n`);
    write(`  ${request('indented')}  \n`);
    for (const byte of Buffer.from(`${request('grüße ☃ 𝄞')}\n`)) write(Buffer.from([byte]));
    write(`${request('in')}\n${request('one')}\n`);
    write(request('last').slice(0, 20));
    write(`${request('last').slice(20)}\n`);
    const ids = ['unix', 'dos', 'indented', 'grüße ☃ 𝄞', 'in', 'one', 'last'];
    for (const id of ids) await rpc.frame(id, (frame) => frame.id === id);
    const answered: string[] = rpc.frames.map(({ id }) => id).filter((id) => typeof id === 'string');
    expect(answered).toHaveLength(ids.length);
    expect(await leave()).toBe(0);
  }
});

it('STDIO-3 standard output carries messages alone, one per line, and standard error the rest', async () => {
  const { write, leave, rpc, stdout, stderr } = await startSkeinStdio();
  write('garbage\n');
  const { thread } = await rpc.call('thread/start', {});
  await rpc.turn(thread.id, 'two\nlines and a \u2028 separator');
  expect(await leave()).toBe(0);
  const lines = stdout().split('\n');
  expect(lines.pop()).toBe('');
  expect(lines.map((line) => JSON.parse(line))).toEqual(rpc.frames);
  expect(stderr()).toBe('');
  // Failures are no messages either, whatever else is asked for.
  const failed = await skein(tempFolder(), ['app-server', '--no-start', '--json']);
  expect(failed).toMatchObject({ code: 3, stdout: '' });
  expect(failed.stderr).toContain('skein start');
});

it('STDIO-4 long messages go whole both ways; what is beyond the bound of a message ends the bridge with the reason', async () => {
  const { rpc, write, exited, stderr } = await startSkeinStdio();
  const { thread } = await rpc.call('thread/start', {});
  // Longer than pipes and sockets take at once.
  const words = 'ü'.repeat(1_000_000);
  await rpc.turn(thread.id, words);
  const read = await rpc.call('thread/read', { threadId: thread.id, includeTurns: true });
  const [said, answered] = read.thread.turns[0].items;
  expect([said.content[0].text === words, answered.text.endsWith(words)]).toEqual([true, true]);
  write(Buffer.alloc(65 * 1024 * 1024, 'z'));
  expect(await exited).toBe(1);
  expect(stderr()).toContain('a line was longer than a message may be (1009)');
});

it('STDIO-2 bytes that are no UTF-8 end it, as they end codex app-server, with what was wrong', async () => {
  const both = await Promise.all([startCodexStdio(), startSkeinStdio()]);
  for (const { write } of both) write(Buffer.from([0x22, 0xff, 0xfe, 0x22, 0x0a]));
  const [codex, bridge] = both;
  // There it counts as the end of input.
  expect(await codex.exited).toBe(0);
  expect(await bridge.exited).toBe(1);
  expect(bridge.stderr()).toContain('a line was not UTF-8 (1007)');
});

it('STDIO-5 the daemon is started if none runs, once however many come, unless that is not wanted', async () => {
  const home = tempFolder();
  expect((await skein(home, ['app-server', '--no-start'])).code).toBe(3);
  expect(existsSync(daemonFiles(home).folder)).toBe(false);
  onTestFinished(async () => void (await skein(home, ['stop', '--now'])));
  const bridges = await Promise.all([1, 2, 3].map(() => startBridge(home)));
  const homes = bridges.map(({ rpc }) => rpc.frames.find(({ id }) => id === 1).result.codexHome);
  expect(homes).toEqual([home, home, home]);
  const { pid } = (await skein(home, ['status', '--json'])).json;
  for (const { stderr } of bridges) expect(stderr()).toContain(`runs (pid ${pid})`);
  const [first, ...others] = bridges;
  expect(await first?.leave()).toBe(0);
  for (const { rpc } of others) await rpc.call('thread/loaded/list', {});
  // Found, and nothing to say about it.
  const again = await startBridge(home, ['--no-start']);
  expect(again.stderr()).toBe('');
});

it('STDIO-6 it ends when its client leaves, in any way, and the daemon and the running turn go on', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const other = await daemon.connect();
  const ways: Record<string, readonly [number, (one: StdioClient) => void]> = {
    'end of input': [0, ({ child }) => child.stdin?.end()],
    SIGTERM: [0, ({ child }) => child.kill('SIGTERM')],
    SIGINT: [130, ({ child }) => child.kill('SIGINT')],
    // The turn goes on telling it things.
    'reads no more': [0, ({ child }) => child.stdout?.destroy()],
  };
  for (const [way, [code, leave]] of Object.entries(ways)) {
    const bridge = await startBridge(home);
    const { thread } = await bridge.rpc.call('thread/start', {});
    await bridge.rpc.call('thread/shellCommand', { threadId: thread.id, command: ENDLESS });
    await bridge.rpc.notification('item/commandExecution/outputDelta');
    leave(bridge);
    expect([way, await bridge.exited, bridge.stderr()]).toEqual([way, code, '']);
    const { thread: after } = await other.call('thread/read', { threadId: thread.id, includeTurns: true });
    expect([way, after.status.type, after.turns[0].status]).toEqual([way, 'active', 'inProgress']);
    await other.call('turn/interrupt', { threadId: thread.id, turnId: after.turns[0].id });
  }
});

it('STDIO-7 two editors on one thread are told every item in the same order; one leaves, the other goes on', async () => {
  const home = tempFolder();
  await startDaemon(home);
  const [one, other] = await Promise.all([startBridge(home), startBridge(home)]);
  const { thread } = await one.rpc.call('thread/start', {});
  const threadId = thread.id;
  await one.rpc.turn(threadId, 'before the other came');
  await other.rpc.call('thread/resume', { threadId });
  const from = [one, other].map(({ rpc }) => rpc.frames.length);
  const speak = async ({ rpc }: StdioClient, text: string): Promise<void> => {
    await rpc.call('turn/start', { threadId, input: [{ type: 'text', text, text_elements: [] }] });
  };
  await Promise.all([speak(one, 'from one'), speak(other, 'from the other')]);
  const told = ({ rpc }: StdioClient, index: number): readonly Json[] =>
    rpc.frames.slice(from[index]).filter(({ method }) => method?.startsWith('item/'));
  const idle = ({ rpc }: StdioClient, index: number): Promise<unknown> =>
    rpc.notification('thread/status/changed', ({ status }) => status.type === 'idle', from[index]);
  await Promise.all([idle(one, 0), idle(other, 1)]);
  const said = told(one, 0).filter(({ method, params }) => method === 'item/completed' && params.item.content);
  const words = new Set(said.map(({ params }) => params.item.content[0].text));
  expect(words).toEqual(new Set(['from one', 'from the other']));
  // To the last letter: deltas, too.
  expect(told(other, 1)).toEqual(told(one, 0));

  const before = other.rpc.frames.length;
  await one.rpc.call('thread/shellCommand', { threadId, command: ENDLESS });
  const { params } = await other.rpc.notification('turn/started', () => true, before);
  expect(await one.leave()).toBe(0);
  const here = other.rpc.frames.length;
  await other.rpc.notification('item/commandExecution/outputDelta', () => true, here);
  await other.rpc.call('turn/steer', {
    threadId,
    expectedTurnId: params.turn.id,
    input: [{ type: 'text', text: 'rather this', text_elements: [] }],
  });
  await other.rpc.notification('item/agentMessage/delta', () => true, here);
  await other.rpc.call('turn/interrupt', { threadId, turnId: params.turn.id });
  const { params: ended } = await other.rpc.notification('turn/completed', () => true, here);
  expect(ended.turn).toMatchObject({ id: params.turn.id, status: 'interrupted' });
});

it('STDIO-8 an editor that asks and does not read costs the daemon its bound, and has every answer when it reads on', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const { child, write, rpc } = await startBridge(home);
  const { thread } = await rpc.call('thread/start', {});
  await rpc.turn(thread.id, 'y'.repeat(250_000));
  const from = rpc.frames.length;
  child.stdout?.pause();
  const ids = Array.from({ length: 120 }, (_, index) => `ask ${index}`);
  const params = { threadId: thread.id, includeTurns: true };
  for (const id of ids) write(`${JSON.stringify({ id, method: 'thread/read', params })}\n`);
  const debug = await connectDebug(daemon.info.debugSocket ?? '');
  let last = -1;
  // Until it becomes no more.
  await eventually(async () => {
    const { result } = await debug.call('snapshot', {});
    const { queuedBytes } = result.connections[0];
    const stands = queuedBytes === last && queuedBytes > 0;
    last = queuedBytes;
    expect(stands).toBe(true);
  });
  expect(last).toBeLessThan(20 * 1024 * 1024);
  expect(rpc.frames.length - from).toBeLessThan(ids.length / 2);
  const other = await daemon.connect();
  await other.call('thread/loaded/list', {});
  child.stdout?.resume();
  await rpc.frame('the last answer', ({ id }) => id === ids.at(-1));
  const answers = rpc.frames.slice(from).filter(({ result }) => result?.thread !== undefined);
  expect(answers.map(({ id }) => id)).toEqual(ids);
});

it('STDIO-11 a restart waits for no bridge, each of which says what happened and ends with 1', async () => {
  const home = tempFolder();
  onTestFinished(async () => void (await skein(home, ['stop', '--now'])));
  await skein(home, ['start']);
  const [one, other] = await Promise.all([startBridge(home), startBridge(home)]);
  const { thread } = await one.rpc.call('thread/start', {});
  await one.rpc.turn(thread.id, 'before the restart');
  const restarted = await skein(home, ['restart', '--json']);
  expect(restarted.code).toBe(0);
  for (const { exited, stderr } of [one, other]) {
    expect(await exited).toBe(1);
    expect(stderr()).toMatch(
      /^skein: the daemon has ended this: the daemon has stopped \(1001\); threads are kept; .*\n$/,
    );
  }
  const next = await startBridge(home);
  await next.rpc.call('thread/resume', { threadId: thread.id });
  process.kill(restarted.json.pid, 'SIGKILL');
  expect(await next.exited).toBe(1);
  expect(next.stderr()).toContain('the connection to the daemon was lost');
  // What the killed one has left keeps nobody from going on.
  const last = await startBridge(home);
  await last.rpc.call('thread/resume', { threadId: thread.id });
});

it('STDIO-12 options that clients of the peer give are taken, other addresses and commands refused with what to do', async () => {
  const taken = [
    ['--listen', 'stdio://', '--analytics-default-enabled'],
    ['--stdio', '--strict-config', '--startup-sign-out', '--startup-client-info', '{"name":"x"}'],
  ];
  const served = tempFolder();
  await startDaemon(served);
  const bridges = await Promise.all(taken.map((args) => startBridge(served, args)));
  for (const { leave, stderr } of bridges) expect([await leave(), stderr()]).toEqual([0, '']);
  const refused: readonly (readonly [readonly string[], string])[] = [
    [['--listen', 'ws://127.0.0.1:4500'], 'skein start --listen ws://127.0.0.1:4500'],
    [['--listen', 'off'], 'only on stdio://'],
    [['-c', 'secret'], '-c takes KEY=VALUE'],
    [['--ws-auth', 'capability-token'], '--ws-auth is not taken: it speaks on standard input and output only'],
    [['--cloud-skills-snapshot', '/x'], 'Skein has no skills'],
    [['--print-startup-config'], 'Skein has no requirements'],
    [['--no-such-option'], "Unknown option '--no-such-option'; see skein app-server --help"],
    [['proxy', '--sock', '/x'], 'app-server has no proxy: '],
    [['-c', 'a=b', 'daemon', 'start'], 'app-server has no daemon: it is started by skein start'],
    [['generate-ts', '--out', '/x'], 'codex app-server generate-ts'],
    [['generate-json-schema', '--out', '/x'], 'codex app-server generate-json-schema'],
    [['help'], 'see skein app-server --help'],
    [['other'], 'too many arguments: other'],
  ];
  const home = tempFolder();
  const results = await Promise.all(refused.map(([args]) => skein(home, ['app-server', ...args])));
  for (const [index, { code, stdout, stderr }] of results.entries()) {
    const [args, words] = refused[index] ?? [];
    expect([args, code, stdout]).toEqual([args, 2, '']);
    expect(stderr).toContain(words);
    expect(stderr).not.toContain('secret');
  }
  expect(existsSync(daemonFiles(home).folder)).toBe(false);
});

it('STDIO-20 settings of Codex, before the command or after it, are taken and named without their values', async () => {
  const home = tempFolder();
  await startDaemon(home);
  const settings = ['-c', 'model_providers.x.token="hush"', '-chush_hush.a = hush=1', '--config=b=hush'];
  const features = ['--enable', 'one', '--disable=two', '--strict-config'];
  const start = (...args: readonly string[]): Promise<StdioClient> =>
    startStdio(process.execPath, [SKEIN, ...args], { env: { ...process.env, SKEIN_HOME: home } });
  const bridges = await Promise.all([
    // As editors do.
    start(...settings, ...features, 'app-server', '--analytics-default-enabled'),
    start('app-server', ...settings, ...features),
    start(...settings, 'app-server', ...features, '--listen', 'stdio://'),
  ]);
  for (const { rpc, leave, stderr } of bridges) {
    await rpc.call('thread/loaded/list', {});
    expect(await leave()).toBe(0);
    expect(stderr()).toBe(
      'skein: without effect: model_providers.x.token, hush_hush.a, b, features.one, features.two; ' +
        "settings are the daemon's, which others share: skein restart --set KEY.PATH=VALUE\n",
    );
  }
  // Before other commands they mean nothing.
  const refused = await skein(home, ['-c', 'a=b', 'status']);
  expect(refused).toMatchObject({ code: 2, stderr: 'skein: there is no command -c; see skein help\n' });
});

it('STDIO-13 a daemon of another version is told with both and what to do, and served', async () => {
  const home = tempFolder();
  const { info } = await startDaemon(home);
  writeFileSync(daemonFiles(home).info, JSON.stringify({ ...info, version: '0.0.7' }));
  const bridge = await startBridge(home);
  await bridge.rpc.call('thread/loaded/list', {});
  expect(await bridge.leave()).toBe(0);
  expect(bridge.stderr()).toBe(
    `skein: the daemon is version 0.0.7, this command ${VERSION}; to have one: skein restart --home ${home}\n`,
  );
});

it('STDIO-14 it loads no package, and nothing of the daemon', async () => {
  const [home, coverage] = [tempFolder(), join(tempFolder(), 'coverage')];
  await startDaemon(home);
  mkdirSync(coverage);
  const bridge = await startBridge(home, [], { env: { ...process.env, NODE_V8_COVERAGE: coverage } });
  expect(await bridge.leave()).toBe(0);
  // What V8 has loaded by the end, and what that was compiled from.
  const loaded = readdirSync(coverage).flatMap((name) => {
    const { result } = JSON.parse(readFileSync(join(coverage, name), 'utf8')) as { result: { url: string }[] };
    return result.map(({ url }) => url).filter((url) => url.startsWith('file:'));
  });
  const sources = loaded.flatMap((url) => {
    const map = JSON.parse(readFileSync(`${fileURLToPath(url)}.map`, 'utf8')) as { sources: string[] };
    return map.sources;
  });
  const rooms = new Set(sources.map((path) => /^\.\.\/src\/(\w+)/.exec(path)?.[1] ?? path));
  expect([...rooms].toSorted()).toEqual(['cli', 'domain', 'main', 'protocol', 'version']);
});

it('STDIO-17 the proxy of Codex reaches the daemon by its socket', async () => {
  const [home, codexHome] = [tempFolder(), join(tempFolder(), 'codex')];
  const { info } = await startDaemon(home);
  const proxy = spawn(codexBinary(), ['app-server', 'proxy', '--sock', info.socket], {
    ...aloneWith(codexHome),
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const exited = once(proxy, 'exit');
  onTestFinished(async () => {
    proxy.kill('SIGKILL');
    await exited;
  });
  // It carries bytes: whoever started it speaks WebSocket through it.
  const headers = Object.entries({ host: 'localhost', ...UPGRADE }).map(([name, value]) => `${name}: ${value}`);
  proxy.stdin.write(['GET / HTTP/1.1', ...headers, '', ''].join('\r\n'));
  const [answer] = (await once(proxy.stdout, 'data')) as [Buffer];
  expect(String(answer)).toMatch(/^HTTP\/1\.1 101 /);
});
