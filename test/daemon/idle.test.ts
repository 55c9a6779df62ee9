import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { connectDebug } from '../support/debug-lines.ts';
import { eventually } from '../support/eventually.ts';
import { tempFolder } from '../support/temp-home.ts';

/** The delay of unloading is the time in which nothing is asked; longer than any check that the daemon makes by itself. */
const DELAY_SECONDS = 4;

it('LIFE-28 a daemon that nobody asks anything writes nothing, and changes no file of its home', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home, ['--set', `limits.unloadDelaySeconds=${DELAY_SECONDS}`]);
  const client = await daemon.connect();
  const debug = await connectDebug(daemon.info.debugSocket ?? '');
  const stored = (await client.call('thread/start', {})).thread.id;
  await client.turn(stored, 'hello');
  // It has nothing on the disk, so its end tells the time and leaves no trace.
  const clock = (await client.call('thread/start', { ephemeral: true })).thread.id;
  await client.call('thread/list', {});
  await eventually(async () =>
    expect((await debug.call('snapshot')).result.stores[0].index).toMatchObject({ state: 'ready', pending: 0 }),
  );
  await client.call('thread/unsubscribe', { threadId: clock });
  const before = { files: filesOf(home), bytes: writtenBy(daemon.info.pid) };
  await client.notification('thread/closed');
  expect({ files: filesOf(home), bytes: writtenBy(daemon.info.pid) }).toEqual(before);
});

/** All files with what changes when they are written. */
function filesOf(home: string): readonly string[] {
  return readdirSync(home, { recursive: true, encoding: 'utf8' })
    .map((name) => {
      const { ino, size, mtimeMs } = lstatSync(join(home, name));
      return `${name} ${ino} ${size} ${mtimeMs}`;
    })
    .toSorted();
}

/** What the kernel has counted as written to disk by a process, bytes. */
const writtenBy = (pid: number): number =>
  Number(/^write_bytes: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
