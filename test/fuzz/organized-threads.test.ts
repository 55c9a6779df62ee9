import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { assert } from 'fast-check';
import { it } from 'vitest';
import { SkeinError } from '../../src/domain/errors.ts';
import type { ThreadId } from '../../src/domain/ids.ts';
import { PINNED_SECTION } from '../../src/domain/organization.ts';
import { Organization } from '../../src/runtime/organization.ts';
import { OrganizationFile } from '../../src/store/local/organization-file.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import type { OrganizationStore } from '../../src/store/organization-store.ts';
import { DiskWeather, faults, type Fault } from './disk-weather.ts';
import { FUZZ_TIMEOUT_MS, runs } from './runs.ts';

/** Something that people set, and wait for; numbers name what is there then, in its order. */
type Deed =
  | { readonly set: 'section' | 'queued'; readonly thread: number; readonly text: string }
  | { readonly set: 'renamed' | 'deleted'; readonly nth: number; readonly text: string }
  | { readonly set: 'moved'; readonly thread: number; readonly section: number | null; readonly before: number | null }
  | { readonly set: 'marked'; readonly thread: number; readonly as: 'read' | 'unread' }
  | { readonly set: 'reworded' | 'unqueued'; readonly thread: number; readonly nth: number; readonly text: string }
  | { readonly set: 'reordered'; readonly thread: number }
  | { readonly set: 'chosen'; readonly text: string | null };

/** What is asked for at once, and what the disk does meanwhile. */
interface Step {
  readonly deeds: readonly Deed[];
  readonly disk: readonly Fault[];
}

const idOf = (thread: number): ThreadId => `01a2032f-9163-7000-8000-00000000000${thread}` as ThreadId;

const THREADS = [0, 1, 2].map(idOf);

const thread = fc.nat(THREADS.length - 1);
const nth = fc.nat(2);
const text = fc.constantFrom('one', 'two ü', 'long '.repeat(30_000));

const anyDeed: fc.Arbitrary<Deed> = fc.oneof(
  fc.record({ set: fc.constantFrom('section' as const, 'queued' as const), thread, text }),
  fc.record({ set: fc.constantFrom('renamed' as const, 'deleted' as const), nth, text }),
  fc.record({ set: fc.constant('moved' as const), thread, section: fc.option(nth), before: fc.option(thread) }),
  fc.record({
    set: fc.constant('marked' as const),
    thread,
    as: fc.constantFrom('read' as const, 'unread' as const),
  }),
  fc.record({ set: fc.constantFrom('reworded' as const, 'unqueued' as const), thread, nth, text }),
  fc.record({ set: fc.constant('reordered' as const), thread }),
  fc.record({ set: fc.constant('chosen' as const), text: fc.option(text) }),
);

const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({ deeds: fc.array(anyDeed, { minLength: 1, maxLength: 4 }), disk: faults }),
  { maxLength: 15 },
);

const words = (said: string) => [{ type: 'text' as const, text: said, textElements: [] }];

function over(store: OrganizationStore): Organization {
  const ignored = (): void => {};
  return new Organization({
    store,
    now: () => 1,
    readMarks: { onChanged: ignored, onProblem: ignored },
    queues: {
      threads: new MemoryThreadStore({ defaultModelProvider: 'echo' }),
      find: () => undefined,
      onChanged: ignored,
      onProblem: ignored,
    },
  });
}

async function make(organization: Organization, deed: Deed): Promise<unknown> {
  const { sections, readMarks, queues, chosenDefaults } = organization;
  const sectionId = (place: number): string => sections.all[place]?.id ?? PINNED_SECTION.id;
  const queuedId = async (id: ThreadId, place: number): Promise<string> => (await queues.list(id))[place]?.id ?? 'none';
  const id = idOf('thread' in deed ? deed.thread : 0);
  switch (deed.set) {
    case 'section':
      return sections.create(deed.text, null);
    case 'renamed':
      return sections.rename(sectionId(deed.nth), deed.text, undefined);
    case 'deleted':
      return sections.delete(sectionId(deed.nth));
    case 'moved': {
      const before = deed.before === null ? undefined : idOf(deed.before);
      return sections.move(id, deed.section === null ? null : sectionId(deed.section), before);
    }
    case 'marked':
      return readMarks.mark(id, deed.as, readMarks.of(id).revision);
    case 'queued':
      return queues.add(id, {
        input: words(deed.text),
        clientUserMessageId: 'c',
        responsesapiClientMetadata: null,
      });
    case 'reworded':
      return queues.update(id, await queuedId(id, deed.nth), words(deed.text), undefined);
    case 'unqueued':
      return queues.delete(id, await queuedId(id, deed.nth));
    case 'reordered':
      return queues.reorder(id, (await queues.list(id)).map((each) => each.id).toReversed());
    case 'chosen':
      return chosenDefaults.choose({ model: deed.text }, null);
  }
}

/** All that people are shown. */
async function shown({ sections, readMarks, queues, chosenDefaults }: Organization): Promise<unknown> {
  return {
    sections: sections.all.map((section) => [section, sections.threadsIn(section.id)]),
    threads: await Promise.all(
      THREADS.map(async (id) => [sections.placeOf(id), readMarks.of(id), await queues.list(id)]),
    ),
    chosen: chosenDefaults.chosen,
  };
}

async function play(sequence: readonly Step[], path: string): Promise<void> {
  const weather = new DiskWeather();
  let store = await OrganizationFile.open(path);
  const organization = over(store);
  for (const { deeds, disk } of sequence) {
    const outcomes = await weather.during(disk, () => Promise.allSettled(deeds.map((one) => make(organization, one))));
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') continue;
      const { reason } = outcome;
      const isOfDisk = disk.some(({ errno }) => reason instanceof SkeinError && reason.detail.errno === errno);
      const isRefused = reason instanceof SkeinError && reason.code === 'invalidRequest';
      if (!isOfDisk && !isRefused) throw new Error('refused for no reason', { cause: reason });
    }
    const [found, expected] = [await shown(organization), await shown(over(store))];
    if (!isDeepStrictEqual(found, expected)) {
      throw new Error(`shown ${JSON.stringify(found)}, and ${JSON.stringify(expected)} is set`);
    }
  }
  // The disk is well again, and the next process shows the same.
  await organization.chosenDefaults.choose({ model: 'well' }, null);
  store = await OrganizationFile.open(path);
  const [found, expected] = [await shown(over(store)), await shown(organization)];
  if (!isDeepStrictEqual(found, expected)) {
    throw new Error(`shown after a restart ${JSON.stringify(found)}, and before ${JSON.stringify(expected)}`);
  }
}

it(
  'FUZZ-8 whatever a disk refuses, people are shown what is set: sections, places, queues, marks and choices, before and after a restart',
  async () => {
    const holds = fc.asyncProperty(steps, async (sequence) => {
      const folder = await mkdtemp(join(tmpdir(), 'skein-fuzz-'));
      try {
        await play(sequence, join(folder, 'skein_threads.jsonl'));
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
    await assert(holds, runs(40));
  },
  FUZZ_TIMEOUT_MS,
);
