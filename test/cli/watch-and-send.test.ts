import { expect, it } from 'vitest';
import { SKEIN, startDaemon } from '../support/daemon.ts';
import { connectDebug } from '../support/debug-lines.ts';
import { start } from '../support/process.ts';
import { skein } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';

const command = (home: string, ...args: readonly string[]): ReturnType<typeof start> =>
  start(process.execPath, [SKEIN, ...args, '--home', home]);

it('CLI-22 watch follows a thread, whoever speaks in it, and ends with Ctrl-C', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const client = await daemon.connect();
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'before anyone watched');
  const watcher = command(home, 'watch', thread.id);
  await watcher.said(/watching/);
  await client.turn(thread.id, 'hello watcher');
  await watcher.said(/> hello watcher\n[^]*hello watcher\n[^]*-- turn completed\n/);
  await client.call('thread/name/set', { threadId: thread.id, name: 'watched' });
  await watcher.said(/-- renamed: watched/);
  expect(watcher.output()).not.toContain('before anyone watched');
  expect(await watcher.stop('SIGINT')).toBe(130);
});

it('CLI-23 Ctrl-C in a send interrupts the turn, and the thread stays', async () => {
  const home = tempFolder();
  await startDaemon(home);
  // More words than are streamed before anyone can say stop.
  const sending = start('sh', ['-c', `seq 1 160000 | ${process.execPath} ${SKEIN} send - --home ${home}`], {
    detached: true,
  });
  await sending.said(/echo,/);
  const { pid } = sending.child;
  if (pid !== undefined) process.kill(-pid, 'SIGINT');
  await sending.exited;
  const { data } = (await skein(home, ['thread', 'list', '--json'])).json;
  const shown = await skein(home, ['thread', 'show', data[0].id, '--json', '--turns', '1']);
  expect(shown.json.turns[0].status).toBe('interrupted');
});

it('CLI-24 a send whose daemon goes away says where to look', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const sending = start('sh', ['-c', `seq 1 160000 | ${process.execPath} ${SKEIN} send - --home ${home}`]);
  await sending.said(/echo,/);
  await daemon.stop('SIGKILL');
  expect(await sending.exited).toBe(1);
  expect(sending.output()).toMatch(/the connection was lost; what was answered is in: skein thread show [0-9a-f-]{36}/);
});

it('CLI-25 logs --follow shows what is added', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const following = command(home, 'logs', '--follow');
  await following.said(/serving/);
  await daemon.stop();
  await following.said(/stopping/);
  expect(await following.stop('SIGINT')).toBe(130);
});

it('CLI-26 debug commands show the daemon, a thread and its transitions', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home);
  const client = await daemon.connect({ name: 'an-editor' });
  const tail = command(home, 'debug', 'tail');
  await tail.said(/following/);
  const { thread } = await client.call('thread/start', {});
  await client.turn(thread.id, 'hello');
  const snapshot = await skein(home, ['debug', 'snapshot']);
  expect(snapshot.stdout).toContain('an-editor 1.0.0');
  expect(snapshot.stdout).toMatch(new RegExp(`${thread.id} +materialized +idle`));
  const detail = await skein(home, ['debug', 'thread', thread.id]);
  expect(detail.stdout).toMatch(/lazy\/idle -> lazy\/running {2}turn.start \(turn\/start of conn_\S+ \(an-editor\)\)/);
  await tail.said(new RegExp(`${thread.id} #\\d+ \\w+/running -> \\w+/idle`));
  expect(await tail.stop('SIGINT')).toBe(130);
});

it('DBG-15 a tail that has to make room for others says so', async () => {
  const home = tempFolder();
  const { info } = await startDaemon(home);
  const tail = command(home, 'debug', 'tail');
  await tail.said(/following/);
  const followers = await Promise.all(Array.from({ length: 15 }, () => connectDebug(info.debugSocket ?? '')));
  await Promise.all(followers.map((follower) => follower.call('tail')));
  await connectDebug(info.debugSocket ?? '');
  expect(await tail.exited).toBe(1);
  expect(tail.output()).toContain(
    'the daemon has ended the connection: more than 16 are connected to the debug socket',
  );
});
