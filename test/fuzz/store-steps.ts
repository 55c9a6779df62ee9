import * as fc from 'fast-check';
import type { ThreadMetadataPatch } from '../../src/domain/metadata-patch.ts';
import type { ThreadQuery } from '../../src/domain/thread-query.ts';
import type { ForkBoundary, ListTurns } from '../../src/store/thread-store.ts';
import { T0 } from '../support/records.ts';
import type { Beginning } from './store-model.ts';

/** What is done to a store, in words that shrink. Threads go by number; most numbers name none at first. */
export type Step =
  | { readonly do: 'create'; readonly thread: number; readonly made: Made }
  | { readonly do: 'resume' | 'read' | 'history'; readonly thread: number; readonly archivedToo: boolean }
  | {
      readonly do: 'append';
      readonly thread: number;
      readonly batches: readonly (readonly Piece[])[];
      readonly power: boolean;
      readonly atMs: number;
    }
  | {
      readonly do: 'persist' | 'flush' | 'shutdown' | 'discard' | 'unarchive';
      readonly thread: number;
      readonly power: boolean;
    }
  | { readonly do: 'patch'; readonly thread: number; readonly patch: ThreadMetadataPatch }
  | { readonly do: 'archive' | 'delete'; readonly threads: readonly number[] }
  | {
      readonly do: 'fork';
      readonly thread: number;
      readonly source: number;
      readonly cut: ForkBoundary['kind'];
      readonly nth: number;
      readonly made: Made;
    }
  | { readonly do: 'revert'; readonly thread: number; readonly nth: number }
  | { readonly do: 'list' | 'search'; readonly query: Asked }
  | {
      readonly do: 'turns';
      readonly thread: number;
      readonly view: ListTurns['itemsView'];
      readonly limit: number;
      readonly direction: 'asc' | 'desc';
    }
  | {
      readonly do: 'items';
      readonly thread: number;
      readonly nth: number | null;
      readonly limit: number;
      readonly direction: 'asc' | 'desc';
    }
  | { readonly do: 'audit' | 'compress' | 'loseIndex' | 'reopen' };

export type Made = Omit<Beginning, 'parent'> & { readonly parent: number | null };

export type Piece = 'turn' | 'start' | 'user' | 'agent' | 'completed' | 'interrupted' | 'failed' | 'rollback';

export interface Asked {
  readonly order: Pick<ThreadQuery, 'sortKey' | 'direction' | 'limit' | 'isArchived'>;
  readonly filter: Pick<ThreadQuery, 'modelProviders' | 'sourceKinds' | 'cwds' | 'titleContains'>;
  readonly threads: {
    readonly excluded?: readonly number[];
    readonly only?: readonly number[];
    readonly parent?: number;
    readonly ancestor?: number;
  };
  readonly term: string;
}

/** Threads that there can be. */
export const SLOTS = 5;
/** Of threads whose header names none. */
export const DEFAULT_PROVIDER = 'default-provider';
/** Most is done to one thread, so that much is done to it. */
const slot = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 3, arbitrary: fc.nat(SLOTS - 1) });
const someSlots = fc.array(slot, { minLength: 1, maxLength: 3 });
const direction = fc.constantFrom('asc' as const, 'desc' as const);
const limit = fc.integer({ min: 1, max: 4 });
const instant = fc.nat(2).map((seconds) => T0 + seconds * 1_000);
const made: fc.Arbitrary<Made> = fc.record({
  mode: fc.constantFrom('paginated' as const, 'legacy' as const),
  createdAtMs: instant,
  cwd: fc.constantFrom('/here', '/here/below'),
  provider: fc.constantFrom('mock', null),
  source: fc.constantFrom('vscode', 'cli', 'exec'),
  parent: fc.option(slot, { freq: 2 }),
  sha: fc.constantFrom(null, 'abc'),
});
const piece = fc.constantFrom<Piece>(
  'turn',
  'turn',
  'start',
  'user',
  'agent',
  'completed',
  'interrupted',
  'failed',
  'rollback',
);
const gitMember = fc.constantFrom(null, 'def', ' ');
const patch = fc.record(
  {
    name: fc.constantFrom('My plan', 'alpha', 'Größe', ' '),
    memoryMode: fc.constantFrom('enabled' as const, 'disabled' as const),
    gitInfo: fc.record({ sha: gitMember, branch: gitMember, originUrl: gitMember }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
);
const asked: fc.Arbitrary<Asked> = fc.record({
  order: fc.record({
    sortKey: fc.constantFrom('createdAt' as const, 'updatedAt' as const, 'recencyAt' as const),
    direction,
    limit,
    isArchived: fc.boolean(),
  }),
  filter: fc.record(
    {
      modelProviders: fc.subarray(['mock', DEFAULT_PROVIDER]),
      sourceKinds: fc.subarray(['vscode', 'cli', 'exec', 'subAgent'] as const),
      cwds: fc.subarray(['/here', '/here/below/']),
      titleContains: fc.constantFrom('PLAN', 'a', 'ü'),
    },
    { requiredKeys: [] },
  ),
  threads: fc.record({ excluded: someSlots, only: someSlots, parent: slot, ancestor: slot }, { requiredKeys: [] }),
  term: fc.constantFrom('ALPHA', 'beta', 'ü', 'a', 'nothing'),
});

const cut = fc.constantFrom<ForkBoundary['kind']>('latest', 'throughTurn', 'beforeTurn', 'beforeUserMessage');
const does = <N extends Step['do']>(...names: readonly N[]): fc.Arbitrary<N> => fc.constantFrom(...names);

const threadStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: does('create'), thread: slot, made }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: does('append'),
      thread: slot,
      batches: fc.array(fc.array(piece, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 2 }),
      power: fc.boolean(),
      atMs: instant,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: does('resume', 'read', 'history'), thread: slot, archivedToo: fc.boolean() }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: does('persist', 'flush', 'shutdown', 'shutdown', 'discard', 'unarchive'),
      thread: slot,
      power: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: does('patch'), thread: slot, patch }) },
  { weight: 3, arbitrary: fc.record({ do: does('archive', 'delete'), threads: someSlots }) },
  { weight: 3, arbitrary: fc.record({ do: does('fork'), thread: slot, source: slot, cut, nth: fc.nat(3), made }) },
  { weight: 2, arbitrary: fc.record({ do: does('revert'), thread: slot, nth: fc.nat(3) }) },
  { weight: 3, arbitrary: fc.record({ do: does('list', 'list', 'search'), query: asked }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: does('turns'),
      thread: slot,
      view: fc.constantFrom('notLoaded' as const, 'summary' as const, 'full' as const),
      limit,
      direction,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: does('items'), thread: slot, nth: fc.option(fc.nat(3)), limit, direction }) },
);

/** Threads that are there already: made, spoken in, and let go. */
const known = fc.array(made, { maxLength: 3 }).map((all) =>
  all.flatMap((each, thread): readonly Step[] => [
    { do: 'create', thread, made: each },
    { do: 'append', thread, batches: [['turn'], ['turn']], power: false, atMs: T0 + 1_000 },
    { do: 'shutdown', thread, power: false },
  ]),
);

/** Sequences of steps; in bad weather the rollouts are compressed and the index is lost again and again. */
export const stepsIn = (weather: 'fair' | 'bad'): fc.Arbitrary<readonly Step[]> => {
  const any = fc.oneof(
    { weight: weather === 'fair' ? 40 : 5, arbitrary: threadStep },
    {
      weight: weather === 'fair' ? 1 : 2,
      arbitrary: fc.record({ do: does('audit', 'compress', 'loseIndex', 'reopen') }),
    },
  );
  return fc.tuple(known, fc.array(any, { maxLength: 25, size: 'max' })).map((parts) => parts.flat());
};
