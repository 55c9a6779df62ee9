import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, asyncProperty, boolean, constantFrom, record as recordOf, tuple } from 'fast-check';
import { expect, it } from 'vitest';
import { SkeinError } from '../../src/domain/errors.ts';
import type { ThreadId } from '../../src/domain/ids.ts';
import { isJsonObject } from '../../src/domain/json.ts';
import { change } from '../../src/domain/organization.ts';
import { NO_FACTS } from '../../src/domain/thread-facts.ts';
import type { LocalThreadStore } from '../../src/store/local/local-thread-store.ts';
import { parseNameEntry } from '../../src/store/local/name-index.ts';
import { OrganizationFile } from '../../src/store/local/organization-file.ts';
import { setIn } from '../contract/organization-store-contract.ts';
import { openLocalStore } from '../support/local-store.ts';
import { event, headerPayload, record, turnItems } from '../support/records.ts';
import { query } from '../support/stored-threads.ts';
import { zstdFrame } from '../support/zstd.ts';
import { damaged, damages, fixtures, plainReading, type Damages } from './damage.ts';
import { FUZZ_TIMEOUT_MS, runs } from './runs.ts';

/** Homes in which files were damaged: what is whole stays as it was, and a store opens over the rest. */

const idOf = (nth: number): ThreadId => `01a2032f-9163-7000-8000-0000000000${nth + 10}` as ThreadId;
const [WHOLE, OTHER, DOOMED] = [idOf(0), idOf(1), idOf(2)];

const textOf = (threadId: ThreadId): string =>
  [
    { type: 'session_meta', payload: headerPayload(threadId, 'legacy') },
    ...turnItems('legacy', threadId, 'one', 'two', 'turn').items,
  ]
    .map((item) => `${JSON.stringify({ timestamp: '2026-03-04T05:06:07.000Z', ...item })}\n`)
    .join('');

const rolloutOf = (threadId: ThreadId): string => `rollout-2026-03-04T05-06-07-${threadId}.jsonl`;

/** A home with two whole threads, and what a test puts beside them; gone when the work is done. */
async function inHome(
  files: Readonly<Record<string, Buffer | string>>,
  work: (store: LocalThreadStore, home: string) => Promise<void>,
): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'skein-fuzz-'));
  const day = 'sessions/2026/03/04';
  for (const folder of [day, 'archived_sessions', 'skein/deletions'])
    mkdirSync(join(home, folder), { recursive: true });
  for (const threadId of [WHOLE, OTHER]) writeFileSync(join(home, day, rolloutOf(threadId)), textOf(threadId));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(home, name.replace('DAY', day)), content);
  const store = await openLocalStore(home);
  try {
    await work(store, home);
  } finally {
    await store.close();
    rmSync(home, { recursive: true });
  }
}

/** A value, or undefined where that is refused as an error of a defined kind. */
async function unlessRefused<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SkeinError) return undefined;
    throw error;
  }
}

async function recordsOf(store: LocalThreadStore, threadId: ThreadId): Promise<readonly unknown[]> {
  const found: unknown[] = [];
  for await (const { item } of store.loadHistory(threadId, { includeArchived: true })) found.push(item);
  return found;
}

async function assertWhole(store: LocalThreadStore, threadIds: readonly ThreadId[]): Promise<void> {
  const { data } = await store.listThreads(query());
  for (const threadId of threadIds) {
    expect(data.map((thread) => thread.id)).toContain(threadId);
    expect((await recordsOf(store, threadId)).length).toBe(7);
    const turns = await store.listTurns({ threadId, limit: 5, direction: 'asc', itemsView: 'full' });
    expect(turns.data.map(({ id, items }) => [id, items.length])).toEqual([['turn', 2]]);
  }
}

const itemsIn = (bytes: Buffer): readonly unknown[] =>
  plainReading(bytes).records.map(({ type, payload }) => ({ type, payload }));

const idIn = (text: string): ThreadId => (/"id":"([0-9a-f-]{36})"/.exec(text)?.[1] ?? idOf(9)) as ThreadId;

/** All turns of a thread, from the one end or from the other. */
async function turnsOf(
  store: LocalThreadStore,
  threadId: ThreadId,
  direction: 'asc' | 'desc',
  limit: number,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null;) {
    const page = await store.listTurns({
      threadId,
      limit,
      direction,
      itemsView: 'full',
      ...(cursor === undefined ? {} : { cursor }),
    });
    found.push(...page.data.map((turn) => JSON.stringify(turn)));
    cursor = page.nextCursor;
  }
  return found;
}

it(
  'FUZZ-5 a thread whose rollout is damaged is read as far as it goes and goes on, or is refused by name; others are as they were',
  async () => {
    const holds = asyncProperty(constantFrom(...fixtures), damages, boolean(), async (text, what, isCompressed) => {
      const { bytes } = damaged(text, what);
      const threadId = idIn(text);
      const name = `DAY/${rolloutOf(threadId)}`;
      const files = isCompressed ? { [`${name}.zst`]: zstdFrame(bytes) } : { [name]: bytes };
      await inHome(files, async (store) => {
        await assertWhole(store, [WHOLE, OTHER]);
        const thread = await unlessRefused(() => store.readThread(threadId));
        const { index } = await store.inspect();
        if (thread === undefined) return;
        expect(await recordsOf(store, threadId)).toEqual(itemsIn(bytes));
        expect(isJsonObject(index) && index['defects']).toBe(plainReading(bytes).defects);
        const forth = await turnsOf(store, threadId, 'asc', 2);
        expect((await turnsOf(store, threadId, 'desc', 1)).toReversed()).toEqual(forth);
        if ((await unlessRefused(() => store.resumeThread({ threadId }))) === undefined) return;
        const more = event('agent_message', { message: 'goes on' });
        await store.appendItems({
          threadId,
          records: [record(more)],
          facts: NO_FACTS,
          durability: 'process',
          onFailure: 'keep',
        });
        expect(await recordsOf(store, threadId)).toEqual([...itemsIn(bytes), more]);
      });
    });
    await assert(holds, runs(40));
  },
  FUZZ_TIMEOUT_MS,
);

const NAMES = [WHOLE, OTHER, WHOLE, idOf(8), OTHER]
  .map((id, nth) => `${JSON.stringify({ id, thread_name: `name ${nth}`, updated_at: '2026-03-04T05:06:07.000Z' })}\n`)
  .join('');

const DELETION = JSON.stringify({
  threads: [
    {
      threadId: DOOMED,
      files: [{ path: `sessions/2026/03/04/${rolloutOf(DOOMED)}`, size: Buffer.byteLength(textOf(DOOMED)) }],
    },
  ],
});

const SET = [
  change('queuePaused', 'first', true),
  change('queuePaused', 'second', true),
  change('queuePaused', 'first', null),
  change('queuePaused', 'third', true),
]
  .map((each) => `${JSON.stringify({ set: [each] })}\n`)
  .join('');

const lastNames = (bytes: Buffer): ReadonlyMap<string, string> =>
  new Map(
    bytes
      .toString('latin1')
      .split('\n')
      .map((line) => parseNameEntry(Buffer.from(line, 'latin1')))
      .filter((entry) => entry !== undefined)
      .map((entry) => [entry.threadId, entry.name]),
  );

it(
  'FUZZ-6 whatever stands in the files beside rollouts, a store opens, no thread is lost for it, and whole lines count',
  async () => {
    const four = tuple(damages, damages, damages, damages);
    const holds = asyncProperty(
      recordOf({ four, hasDeletion: boolean() }),
      async ({ four: [names, deletion, left, set], hasDeletion }) => {
        const of = (text: string, what: Damages): Buffer => damaged(text, what).bytes;
        const nameBytes = of(NAMES, names);
        const files = {
          [`DAY/${rolloutOf(DOOMED)}`]: textOf(DOOMED),
          'session_index.jsonl': nameBytes,
          ...(hasDeletion ? { [`skein/deletions/${DOOMED}.json`]: of(DELETION, deletion) } : {}),
          [`DAY/.${rolloutOf(idOf(5))}.new`]: of(textOf(idOf(5)), left),
          [`DAY/.${rolloutOf(idOf(6))}.plain`]: of(textOf(idOf(6)), left),
          [`DAY/${rolloutOf(idOf(7))}.zst.tmp`]: of(textOf(idOf(7)), left),
          'skein_threads.jsonl': of(SET, set),
        };
        await inHome(files, async (store, home) => {
          const ids = (await store.listThreads(query())).data.map((thread) => thread.id);
          // What was to be deleted is there as a whole, or not at all.
          const isThere = ids.includes(DOOMED);
          expect(readdirSync(join(home, 'sessions/2026/03/04')).includes(rolloutOf(DOOMED))).toBe(isThere);
          expect(isThere || hasDeletion).toBe(true);
          expect(ids.toSorted()).toEqual(isThere ? [WHOLE, OTHER, DOOMED] : [WHOLE, OTHER]);
          await assertWhole(store, ids);
          for (const id of [WHOLE, OTHER]) {
            const expected = lastNames(nameBytes).get(id) ?? null;
            expect((await store.readThread(id)).name).toBe(expected?.trim() === '' ? null : expected);
          }
          const organization = await OrganizationFile.open(join(home, 'skein_threads.jsonl'));
          const isWhole = (line: string): boolean => damaged(SET, set).bytes.includes(`${line}\n`);
          const paused = damaged(SET, set).untouched.filter((line) => line.includes('true') && isWhole(line));
          for (const line of paused.filter((each) => !each.includes('"first"'))) {
            expect(setIn(organization)).toMatchObject({
              [line.includes('"second"') ? 'queuePaused second' : 'queuePaused third']: true,
            });
          }
          await organization.write([change('queuePaused', 'd', true)], 'process');
          expect(setIn(await OrganizationFile.open(join(home, 'skein_threads.jsonl')))).toMatchObject({
            'queuePaused d': true,
          });
          await organization.close();
        });
      },
    );
    await assert(holds, runs(40));
  },
  FUZZ_TIMEOUT_MS,
);
