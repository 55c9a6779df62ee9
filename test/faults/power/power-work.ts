import { join } from 'node:path';
import { newThreadId, type ThreadId } from '../../../src/domain/ids.ts';
import type { HistoryMode, MemoryMode } from '../../../src/domain/session-meta.ts';
import { NO_FACTS } from '../../../src/domain/thread-facts.ts';
import type { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { OrganizationFile } from '../../../src/store/local/organization-file.ts';
import type { Durability } from '../../../src/store/thread-store.ts';
import { createThread, forkThread } from '../../support/local-threads.ts';
import { record, turnItems } from '../../support/records.ts';
import type { Random } from '../random.ts';
import type { LogEntry } from './disk-log.ts';
import { Promised } from './promises.ts';

/** What was promised of a thread. */
export class PromisedThread {
  readonly id: ThreadId;
  readonly mode: HistoryMode;
  readonly turnIds: string[] = [];
  readonly words = new Promised<readonly string[]>([]);
  readonly isThere = new Promised(false);
  readonly name = new Promised<string | null>(null);
  readonly memory = new Promised<MemoryMode>('enabled');
  readonly isArchived = new Promised(false);
  isLive = true;

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
  | 'organize';

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
  organize: 2,
};

/** Random work on a store, and the promises that the store makes meanwhile. */
export class PowerWork {
  readonly threads: PromisedThread[] = [];
  readonly marks = new Map<string, Promised<number | null>>();
  acknowledged = 0;
  readonly #store: LocalThreadStore;
  readonly #organization: OrganizationFile;
  readonly #log: readonly LogEntry[];
  readonly #random: Random;
  #count = 0;

  private constructor(
    store: LocalThreadStore,
    organization: OrganizationFile,
    log: readonly LogEntry[],
    random: Random,
  ) {
    this.#store = store;
    this.#organization = organization;
    this.#log = log;
    this.#random = random;
  }

  static async over(
    store: LocalThreadStore,
    home: string,
    log: readonly LogEntry[],
    random: Random,
  ): Promise<PowerWork> {
    return new PowerWork(store, await OrganizationFile.open(join(home, 'skein_threads.jsonl')), log, random);
  }

  /** Does one thing, if there is a thread to do it to. */
  async step(): Promise<void> {
    const step = this.#random.weighted(WEIGHTS);
    if (step === 'create') return this.#create();
    if (step === 'organize') return this.#organize();
    const fits = this.threads.filter((thread) => isPossible(step, thread));
    if (fits.length === 0) return this.#create();
    await this.#do(step, this.#random.pick(fits));
    this.acknowledged += 1;
  }

  async #do(step: Exclude<Step, 'create' | 'organize'>, thread: PromisedThread): Promise<void> {
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
        await this.#change([thread.name, name], () => this.#store.updateThreadMetadata(id, { name }));
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
        return this.#settle(thread);
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
        await this.#change([thread.words, thread.words.now.slice(0, 2 * at)], () =>
          this.#store.revertThread(id, turnId),
        );
        thread.turnIds.length = at;
        return;
      }
      case 'delete':
        await this.#change([thread.isThere, false], async () => {
          await this.#store.deleteThreads([id]).catch((error: unknown) => {
            // A fork continues it: nothing was removed.
            thread.isThere.begin(true, this.#moment);
            if (!String(error).includes('still references')) throw error;
          });
        });
    }
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
    if (durability === 'power') this.#settle(thread);
  }

  async #fork(source: PromisedThread): Promise<void> {
    const at = this.#moment;
    const { id } = await forkThread(this.#store, source.id, source.mode);
    const fork = new PromisedThread(id, source.mode);
    fork.isThere.begin(true, at);
    fork.words.begin(source.words.now, at);
    fork.name.begin(source.name.now, at);
    fork.turnIds.push(...source.turnIds);
    if (!source.isThere.now) source.isThere.begin(true, at);
    this.threads.push(fork);
    this.#settle(fork);
    fork.name.settle(this.#moment);
  }

  async #organize(): Promise<void> {
    const key = newThreadIdOf(this.#random, this.threads);
    const promised = this.marks.get(key) ?? new Promised<number | null>(null);
    this.marks.set(key, promised);
    const value = this.#random.chance(0.2) ? null : (this.#count += 1);
    const durability = this.#random.pick(['power', 'process'] as const);
    promised.begin(value, this.#moment);
    await this.#organization.write([{ kind: 'read', key, value } as never], durability);
    if (durability === 'power') for (const each of this.marks.values()) each.settle(this.#moment);
    this.acknowledged += 1;
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
    return this.#log.length;
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

const newThreadIdOf = (random: Random, threads: readonly PromisedThread[]): string =>
  threads.length > 0 && random.chance(0.8) ? random.pick(threads).id : newThreadId();
