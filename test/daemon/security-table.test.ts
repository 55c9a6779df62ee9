import { existsSync, lstatSync, readdirSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import { SKEIN } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { start } from '../support/process.ts';
import { rawConnection, rawRequest, UPGRADE, type RawAddress } from '../support/raw-http.ts';
import { RpcClient } from '../support/rpc-client.ts';
import { sharedDaemon } from '../support/shared-daemon.ts';
import { tempFolder } from '../support/temp-home.ts';

const LISTED = 'https://listed.example';

/** What browsers say of the page that asks; nothing: it is no browser. */
const ORIGINS = { none: undefined, evil: 'https://evil.example', null: 'null', listed: LISTED } as const;

const HOSTS = {
  '127.0.0.1': '127.0.0.1:80',
  localhost: 'localhost',
  '[::1]': '[::1]:80',
  evil: 'evil.example',
  '127.evil.com': '127.evil.com',
  empty: '',
  missing: undefined,
} as const;

const TOKENS = ['right', 'missing', 'wrong'] as const;

const OURS: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '[::1]']);

/**
 * The first of these that holds decides:
 *
 * | | ws | health | other path | unix ws | unix health | unix other path |
 * |---|---|---|---|---|---|---|
 * | origin not listed | 403 | 403 | 403 | 403 | 403 | 403 |
 * | host not this machine | 403 | 403 | 403 | - | - | - |
 * | token not right | 401 | - | 401 | - | - | - |
 * | else | 101 | 200 | 400 | 101 | 200 | 400 |
 */
const WAYS = {
  ws: { isUnix: false, path: '/', isUpgrade: true, asksToken: true, welcome: 101 },
  'ws on a health path': { isUnix: false, path: '/healthz', isUpgrade: true, asksToken: true, welcome: 101 },
  '/readyz': { isUnix: false, path: '/readyz', isUpgrade: false, asksToken: false, welcome: 200 },
  '/healthz': { isUnix: false, path: '/healthz', isUpgrade: false, asksToken: false, welcome: 200 },
  'another path': { isUnix: false, path: '/../readyz', isUpgrade: false, asksToken: true, welcome: 400 },
  'unix ws': { isUnix: true, path: '/', isUpgrade: true, asksToken: false, welcome: 101 },
  'unix /readyz': { isUnix: true, path: '/readyz', isUpgrade: false, asksToken: false, welcome: 200 },
  'unix other path': { isUnix: true, path: '/x', isUpgrade: false, asksToken: false, welcome: 400 },
} as const;

describe('who is let in by a running daemon', () => {
  const shared = sharedDaemon(['--set', `allowedOrigins=["${LISTED}"]`]);

  it.each(Object.entries(WAYS))(
    'ACC-7 every Origin with every Host and every token: %s',
    async (_, { isUnix, path, isUpgrade, asksToken, welcome }) => {
      const { info, url } = shared();
      const address: RawAddress = isUnix ? info.socket : Number(new URL(url).port);
      const secret = readFileSync(daemonFiles(info.home).token, 'utf8').trim();
      const cells = Object.entries(ORIGINS).flatMap(([origin, sent]) =>
        Object.entries(HOSTS).flatMap(([host, named]) =>
          TOKENS.map(async (token) => {
            const headers = {
              ...(isUpgrade ? UPGRADE : {}),
              ...(sent === undefined ? {} : { origin: sent }),
              ...(named === undefined ? {} : { host: named }),
              ...(token === 'missing' ? {} : { authorization: `Bearer ${token === 'right' ? secret : 'wrong'}` }),
            };
            const isOriginFine = origin === 'none' || origin === 'listed';
            const isHostFine = isUnix || OURS.has(host);
            const expected = !isOriginFine || !isHostFine ? 403 : asksToken && token !== 'right' ? 401 : welcome;
            const { status } = await rawRequest(address, 'GET', path, headers);
            return { cell: `${origin}, ${host}, ${token}`, expected, status };
          }),
        ),
      );
      const answers = await Promise.all(cells);
      expect(answers).toHaveLength(84);
      expect(answers.filter(({ expected, status }) => expected !== status)).toEqual([]);
    },
  );

  it('ACC-8 the debug socket speaks no HTTP, whatever comes with a request', async () => {
    const { info } = shared();
    const socket = await rawConnection(info.debugSocket ?? '');
    socket.write(`GET /readyz HTTP/1.1\r\nhost: evil.example\r\n\r\n{"id":1,"method":"end"}\n`);
    let text = '';
    for await (const chunk of socket) {
      text += String(chunk);
      if (text.includes('"id":1')) break;
    }
    expect(text).not.toContain('HTTP/');
    for (const line of text.trim().split('\n')) expect(JSON.parse(line).error.code).toBe(-32600);
    expect(text).not.toContain(info.home);
  });
});

it.each(['000', '077'])(
  'ACC-9 with a umask of %s all files of a daemon are 0600 and all folders 0700',
  async (umask) => {
    const home = join(tempFolder(), 'a-home-whose-sockets-need-another-place'.repeat(3));
    const runtime = tempFolder();
    const command = async (...args: readonly string[]): Promise<string> => {
      const env = { ...process.env, HOME: tempFolder(), XDG_RUNTIME_DIR: runtime };
      const masked = ['-c', `umask ${umask}; exec "$@"`, 'sh', process.execPath, SKEIN, ...args, '--home', home];
      const running = start('sh', masked, { env });
      expect([await running.exited, running.output()]).toEqual([0, expect.anything()]);
      return running.output();
    };
    onTestFinished(async () => void (await command('stop')));
    const info = JSON.parse(await command('start', '--json'));
    const sockets = [info.socket, info.debugSocket];
    expect(sockets.map((path) => path.startsWith(runtime))).toEqual([true, true]);
    const client = await RpcClient.connect(`unix://${info.socket}`);
    for (const historyMode of ['legacy', 'paginated']) {
      const threadId = (await client.call('thread/start', { historyMode })).thread.id;
      const { id } = await client.turn(threadId, 'hello');
      await client.turn(threadId, 'again');
      await client.call('thread/name/set', { threadId, name: 'a name' });
      await client.call('thread/metadata/update', { threadId, gitInfo: { sha: 'abc' } });
      const fork = (await client.call('thread/fork', { threadId })).thread.id;
      await client.turn(fork, 'in the fork');
      if (historyMode === 'paginated') await client.call('thread/revert', { threadId, beforeTurnId: id });
      await client.call('thread/archive', { threadId: fork });
      await client.call('thread/unarchive', { threadId: fork });
      await client.call('thread/archive', { threadId: fork });
      const gone = (await client.call('thread/start', { historyMode })).thread.id;
      await client.turn(gone, 'soon gone');
      await client.call('thread/delete', { threadId: gone });
    }
    await client.call('threadSection/create', { name: 'a section' });
    const open = (): readonly string[] => [...openTo(home), ...openTo(runtime)];
    expect(open()).toEqual([]);
    unlinkSync(info.socket);
    await eventually(() => expect(existsSync(info.socket)).toBe(true));
    await client.close();
    await command('thread', 'list');
    await command('restart');
    expect(open()).toEqual([]);
    await command('stop');
    expect(open()).toEqual([]);
  },
);

/** What others than the owner have any right to, or the owner not enough, with its mode. */
function openTo(home: string): readonly string[] {
  const paths = [home, ...readdirSync(home, { recursive: true, encoding: 'utf8' }).map((name) => join(home, name))];
  return paths.flatMap((path) => {
    const found = lstatSync(path);
    const mode = found.mode & 0o777;
    return mode === (found.isDirectory() ? 0o700 : 0o600) ? [] : [`${path} ${mode.toString(8)}`];
  });
}
