import { appendFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { assert } from 'fast-check';
import { it } from 'vitest';
import type { JsonValue } from '../../src/domain/json.ts';
import type { OrganizationChange, OrganizationKind } from '../../src/domain/organization.ts';
import { OrganizationFile } from '../../src/store/local/organization-file.ts';
import { MemoryOrganizationStore } from '../../src/store/memory/memory-organization-store.ts';
import type { OrganizationStore } from '../../src/store/organization-store.ts';
import { FUZZ_TIMEOUT_MS, runs } from './runs.ts';

/** What is set around threads, in any order, with what becomes of its file from outside. */
type Step =
  /** Writes that are asked for at once. */
  | { readonly do: 'write'; readonly writes: readonly (readonly OrganizationChange[])[]; readonly power: boolean }
  | { readonly do: 'reopen' }
  /** Others add to the file: whole lines that are none, or a line that is not whole. */
  | { readonly do: 'spoil'; readonly text: string };

const KINDS: readonly OrganizationKind[] = ['section', 'placement', 'queued', 'default'];

/** Some are long enough for the file to be written anew. */
const value: fc.Arbitrary<JsonValue> = fc.oneof(
  { weight: 4, arbitrary: fc.constant(null) },
  { weight: 4, arbitrary: fc.string({ unit: 'grapheme' }).map((text) => ({ text })) },
  { weight: 4, arbitrary: fc.constantFrom(true, 7, 'a word', ['a', { list: null }]) },
  { weight: 1, arbitrary: fc.constant('long '.repeat(40_000)) },
);

const change: fc.Arbitrary<OrganizationChange> = fc.record({
  kind: fc.constantFrom(...KINDS),
  key: fc.constantFrom('a', 'b', 'c\n', '__proto__'),
  value,
});

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      writes: fc.array(fc.array(change, { maxLength: 3 }), { minLength: 1, maxLength: 3 }),
      power: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ do: 'reopen' } as const) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('spoil' as const),
      text: fc.constantFrom(
        'no line\n',
        '{"set":7}\n',
        '{"set":[{"kind":"section"}]}\n',
        '\n\n',
        '{"set":[{"ki',
        '\0\0\0',
      ),
    }),
  },
);

/** As people read it: what stands where, last. */
const sorted = (changes: Iterable<OrganizationChange>): readonly string[] =>
  Array.from(changes, ({ kind, key, value: set }) => JSON.stringify([kind, key, set])).toSorted();

/** @throws if a store has something else than what was set last */
function assertSame(store: OrganizationStore, model: ReadonlyMap<string, OrganizationChange>): void {
  const [found, expected] = [sorted(store.entries), sorted(model.values())];
  if (!isDeepStrictEqual(found, expected)) throw new Error(`found ${found.join()} instead of ${expected.join()}`);
}

async function play(steps: readonly Step[], open: () => Promise<OrganizationStore>, path?: string): Promise<void> {
  const model = new Map<string, OrganizationChange>();
  let store = await open();
  const reopen = async (): Promise<void> => {
    await store.close();
    store = await open();
    assertSame(store, model);
  };
  for (const one of steps) {
    if (one.do === 'reopen') await reopen();
    else if (one.do === 'spoil') {
      if (path !== undefined) appendFileSync(path, one.text);
    } else {
      await Promise.all(one.writes.map((changes) => store.write(changes, one.power ? 'power' : 'process')));
      for (const set of one.writes.flat()) {
        const name = JSON.stringify([set.kind, set.key]);
        if (set.value === null) model.delete(name);
        else model.set(name, set);
      }
      assertSame(store, model);
    }
  }
  await reopen();
  await store.close();
}

it(
  'FUZZ-8 whatever is set around threads, by however many at once, and whatever others add to the file, what was set last counts',
  async () => {
    const steps = fc.array(step, { maxLength: 30 });
    const inFile = fc.asyncProperty(steps, async (sequence) => {
      const folder = await mkdtemp(join(tmpdir(), 'skein-fuzz-'));
      const path = join(folder, 'skein_threads.jsonl');
      try {
        await play(sequence, () => OrganizationFile.open(path), path);
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
    await assert(inFile, runs(25));
    const inMemory = fc.asyncProperty(steps, async (sequence) => {
      const store = new MemoryOrganizationStore();
      await play(sequence, () => Promise.resolve(store));
    });
    await assert(inMemory, runs(100));
  },
  FUZZ_TIMEOUT_MS,
);
