import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startDaemon } from '../support/daemon.ts';
import { start } from '../support/process.ts';
import { tempFolder } from '../support/temp-home.ts';

const ROOT = join(import.meta.dirname, '../..');

/** It is taken in every 16 MiB, and a change comes on top. */
const MOST_BYTES = 22 * 1_048_576;

/** Tries to read an index in a transaction, again and again, and holds on to the first that it gets. */
const READER = `
  const Database = require('better-sqlite3');
  let refused = 0;
  const look = () => {
    let database;
    try {
      database = new Database(process.argv[1], { readonly: true, timeout: 0 });
      database.exec('BEGIN');
      database.prepare('SELECT count(*) FROM threads').get();
      console.log('holds');
    } catch {
      database?.close();
      refused += 1;
      console.log('refused ' + refused);
      setTimeout(look, 10);
    }
  };
  look();
  setInterval(() => {}, 1_000);`;

/** What a log says of itself: how often it was begun anew. */
function timesTakenIn(path: string): number {
  const header = Buffer.alloc(32);
  const fd = openSync(path, 'r');
  try {
    readSync(fd, header, 0, header.length, 0);
    return header.readUInt32BE(12);
  } finally {
    closeSync(fd);
  }
}

it('INDEX-14 the log of an index stays small in a daemon at work, whoever tries to read it meanwhile', async () => {
  const home = tempFolder();
  const daemon = await startDaemon(home, ['--set', 'durability=process']);
  const log = join(home, 'skein', 'index.sqlite-wal');
  const reader = start(process.execPath, ['-e', READER, join(home, 'skein', 'index.sqlite')], { cwd: ROOT });
  const client = await daemon.connect();
  const threads: string[] = [];
  for (let number = 0; number < 4; number += 1) {
    const { thread } = await client.call('thread/start', {});
    await client.turn(thread.id, `first of ${number}`);
    threads.push(thread.id);
  }
  // By now it has looked at least once.
  await reader.said(/refused|holds/);
  const first = timesTakenIn(log);
  let named = 0;
  // Twice around: whatever kept it from being begun anew would show as growth.
  while (timesTakenIn(log) < first + 2) {
    await Promise.all(
      threads.map(async (threadId) => {
        for (let count = 0; count < 10; count += 1) {
          named += 1;
          await client.call('thread/name/set', { threadId, name: `${named}`.padEnd(2_000, 'n') });
          expect(statSync(log).size).toBeLessThan(MOST_BYTES);
        }
        await client.turn(threadId, `and ${named}`);
      }),
    );
  }
  const { data } = await client.call('thread/list', { modelProviders: [] });
  expect(data).toHaveLength(threads.length);
  await reader.said(/refused \d\d/);
  expect(reader.output()).not.toContain('holds');
});
