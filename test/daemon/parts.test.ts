import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { lockHome } from '../../src/daemon/home-lock.ts';
import { createLogger, RotatingFile } from '../../src/daemon/log.ts';
import { makePrivateFolder, readOrMake, replaceFile } from '../../src/daemon/private-files.ts';
import { Releasers } from '../../src/daemon/releasers.ts';
import { usableSocketPath } from '../../src/daemon/socket-paths.ts';
import { limitFileSize } from '../support/faults.ts';
import { tempFolder } from '../support/temp-home.ts';

const modeOf = (path: string): number => statSync(path).mode & 0o777;

/** Everything that is made is open to all, as far as the umask goes. */
function withOpenUmask(): void {
  const before = process.umask(0);
  onTestFinished(() => void process.umask(before));
}

it('LIFE-6 a home has one daemon: the lock names its holder, and is free when that lets go', () => {
  const path = join(tempFolder(), 'skein', 'daemon.lock');
  const lock = lockHome(path);
  const holder = expect.stringContaining(`pid ${process.pid}`);
  expect(() => lockHome(path)).toThrow(expect.objectContaining({ code: 'conflict', detail: { holder } }));
  lock.release();
  lockHome(path).release();
});

it('LIFE-7 files of the daemon are private whatever the umask', () => {
  withOpenUmask();
  const folder = join(tempFolder(), 'skein');
  mkdirSync(folder);
  makePrivateFolder(folder);
  expect(modeOf(folder)).toBe(0o700);
  const secret = join(folder, 'token');
  expect(readOrMake(secret, () => 'made')).toBe('made');
  expect(readOrMake(secret, () => 'made again')).toBe('made');
  replaceFile(join(folder, 'info'), 'one');
  replaceFile(join(folder, 'info'), 'two');
  expect(readFileSync(join(folder, 'info'), 'utf8')).toBe('two');
  const log = new RotatingFile(join(folder, 'log'), 100, 1);
  log.close();
  expect(readdirSync(folder).map((name) => [name, modeOf(join(folder, name))])).toEqual([
    ['info', 0o600],
    ['log', 0o600],
    ['token', 0o600],
  ]);
});

it('LIFE-8 an empty or too open secret is put right', () => {
  withOpenUmask();
  const path = join(tempFolder(), 'token');
  writeFileSync(path, '');
  expect(readOrMake(path, () => 'fresh')).toBe('fresh');
  const open = join(tempFolder(), 'token');
  writeFileSync(open, ' kept \n', { mode: 0o666 });
  expect(readOrMake(open, () => 'fresh')).toBe('kept');
  expect(modeOf(open)).toBe(0o600);
});

it('LIFE-9 the log never outgrows its bound, and the newest lines are kept', () => {
  const folder = tempFolder();
  const path = join(folder, 'daemon.log');
  const log = new RotatingFile(path, 100, 2);
  const lines = Array.from({ length: 50 }, (_, index) => `äöüßé ${String(index).padStart(3, '0')}\n`);
  for (const line of lines) log.write(line);
  log.close();
  const kept = ['daemon.log.2', 'daemon.log.1', 'daemon.log'].map((name) => readFileSync(join(folder, name), 'utf8'));
  expect(readdirSync(folder)).toHaveLength(3);
  expect(kept.every((text) => Buffer.byteLength(text) <= 100)).toBe(true);
  expect(lines.join('').endsWith(kept.join(''))).toBe(true);
});

it('LIFE-10 a log that is closed or cannot be written stops nothing', () => {
  const folder = tempFolder();
  const log = new RotatingFile(join(folder, 'daemon.log'), 20, 1);
  log.write('first line\n');
  mkdirSync(join(folder, 'daemon.log.1', 'in the way'), { recursive: true });
  log.write('second line\n');
  log.write('third line\n');
  log.close();
  log.write('after the end\n');
  log.close();
  expect(readdirSync(join(folder, 'daemon.log.1'))).toEqual(['in the way']);
});

it('LIFE-26 a log goes on when its disk does, and a line that was cut off costs itself only', () => {
  const folder = tempFolder();
  const path = join(folder, 'daemon.log');
  const log = new RotatingFile(path, 40, 1);
  onTestFinished(() => log.close());
  log.write('first line\n');
  limitFileSize(15);
  log.write('second line\n');
  log.write('third line\n');
  limitFileSize(null);
  log.write('fourth\n');
  expect(readFileSync(path, 'utf8')).toBe('first line\nseco\nfourth\n');
  mkdirSync(join(folder, 'daemon.log.1', 'in the way'), { recursive: true });
  log.write('a line for which there is no room\n');
  rmSync(join(folder, 'daemon.log.1'), { recursive: true });
  log.write('the next one, for which there is\n');
  expect(readFileSync(path, 'utf8')).toBe('the next one, for which there is\n');
});

it('LIFE-11 log lines carry no tokens', () => {
  const lines: string[] = [];
  const log = createLogger('debug', { write: (line) => lines.push(line), close: () => {} });
  log.info({ token: 'SECRET', request: { authorization: 'Bearer SECRET' }, authorization: 'SECRET' }, 'said');
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toContain('SECRET');
});

it('LIFE-12 what was acquired is given back last one first, and a failure keeps nothing from its turn', async () => {
  const done: string[] = [];
  const releasers = new Releasers((message) => done.push(message));
  releasers.add('first', () => void done.push('first'));
  releasers.add('second', () => Promise.reject(new Error('stuck')));
  releasers.add('third', async () => void done.push('third'));
  await releasers.releaseAll();
  expect(done).toEqual(['third', 'closing second failed: stuck', 'first']);
  await releasers.releaseAll();
  expect(done).toHaveLength(3);
});

it('LIFE-13 a socket path that the system would cut gives way to a short one of the same home', () => {
  const runtime = tempFolder();
  const environment = { XDG_RUNTIME_DIR: runtime };
  const fits = '/tmp/home/skein/daemon.sock';
  expect(usableSocketPath(fits, '/tmp/home', environment)).toBe(fits);
  const home = `/tmp/${'long/'.repeat(30)}`;
  const wanted = `${home}skein/daemon.sock`;
  const path = usableSocketPath(wanted, home, environment);
  expect(path.startsWith(runtime)).toBe(true);
  expect(Buffer.byteLength(path)).toBeLessThanOrEqual(103);
  expect(usableSocketPath(wanted, home, environment)).toBe(path);
  expect(usableSocketPath(wanted, `${home}other`, environment)).not.toBe(path);
  expect(modeOf(join(path, '..'))).toBe(0o700);
});

it('LIFE-14 a short place that is not a folder of the user is refused', () => {
  const runtime = tempFolder();
  writeFileSync(join(runtime, `skein-${process.getuid?.() ?? 0}`), '');
  const home = `/tmp/${'long/'.repeat(30)}`;
  const choose = (): string => usableSocketPath(`${home}daemon.sock`, home, { XDG_RUNTIME_DIR: runtime });
  expect(choose).toThrow('belongs to someone else');
  expect(existsSync(join(runtime, `skein-${process.getuid?.() ?? 0}`, 'x'))).toBe(false);
});
