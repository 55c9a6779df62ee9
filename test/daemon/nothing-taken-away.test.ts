import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { writeRollout } from '../support/home-files.ts';
import { tempFolder } from '../support/temp-home.ts';

it('LIFE-29 however old or damaged, what is in a home stays as it is until somebody asks for a change', async () => {
  const home = tempFolder();
  const longAgo = Date.UTC(2020, 0, 1);
  for (const mode of ['legacy', 'paginated'] as const) {
    writeRollout(home, { mode, createdAtMs: longAgo, mtimeMs: longAgo });
    writeRollout(home, { mode, createdAtMs: longAgo, mtimeMs: longAgo, isArchived: true });
    writeRollout(home, { mode, said: [], createdAtMs: longAgo });
    const { path } = writeRollout(home, { mode });
    writeFileSync(path, 'no record', { flag: 'a' });
    writeFileSync(`${writeRollout(home, { mode }).path}.bak`, 'of somebody');
  }
  writeFileSync(join(home, 'session_index.jsonl'), '{"id":"of no thread","thread_name":"x"}\nno line');
  const before = filesIn(home);
  for (let time = 0; time < 2; time += 1) {
    const daemon = await startDaemon(home, ['--set', 'limits.unloadDelaySeconds=0']);
    const client = await daemon.connect();
    for (const archived of [false, true]) {
      const { data } = await client.call('thread/list', { archived, modelProviders: [] });
      expect(data).toHaveLength(archived ? 2 : 6);
      for (const { id } of data) {
        await client.call('thread/read', { threadId: id, includeTurns: true });
        if (archived) continue;
        await client.call('thread/resume', { threadId: id });
        await client.call('thread/unsubscribe', { threadId: id });
        await client.notification('thread/closed', ({ threadId }) => threadId === id);
      }
    }
    expect(await daemon.stop()).toBe(0);
    expect(filesIn(home)).toEqual(before);
  }
});

/** What is not the daemon's own, by path, with its bytes and times. */
const filesIn = (home: string): unknown =>
  Object.fromEntries(
    readdirSync(home, { recursive: true, encoding: 'utf8' })
      .filter((name) => !/^(skein|thread-writer-locks)\//.test(name) && statSync(join(home, name)).isFile())
      .map((name) => [name, [readFileSync(join(home, name), 'utf8'), statSync(join(home, name)).mtimeMs]]),
  );
