import type { SkeinError } from '../../../src/domain/errors.ts';
import { newThreadId } from '../../../src/domain/ids.ts';
import { NO_FACTS } from '../../../src/domain/thread-facts.ts';
import type { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import type { Durability } from '../../../src/store/thread-store.ts';
import { createThread, forkThread, wordsIn } from '../../support/local-threads.ts';
import { record, turnItems } from '../../support/records.ts';
import type { Random } from '../random.ts';
import { compressDurably } from './compress-durably.ts';
import type { DiskLog, Refused } from './disk-log.ts';
import { MarksWork } from './marks-work.ts';
import { PromisedThread } from './promised-thread.ts';
import type { Promised } from './promises.ts';
import { isRefusal, NAMES, RefusingDisk } from './refusing-disk.ts';
import { isPossible, NAMING, OVERLAPPING, WEIGHTS, type Step } from './steps.ts';

/** What a disk refuses of what is written to a thread, twice because it is tried twice, and of taking it back. */
const REFUSALS_OF_THREADS: readonly (readonly Refused[])[] = [
  ['write'],
  ['fdatasync'],
  ['write', 'write'],
  ['fdatasync', 'fdatasync'],
  ['write', 'write', 'ftruncate'],
  ['fdatasync', 'fdatasync', 'ftruncate'],
  ['fdatasync', 'fdatasync', 'fdatasync'],
];

/** What is said to whoever appends when the writer has ended. */
const TOO_LATE = /has ended|not found/;

/** What a disk refuses while things overlap: of what is written to a thread, or of names and marks. */
export type RefusedFiles = 'rollouts' | 'names and marks';

export interface WorkOptions {
  /** Things are begun while others are under way. */
  readonly isOverlapping: boolean;
  /** Chooses what a disk refuses; left out: nothing. */
  readonly refusals: Random | undefined;
  readonly refusedFiles: RefusedFiles;
}

/** Random work on a store, and the promises that the store makes meanwhile. */
export class PowerWork {
  readonly threads: PromisedThread[] = [];
  acknowledged = 0;
  readonly #marks: MarksWork;
  readonly #disk: RefusingDisk;
  readonly #log: DiskLog;
  #store!: LocalThreadStore;
  readonly #random: Random;
  readonly #isOverlapping: boolean;
  readonly #weights: Readonly<Record<Step, number>>;
  /** Chooses what is refused. */
  readonly #refusals: Random | undefined;
  readonly #refusedFiles: RefusedFiles;
  /** Notes of what was refused and could not be cut off that it is. */
  readonly #uncertain: (() => void)[] = [];
  #count = 0;

  constructor(home: string, log: DiskLog, random: Random, { isOverlapping, refusals, refusedFiles }: WorkOptions) {
    this.#disk = new RefusingDisk(home, log, refusals, isOverlapping);
    this.#marks = new MarksWork(home, this.#disk, random);
    this.#log = log;
    this.#random = random;
    const weights = refusals !== undefined && refusedFiles === 'names and marks' ? NAMING : OVERLAPPING;
    this.#weights = isOverlapping ? weights : WEIGHTS;
    this.#isOverlapping = isOverlapping;
    this.#refusals = refusals;
    this.#refusedFiles = refusedFiles;
  }

  get marks(): ReadonlyMap<string, Promised<string | null>> {
    return this.#marks.promised;
  }

  /** Goes on with a store that was opened anew, from what it finds: what was under way when the last one died may be done or not. */
  async goOn(store: LocalThreadStore): Promise<void> {
    this.#store = store;
    this.#uncertain.length = 0;
    this.#disk.isOpenedAnew();
    await this.#marks.goOn();
    for (const thread of this.threads.slice()) await this.#lookAgain(thread);
  }

  /** Nobody goes on: of a fork that was under way any beginning of its source may be found. */
  end(): void {
    for (const { forkedFrom, words } of this.threads)
      for (const said of forkedFrom?.source.words.begunBy(this.#moment) ?? []) words.begin(said, forkedFrom?.at ?? 0);
  }

  async #lookAgain(thread: PromisedThread): Promise<void> {
    thread.isOpenedAnew();
    const stored = await this.#store.readThread(thread.id, { includeArchived: true }).catch(() => undefined);
    thread.isThere.isFound(stored !== undefined, this.#moment);
    if (stored === undefined) return;
    const words = await wordsIn(this.#store, thread.id);
    if (!isSame(words, thread.words.now)) {
      thread.words.begin(words, thread.forkedFrom?.at ?? this.#moment);
      thread.forgetTurns(words.length);
    } else if (thread.turnIds.length > thread.writtenTurns) thread.forgetTurns(words.length);
    thread.forkedFrom = undefined;
    thread.name.isFound(stored.name, this.#moment);
    thread.memory.isFound(stored.memoryMode, this.#moment);
    thread.isArchived.isFound(stored.archivedAtMs !== null, this.#moment);
  }

  /** Begins several things without waiting for those before, and waits for all; the disk may refuse some of what is written to one file. */
  async overlap(): Promise<void> {
    if (this.#refusedFiles === 'rollouts') return this.#overlapOnThread();
    return this.#disk.overlapping(() => this.#overlap());
  }

  async #overlapOnThread(): Promise<void> {
    const live = this.threads.filter(({ isLive, writtenTurns }) => isLive && writtenTurns > 0);
    if (live.length === 0 || this.#refusals?.chance(0.7) !== true) return this.#overlap();
    const thread = this.#refusals.pick(live);
    const { path } = await this.#store.readThread(thread.id);
    const refused = this.#refusals.pick(REFUSALS_OF_THREADS);
    thread.isFailing = true;
    await this.#log.refusing(path ?? '', refused, () => this.#overlap());
    // What was kept is written now, and what could not be cut off is.
    await this.#store.flushThread(thread.id, 'power');
    for (const withdraw of this.#uncertain.splice(0)) withdraw();
    this.#settling(thread)();
    thread.areWritten(thread.turnIds.length);
    thread.isFailing = false;
  }

  async #overlap(): Promise<void> {
    const underWay: Promise<void>[] = [];
    for (let left = 2 + this.#random.below(6); left > 0; left -= 1) {
      // Else in the same tick as the one before.
      if (this.#random.chance(0.7)) await this.#log.turn();
      const step = this.step();
      // Whoever fails is heard when all have ended.
      step.catch(() => {});
      underWay.push(step);
    }
    await Promise.all(underWay);
  }

  /** Does one thing, if there is a thread to do it to. What is promised from its begin on is noted before this returns. */
  async step(): Promise<void> {
    const step = this.#random.weighted(this.#weights);
    if (step === 'create') return this.#create();
    if (step === 'organize') return this.#mark(this.#newKey(), '');
    if (step === 'rewrite') return this.#rewrite();
    const fits = this.threads.filter((thread) => isPossible(step, thread) && this.#isClear(step, thread));
    if (fits.length === 0) return this.#create();
    const thread = this.#random.pick(fits);
    thread.underWay += 1;
    await this.#do(step, thread);
    thread.underWay -= 1;
    this.acknowledged += 1;
  }

  /** While names are refused: what becomes of each is known before anything else is done with it. */
  #isClear(step: Step, { isRenaming }: PromisedThread): boolean {
    if (this.#disk.failing !== NAMES) return true;
    return step !== 'delete' && !(isRenaming && (step === 'rename' || step === 'fork'));
  }

  async #do(step: Exclude<Step, 'create' | 'organize' | 'rewrite'>, thread: PromisedThread): Promise<void> {
    const { id } = thread;
    if (step === 'append') return this.#append(thread);
    thread.isEnding = false;
    switch (step) {
      case 'fork':
        return this.#fork(thread);
      case 'rename': {
        const name = this.#new('name');
        // A thread that is not stored yet is, durably, before it has a name. One that is may be less durable than its name.
        const isLazy = !thread.isThere.now;
        if (isLazy) thread.isThere.begin(true, this.#moment);
        const settle = this.#settling(thread);
        thread.isRenaming = true;
        const outcome = await this.#disk.tryTo([thread.name, name], NAMES, () =>
          this.#store.updateThreadMetadata(id, { name }),
        );
        if (outcome !== 'done') {
          const found = (await this.#store.readThread(id, { includeArchived: true })).name;
          if (outcome === 'refused' && found === name)
            throw new Error(`thread ${id} is called ${name}, which was refused`);
          thread.name.isFound(found, this.#moment);
        }
        thread.isRenaming = false;
        if (isLazy) settle();
        return;
      }
      case 'patch': {
        const memory = thread.memory.now === 'enabled' ? 'disabled' : 'enabled';
        if (!thread.isThere.now) thread.isThere.begin(true, this.#moment);
        const settle = this.#settling(thread);
        await this.#change([thread.memory, memory], () => this.#store.updateThreadMetadata(id, { memoryMode: memory }));
        return settle();
      }
      case 'end':
        return this.#end(thread);
      case 'resume':
        await thread.alone(() => this.#store.resumeThread({ threadId: id }));
        thread.goesOn();
        return;
      case 'tryWhileLive':
        return this.#tryWhileLive(thread);
      case 'archive':
        return this.#change([thread.isArchived, true], () => this.#store.archiveThreads([id]));
      case 'unarchive':
        return this.#change([thread.isArchived, false], () => this.#store.unarchiveThread(id));
      case 'revert': {
        const at = this.#random.below(thread.turnIds.length);
        const turnId = thread.turnIds[at] ?? '';
        const words = thread.words.now.slice(0, thread.wordsBefore + 2 * at);
        thread.cutTurns(at);
        return this.#change([thread.words, words], () => this.#store.revertThread(id, turnId));
      }
      case 'compress':
        return thread.alone(async () =>
          compressDurably((await this.#store.readThread(id, { includeArchived: true })).path ?? ''),
        );
      case 'delete':
        return this.#delete(thread);
    }
  }

  async #delete(thread: PromisedThread): Promise<void> {
    const others = this.threads.filter((other) => other !== thread && isPossible('delete', other));
    const doomed = [thread, ...others.filter(() => this.#random.chance(0.3))] as const;
    for (const one of doomed) one.isEnding = false;
    const ends = doomed.map(({ isThere }) => isThere.begin(false, this.#moment));
    try {
      await this.#store.deleteThreads([thread.id, ...doomed.slice(1).map(({ id }) => id)]);
    } catch (error) {
      // A fork continues one: nothing was removed.
      for (const [at, one] of doomed.entries()) ends[at] = one.isThere.begin(true, this.#moment);
      if (!String(error).includes('still references')) throw error;
    }
    for (const [at, one] of doomed.entries()) one.isThere.settle(this.#moment, ends[at]);
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
    const version = thread.words.begin([...thread.words.now, said, answer], this.#moment);
    const settle = this.#settling(thread);
    const { writing, isEnding, isFailing } = thread;
    thread.turnIds.push(turnId);
    const records = items.map((item) => record(item));
    const onFailure = this.#isOverlapping && this.#random.chance(0.3) ? 'withdraw' : 'keep';
    writing.appending += 1;
    try {
      await this.#store.appendItems({ threadId: thread.id, records, facts: NO_FACTS, durability, onFailure });
    } catch (error) {
      const isTooLate = isEnding && TOO_LATE.test(String(error));
      const isRefused = isFailing && String(error).includes('injected');
      if (!isTooLate && !isRefused) throw error;
      if (isRefused && onFailure === 'keep') return;
      const withdraw = (): void => {
        thread.words.withdraw(this.#moment, version, (words) =>
          words.filter((word) => word !== said && word !== answer),
        );
        thread.withdraw(turnId);
      };
      if ((error as SkeinError).code === 'uncertain') this.#uncertain.push(withdraw);
      else withdraw();
      return;
    } finally {
      writing.appending -= 1;
    }
    thread.isWritten(turnId);
    writing.isWritten = true;
    if (durability === 'power') settle();
  }

  async #end(thread: PromisedThread): Promise<void> {
    const settle = this.#settling(thread);
    const { writing } = thread;
    const hasWritten = writing.isWritten || writing.appending > 0;
    [thread.isLive, thread.isEnding] = [false, true];
    if (!thread.isThere.now) this.threads.splice(this.threads.indexOf(thread), 1);
    await this.#store.shutdownThread(thread.id);
    thread.isEnding = false;
    if (hasWritten) settle();
  }

  /** What moves, cuts or removes a thread is refused while it is live, and changes nothing of it. */
  async #tryWhileLive(thread: PromisedThread): Promise<void> {
    const { id } = thread;
    const work = this.#random.pick([
      () => this.#store.archiveThreads([id]),
      () => this.#store.deleteThreads([id]),
      () => this.#store.revertThread(id, thread.turnIds[0] ?? ''),
    ]);
    const code = await work().then(
      () => 'done',
      (error: unknown) => (error as SkeinError).code,
    );
    if (code !== 'conflict') throw new Error(`what must not be done to live thread ${id} is ${code}`);
  }

  async #fork(source: PromisedThread): Promise<void> {
    const at = this.#moment;
    const fork = new PromisedThread(newThreadId(), source.mode);
    this.threads.push(fork);
    // Through any of its turns, or all.
    const count = source.writtenTurns;
    const last = this.#random.chance(0.5) ? this.#random.below(count) : count - 1;
    const turnId = this.#isOverlapping && this.#random.chance(0.5) ? undefined : source.turnIds.slice(0, count)[last];
    const isOfAll = this.#isOverlapping && turnId === undefined;
    const isThere = fork.isThere.begin(true, at);
    fork.wordsBefore = source.wordsBefore;
    if (isOfAll) fork.forkedFrom = { source, at };
    else this.#forked(fork, source, last + 1, at);
    const name = fork.name.begin(source.name.now, at);
    if (!source.isThere.now) source.isThere.begin(true, at);
    const atLeast = source.wordsBefore + 2 * count;
    const boundary = turnId === undefined ? ({ kind: 'latest' } as const) : ({ kind: 'throughTurn', turnId } as const);
    await fork.alone(async () => {
      try {
        await forkThread(this.#store, source.id, source.mode, boundary, fork.id);
      } catch (error) {
        if (!(source.isFailing || this.#disk.failing === NAMES) || !isRefusal(error)) throw error;
        fork.isThere.refuse(this.#moment, isThere);
        fork.isLive = false;
        return;
      }
      const done = this.#moment;
      if (isOfAll) {
        // How much there was of its source is seen only now.
        const words = await wordsIn(this.#store, fork.id);
        const isOfSource = source.words.begunBy(done).some((said) => isSame(words, said.slice(0, words.length)));
        if (words.length < atLeast || !isOfSource)
          throw new Error(`fork ${fork.id} says ${words.join(', ')}, its source ${source.words.now.join(', ')}`);
        fork.words.begin(words, at);
        fork.forgetTurns(words.length);
      }
      fork.words.settle(done);
      fork.isThere.settle(done);
      fork.name.settle(done, name);
    });
    fork.forkedFrom = undefined;
  }

  #forked(fork: PromisedThread, source: PromisedThread, turns: number, at: number): void {
    fork.words.begin(source.words.now.slice(0, source.wordsBefore + 2 * turns), at);
    fork.turnIds.push(...source.turnIds.slice(0, turns));
    fork.areWritten(turns);
  }

  /** Sets more than is kept: the file is written anew. */
  async #rewrite(): Promise<void> {
    const key = this.#newKey();
    for (let time = 1; time <= 3; time += 1) await this.#mark(key, 'x'.repeat(200_000));
  }

  async #mark(key: string, more: string): Promise<void> {
    if (await this.#marks.set(key, () => `${this.#new('mark')} ${more}`)) this.acknowledged += 1;
  }

  async #change<T>([promised, value]: [Promised<T>, T], work: () => Promise<unknown>): Promise<void> {
    const version = promised.begin(value, this.#moment);
    await work();
    promised.settle(this.#moment, version);
  }

  /** Notes, when it is called, that what is begun of a thread now is on stable storage, and no more than that. */
  #settling({ words, isThere }: PromisedThread): () => void {
    const [said, there] = [words.last, isThere.last];
    return () => {
      words.settle(this.#moment, said);
      isThere.settle(this.#moment, there);
    };
  }

  get #moment(): number {
    return this.#disk.moment;
  }

  #newKey(): string {
    return this.#marks.newKey(this.threads.map(({ id }) => id));
  }

  #new(kind: string): string {
    this.#count += 1;
    return `${kind} ${this.#count}.`;
  }
}

export const isSame = (some: readonly string[], others: readonly string[]): boolean =>
  some.length === others.length && some.every((word, at) => others[at] === word);
