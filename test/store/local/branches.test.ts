import { appendFileSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { ThreadId } from '../../../src/domain/ids.ts';
import type { HistoryMode } from '../../../src/domain/session-meta.ts';
import { failing } from '../../support/failing-disk.ts';
import { filesBelow } from '../../support/local-store.ts';
import { createThread, forkThread, say, storedThread, useLocalStore, wordsIn } from '../../support/local-threads.ts';
import { tempFolder } from '../../support/temp-home.ts';

const MODES: readonly HistoryMode[] = ['legacy', 'paginated'];

it.each(MODES)(
  'PLACE-6 a fork ends with the last whole record of its source, terminated, and not with a torn one (%s)',
  async (mode) => {
    const store = await useLocalStore(tempFolder());
    const { threadId } = await storedThread(store, mode, ['a', 'b']);
    const path = (await store.readThread(threadId)).path ?? '';
    const whole = readFileSync(path, 'utf8');

    // The last record lacks its newline.
    truncateSync(path, Buffer.byteLength(whole) - 1);
    const ofUnterminated = await forkThread(store, threadId, mode);
    // And then there is half of one behind it.
    appendFileSync(path, '\n{"timestamp":"2026-');
    const ofTorn = await forkThread(store, threadId, mode);
    await store.resumeThread({ threadId });
    await say(store, threadId, mode, 'later in the source');

    for (const { id, path: forkPath } of [ofUnterminated, ofTorn]) {
      const [, ...copied] = readFileSync(forkPath ?? '', 'utf8').split('\n');
      expect(copied.join('\n')).toBe(mode === 'legacy' ? whole : '');
      await say(store, id, mode, 'c');
      expect(await wordsIn(store, id)).toEqual(['a', 're: a', 'b', 're: b', 'c', 're: c']);
      for (const line of readFileSync(forkPath ?? '', 'utf8')
        .trimEnd()
        .split('\n'))
        JSON.parse(line);
      const grandchild = await forkThread(store, id, mode);
      expect(await wordsIn(store, grandchild.id)).toHaveLength(6);
    }
  },
);

it('PLACE-7 a revert counts, even of a thread whose id comes from a clock far ahead', async () => {
  const store = await useLocalStore(tempFolder());
  const threadId = 'fffffffe-ffff-7fff-bfff-ffffffffffff' as ThreadId;
  await createThread(store, 'paginated', {}, threadId);
  await say(store, threadId, 'paginated', 'a');
  const second = await say(store, threadId, 'paginated', 'b');
  const third = await say(store, threadId, 'paginated', 'c');
  await store.shutdownThread(threadId);
  await store.revertThread(threadId, third);
  expect(await wordsIn(store, threadId)).toEqual(['a', 're: a', 'b', 're: b']);
  await store.revertThread(threadId, second);
  expect(await wordsIn(store, threadId)).toEqual(['a', 're: a']);
});

it.each(MODES)('PLACE-10 a new rollout that the disk refuses leaves no part of it, and no name (%s)', async (mode) => {
  const home = tempFolder();
  const store = await useLocalStore(home);
  const { threadId, turnIds } = await storedThread(store, mode, ['a', 'b']);
  await store.updateThreadMetadata(threadId, { name: 'the source' });
  const files = (): readonly string[] => filesBelow(home).filter((path) => !path.startsWith('skein/'));
  const before = files();
  const names = readFileSync(join(home, 'session_index.jsonl'), 'utf8');
  const isRollout = ([, data]: readonly unknown[]): boolean => String(data).includes('"type":"');
  for (const fault of ['ENOSPC', 'half, then ENOSPC'] as const) {
    const refused = { detail: { errno: 'ENOSPC' } };
    const forking = (): Promise<unknown> => expect(forkThread(store, threadId, mode)).rejects.toMatchObject(refused);
    await failing('write', fault, forking, isRollout);
    expect(files()).toEqual(before);
    expect(readFileSync(join(home, 'session_index.jsonl'), 'utf8')).toBe(names);
    const boundary = mode === 'legacy' ? 'thread/revert only supports paginated threads' : 'ENOSPC';
    const reverting = (): Promise<unknown> =>
      expect(store.revertThread(threadId, turnIds[1] ?? '')).rejects.toThrow(boundary);
    await failing('write', fault, reverting, isRollout);
    expect(files()).toEqual(before);
  }
  expect(await wordsIn(store, threadId)).toEqual(['a', 're: a', 'b', 're: b']);
  expect(await forkThread(store, threadId, mode)).toMatchObject({ name: 'the source' });
});
