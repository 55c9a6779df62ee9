import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ThreadId } from '../../../src/domain/ids.ts';
import { isJsonObject, stringMember, type JsonObject } from '../../../src/domain/json.ts';
import { decodeLine } from '../../../src/domain/rollout-line.ts';
import { NO_FACTS } from '../../../src/domain/thread-facts.ts';
import type { ThreadItem } from '../../../src/domain/turn.ts';
import type { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { openLocalStore } from '../../support/local-store.ts';
import { record, turnItems } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

/**
 * Rollouts that others made, whole and damaged, through the store: what of them is listed, shown and continued.
 * Expectations are those of the peer (app-server-protocol section 5) but where a row says otherwise.
 */

const FIXTURES = join(import.meta.dirname, '../../fixtures/rollouts');

interface Expected {
  readonly file: string;
  /** What lists show; null: not listed. */
  readonly preview: string | null;
  /** Turns as `status: user / agent`. */
  readonly turns: readonly string[];
  readonly defects?: number;
  /** It has no usable header and cannot be read at all. */
  readonly isUnreadable?: true;
  /** It can be read, and not resumed. */
  readonly isFrozen?: true;
}

const ROWS: readonly Expected[] = [
  { file: 'empty', preview: null, turns: [], isUnreadable: true },
  {
    file: 'legacy-corrupt-middle',
    preview: 'C hi',
    turns: ['completed: C hi', 'completed: C2 hi / C2 yo'],
    defects: 1,
  },
  { file: 'legacy-events-only', preview: 'L3 hi', turns: ['completed: L3 hi / L3 yo'] },
  { file: 'legacy-full', preview: 'L hi', turns: ['completed: L hi / L yo'] },
  { file: 'legacy-meta-nocwd', preview: null, turns: [], isUnreadable: true },
  { file: 'legacy-meta-only', preview: null, turns: [] },
  { file: 'legacy-minimal-meta', preview: 'L7', turns: ['completed: L7'] },
  { file: 'legacy-no-source', preview: 'L6', turns: ['completed: L6 / yo'] },
  { file: 'legacy-no-trailing-newline', preview: 'N hi', turns: ['completed: N hi / N yo'] },
  { file: 'legacy-no-turn-markers', preview: 'L2 hi', turns: ['completed: L2 hi / L2 yo'] },
  // What only the model was to read is nothing that was said.
  { file: 'legacy-responseitems-only', preview: null, turns: [] },
  { file: 'legacy-torn', preview: 'T hi', turns: ['completed: T hi / T yo'] },
  { file: 'legacy-unknown-types', preview: 'K hi', turns: ['completed: K hi / K yo'] },
  // The peer shows turns of paginated files that it did not write only once they have been resumed, when it has copied
  // them into its database. Skein reads the file, so they are there at once.
  { file: 'pag-full', preview: 'P hi', turns: ['completed: P hi / P yo'] },
  { file: 'pag-no-response-items', preview: 'P2 hi', turns: ['completed: P2 hi / P2 yo'] },
  { file: 'pag-torn', preview: 'P6 hi', turns: ['completed: P6 hi / P6 yo'] },
  { file: 'pag-started-at-ordinal-5', preview: 'P9 hi', turns: ['completed: P9 hi'] },
  // A store knows no end of it; whoever knows that nobody runs it shows it as interrupted.
  { file: 'pag-crash-unfinished-turn', preview: 'P8 hi', turns: ['inProgress: P8 hi'] },
  { file: 'pag-no-turn-markers', preview: 'P3 hi', turns: [] },
  { file: 'pag-legacy-events', preview: 'P4 hi', turns: ['completed: '] },
  // The user's message was the bad line.
  { file: 'pag-corrupt-middle', preview: null, turns: ['completed: P7 yo'], defects: 1 },
  {
    file: 'pag-no-ordinals',
    preview: 'P5 hi',
    turns: ['completed: P5 hi / P5 yo'],
    isFrozen: true,
  },
];

/** The thread of `legacy-full`. */
const FULL_ID = '01a2032f-9163-7e61-8353-277fdf17ab0b';

interface Home {
  readonly path: string;
  readonly threadId: ThreadId;
  readonly store: LocalThreadStore;
  readonly before: Buffer;
}

/** A home with one fixture in it, named for the thread in its header. */
async function homeWith(file: string, change = (text: string): string => text): Promise<Home> {
  const home = tempFolder();
  const before = Buffer.from(change(readFileSync(join(FIXTURES, `${file}.jsonl`), 'utf8')));
  const id = /"id":"([0-9a-f-]{36})"/.exec(before.toString())?.[1] ?? '01a2032f-9163-7000-8000-000000000000';
  const folder = join(home, 'sessions/2026/11/22');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `rollout-2026-11-22T10-00-00-${id}.jsonl`);
  writeFileSync(path, before);
  const store = await openLocalStore(home);
  onTestFinished(() => store.close());
  return { path, threadId: id as ThreadId, store, before };
}

async function turnsOf(store: LocalThreadStore, threadId: ThreadId): Promise<readonly string[]> {
  const page = await store.listTurns({ threadId, limit: 100, direction: 'asc', itemsView: 'full' });
  return page.data.map(({ status, items }) => `${status}: ${items.map(wordsIn).join(' / ')}`);
}

const wordsIn = (item: ThreadItem): string =>
  item.type === 'userMessage'
    ? (item['content'] as JsonObject[]).map((part) => stringMember(part, 'text')).join('')
    : (stringMember(item, 'text') ?? item.type);

const listedPreviews = async (store: LocalThreadStore): Promise<readonly string[]> =>
  (await store.listThreads({ sortKey: 'createdAt', direction: 'desc', limit: 9, isArchived: false })).data.map(
    (thread) => thread.preview,
  );

const defectsIn = async (store: LocalThreadStore): Promise<unknown> => {
  const { index } = await store.inspect();
  return isJsonObject(index) ? index['defects'] : undefined;
};

async function historyLength(store: LocalThreadStore, threadId: ThreadId): Promise<number> {
  let count = 0;
  for await (const line of store.loadHistory(threadId)) count += line.item.type === '' ? 0 : 1;
  return count;
}

const isRecord = (line: string): boolean => decodeLine(Buffer.from(line)).ok;

describe('rollouts that others made', () => {
  it('READ-9 has a row here for every fixture', () => {
    const files = readdirSync(FIXTURES).map((name) => name.replace('.jsonl', ''));
    expect(ROWS.map((row) => row.file).toSorted()).toEqual(files.toSorted());
  });

  it.each(ROWS.filter((row) => row.isUnreadable))(
    'READ-9 $file is not listed, and said to be unreadable',
    async (row) => {
      const { store, threadId } = await homeWith(row.file);
      expect(await listedPreviews(store)).toEqual([]);
      const refusal = { code: 'internal', message: expect.stringMatching(/^failed to read session metadata/) };
      for (const attempt of [store.readThread(threadId), turnsOf(store, threadId), store.resumeThread({ threadId })]) {
        await expect(attempt).rejects.toMatchObject(refusal);
      }
    },
  );

  const readable = ROWS.filter((row) => row.isUnreadable === undefined);

  it.each(readable)('READ-9 $file is listed and shown', async ({ file, preview, turns, defects = 0 }) => {
    const { store, threadId } = await homeWith(file);
    expect(await listedPreviews(store)).toEqual(preview === null ? [] : [preview]);
    expect(await defectsIn(store)).toBe(defects);
    expect((await store.readThread(threadId)).preview).toBe(preview ?? '');
    expect(await turnsOf(store, threadId)).toEqual(turns);
  });

  it.each(readable.filter((row) => row.isFrozen === undefined))(
    'READ-10 $file is continued',
    async ({ file, turns, defects = 0 }) => {
      const { store, threadId, path, before } = await homeWith(file);
      const { historyMode } = await store.resumeThread({ threadId });
      const earlier = await historyLength(store, threadId);
      const { items } = turnItems(historyMode, threadId, 'more', 'of it');
      const records = items.map((item) => record(item));
      const append = { threadId, facts: NO_FACTS, durability: 'power', onFailure: 'keep' } as const;
      await store.appendItems({ ...append, records: records.slice(0, 3) });
      await store.appendItems({ ...append, records: records.slice(3) });
      await store.shutdownThread(threadId);

      const after = readFileSync(path);
      expect(after.subarray(0, before.length).equals(before)).toBe(true);
      const added = after.subarray(before.length).toString();
      expect(added.startsWith('\n')).toBe(before.at(-1) !== 0x0a);
      expect(added.endsWith('\n')).toBe(true);
      const lines = added.trim().split('\n');
      const last = before.toString().split('\n').findLast(isRecord) ?? '';
      const lastOrdinal = /"ordinal":(\d+)/.exec(last)?.[1];
      expect(lines.map((line) => /"ordinal":(\d+)/.exec(line)?.[1])).toEqual(
        lines.map((_line, index) => (lastOrdinal === undefined ? undefined : String(Number(lastOrdinal) + 1 + index))),
      );

      expect(await turnsOf(store, threadId)).toEqual([...turns, 'completed: more / of it']);
      expect(await historyLength(store, threadId)).toBe(earlier + items.length);
      // A torn tail is a bad line from now on.
      expect(await defectsIn(store)).toBe(defects + (file.endsWith('-torn') ? 1 : 0));
    },
  );

  it('READ-10 pag-no-ordinals is refused, because its next ordinal is not known', async () => {
    const { store, threadId, path, before } = await homeWith('pag-no-ordinals');
    const refusal = {
      code: 'internal',
      message: expect.stringMatching(/final paginated rollout record at .* ordinal/),
    };
    await expect(store.resumeThread({ threadId })).rejects.toMatchObject(refusal);
    await expect(store.updateThreadMetadata(threadId, { memoryMode: 'disabled' })).rejects.toMatchObject(refusal);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it('READ-11 a resume changes neither the file nor its time', async () => {
    const { store, threadId, path, before } = await homeWith('pag-torn');
    utimesSync(path, 1_700_000_000, 1_700_000_000);
    await store.resumeThread({ threadId });
    await store.flushThread(threadId, 'power');
    await store.persistThread(threadId, 'power');
    await store.shutdownThread(threadId);
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(statSync(path).mtimeMs).toBe(1_700_000_000_000);
  });

  it('READ-17 a file that had no header is looked at again when it grows', async () => {
    const { store, threadId, path } = await homeWith('legacy-full', () => '');
    await expect(store.readThread(threadId)).rejects.toMatchObject({ code: 'internal' });
    const content = readFileSync(join(FIXTURES, 'legacy-full.jsonl'), 'utf8').replaceAll(FULL_ID, threadId);
    writeFileSync(path, content, { flag: 'a' });
    expect(await turnsOf(store, threadId)).toEqual(['completed: L hi / L yo']);
    expect(await listedPreviews(store)).toEqual(['L hi']);
  });

  it('READ-12 a rollout in a history mode that is not known is refused and not listed', async () => {
    const { store, threadId } = await homeWith('legacy-full', (text) =>
      text.replace('"source"', '"history_mode":"holographic","source"'),
    );
    await expect(store.readThread(threadId)).rejects.toMatchObject({ code: 'internal' });
    expect(await listedPreviews(store)).toEqual([]);
  });

  it('READ-12 what a copied header says of modes is ignored', async () => {
    const { store, threadId } = await homeWith('legacy-full', (text) => {
      const [header = '', ...rest] = text.split('\n');
      const foreign = header
        .replace(/"id":"[^"]*"/, '"id":"01a2032f-9163-7000-8000-00000000000f"')
        .replace('"source"', '"history_mode":"holographic","source"');
      return [header, foreign, ...rest].join('\n');
    });
    expect(await listedPreviews(store)).toEqual(['L hi']);
    expect(await turnsOf(store, threadId)).toEqual(['completed: L hi / L yo']);
  });
});
