import { SkeinError } from '../../src/domain/errors.ts';
import type { ThreadId } from '../../src/domain/ids.ts';
import { stringMember, type JsonObject } from '../../src/domain/json.ts';
import type { Page } from '../../src/domain/page.ts';
import type { RolloutItem } from '../../src/domain/rollout-line.ts';
import type { HistoryMode } from '../../src/domain/session-meta.ts';
import type { StoredThread } from '../../src/domain/stored-thread.ts';
import { parseThreadCursor } from '../../src/domain/thread-cursor.ts';
import { NO_FACTS } from '../../src/domain/thread-facts.ts';
import { sortKeyOf, type ThreadQuery } from '../../src/domain/thread-query.ts';
import type { ThreadItem, TurnItemsView } from '../../src/domain/turn.ts';
import type { ForkBoundary, ThreadStore } from '../../src/store/thread-store.ts';
import { event, headerPayload, record, responseMessage, T0 } from '../support/records.ts';
import {
  Refusal,
  StoreModel,
  titled,
  turnsOf,
  type Beginning,
  type ModelThread,
  type ModelTurn,
  type Said,
} from './store-model.ts';
import { DEFAULT_PROVIDER, SLOTS, type Asked, type Made, type Piece, type Step } from './store-steps.ts';

/** A store under test, and what can happen to it from outside. */
export interface FuzzedStore {
  store: ThreadStore;
  /** It keeps forks by reference, and so may refuse to delete what they continue. */
  readonly refers?: boolean;
  /** Compresses all rollouts, whether they are being written or not. */
  readonly compress?: () => void;
  /** Another store over the same data, the first one is closed; with `losesIndex` nothing but files is left to it. */
  readonly reopen?: (losesIndex: boolean) => Promise<ThreadStore>;
}

/** A step as it is done: to the model, and to the store. */
interface Operation {
  readonly inModel: () => unknown;
  readonly inStore: () => Promise<unknown>;
}

const WORDS = ['alpha', 'Beta', ' gamma ü\u2028 ', 'delta 😀 ', 'my plan'];

const idOf = (slot: number): ThreadId => `01a2032f-9163-7000-8000-00000000000${slot}` as ThreadId;

/** Everything of every thread, read at the end. */
const CHECKS: readonly Step[] = [
  ...Array.from({ length: SLOTS }).flatMap((_, thread): readonly Step[] => [
    { do: 'read', thread, archivedToo: true },
    { do: 'history', thread, archivedToo: true },
    { do: 'turns', thread, view: 'full', limit: 2, direction: 'desc' },
    { do: 'items', thread, nth: null, limit: 3, direction: 'asc' },
  ]),
  ...[true, false].map((isArchived): Step => {
    const order = { sortKey: 'createdAt', direction: 'desc', limit: 2, isArchived } as const;
    return { do: 'list', query: { order, filter: {}, threads: {}, term: '' } };
  }),
  { do: 'audit' },
];

/** Does the steps to a store, and says what differed first from what the model says: nothing, for a good store. */
export async function firstDifference(subject: FuzzedStore, steps: readonly Step[]): Promise<unknown> {
  const model = new StoreModel();
  const play = new Play(model, subject);
  const reopened: readonly Step[] = subject.reopen === undefined ? [] : [{ do: 'reopen' }, ...CHECKS];
  for (const step of [...steps, ...CHECKS, ...reopened]) {
    const operation = play.operation(step);
    if (operation === undefined) continue;
    const before = new Map(model.threads);
    const expected = await outcomeOf(async () => operation.inModel());
    const found = await outcomeOf(operation.inStore);
    if (JSON.stringify(expected) === JSON.stringify(found)) continue;
    const isKept = subject.refers === true && step.do === 'delete' && isRefusal(found, 'invalidRequest');
    if (!isKept || isRefusal(expected)) return { step, expected, found };
    model.threads.clear();
    for (const [id, thread] of before) model.threads.set(id, thread);
    if (!model.mayBeKept(step.threads.map(idOf))) return { step, expected, found };
  }
  return undefined;
}

async function outcomeOf(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return (await work()) ?? null;
  } catch (error) {
    if (error instanceof Refusal || error instanceof SkeinError) return { refused: error.code };
    throw error;
  }
}

const isRefusal = (outcome: unknown, code?: string): boolean =>
  typeof outcome === 'object' &&
  outcome !== null &&
  'refused' in outcome &&
  (code ?? outcome.refused) === outcome.refused;

/** One sequence under way. */
class Play {
  readonly #model: StoreModel;
  readonly #subject: FuzzedStore;
  #named = 0;

  constructor(model: StoreModel, subject: FuzzedStore) {
    this.#model = model;
    this.#subject = subject;
  }

  /** Undefined for what nobody does (an id that a stored thread has goes to no other), or this store has not. */
  operation(step: Step): Operation | undefined {
    const [model, subject] = [this.#model, this.#subject];
    const { store } = subject;
    const id = 'thread' in step ? idOf(step.thread) : idOf(0);
    const durability = 'power' in step && step.power ? 'power' : 'process';
    switch (step.do) {
      case 'create': {
        if (model.threads.has(id) && !model.live.has(id)) return undefined;
        return {
          inModel: () => model.create(id, beginning(step.made)),
          inStore: async () => void (await store.createThread(creation(id, step.made))),
        };
      }
      case 'resume':
        return {
          inModel: () => shown(id, model.resume(id, step.archivedToo)),
          inStore: async () => shownOf(await store.resumeThread({ threadId: id, includeArchived: step.archivedToo })),
        };
      case 'read':
        return {
          inModel: () => shown(id, model.read(id, step.archivedToo)),
          inStore: async () => shownOf(await store.readThread(id, { includeArchived: step.archivedToo })),
        };
      case 'history':
        return {
          inModel: () => saidIn(model.read(id, step.archivedToo)),
          inStore: () => historyIn(store, id, step.archivedToo),
        };
      case 'append': {
        const batches = this.#batches(id, step.batches, step.atMs);
        const mode = model.live.get(id)?.mode ?? 'legacy';
        const append = (said: readonly Said[]): Promise<void> =>
          store.appendItems({
            threadId: id,
            records: said.map((each) => record(itemOf(each, mode), each.kind === 'start' ? each.atMs : T0)),
            facts: NO_FACTS,
            durability,
            onFailure: step.power ? 'withdraw' : 'keep',
          });
        return {
          inModel: () => model.append(id, batches.flat()),
          inStore: async () => void (await Promise.all(batches.map(append))),
        };
      }
      case 'persist':
        return { inModel: () => void model.persist(id), inStore: () => store.persistThread(id, durability) };
      case 'flush':
        return { inModel: () => void model.assertLive(id), inStore: () => store.flushThread(id, durability) };
      case 'shutdown':
        return { inModel: () => model.letGo(id), inStore: () => store.shutdownThread(id) };
      case 'discard':
        return { inModel: () => model.letGo(id), inStore: () => store.discardThread(id) };
      case 'unarchive':
        return {
          inModel: () => shown(id, model.unarchive(id)),
          inStore: async () => shownOf(await store.unarchiveThread(id)),
        };
      case 'patch':
        return {
          inModel: () => shown(id, model.patch(id, step.patch)),
          inStore: async () => shownOf(await store.updateThreadMetadata(id, step.patch)),
        };
      case 'archive': {
        const ids = idsOf(step.threads);
        return { inModel: () => model.archive(ids), inStore: () => store.archiveThreads(ids) };
      }
      case 'delete': {
        const ids = idsOf(step.threads);
        return { inModel: () => model.delete(ids), inStore: () => store.deleteThreads(ids) };
      }
      case 'fork': {
        const sourceId = idOf(step.source);
        if (sourceId === id || model.threads.has(id) || model.live.has(id)) return undefined;
        // No id is given twice; what a fork has from a thread of that id would count as its own.
        if (model.threads.get(sourceId)?.ancestors.includes(id) === true) return undefined;
        // Later than all that it can begin with.
        const made = { ...step.made, createdAtMs: step.made.createdAtMs + 10_000 };
        const boundary = boundaryOf(step.cut, step.nth, this.#turns(sourceId));
        return {
          inModel: () => shown(id, model.fork(id, sourceId, boundary, beginning(made))),
          inStore: async () => shownOf(await store.forkThread({ ...creation(id, made), sourceId, boundary })),
        };
      }
      case 'revert': {
        const turnId = nameOf(this.#turns(id)[step.nth]);
        return {
          inModel: () => shown(id, model.revert(id, turnId)),
          inStore: async () => shownOf(await store.revertThread(id, turnId)),
        };
      }
      case 'turns': {
        const { view: itemsView, limit, direction } = step;
        const seen = (turn: ModelTurn): unknown => [turn.id, turn.status, itemsSeen(turn, itemsView)];
        return {
          inModel: () => directed(turnsOf(model.read(id, true)), direction).map(seen),
          inStore: async () => {
            const turns = await pagesOf(limit, direction, (page) =>
              store.listTurns({ threadId: id, itemsView, ...page }),
            );
            return turns.map((turn) => [turn.id, turn.status, turn.items.map(textOf)]);
          },
        };
      }
      case 'items': {
        const turn = step.nth === null ? {} : { turnId: nameOf(this.#turns(id)[step.nth]) };
        const wanted = (): readonly ModelTurn[] =>
          turnsOf(model.read(id, true)).filter(({ id: turnId }) => turn.turnId === undefined || turnId === turn.turnId);
        return {
          inModel: () =>
            directed(
              wanted().flatMap(({ id: turnId, items }) => items.map(({ text }) => [turnId, text])),
              step.direction,
            ),
          inStore: async () => {
            const items = await pagesOf(step.limit, step.direction, (page) =>
              store.listItems({ threadId: id, ...turn, ...page }),
            );
            return items.map((entry) => [entry.turnId, textOf(entry.item)]);
          },
        };
      }
      case 'list':
      case 'search':
        return this.#listing(step.query, step.do === 'search');
      case 'compress':
        return subject.compress && { inModel: () => {}, inStore: async () => subject.compress?.() };
      case 'audit':
        return { inModel: () => [], inStore: async () => (await store.audit()).findings };
      case 'loseIndex':
      case 'reopen': {
        const { reopen } = subject;
        if (reopen === undefined) return undefined;
        return {
          inModel: () => model.live.clear(),
          inStore: async () => {
            subject.store = await reopen(step.do === 'loseIndex');
          },
        };
      }
    }
  }

  #turns(id: ThreadId): readonly ModelTurn[] {
    return turnsOf(this.#model.threads.get(id) ?? { said: [], cutOff: [] });
  }

  /** What is said next: as sessions do, nothing without a turn that is open, and no turn within another. */
  #batches(id: ThreadId, batches: readonly (readonly Piece[])[], atMs: number): readonly (readonly Said[])[] {
    const { said: before, cutOff } = this.#model.threads.get(id) ?? { said: [], cutOff: [] };
    const isLegacy = this.#model.live.get(id)?.mode === 'legacy';
    let said = before;
    return batches.map((pieces) => {
      const from = said.length;
      for (const piece of pieces) said = [...said, ...this.#next(piece, { said, cutOff }, isLegacy, atMs)];
      // Never empty.
      if (said.length === from) said = [...said, { kind: 'forModel', text: 'context' }];
      return said.slice(from);
    });
  }

  #next(piece: Piece, before: Pick<ModelThread, 'said' | 'cutOff'>, isLegacy: boolean, atMs: number): readonly Said[] {
    const last = turnsOf(before).at(-1);
    const turnId = last?.status === 'inProgress' ? last.id : undefined;
    const text = WORDS[this.#named % WORDS.length] ?? '';
    this.#named += 1;
    const words = (by: 'user' | 'agent', id: string): readonly Said[] => [
      ...(by === 'user' ? [{ kind: 'forModel', text } as const] : []),
      { kind: 'words', by, id: `${by} item ${this.#named}`, text, turnId: id },
    ];
    switch (piece) {
      case 'start':
      case 'turn': {
        const id = `turn-${this.#named}`;
        const ended = turnId === undefined ? [] : [{ kind: 'end', turnId, status: 'interrupted' } as const];
        const start = { kind: 'start', turnId: id, atMs } as const;
        const rest: readonly Said[] =
          piece === 'start'
            ? []
            : [...words('user', id), ...words('agent', id), { kind: 'end', turnId: id, status: 'completed' }];
        return [...ended, start, ...rest];
      }
      case 'user':
      case 'agent':
        return turnId === undefined ? [] : words(piece, turnId);
      case 'completed':
      case 'interrupted':
      case 'failed':
        return turnId === undefined ? [] : [{ kind: 'end', turnId, status: piece }];
      // Codex writes these into legacy histories only.
      case 'rollback':
        return isLegacy ? [{ kind: 'rollback', count: 1 + (this.#named % 2) }] : [];
    }
  }

  /** Lists are compared by the times that the store itself says, which must be those of the thread. */
  #listing({ order, filter, threads, term }: Asked, isSearch: boolean): Operation {
    const model = this.#model;
    const { store } = this.#subject;
    const query: ThreadQuery = {
      ...order,
      ...filter,
      ...(threads.excluded === undefined ? {} : { excludedIds: threads.excluded.map(idOf) }),
      ...(threads.only === undefined ? {} : { onlyIds: threads.only.map(idOf) }),
      ...(threads.parent === undefined ? {} : { parentId: idOf(threads.parent) }),
      ...(threads.ancestor === undefined ? {} : { ancestorId: idOf(threads.ancestor) }),
    };
    const matches = ([id, thread]: [ThreadId, ModelThread]): boolean =>
      fits(id, thread, query, query.ancestorId === undefined ? [] : model.descendantsOf(query.ancestorId)) &&
      (!isSearch ||
        turnsOf(thread).some(({ items }) => items.some(({ text }) => text.toLowerCase().includes(term.toLowerCase()))));
    return {
      inModel: () =>
        [...model.threads]
          .filter(matches)
          .map(([id]) => id)
          .toSorted(),
      inStore: async () => {
        const found: StoredThread[] = [];
        let after: ThreadQuery['after'];
        for (;;) {
          const page = isSearch
            ? await store.searchThreads({ term, query: { ...query, ...(after && { after }) } })
            : await store.listThreads({ ...query, ...(after && { after }) });
          const data = page.data.map((each) => ('thread' in each ? each.thread : each));
          found.push(...data);
          if (page.nextCursor === null) break;
          if (data.length !== query.limit) throw new Error(`a page of ${data.length}, and more behind it`);
          after = parseThreadCursor(page.nextCursor);
        }
        const sign = query.direction === 'asc' ? 1 : -1;
        const inOrder = found.toSorted(
          (a, b) => sign * (sortKeyOf(a, query.sortKey) - sortKeyOf(b, query.sortKey) || (a.id < b.id ? -1 : 1)),
        );
        if (inOrder.some((thread, index) => thread !== found[index]))
          throw new Error(`not in order: ${found.map((thread) => thread.id).join()}`);
        for (const thread of found) {
          const read = await store.readThread(thread.id, { includeArchived: true });
          if (JSON.stringify(read) !== JSON.stringify(thread))
            throw new Error(`listed as ${JSON.stringify(thread)}, read as ${JSON.stringify(read)}`);
        }
        return found.map((thread) => thread.id).toSorted();
      },
    };
  }
}

function fits(id: ThreadId, thread: ModelThread, query: ThreadQuery, family: readonly ThreadId[]): boolean {
  const title = (titled(thread) ?? thread.preview).toLowerCase();
  return (
    thread.isArchived === query.isArchived &&
    (query.onlyIds === undefined ? thread.preview !== '' : query.onlyIds.includes(id)) &&
    (query.modelProviders?.includes(thread.provider ?? DEFAULT_PROVIDER) ?? true) &&
    (query.sourceKinds?.some((kind) => kind === thread.source) ?? true) &&
    (query.cwds?.some((cwd) => cwd.replace(/\/$/, '') === thread.cwd) ?? true) &&
    title.includes((query.titleContains ?? '').toLowerCase()) &&
    query.excludedIds?.includes(id) !== true &&
    (query.parentId === undefined || thread.parent === query.parentId) &&
    (query.ancestorId === undefined || family.includes(id))
  );
}

const idsOf = (slots: readonly number[]): readonly [ThreadId, ...ThreadId[]] =>
  slots.map(idOf) as [ThreadId, ...ThreadId[]];

const nameOf = (turn: ModelTurn | undefined): string => turn?.id ?? 'no such turn';

function boundaryOf(kind: ForkBoundary['kind'], nth: number, turns: readonly ModelTurn[]): ForkBoundary {
  if (kind === 'latest') return { kind };
  return kind === 'beforeUserMessage' ? { kind, index: nth } : { kind, turnId: nameOf(turns[nth]) };
}

const beginning = (made: Made): Beginning => ({ ...made, parent: made.parent === null ? null : idOf(made.parent) });

const creation = (threadId: ThreadId, made: Made): Parameters<ThreadStore['createThread']>[0] => ({
  threadId,
  historyMode: made.mode,
  cwd: made.cwd,
  createdAtMs: made.createdAtMs,
  header: async () =>
    headerPayload(threadId, made.mode, {
      timestamp: new Date(made.createdAtMs).toISOString(),
      cwd: made.cwd,
      source: made.source,
      model_provider: made.provider,
      ...(made.parent === null ? {} : { parent_thread_id: idOf(made.parent) }),
      ...(made.sha === null ? {} : { git: { commit_hash: made.sha } }),
    }),
});

/** A record of a history of either mode. */
function itemOf(said: Said, mode: HistoryMode): RolloutItem {
  switch (said.kind) {
    case 'start':
      return event('task_started', { turn_id: said.turnId });
    case 'forModel':
      return responseMessage('user', said.text);
    case 'words': {
      const { by, id, text, turnId } = said;
      if (mode === 'legacy') return event(by === 'user' ? 'user_message' : 'agent_message', { message: text });
      const item =
        by === 'user'
          ? { type: 'UserMessage', id, content: [{ type: 'text', text, text_elements: [] }] }
          : { type: 'AgentMessage', id, content: [{ type: 'Text', text }] };
      return event('item_completed', { turn_id: turnId, item });
    }
    case 'end':
      return said.status === 'interrupted'
        ? event('turn_aborted', { turn_id: said.turnId, reason: 'interrupted' })
        : event('task_complete', {
            turn_id: said.turnId,
            ...(said.status === 'failed' ? { error: { message: 'boom' } } : {}),
          });
    case 'rollback':
      return event('thread_rolled_back', { num_turns: said.count });
  }
}

/** The records of a history but its headers, which stores place differently. */
async function historyIn(
  store: ThreadStore,
  threadId: ThreadId,
  includeArchived: boolean,
): Promise<readonly RolloutItem[]> {
  const items: RolloutItem[] = [];
  let count = 0;
  for await (const { item, ordinal } of store.loadHistory(threadId, { includeArchived })) {
    if (ordinal !== undefined && ordinal !== count) throw new Error(`ordinal ${ordinal} in place ${count}`);
    if (item.type !== 'session_meta') items.push(item);
    count += 1;
  }
  return items;
}

/** All elements, page by page; each page read backwards is itself. */
async function pagesOf<T>(
  limit: number,
  direction: 'asc' | 'desc',
  pageOf: (asked: { limit: number; direction: 'asc' | 'desc'; cursor?: string }) => Promise<Page<T>>,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (let cursor: string | null | undefined; cursor !== null;) {
    const page: Page<T> = await pageOf({ limit, direction, ...(cursor === undefined ? {} : { cursor }) });
    all.push(...page.data);
    if (page.nextCursor !== null && page.data.length !== limit) throw new Error('a short page, and more behind it');
    if (page.backwardsCursor !== null) {
      const other = direction === 'asc' ? 'desc' : 'asc';
      const back = await pageOf({ limit: all.length, direction: other, cursor: page.backwardsCursor });
      const upToHere = all.slice(0, all.length - page.data.length + 1).toReversed();
      if (JSON.stringify(back.data) !== JSON.stringify(upToHere))
        throw new Error('pages differ when they are read back');
    }
    cursor = page.nextCursor;
  }
  return all;
}

const saidIn = ({ said, mode }: ModelThread): readonly RolloutItem[] => said.map((each) => itemOf(each, mode));

/** What both the model and a store say of a thread. */
function shown(id: ThreadId, thread: ModelThread): unknown {
  return {
    id,
    mode: thread.mode,
    preview: thread.preview,
    name: titled(thread),
    provider: thread.provider ?? DEFAULT_PROVIDER,
    createdAtMs: thread.createdAtMs,
    recencyAtMs: thread.recencyAtMs,
    isArchived: thread.isArchived,
    cwd: thread.cwd,
    source: thread.source,
    parent: thread.parent,
    forkedFrom: thread.forkedFrom,
    git: thread.git,
    memoryMode: thread.memoryMode,
  };
}

const shownOf = (thread: StoredThread): unknown => ({
  id: thread.id,
  mode: thread.historyMode,
  preview: thread.preview,
  name: thread.name,
  provider: thread.modelProvider,
  createdAtMs: thread.createdAtMs,
  recencyAtMs: thread.recencyAtMs,
  isArchived: thread.archivedAtMs !== null,
  cwd: thread.cwd,
  source: thread.source,
  parent: thread.parentThreadId,
  forkedFrom: thread.forkedFromId,
  git: thread.git,
  memoryMode: thread.memoryMode,
});

function itemsSeen({ items }: ModelTurn, view: TurnItemsView): readonly string[] {
  const first = items.find(({ by }) => by === 'user');
  const last = items.findLast(({ by }) => by === 'agent');
  const seen = view === 'full' ? items : view === 'notLoaded' ? [] : [first, last].filter((item) => item !== undefined);
  return seen.map(({ text }) => text);
}

/** The words of an item. */
function textOf(item: ThreadItem): string {
  const [text, content] = [item['text'], item['content']];
  if (typeof text === 'string') return text;
  return Array.isArray(content) ? content.map((part) => stringMember(part as JsonObject, 'text') ?? '').join('') : '';
}

const directed = <T>(elements: readonly T[], direction: 'asc' | 'desc'): readonly T[] =>
  direction === 'asc' ? elements : elements.toReversed();
