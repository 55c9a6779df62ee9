import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { newUuid, type ThreadId } from '../../../src/domain/ids.ts';
import type { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { limitFileSize } from '../../support/faults.ts';
import { filesBelow, openLocalStore } from '../../support/local-store.ts';
import { headerPayload, someThreadId, T0, turnItems } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

/** What becomes of bytes that Skein did not write, when it goes on with them. */

/** A line whose spelling JSON does not need: none of it survives being parsed and rendered. */
const oddLine = (ordinal: number | null): string =>
  `{ "timestamp":"2026-03-04T05:06:07.000Z",${ordinal === null ? '' : `"ordinal":${ordinal},`}"type":"brand_new",` +
  '"payload":{"b":1.0,"a":1e3,"a":12345678901234567890,"2":1,"1":2,"e":"\\u00e9\\/\\ud800"}, "later":[ ] }';

const LIVELY_HEADER = { context_window: 7, later: { deep: [1, null, '\u2028'] } };

interface Home {
  readonly home: string;
  readonly path: string;
  readonly threadId: ThreadId;
  readonly turnId: string;
  readonly store: LocalThreadStore;
}

async function homeWithOddities(mode: 'legacy' | 'paginated', padding = ''): Promise<Home> {
  const home = tempFolder();
  const threadId = someThreadId();
  const turnId = newUuid();
  const { items } = turnItems(mode, threadId, 'hi', 'yo', turnId);
  const header = { type: 'session_meta', payload: { ...headerPayload(threadId, mode), ...LIVELY_HEADER } };
  const records = [header, ...items].map((item, ordinal) =>
    JSON.stringify({ timestamp: '2026-03-04T05:06:07.000Z', ...(mode === 'legacy' ? {} : { ordinal }), ...item }),
  );
  const odd = oddLine(mode === 'legacy' ? null : records.length);
  const path = join(home, `sessions/2026/03/04/rollout-2026-03-04T05-06-07-${threadId}.jsonl`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${[...records, `{"torn${padding}`, '', odd].join('\n')}\n`);
  const store = await openLocalStore(home);
  onTestFinished(() => store.close());
  return { home, path, threadId, turnId, store };
}

const headersIn = (text: string): readonly Record<string, unknown>[] =>
  text
    .split('\n')
    .filter((line) => line.includes('"session_meta"'))
    .map((line) => (JSON.parse(line) as { payload: Record<string, unknown> }).payload);

it('LINE-11 a fork of legacy history copies it byte for byte', async () => {
  const { store, threadId, path } = await homeWithOddities('legacy');
  const forkId = someThreadId();
  const fork = await store.forkThread({
    threadId: forkId,
    historyMode: 'legacy',
    cwd: '/work',
    createdAtMs: T0,
    header: async () => headerPayload(forkId, 'legacy'),
    sourceId: threadId,
    boundary: { kind: 'latest' },
  });
  const copy = readFileSync(fork.path ?? '', 'utf8');
  expect(copy.slice(copy.indexOf('\n') + 1)).toBe(readFileSync(path, 'utf8'));
});

it.each(['legacy', 'paginated'] as const)(
  'LINE-12 a change of metadata leaves all lines of %s history and adds one, with what it does not know of the header',
  async (mode) => {
    const { store, threadId, path } = await homeWithOddities(mode);
    const before = readFileSync(path, 'utf8');
    await store.updateThreadMetadata(threadId, { memoryMode: 'disabled' });
    const after = readFileSync(path, 'utf8');
    expect(after.startsWith(before)).toBe(true);
    const [header, patch] = headersIn(after);
    expect(patch).toEqual({ ...header, memory_mode: 'disabled' });
    const added = after.slice(before.length);
    expect(added.split('\n').length).toBe(2);
    const ordinals = [...after.matchAll(/"ordinal":(\d+)/g)].map(([, ordinal]) => Number(ordinal));
    expect(ordinals).toEqual(mode === 'legacy' ? [] : [...ordinals.keys()]);
  },
);

it('LINE-12 a revert leaves the file, and carries what it does not know of the header into the next', async () => {
  const { store, home, threadId, turnId, path } = await homeWithOddities('paginated');
  const before = readFileSync(path, 'utf8');
  const reverted = await store.revertThread(threadId, turnId);
  expect(readFileSync(path, 'utf8')).toBe(before);
  const [header] = headersIn(readFileSync(reverted.path ?? '', 'utf8'));
  expect(header).toMatchObject({ ...LIVELY_HEADER, id: threadId, history_base: { thread_id: threadId } });
  expect(filesBelow(home).filter((name) => name.endsWith('.jsonl')).length).toBe(2);
});

it('WRITE-24 a change of metadata that fails leaves the file, and nothing open', async () => {
  // So much larger than the index that only the rollout meets the limit.
  const { store, threadId, path } = await homeWithOddities('paginated', 'x'.repeat(2_000_000));
  const before = readFileSync(path, 'utf8');
  limitFileSize(before.length + 10);
  await expect(store.updateThreadMetadata(threadId, { memoryMode: 'disabled' })).rejects.toMatchObject({
    detail: { errno: 'EFBIG' },
  });
  limitFileSize(null);
  expect(readFileSync(path, 'utf8')).toBe(before);
  expect(await store.inspect()).toMatchObject({ openFiles: 0, writers: [] });
  expect((await store.updateThreadMetadata(threadId, { memoryMode: 'disabled' })).memoryMode).toBe('disabled');
});
