import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { lockHome } from '../../src/daemon/home-lock.ts';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import { startDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { isAlive, start } from '../support/process.ts';
import { skein, startInBackground } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';

it('CLI-1 start returns when the daemon answers, and a second one finds it', async () => {
  const home = tempFolder();
  const started = await startInBackground(home, ['--json']);
  expect(started.code).toBe(0);
  expect(started.json).toMatchObject({ wasRunning: false, home, auth: 'token' });
  const again = await skein(home, ['start', '--json']);
  expect(again.json).toMatchObject({ wasRunning: true, pid: started.json.pid, nonce: started.json.nonce });
});

it('CLI-2 of many starts at once exactly one daemon comes up, and all name it', async () => {
  const home = tempFolder();
  const results = await Promise.all(Array.from({ length: 6 }, () => startInBackground(home, ['--json'])));
  expect(results.map(({ code }) => code)).toEqual(results.map(() => 0));
  expect(new Set(results.map(({ json }) => json.pid)).size).toBe(1);
});

it('CLI-3 status says whether a daemon runs, with exit code 3 if none does', async () => {
  const home = tempFolder();
  const before = await skein(home, ['status']);
  expect(before).toMatchObject({ code: 3, stdout: `no daemon runs for ${home}\n` });
  expect((await skein(home, ['status', '--json'])).json).toEqual({ isRunning: false, home });
  await startInBackground(home);
  const running = await skein(home, ['status', '--json']);
  expect(running.code).toBe(0);
  expect(running.json).toMatchObject({ isRunning: true, model: 'echo', loadedThreads: 0, index: { state: 'ready' } });
  const forPeople = await skein(home, ['status']);
  expect(forPeople.stdout).toContain('echo (says back what it is told)');
  expect(forPeople.stdout).toContain(running.json.listen[0]);
});

it('CLI-4 stop ends the daemon and returns when it is gone; without one it has nothing to do', async () => {
  const home = tempFolder();
  const { pid } = (await startInBackground(home, ['--json'])).json;
  const stopped = await skein(home, ['stop', '--json']);
  expect(stopped).toMatchObject({ code: 0, json: { wasRunning: true, pid } });
  // Its lock is free: it is gone, even if nobody has asked the system yet how it ended.
  lockHome(daemonFiles(home).lock).release();
  expect((await skein(home, ['stop', '--json'])).json).toEqual({ wasRunning: false, pid: null });
  const { info, socket, debugSocket } = daemonFiles(home);
  expect([info, socket, debugSocket].filter((path) => existsSync(path))).toEqual([]);
});

it('CLI-5 restart brings the daemon back the same way, unless options say otherwise', async () => {
  const home = tempFolder();
  const first = (await startInBackground(home, ['--json', '--auth', 'none', '--set', 'model.name=parrot'])).json;
  const second = (await skein(home, ['restart', '--json'])).json;
  expect(second.pid).not.toBe(first.pid);
  expect(second).toMatchObject({ auth: 'none', args: first.args });
  const third = (await skein(home, ['restart', '--json', '--auth', 'token'])).json;
  expect(third.auth).toBe('token');
});

it('CLI-6 a daemon that cannot start says why', async () => {
  const home = tempFolder();
  const failed = await skein(home, ['start', '--set', 'limits.drainSeconds=soon']);
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain('limits.drainSeconds');
  const refused = await skein(home, ['run', '--listen', 'ws://0.0.0.0:0', '--auth', 'none']);
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toContain('refusing to listen on ws://0.0.0.0:0 without authentication');
});

it('CLI-7 a second daemon of a home is refused, and the first one named', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const second = await skein(home, ['run']);
  expect(second.code).toBe(5);
  expect(second.stderr).toContain(`pid ${daemon.info.pid}`);
});

it('CLI-8 what a killed daemon has left keeps no other from starting', async () => {
  const home = tempFolder();
  const killed = await startDaemon(home);
  await killed.stop('SIGKILL');
  expect(existsSync(daemonFiles(home).info)).toBe(true);
  expect((await skein(home, ['status'])).code).toBe(3);
  // The pid of another process in its file: that one is left alone.
  const { info, lock } = daemonFiles(home);
  writeFileSync(lock, `{"pid":${process.pid},"product":"skein"}\n`);
  writeFileSync(info, JSON.stringify({ ...killed.info, pid: process.pid }));
  expect((await skein(home, ['stop'])).code).toBe(0);
  const started = await startInBackground(home, ['--json']);
  expect(started.json.wasRunning).toBe(false);
});

it('CLI-34 a copy of a home is a home of its own, and its commands leave the daemon of the original alone', async () => {
  const [home, copy] = [tempFolder(), tempFolder()];
  const daemon = await startDaemon(home);
  mkdirSync(daemonFiles(copy).folder);
  copyFileSync(daemonFiles(home).info, daemonFiles(copy).info);
  expect((await skein(copy, ['status'])).code).toBe(3);
  expect((await skein(copy, ['stop', '--json'])).json).toEqual({ wasRunning: false, pid: null });
  // One home may go by another path.
  const link = join(tempFolder(), 'link');
  symlinkSync(home, link);
  expect((await skein(link, ['status', '--json'])).json).toMatchObject({ isRunning: true, pid: daemon.info.pid });
});

it('CLI-35 whatever lies in the place of daemon.json, a daemon can be started', async () => {
  const home = tempFolder();
  const { folder, info } = daemonFiles(home);
  mkdirSync(folder);
  for (const text of ['', 'null', '{"pid":', '[]', '{}', `{"home":${JSON.stringify(home)},"socket":null}`]) {
    writeFileSync(info, text);
    expect((await skein(home, ['status'])).code).toBe(3);
  }
  writeFileSync(info, 'null');
  expect((await startInBackground(home, ['--json'])).json.wasRunning).toBe(false);
});

it('CLI-43 the daemon that answers is stopped, and not whose pid stands in daemon.json', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const innocent = start('sleep', ['60']);
  const { info } = daemonFiles(home);
  const { pid = 0 } = innocent.child;
  writeFileSync(info, JSON.stringify({ ...daemon.info, pid, nonce: 'by hand' }));
  const { pid: ownPid, nonce } = daemon.info;
  expect((await skein(home, ['status', '--json'])).json).toMatchObject({ isRunning: true, pid: ownPid, nonce });
  expect((await skein(home, ['status'])).stdout).toContain(`(pid ${ownPid})`);
  expect((await skein(home, ['start', '--json'])).json).toMatchObject({ wasRunning: true, pid: ownPid, nonce });
  expect((await skein(home, ['stop', '--json'])).json).toEqual({ wasRunning: true, pid: ownPid });
  expect(await daemon.exited).toBe(0);
  expect([isAlive(pid), innocent.child.signalCode]).toEqual([true, null]);
});

it('CLI-43 the daemon of another home is none, whatever stands in daemon.json', async () => {
  const [home, other] = [tempFolder(), tempFolder()];
  const daemon = await startDaemon(other);
  mkdirSync(daemonFiles(home).folder);
  writeFileSync(daemonFiles(home).info, JSON.stringify({ ...daemon.info, home }));
  for (const command of [['status'], ['thread', 'list']]) expect((await skein(home, command)).code).toBe(3);
  expect((await skein(home, ['stop', '--json'])).json).toEqual({ wasRunning: false, pid: null });
  expect((await skein(other, ['status', '--json'])).json).toMatchObject({ isRunning: true, pid: daemon.info.pid });
});

it('CLI-9 logs shows the last lines for people, or as they are', async () => {
  const home = tempFolder();
  expect((await skein(home, ['logs'])).code).toBe(4);
  await startInBackground(home);
  const forPeople = await skein(home, ['logs', '-n', '1']);
  expect(forPeople.stdout).toMatch(/^\S+Z info {2}serving \{.*\}\n$/);
  const [serving] = (await skein(home, ['logs', '--json'])).lines;
  expect(serving).toMatchObject({ msg: 'serving', home });
});

it('CLI-10 everything of the daemon is for its owner alone', async () => {
  const home = tempFolder();
  await startInBackground(home);
  await skein(home, ['thread', 'list']);
  const files = daemonFiles(home);
  const { folder, ...rest } = files;
  const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
  expect(mode(folder)).toBe('700');
  const wrong = [...Object.values(rest), join(folder, 'index.sqlite')].filter((path) => mode(path) !== '600');
  expect(wrong).toEqual([]);
});

it('CLI-11 a home with a long path has its sockets elsewhere, and works', async () => {
  const home = join(tempFolder(), 'a-folder-with-a-long-name'.repeat(4));
  mkdirSync(home);
  const started = await startInBackground(home, ['--json']);
  expect(started.code).toBe(0);
  expect(Buffer.byteLength(started.json.socket)).toBeLessThanOrEqual(103);
  expect((await skein(home, ['status'])).code).toBe(0);
  expect((await skein(home, ['debug', 'snapshot', '--json'])).json.daemon.home).toBe(home);
});

it('CLI-36 a daemon that is there and does not answer is not taken for none', async () => {
  const home = tempFolder();
  const { child, info } = await startDaemon(home);
  child.kill('SIGSTOP');
  const commands = [['status'], ['stop'], ['start'], ['restart'], ['thread', 'list'], ['app-server']];
  const results = await Promise.all(commands.map((command) => skein(home, command)));
  for (const { code, stdout, stderr } of results) {
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(`(pid ${info.pid}) does not answer`);
    expect(stderr).toContain(`kill -CONT ${info.pid}`);
  }
  child.kill('SIGCONT');
  expect((await skein(home, ['status', '--json'])).json).toMatchObject({ isRunning: true, pid: info.pid });
});

it('CLI-37 of a daemon that has no room for another client commands say so, and it can be stopped', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home, ['--set', 'limits.connections=1']);
  const client = await daemon.connect();
  const commands = [['status'], ['start'], ['thread', 'list'], ['app-server']];
  const answers = await Promise.all(commands.map((command) => skein(home, command)));
  const text = `the daemon of ${home} (pid ${daemon.info.pid}) has all the clients that it takes`;
  for (const { code, stderr } of answers) expect([code, stderr]).toEqual([1, expect.stringContaining(text)]);
  await client.close();
  await eventually(async () => expect((await skein(home, ['status'])).code).toBe(0));
  await daemon.connect();
  expect((await skein(home, ['stop'])).code).toBe(0);
});

it('CLI-39 status says that the daemon runs also while its debug socket answers nothing', async () => {
  const home = tempFolder();
  const { info } = await startDaemon(home);
  const path = info.debugSocket ?? '';
  unlinkSync(path);
  const deaf = createServer((socket) => void socket.destroy()).listen(path);
  onTestFinished(() => void deaf.close());
  await once(deaf, 'listening');
  const { code, json } = await skein(home, ['status', '--json']);
  expect([code, json.isRunning, json.pid]).toEqual([0, true, info.pid]);
});

it('CLI-40 who had to make room at the debug socket before it was answered asks again', async () => {
  const home = tempFolder();
  const { info } = await startDaemon(home);
  const path = info.debugSocket ?? '';
  renameSync(path, `${path}.own`);
  let turnedAway = 0;
  const crowded = createServer((socket) => {
    if (turnedAway < 2) {
      turnedAway += 1;
      socket.resume().end('{"method":"evicted","params":{"reason":"too many"}}\n');
    } else socket.pipe(createConnection(`${path}.own`)).pipe(socket);
  }).listen(path);
  onTestFinished(() => void crowded.close());
  await once(crowded, 'listening');
  const { code, json, stderr } = await skein(home, ['debug', 'snapshot', '--json']);
  expect([code, stderr, turnedAway, json.daemon.pid]).toEqual([0, '', 2, info.pid]);
});

it('CLI-40 whoever has to make room each time is told why', async () => {
  const home = tempFolder();
  const path = (await startDaemon(home)).info.debugSocket ?? '';
  unlinkSync(path);
  const crowded = createServer(
    (socket) => void socket.resume().end('{"method":"evicted","params":{"reason":"too many"}}\n'),
  );
  crowded.listen(path);
  onTestFinished(() => void crowded.close());
  await once(crowded, 'listening');
  const { code, stderr } = await skein(home, ['debug', 'snapshot']);
  expect([code, stderr]).toEqual([1, expect.stringContaining('the connection to the daemon was lost: too many')]);
});
