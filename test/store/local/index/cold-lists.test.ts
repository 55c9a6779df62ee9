import { statSync } from 'node:fs';
import { expect, it } from 'vitest';
import { startDaemon } from '../../../support/daemon.ts';
import { connectDebug } from '../../../support/debug-lines.ts';
import { writeRollout } from '../../../support/home-files.ts';
import { firstWords, openIndex, query } from '../../../support/open-index.ts';
import { T0 } from '../../../support/records.ts';
import type { Json } from '../../../support/rpc-client.ts';
import { tempFolder } from '../../../support/temp-home.ts';

/** Lists while a cold index is being built. */

const HOUR_MS = 3_600_000;
const MONTH_MS = 720 * HOUR_MS;

const SMALL = 150;
const LARGE = 8;

/** A home of small threads and of older large ones, which are read last and for long: it is records that take time. */
function homeOfAllSizes(turnsOfLarge: number): { readonly home: string; readonly bytes: number } {
  const home = tempFolder();
  const written: string[] = [];
  const write = (said: readonly string[], createdAtMs: number): void => {
    written.push(writeRollout(home, { said, createdAtMs, mtimeMs: createdAtMs + 1_000 }).path);
  };
  const talk = Array.from({ length: turnsOfLarge }, (_, number) => `word ${number}`);
  for (let number = 0; number < LARGE; number += 1) write(talk, T0 + number * HOUR_MS);
  for (let number = 0; number < SMALL; number += 1) write([`small ${number}`], T0 + MONTH_MS + number * HOUR_MS);
  return { home, bytes: written.reduce((sum, path) => sum + statSync(path).size, 0) };
}

/** Small threads, newest first. */
const small = (from: number, to: number): readonly string[] =>
  Array.from({ length: to - from }, (_, at) => `small ${SMALL - 1 - from - at}`);

it('INDEX-3 a daemon lists the newest threads while it still has most of its home to read', async () => {
  const { home, bytes } = homeOfAllSizes(3_000);
  const daemon = await startDaemon(home);
  const client = await daemon.connect();
  const debug = await connectDebug(daemon.info.debugSocket ?? '');
  const list = (params: object): Promise<Json> =>
    client.call('thread/list', { limit: 50, modelProviders: [], ...params });
  const sortKeys = ['created_at', 'updated_at', 'recency_at'];
  const first = await Promise.all(sortKeys.map((sortKey) => list({ sortKey })));
  const second = await Promise.all(
    first.map(({ nextCursor }, at) => list({ sortKey: sortKeys[at], cursor: nextCursor })),
  );
  const { index } = (await debug.call('snapshot', {})).result.stores[0];
  expect(first.map(({ data }) => firstWords(data))).toEqual(sortKeys.map(() => small(0, 50)));
  expect(second.map(({ data }) => firstWords(data))).toEqual(sortKeys.map(() => small(50, 100)));
  expect(index).toMatchObject({ state: 'building', problem: null });
  expect(index.pending).toBeGreaterThan(0);
  expect(index.bytesRead).toBeLessThan(bytes / 5);
});

it.each([0, 5])(
  'INDEX-3 a list that needs more than can be read in %d ms is answered as it is, and is whole later',
  async (coverBudgetMs) => {
    const { home, bytes } = homeOfAllSizes(300);
    const index = openIndex(home, { coverBudgetMs });
    // Any thread might belong on it.
    const everything = query({ limit: 1_000 });
    const { data } = await index.list(everything);
    const { state, pending, bytesRead } = await index.status();
    expect(data.length).toBeLessThan(SMALL + LARGE);
    expect(state).not.toBe('ready');
    expect(pending).toBeGreaterThanOrEqual(LARGE - 1);
    expect(bytesRead).toBeLessThan(bytes / 5);
    await index.whenReady();
    expect(await index.status()).toMatchObject({ state: 'ready', pending: 0, indexed: SMALL + LARGE });
    expect(firstWords((await index.list(everything)).data).slice(0, SMALL)).toEqual(small(0, SMALL));
    expect((await index.list(everything)).data).toHaveLength(SMALL + LARGE);
  },
);

it('INDEX-3 a page waits for the files that may belong on it, and for no others', async () => {
  const { home } = homeOfAllSizes(300);
  const index = openIndex(home);
  expect(firstWords((await index.list(query({ limit: 50 }))).data)).toEqual(small(0, 50));
  expect((await index.status()).pending).toBeGreaterThanOrEqual(LARGE - 1);
});
