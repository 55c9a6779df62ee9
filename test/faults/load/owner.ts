import { RpcRefusal, type Json, type RpcClient } from '../../support/rpc-client.ts';
import type { Random } from '../random.ts';
import type { Ledger } from './ledger.ts';
import { foundIn, NEW_THREAD, type Entry, type Fate, type Said, type Thread } from './expectation.ts';

/** What an owner can do with a thread of its own, or to get one. */
export type Habit =
  | 'start'
  | 'turn'
  | 'rename'
  | 'fork'
  | 'revert'
  | 'archive'
  | 'unarchive'
  | 'remove'
  | 'leave'
  | 'queue'
  | 'section'
  | 'mark'
  | 'model'
  | 'choose';

/** What owners do, and how often one thing beside another. */
const HABITS: Readonly<Record<Habit, number>> = {
  start: 4,
  turn: 24,
  rename: 5,
  fork: 4,
  revert: 3,
  archive: 3,
  unarchive: 2,
  remove: 2,
  leave: 3,
  queue: 4,
  section: 2,
  mark: 2,
  model: 2,
  choose: 1,
};

/** What owners do to what they have set around a thread, when they are told to. */
export type Change = 'pause' | 'reword' | 'withdraw' | 'reorder' | 'retitle';

export interface OwnerOptions {
  readonly name: string;
  readonly client: RpcClient;
  readonly random: Random;
  readonly ledger: Ledger;
  /** Threads that it goes on with. */
  readonly ids?: readonly string[];
  /** Of threads that it starts; default: now the one and now the other. */
  readonly historyMode?: 'legacy' | 'paginated';
  /** How often it steers its turns; default: one in five. */
  readonly steers?: number;
  /** Hears each refusal, as it came. */
  readonly onRefusal?: (method: string, body: Json) => void;
}

/** So many words take long enough to be interrupted. */
const LONG = 3_000;

/** A thread of this owner, while one daemon lives. */
interface Owned {
  readonly id: string;
  readonly entry: Entry;
  isLoaded: boolean;
  /** The end of the turn that runs, or of the last one. */
  turnEnd: Promise<void>;
  /** First words of each turn, by its id. */
  readonly turns: Map<string, string>;
}

/**
 * A client that works on threads of its own, one thing after the other, and writes down what it was told, until its
 * daemon is gone. Two owners never share a thread: so each knows what must be there.
 */
export class Owner {
  readonly #options: OwnerOptions;
  readonly #client: RpcClient;
  readonly #random: Random;
  readonly #ledger: Ledger;
  readonly #owned = new Map<string, Owned>();
  /** By name, of those that it has made. */
  readonly #sectionIds = new Map<string, string>();
  #count = 0;
  /** The last refusal leaves open whether it is done. */
  #isUncertain = false;

  constructor(options: OwnerOptions) {
    this.#options = options;
    this.#client = options.client;
    this.#random = options.random;
    this.#ledger = options.ledger;
    for (const id of options.ids ?? []) this.#own(id, this.#ledger.entry(id));
  }

  /** Works until the connection ends. @throws whatever is not the end of the connection */
  async work(): Promise<void> {
    try {
      for (;;) await this.#act();
    } catch (error) {
      if (!isLostConnection(error)) throw error;
    }
  }

  async #act(): Promise<void> {
    const habit = this.#owned.size === 0 ? 'start' : this.#random.weighted(HABITS);
    if (habit === 'start') await this.start().catch(passOverStopping);
    else if (habit !== 'revert' || this.#ledger.isRevertible)
      await this.perform(habit, this.#random.pick([...this.#owned.keys()]));
  }

  /** Starts a thread and says its first words: before them nothing of it need be stored. @returns its id */
  async start(): Promise<string> {
    const { historyMode = this.#random.pick(['legacy', 'paginated']) } = this.#options;
    const { thread } = await this.#client.call('thread/start', { historyMode });
    const owned = this.#own(thread.id, this.#ledger.entry(thread.id));
    owned.isLoaded = true;
    await this.#turn(owned);
    return owned.id;
  }

  /** Resolves when no turn runs in any of its threads that it has heard of. */
  async idle(): Promise<void> {
    for (const { turnEnd } of this.#owned.values()) await turnEnd;
  }

  /** Does something with one of its threads, if that is still there; loads it, and takes it out of the archive, as need be. */
  async perform(habit: Exclude<Habit, 'start'> | Change, threadId: string): Promise<void> {
    const owned = this.#owned.get(threadId);
    if (owned === undefined || !(await this.#load(owned))) return;
    switch (habit) {
      case 'turn':
        return this.#turn(owned);
      case 'rename':
        return this.#rename(owned);
      case 'fork':
        return this.#fork(owned);
      case 'revert':
        return this.#revert(owned);
      case 'archive':
        return this.#archive(owned);
      case 'unarchive':
        return;
      case 'remove':
        return this.#remove(owned);
      case 'leave':
        return this.#leave(owned);
      case 'queue':
        return this.#queue(owned);
      case 'section':
        return this.#section(owned);
      case 'mark':
        return this.#mark(owned);
      case 'model':
        return this.#model(owned);
      case 'choose':
        return this.#choose(owned);
      case 'pause':
        return this.#pause(owned);
      case 'reword':
        return this.#reword(owned);
      case 'withdraw':
        return this.#withdraw(owned);
      case 'reorder':
        return this.#reorder(owned);
      case 'retitle':
        return this.#retitle(owned);
    }
  }

  /** Loads a thread as need be. @returns false if it is not there any more */
  async #load(owned: Owned): Promise<boolean> {
    const { certain } = owned.entry;
    if (certain === null) {
      this.#owned.delete(owned.id);
      return false;
    }
    if (certain.isArchived) {
      const back = await this.#ask(owned, { ...certain, isArchived: false }, 'unarchived', 'thread/unarchive');
      if (back === undefined) return false;
    }
    if (!owned.isLoaded) {
      if ((await this.#tell(owned, 'thread/resume', { excludeTurns: true })) === undefined) return false;
      owned.isLoaded = true;
      // Whatever waited goes on now, and comes before what is said next.
      if (certain.queued.length > 0) await this.#drained(owned);
    }
    return true;
  }

  async #turn(owned: Owned): Promise<void> {
    const text = this.#words();
    const before = owned.entry.certain;
    const next = withWords(before, text);
    const from = this.#client.frames.length;
    const answer = await this.#ask(owned, next, 'words', 'turn/start', { input: asInput(text) });
    if (answer === undefined) return;
    const { id } = answer.turn;
    if (!owned.turns.has(id)) owned.turns.set(id, text);
    const texts = [text];
    if (this.#random.chance(this.#options.steers ?? 0.2)) {
      const more = this.#words();
      const params = { input: asInput(more), expectedTurnId: id };
      const steered = await this.#ask(owned, withWords(owned.entry.certain, more), 'steers', 'turn/steer', params);
      if (steered !== undefined) texts.push(more);
    }
    owned.turnEnd = this.#answered(owned, id, texts, from);
    // Who does not wait learns of a lost connection by the next thing it does.
    owned.turnEnd.catch(() => {});
    if (this.#random.chance(0.85)) await owned.turnEnd;
  }

  /** Waits for the end of a turn, and notes that its words have their answer. */
  async #answered(owned: Owned, turnId: string, texts: readonly string[], from: number): Promise<void> {
    const ended = await this.#client.notification('turn/completed', ({ turn }) => turn.id === turnId, from);
    const { certain } = owned.entry;
    if (ended.params.turn.status !== 'completed' || certain === null) return;
    const said = certain.said.map((one) => (texts.includes(one.text) ? { ...one, isAnswered: true } : one));
    owned.entry.certain = { ...certain, said };
    this.#ledger.count('turns');
  }

  async #rename(owned: Owned): Promise<void> {
    const name = `name ${this.#next()}`;
    await this.#ask(owned, { ...threadOf(owned), name }, 'names', 'thread/name/set', { name });
  }

  async #fork(owned: Owned): Promise<void> {
    await owned.turnEnd;
    const answer = await this.#tell(owned, 'thread/fork', { excludeTurns: true });
    if (answer === undefined) return;
    const entry = this.#ledger.entry(answer.thread.id);
    const { said } = threadOf(owned);
    entry.certain = { ...NEW_THREAD, said, name: answer.thread.name ?? null };
    const fork = this.#own(answer.thread.id, entry);
    fork.isLoaded = true;
    for (const [turnId, text] of owned.turns) fork.turns.set(turnId, text);
    this.#ledger.count('forks');
  }

  /** Takes the thread back to before a turn of this daemon's life. */
  async #revert(owned: Owned): Promise<void> {
    await owned.turnEnd;
    const thread = threadOf(owned);
    const turns = [...owned.turns].filter(([, text]) => thread.said.some((said) => said.text === text));
    if (turns.length === 0) return;
    const [beforeTurnId, first] = this.#random.pick(turns);
    const said = thread.said.slice(
      0,
      thread.said.findIndex(({ text }) => text === first),
    );
    owned.entry.isReverted = true;
    const answer = await this.#ask(owned, { ...thread, said }, 'reverts', 'thread/revert', { beforeTurnId });
    // It was unloaded for that, and may not have come back.
    if (answer === undefined) owned.isLoaded = false;
  }

  async #archive(owned: Owned): Promise<void> {
    const answer = await this.#ask(owned, { ...threadOf(owned), isArchived: true }, 'archives', 'thread/archive');
    if (answer !== undefined) owned.isLoaded = false;
  }

  async #remove(owned: Owned): Promise<void> {
    await this.#ask(owned, null, 'deletions', 'thread/delete');
    // A thread that others continue is refused, after it was unloaded.
    owned.isLoaded = false;
  }

  async #leave(owned: Owned): Promise<void> {
    await this.#tell(owned, 'thread/unsubscribe');
    // It may be unloaded now, or not yet.
    owned.isLoaded = false;
  }

  /** Queues words, and waits until they are said. */
  async #queue(owned: Owned): Promise<void> {
    for (let more = this.#random.below(3); more >= 0; more -= 1) await this.#enqueue(owned);
    await this.#drained(owned);
  }

  async #enqueue(owned: Owned): Promise<void> {
    const text = this.#words();
    const thread = threadOf(owned);
    const params = { input: asInput(text), clientUserMessageId: text.slice(0, 40) };
    await this.#ask(owned, { ...thread, queued: [...thread.queued, text] }, 'queued', 'thread/queue/add', params);
  }

  /** Interrupts a turn, which pauses the queue, and queues words that wait then. */
  async #pause(owned: Owned): Promise<void> {
    for (let isPaused = false; !isPaused;) {
      const text = `${this.#words()}${' and'.repeat(LONG)}`;
      const from = this.#client.frames.length;
      const params = { input: asInput(text) };
      const answer = await this.#ask(owned, withWords(owned.entry.certain, text), 'words', 'turn/start', params);
      if (answer === undefined) return;
      const turnId = answer.turn.id as string;
      // It may have come to its end by itself.
      isPaused = (await this.#tell(owned, 'turn/interrupt', { turnId })) !== undefined;
      await this.#answered(owned, turnId, [text], from);
    }
    for (let count = 0; count < 3; count += 1) await this.#enqueue(owned);
  }

  async #reword(owned: Owned): Promise<void> {
    const thread = threadOf(owned);
    const text = this.#words();
    const params = { queuedSubmissionId: (await this.#waiting(owned))[1], input: asInput(text) };
    const queued = thread.queued.with(1, text);
    await this.#ask(owned, { ...thread, queued }, 'changes of queues', 'thread/queue/update', params);
  }

  async #withdraw(owned: Owned): Promise<void> {
    const thread = threadOf(owned);
    const params = { queuedSubmissionId: (await this.#waiting(owned))[1] };
    const queued = thread.queued.toSpliced(1, 1);
    await this.#ask(owned, { ...thread, queued }, 'changes of queues', 'thread/queue/delete', params);
  }

  async #reorder(owned: Owned): Promise<void> {
    const thread = threadOf(owned);
    const params = { queuedSubmissionIds: (await this.#waiting(owned)).toReversed() };
    const queued = thread.queued.toReversed();
    await this.#ask(owned, { ...thread, queued }, 'changes of queues', 'thread/queue/reorder', params);
  }

  /** Ids of what waits, in order. */
  async #waiting({ id: threadId }: Owned): Promise<readonly string[]> {
    return (await this.#client.call('thread/queue/list', { threadId })).data.map(({ id }: Json) => id);
  }

  /** Waits until nothing waits in a loaded thread, and notes what was said of it. */
  async #drained(owned: Owned): Promise<void> {
    const { id: threadId, entry } = owned;
    for (;;) {
      const from = this.#client.frames.length;
      const { data } = await this.#client.call('thread/queue/list', { threadId });
      const { thread } = await this.#client.call('thread/read', { threadId, includeTurns: true });
      const { said, running } = foundIn(thread);
      if (data.length === 0 && running === 0) {
        const before = threadOf(owned);
        const isAnswered = (text: string): boolean => said.some((one) => one.text === text && one.isAnswered);
        const more = before.queued.map((text) => ({ text, isAnswered: isAnswered(text) }));
        entry.certain = { ...before, said: [...before.said, ...more], queued: [] };
        return;
      }
      // A turn that was interrupted, as by a daemon that ends, has paused it. What goes on by itself is refused here.
      if (running === 0) await this.#client.answer('thread/queue/start', { threadId });
      await this.#client.notification('turn/completed', (params) => params.threadId === threadId, from);
    }
  }

  /** Puts the thread into a new section, or removes the one that it is in. */
  async #section(owned: Owned): Promise<void> {
    const { section } = threadOf(owned);
    const { sections } = this.#ledger;
    const known = section === null ? undefined : this.#sectionIds.get(section);
    if (section !== null && known !== undefined) {
      sections.splice(sections.indexOf(section), 1);
      await this.#ask(owned, { ...threadOf(owned), section: null }, 'sections', 'threadSection/delete', {
        sectionId: known,
      });
      return;
    }
    const name = `section ${this.#next()}`;
    const made = await this.#tell(owned, 'threadSection/create', { name });
    if (made === undefined) return;
    const sectionId = made.section.id as string;
    this.#sectionIds.set(name, sectionId);
    sections.push(name);
    await this.#ask(owned, { ...threadOf(owned), section: name }, 'sections', 'thread/section/move', { sectionId });
  }

  /** Renames the section that the thread is in. */
  async #retitle(owned: Owned): Promise<void> {
    const thread = threadOf(owned);
    const { section } = thread;
    const { sections } = this.#ledger;
    const sectionId = section === null ? undefined : this.#sectionIds.get(section);
    if (section === null || sectionId === undefined) return;
    const name = `section ${this.#next()}`;
    sections.splice(sections.indexOf(section), 1);
    const next = { ...thread, section: name };
    const answer = await this.#ask(owned, next, 'sections', 'threadSection/update', { sectionId, name });
    sections.push(answer === undefined ? section : name);
    this.#sectionIds.set(name, sectionId);
  }

  /** Marks it as unread from its start, or as read. */
  async #mark(owned: Owned): Promise<void> {
    await owned.turnEnd;
    const { readState } = await this.#client.call('thread/read', { threadId: owned.id });
    const isUnread = threadOf(owned).isUnread !== true;
    const operation = { type: isUnread ? 'unread' : 'read' };
    const params = { operation, expectedRevision: readState.revision };
    await this.#ask(owned, { ...threadOf(owned), isUnread }, 'marks', 'thread/readState/update', params);
  }

  async #model(owned: Owned): Promise<void> {
    const model = `model-${this.#next()}`;
    await this.#ask(owned, { ...threadOf(owned), model }, 'models', 'thread/settings/update', { model });
  }

  /** Chooses the model of new threads, if nobody else is about to. */
  async #choose(owned: Owned): Promise<void> {
    const { chosen } = this.#ledger;
    if (chosen.pending !== undefined) return;
    const value = `model-${this.#next()}`;
    chosen.pending = value;
    const params = { keyPath: 'model', value, mergeStrategy: 'replace' };
    const answer = await this.#tell(owned, 'config/value/write', params);
    if (answer !== undefined) {
      chosen.certain = value;
      this.#ledger.count('defaults');
    }
    if (!this.#isUncertain) chosen.pending = undefined;
  }

  /** Asks for a change. While it is under way the thread may be either. @returns undefined if it was refused */
  async #ask(owned: Owned, next: Fate, kind: string, method: string, params: object = {}): Promise<Json> {
    owned.entry.pending = next;
    const answer = await this.#tell(owned, method, params);
    if (answer !== undefined) {
      owned.entry.certain = next;
      this.#ledger.count(kind);
    }
    if (!this.#isUncertain) owned.entry.pending = undefined;
    return answer;
  }

  async #tell(owned: Owned, method: string, params: object = {}): Promise<Json> {
    const { trail } = owned.entry;
    this.#isUncertain = false;
    try {
      trail.push(method);
      const answer = await this.#client.call(method, { threadId: owned.id, ...params });
      trail.push('done');
      return answer;
    } catch (error) {
      if (!(error instanceof RpcRefusal)) throw error;
      trail.push(error.message);
      this.#isUncertain = error.body.data?.kind === 'uncertain';
      this.#options.onRefusal?.(method, error.body);
      this.#ledger.refuse(method, error.body.message, owned.entry);
      return undefined;
    }
  }

  #own(id: string, entry: Entry): Owned {
    const owned = { id, entry, isLoaded: false, turnEnd: Promise.resolve(), turns: new Map<string, string>() };
    this.#owned.set(id, owned);
    return owned;
  }

  /** Words that nobody says twice; now and then so many that their answer takes a while. */
  #words(): string {
    const length = this.#random.chance(0.2) ? this.#random.below(3_000) : this.#random.below(10);
    return [`${this.#options.name} says ${this.#next()}`, ...Array.from({ length }, () => 'and')].join(' ');
  }

  #next(): string {
    this.#count += 1;
    return `${this.#ledger.round}.${this.#options.name}.${this.#count}`;
  }
}

/** The daemon is gone, and with it whatever was asked. */
export const isLostConnection = (error: unknown): boolean =>
  /connection ended|not open|ECONNRESET|CONNECTING/.test(String(error));

/** A daemon that is about to end takes no new threads; its clients see its end next. */
function passOverStopping(error: unknown): void {
  if (!(error instanceof RpcRefusal) || error.body.data?.kind !== 'overloaded') throw error;
}

const asInput = (text: string): Json => [{ type: 'text', text, text_elements: [] }];

function threadOf({ id, entry }: Owned): Thread {
  if (entry.certain === null) throw new Error(`${id} is not there`);
  return entry.certain;
}

function withWords(fate: Fate, text: string): Thread {
  const said: Said = { text, isAnswered: false };
  return fate === null ? { ...NEW_THREAD, said: [said] } : { ...fate, said: [...fate.said, said] };
}
