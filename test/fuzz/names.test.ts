import { readFileSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { assert } from 'fast-check';
import { it } from 'vitest';
import { errnoOf, SkeinError } from '../../src/domain/errors.ts';
import type { ThreadId } from '../../src/domain/ids.ts';
import { NameIndex, parseNameEntry } from '../../src/store/local/name-index.ts';
import { DiskWeather, faults, type Fault } from './disk-weather.ts';
import { FUZZ_TIMEOUT_MS, runs } from './runs.ts';

interface Change {
  readonly thread: number;
  /** Null removes the thread's names. */
  readonly name: string | null;
}

/** What becomes of names, and of their file from outside. */
type Step =
  /** Changes that are asked for at once, and what the disk does meanwhile. */
  | { readonly do: 'change'; readonly changes: readonly Change[]; readonly disk: readonly Fault[] }
  | { readonly do: 'reopen' }
  /** Others add an entry, or something that is none, to what may lack the end of its line. */
  | { readonly do: 'others'; readonly entry: Change }
  | { readonly do: 'spoil'; readonly text: string };

const idOf = (thread: number): ThreadId => `01a2032f-9163-7000-8000-00000000000${thread}` as ThreadId;

const anyThread = fc.nat(2);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('change' as const),
      changes: fc.array(
        fc.record({ thread: anyThread, name: fc.option(fc.string({ unit: 'grapheme' }), { freq: 3 }) }),
        {
          minLength: 1,
          maxLength: 3,
        },
      ),
      disk: faults,
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'reopen' } as const) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('others' as const),
      entry: fc.record({ thread: anyThread, name: fc.string() }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('spoil' as const),
      text: fc.constantFrom('no entry\n', '{"id":"', '\n\n', '\0\0'),
    }),
  },
);

type Names = ReadonlyMap<ThreadId, string>;

/** What may stand in the file: names that were given, with what could not be cut off of a refusal behind them. */
interface Possible {
  readonly names: Names;
  readonly left?: { readonly id: ThreadId; readonly name: string };
}

const shown = ({ names, left }: Possible): Names =>
  left === undefined ? names : new Map([...names, [left.id, left.name]]);

function changed({ names }: Possible, { thread: of, name }: Change): Possible {
  const after = new Map(names);
  if (name === null) after.delete(idOf(of));
  else after.set(idOf(of), name);
  return { names: after };
}

/** What others add stands behind what was left of a refusal, and so counts. */
function behind(before: Possible, entry: Change): Possible {
  const { names } = changed(before, entry);
  const { left } = before;
  return left === undefined || left.id === idOf(entry.thread) ? { names } : { names, left };
}

/** What comes of a change that was made, or refused. @throws unless a disk that fails may refuse it so */
function outcomesOf(
  before: Possible,
  change: Change,
  bad: readonly Fault[],
  outcome: PromiseSettledResult<void>,
): readonly Possible[] {
  if (outcome.status === 'fulfilled') return [changed(before, change)];
  const error: unknown = outcome.reason;
  if (!bad.some(({ errno }) => errno === errnoOf(error))) {
    throw new Error('refused, and not because of the disk', { cause: error });
  }
  // What was left before may be gone by now.
  const unchanged = [before, { names: before.names }];
  // A file that was written anew stays, if only its folder could not be synced.
  if (change.name === null) return [...unchanged, changed(before, change)];
  const isUncertain = error instanceof SkeinError && error.code === 'uncertain';
  return isUncertain ? [...unchanged, { ...before, left: { id: idOf(change.thread), name: change.name } }] : unchanged;
}

/** As whoever reads the file sees it. */
function namesIn(path: string): Names {
  const lines = readFileSync(path, { flag: 'a+', encoding: 'utf8' }).split('\n');
  const entries = lines.flatMap((line) => parseNameEntry(Buffer.from(line)) ?? []);
  return new Map(entries.map(({ threadId, name }) => [threadId, name]));
}

async function play(steps: readonly Step[], path: string): Promise<void> {
  const weather = new DiskWeather();
  let index = new NameIndex(path, `${path}.lock`);
  let possible: readonly Possible[] = [{ names: new Map() }];
  const look = (): void => {
    const found = namesIn(path);
    const same = possible.filter((one) => isDeepStrictEqual(shown(one), found));
    if (same.length === 0) {
      const texts = possible.map((one) => JSON.stringify([...shown(one)]));
      throw new Error(`found ${JSON.stringify([...found])} instead of ${texts.join(' or ')}`);
    }
    possible = [...new Map(same.map((one) => [JSON.stringify([[...one.names], one.left]), one])).values()];
  };
  const make = async (changes: readonly Change[], disk: readonly Fault[]): Promise<void> => {
    const doing = ({ thread: of, name }: Change): Promise<void> =>
      name === null ? index.remove(new Set([idOf(of)])) : index.append(idOf(of), name, 0);
    const outcomes = await weather.during(disk, () => Promise.allSettled(changes.map(doing)));
    for (const [place, change] of changes.entries()) {
      const outcome = outcomes[place] as PromiseSettledResult<void>;
      possible = possible.flatMap((before) => outcomesOf(before, change, disk, outcome));
    }
    look();
  };
  for (const one of steps) {
    if (one.do === 'change') await make(one.changes, one.disk);
    else if (one.do === 'reopen') {
      index = new NameIndex(path, `${path}.lock`);
      // Nobody knows any more what was refused.
      possible = possible.map((each) => ({ names: shown(each) }));
    } else if (one.do === 'spoil') weather.append(path, `\n${one.text}`);
    else {
      const { thread: of, name } = one.entry;
      weather.append(path, `\n${JSON.stringify({ id: idOf(of), thread_name: name, updated_at: '' })}\n`);
      possible = possible.map((each) => behind(each, one.entry));
    }
    look();
  }
  // The disk is well again: nothing is left of what it was.
  await make([{ thread: 9, name: 'well' }], []);
}

it(
  'FUZZ-8 whatever a disk refuses of names, given by however many at once, names that were given are there and refused ones are not, unless that was said to be uncertain',
  async () => {
    const holds = fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
      const folder = await mkdtemp(join(tmpdir(), 'skein-fuzz-'));
      try {
        await play(steps, join(folder, 'session_index.jsonl'));
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
    await assert(holds, runs(60));
  },
  FUZZ_TIMEOUT_MS,
);
