import { join } from 'node:path';
import type { SkeinError } from '../../../src/domain/errors.ts';
import { newThreadId, type ThreadId } from '../../../src/domain/ids.ts';
import type { HistoryMode, MemoryMode } from '../../../src/domain/session-meta.ts';
import { NO_FACTS } from '../../../src/domain/thread-facts.ts';
import type { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { OrganizationFile } from '../../../src/store/local/organization-file.ts';
import type { Durability } from '../../../src/store/thread-store.ts';
import { createThread, forkThread, wordsIn } from '../../support/local-threads.ts';
import { record, turnItems } from '../../support/records.ts';
import type { Random } from '../random.ts';
import { compressDurably } from './compress-durably.ts';
import type { DiskLog, Refused } from './disk-log.ts';
import { Promised } from './promises.ts';

/** What was promised of a thread. */
export class PromisedThread {
  readonly id: ThreadId;
  readonly mode: HistoryMode;
  /** Of the turns at its end that are whole for certain, and how many words go before them. */
  turnIds: string[] = [];
  wordsBefore = 0;
  readonly words = new Promised<readonly string[]>([]);
  readonly isThere = new Promised(false);
  readonly name = new Promised<string | null>(null);
  readonly memory = new Promised<MemoryMode>('enabled');
  readonly isArchived = new Promised(false);
  isLive = true;
  /** By the process that lives now: what others have written it promises with its own words only. */
  isWritten = false;

  constructor(id: ThreadId, mode: HistoryMode) {
    this.id = id;
    this.mode = mode;
  }
}

type Step =
  | 'create'
  | 'append'
  | 'fork'
  | 'rename'
  | 'patch'
  | 'end'
  | 'resume'
  | 'archive'
  | 'unarchive'
  | 'revert'
  | 'delete'
  | 'compress'
  | 'organize'
  | 'rewrite';

const WEIGHTS: Readonly<Record<Step, number>> = {
  create: 4,
  append: 8,
  fork: 3,
  rename: 2,
  patch: 2,
  end: 4,
  resume: 2,
  archive: 2,
  unarchive: 2,
  revert: 2,
  delete: 2,
  compress: 2,
  organize: 2,
  rewrite: 0.3,
};

/** What a disk refuses of a write, and of taking it back. */
const REFUSALS: readonly (readonly Refused[])[] = [
  ['write'],
  ['fdatasync'],
  ['write', 'ftruncate'],
  ['write', 'fdatasync'],
  ['fdatasync', 'ftruncate'],
  ['fdatasync', 'fdatasync'],
];

/** Random work on a store, and the promises that the store makes meanwhile. */
export class PowerWork {
  readonly threads: PromisedThread[] = [];
  readonly marks = new Map<string, Promised<string | null>>();
  acknowledged = 0;
  readonly #home: string;
  readonly #log: DiskLog;
  #store!: LocalThreadStore;
  #organization!: OrganizationFile;
  readonly #random: Random;
  /** Chooses what is refused. */
  readonly #refusals: Random | undefined;
  #count = 0;

  constructor(home: string, log: DiskLog, random: Random, refusals?: Random) {
    this.#home = home;
    this.#log = log;
    this.#random = random;
    this.#refusals = refusals;
  }

  /** Goes on with a store that was opened anew, from what it finds: what was under way when the last one died may be done or not. */
  async goOn(store: LocalThreadStore): Promise<void> {
    this.#store = store;
    this.#organization = await OrganizationFile.open(join(this.#home, 'skein_threads.jsonl'));
    const values = new Map([...this.#organization.entries].map(({ key, value }) => [key, value as string]));
    for (const [key, mark] of this.marks) this.#isFound(mark, values.get(key) ?? null);
    for (const thread of this.threads.slice()) await this.#lookAgain(thread);
  }

  async #lookAgain(thread: PromisedThread): Promise<void> {
    [thread.isLive, thread.isWritten] = [false, false];
    const stored = await this.#store.readThread(thread.id, { includeArchived: true }).catch(() => undefined);
    this.#isFound(thread.isThere, stored !== undefined);
    if (stored === undefined) return;
    const words = await wordsIn(this.#store, thread.id);
    if (!isSame(words, thread.words.now)) {
      thread.words.begin(words, this.#moment);
      [thread.turnIds, thread.wordsBefore] = [[], words.length];
    }
    this.#isFound(thread.name, stored.name);
    this.#isFound(thread.memory, stored.memoryMode);
    this.#isFound(thread.isArchived, stored.archivedAtMs !== null);
  }

  #isFound<T>(promised: Promised<T>, value: T): void {
    if (promised.now !== value) promised.begin(value, this.#moment);
  }

  /** Does one thing, if there is a thread to do it to. */
  async step(): Promise<void> {
    const step = this.#random.weighted(WEIGHTS);
    if (step === 'create') return this.#create();
    if (step === 'organize') return this.#organize(this.#newKey(), '');
    if (step === 'rewrite') return this.#rewrite();
    const fits = this.threads.filter((thread) => isPossible(step, thread));
    if (fits.length === 0) return this.#create();
    await this.#do(step, this.#random.pick(fits));
    this.acknowledged += 1;
  }

  async #do(step: Exclude<Step, 'create' | 'organize' | 'rewrite'>, thread: PromisedThread): Promise<void> {
    const { id } = thread;
    switch (step) {
      case 'append':
        return this.#append(thread);
      case 'fork':
        return this.#fork(thread);
      case 'rename': {
        const name = this.#new('name');
        // A thread that is not stored yet is, durably, before it has a name. One that is may be less durable than its name.
        const isLazy = !thread.isThere.now;
        if (isLazy) thread.isThere.begin(true, this.#moment);
        const isDone = await this.#tryTo([thread.name, name], 'session_index.jsonl', () =>
          this.#store.updateThreadMetadata(id, { name }),
        );
        if (isDone) thread.name.settle(this.#moment);
        else this.#isFound(thread.name, (await this.#store.readThread(id, { includeArchived: true })).name);
        if (isLazy) this.#settle(thread);
        return;
      }
      case 'patch': {
        const memory = thread.memory.now === 'enabled' ? 'disabled' : 'enabled';
        if (!thread.isThere.now) thread.isThere.begin(true, this.#moment);
        await this.#change([thread.memory, memory], () => this.#store.updateThreadMetadata(id, { memoryMode: memory }));
        return this.#settle(thread);
      }
      case 'end':
        await this.#store.shutdownThread(id);
        thread.isLive = false;
        if (!thread.isThere.now) this.threads.splice(this.threads.indexOf(thread), 1);
        if (thread.isWritten) this.#settle(thread);
        return;
      case 'resume':
        await this.#store.resumeThread({ threadId: id });
        thread.isLive = true;
        return;
      case 'archive':
        return this.#change([thread.isArchived, true], () => this.#store.archiveThreads([id]));
      case 'unarchive':
        return this.#change([thread.isArchived, false], () => this.#store.unarchiveThread(id));
      case 'revert': {
        const at = this.#random.below(thread.turnIds.length);
        const turnId = thread.turnIds[at] ?? '';
        await this.#change([thread.words, thread.words.now.slice(0, thread.wordsBefore + 2 * at)], () =>
          this.#store.revertThread(id, turnId),
        );
        thread.turnIds.length = at;
        return;
      }
      case 'compress':
        return compressDurably((await this.#store.readThread(id, { includeArchived: true })).path ?? '');
      case 'delete':
        return this.#delete(thread);
    }
  }

  async #delete(thread: PromisedThread): Promise<void> {
    const others = this.threads.filter((other) => other !== thread && isPossible('delete', other));
    const doomed = [thread, ...others.filter(() => this.#random.chance(0.3))] as const;
    for (const one of doomed) one.isThere.begin(false, this.#moment);
    try {
      await this.#store.deleteThreads([thread.id, ...doomed.slice(1).map(({ id }) => id)]);
    } catch (error) {
      // A fork continues one: nothing was removed.
      for (const one of doomed) one.isThere.begin(true, this.#moment);
      if (!String(error).includes('still references')) throw error;
    }
    for (const one of doomed) one.isThere.settle(this.#moment);
  }

  async #create(): Promise<void> {
    const mode = this.#random.pick(['legacy', 'paginated'] as const);
    const thread = new PromisedThread(await createThread(this.#store, mode), mode);
    this.threads.push(thread);
    if (this.#random.chance(0.8)) await this.#append(thread);
    this.acknowledged += 1;
  }

  async #append(thread: PromisedThread): Promise<void> {
    const said = this.#new('word');
    const durability: Durability = this.#random.chance(0.4) ? 'power' : 'process';
    // Some are longer than a page.
    const answer = this.#random.chance(0.1) ? `${this.#new('answer')} ${'x'.repeat(9_000)}` : this.#new('answer');
    const { turnId, items } = turnItems(thread.mode, thread.id, said, answer);
    if (!thread.isThere.now) thread.isThere.begin(true, this.#moment);
    thread.words.begin([...thread.words.now, said, answer], this.#moment);
    const records = items.map((item) => record(item));
    await this.#store.appendItems({ threadId: thread.id, records, facts: NO_FACTS, durability, onFailure: 'keep' });
    thread.turnIds.push(turnId);
    thread.isWritten = true;
    if (durability === 'power') this.#settle(thread);
  }

  async #fork(source: PromisedThread): Promise<void> {
    const at = this.#moment;
    const fork = new PromisedThread(newThreadId(), source.mode);
    this.threads.push(fork);
    // Through any of its turns, or all.
    const last = this.#random.chance(0.5) ? this.#random.below(source.turnIds.length) : source.turnIds.length - 1;
    const turnId = source.turnIds[last];
    fork.isThere.begin(true, at);
    fork.turnIds = source.turnIds.slice(0, last + 1);
    fork.wordsBefore = source.wordsBefore;
    fork.words.begin(source.words.now.slice(0, fork.wordsBefore + 2 * fork.turnIds.length), at);
    fork.name.begin(source.name.now, at);
    if (!source.isThere.now) source.isThere.begin(true, at);
    const boundary = turnId === undefined ? ({ kind: 'latest' } as const) : ({ kind: 'throughTurn', turnId } as const);
    await forkThread(this.#store, source.id, source.mode, boundary, fork.id);
    this.#settle(fork);
    fork.name.settle(this.#moment);
  }

  /** Sets more than is kept: the file is written anew. */
  async #rewrite(): Promise<void> {
    const key = this.#newKey();
    for (let time = 1; time <= 3; time += 1) await this.#organize(key, 'x'.repeat(200_000));
  }

  async #organize(key: string, more: string): Promise<void> {
    const promised = this.marks.get(key) ?? new Promised<string | null>(null);
    this.marks.set(key, promised);
    const value = this.#random.chance(0.2) ? null : `${this.#new('mark')} ${more}`;
    const durability = this.#random.pick(['power', 'process'] as const);
    const isDone = await this.#tryTo([promised, value], 'skein_threads.jsonl', () =>
      this.#organization.write([{ kind: 'read', key, value } as never], durability),
    );
    if (!isDone) return;
    if (durability === 'power') for (const each of this.marks.values()) each.settle(this.#moment);
    this.acknowledged += 1;
  }

  /** Changes something in a file of the home; the disk may refuse that. @returns false if it has */
  async #tryTo<T>([promised, value]: [Promised<T>, T], file: string, work: () => Promise<unknown>): Promise<boolean> {
    const refused = this.#refusals?.chance(0.4) === true ? this.#refusals.pick(REFUSALS) : [];
    const before = promised.now;
    promised.begin(value, this.#moment);
    try {
      await this.#log.refusing(join(this.#home, file), refused, work);
      return true;
    } catch (error) {
      if (refused.length === 0) throw error;
      // Else either may be found from now on.
      if ((error as SkeinError).code === 'uncertain') promised.begin(before, this.#moment);
      else promised.refuse(this.#moment);
      return false;
    }
  }

  async #change<T>([promised, value]: [Promised<T>, T], work: () => Promise<unknown>): Promise<void> {
    promised.begin(value, this.#moment);
    await work();
    promised.settle(this.#moment);
  }

  #settle(thread: PromisedThread): void {
    thread.words.settle(this.#moment);
    thread.isThere.settle(this.#moment);
  }

  get #moment(): number {
    return this.#log.entries.length;
  }

  #newKey(): string {
    return this.threads.length > 0 && this.#random.chance(0.8) ? this.#random.pick(this.threads).id : newThreadId();
  }

  #new(kind: string): string {
    this.#count += 1;
    return `${kind} ${this.#count}.`;
  }
}

function isPossible(step: Step, thread: PromisedThread): boolean {
  const [isThere, isArchived] = [thread.isThere.now, thread.isArchived.now];
  switch (step) {
    case 'append':
    case 'end':
      return thread.isLive;
    case 'fork':
    case 'rename':
    case 'patch':
      return thread.isLive || isThere;
    case 'resume':
    case 'archive':
      return isThere && !thread.isLive && !isArchived;
    case 'unarchive':
      return isThere && isArchived;
    case 'revert':
      return isThere && !thread.isLive && thread.mode === 'paginated' && thread.turnIds.length > 0;
    default:
      return isThere && !thread.isLive;
  }
}

export const isSame = (some: readonly string[], others: readonly string[]): boolean =>
  some.length === others.length && some.every((word, at) => others[at] === word);
