import { appendFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { assert } from 'fast-check';
import { it } from 'vitest';
import { SkeinError } from '../../src/domain/errors.ts';
import type { JsonValue } from '../../src/domain/json.ts';
import { change, type OrganizationChange, type OrganizationKind } from '../../src/domain/organization.ts';
import { OrganizationFile } from '../../src/store/local/organization-file.ts';
import { MemoryOrganizationStore } from '../../src/store/memory/memory-organization-store.ts';
import type { OrganizationStore } from '../../src/store/organization-store.ts';
import { DiskWeather, faults, type Fault } from './disk-weather.ts';
import { FUZZ_TIMEOUT_MS, runs } from './runs.ts';

/** What is set around threads, in any order, with what becomes of its file from outside. */
type Step =
  /** Writes that are asked for at once, and what the disk does meanwhile. */
  | {
      readonly do: 'write';
      readonly writes: readonly (readonly OrganizationChange[])[];
      readonly power: boolean;
      readonly disk: readonly Fault[];
    }
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

const anyChange: fc.Arbitrary<OrganizationChange> = fc.record({
  kind: fc.constantFrom(...KINDS),
  key: fc.constantFrom('a', 'b', 'c\n', '__proto__'),
  value,
});

const stepOn = (disk: fc.Arbitrary<readonly Fault[]>): fc.Arbitrary<Step> =>
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant('write' as const),
        writes: fc.array(fc.array(anyChange, { maxLength: 3 }), { minLength: 1, maxLength: 3 }),
        power: fc.boolean(),
        disk,
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

type Values = ReadonlyMap<string, OrganizationChange>;

/** What must be set, and what else the next process may find. */
class OrganizationModel {
  /** What was set last. */
  values: Values = new Map();
  /** What was refused as uncertain since something was written. */
  #uncertain: Values[] = [];
  /** What was set before without being synced, oldest first, since something was. */
  #unsynced: Values[] = [this.values];

  written(changes: readonly OrganizationChange[], power: boolean): void {
    if (changes.length === 0) return;
    this.values = withChanges(this.values, changes);
    this.#uncertain = [];
    this.#unsynced = power ? [this.values] : [...this.#unsynced, this.values];
  }

  /** @throws unless that is what a disk that fails may do */
  refused(changes: readonly OrganizationChange[], bad: readonly Fault[], error: unknown): void {
    if (!(error instanceof SkeinError) || !bad.some(({ errno }) => errno === error.detail.errno)) {
      throw new Error('refused, and not because of the disk', { cause: error });
    }
    if (error.code === 'uncertain') this.#uncertain.push(withChanges(this.values, changes));
    else if (error.code !== 'internal') throw new Error(`refused as ${error.code}`, { cause: error });
  }

  /** The next process goes on with what it has found. */
  reopened(found: readonly string[], hasLost: boolean): void {
    const may = [this.values, ...this.#uncertain, ...(hasLost ? this.#unsynced : [])];
    const is = may.find((values) => isDeepStrictEqual(sorted(values.values()), found));
    if (is === undefined) {
      throw new Error(
        `opened with ${found.join()} instead of ${may.map((one) => sorted(one.values()).join()).join(' or ')}`,
      );
    }
    // A line that lacks no more than its end is none, until others end it or something is written.
    if (is !== this.values) this.#uncertain = [];
    this.values = is;
    this.#unsynced.push(is);
  }
}

function withChanges(values: Values, changes: readonly OrganizationChange[]): Values {
  const changed = new Map(values);
  for (const set of changes) {
    const name = JSON.stringify([set.kind, set.key]);
    if (set.value === null) changed.delete(name);
    else changed.set(name, set);
  }
  return changed;
}

/** As people read it: what stands where, last. */
const sorted = (changes: Iterable<OrganizationChange>): readonly string[] =>
  Array.from(changes, ({ kind, key, value: set }) => JSON.stringify([kind, key, set])).toSorted();

async function play(steps: readonly Step[], open: () => Promise<OrganizationStore>, path?: string): Promise<void> {
  const model = new OrganizationModel();
  const weather = new DiskWeather();
  let store = await open();
  const reopen = async (): Promise<void> => {
    await store.close();
    store = await open();
    model.reopened(sorted(store.entries), weather.hasLost);
  };
  const write = async ({ writes, power, disk }: Extract<Step, { do: 'write' }>): Promise<void> => {
    const work = writes.map((changes) => () => store.write(changes, power ? 'power' : 'process'));
    const outcomes = await weather.during(disk, () => Promise.allSettled(work.map((one) => one())));
    for (const [index, outcome] of outcomes.entries()) {
      const changes = writes[index] ?? [];
      if (outcome.status === 'fulfilled') model.written(changes, power);
      else model.refused(changes, disk, outcome.reason);
    }
    const [found, expected] = [sorted(store.entries), sorted(model.values.values())];
    if (!isDeepStrictEqual(found, expected)) throw new Error(`found ${found.join()} instead of ${expected.join()}`);
  };
  for (const one of steps) {
    if (one.do === 'reopen') await reopen();
    else if (one.do === 'write') await write(one);
    else if (path !== undefined) appendFileSync(path, one.text);
  }
  await reopen();
  // The disk is well again: nothing is left of what it was.
  await write({ do: 'write', writes: [[change('section', 'last', 'well')]], power: true, disk: [] });
  weather.hasLost = false;
  await reopen();
  await store.close();
}

const inFile = (disk: fc.Arbitrary<readonly Fault[]>): fc.IAsyncProperty<[readonly Step[]]> =>
  fc.asyncProperty(fc.array(stepOn(disk), { maxLength: 30 }), async (steps) => {
    const folder = await mkdtemp(join(tmpdir(), 'skein-fuzz-'));
    const path = join(folder, 'skein_threads.jsonl');
    try {
      await play(steps, () => OrganizationFile.open(path), path);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

const WELL = fc.constant([]);

it(
  'FUZZ-8 whatever is set around threads, by however many at once, and whatever others add to the file, what was set last counts',
  async () => {
    await assert(inFile(WELL), runs(25));
    const inMemory = fc.asyncProperty(fc.array(stepOn(WELL), { maxLength: 30 }), async (steps) => {
      const store = new MemoryOrganizationStore();
      await play(steps, () => Promise.resolve(store));
    });
    await assert(inMemory, runs(100));
  },
  FUZZ_TIMEOUT_MS,
);

it(
  'FUZZ-8 whatever a disk refuses, what was set around threads is there and what was refused is not, unless that was said to be uncertain',
  () => assert(inFile(faults), runs(60)),
  FUZZ_TIMEOUT_MS,
);
