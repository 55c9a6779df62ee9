import { RpcRefusal, type RpcClient } from '../../support/rpc-client.ts';
import type { Random } from '../random.ts';
import { Asking, type AskingOptions } from './asking.ts';
import { NEW_THREAD, type Entry } from './expectation.ts';
import type { Ledger } from './ledger.ts';
import { threadOf, type Owned } from './owned.ts';
import { QueueHabits } from './queue-habits.ts';
import { TurnHabits } from './turn-habits.ts';

/** What an owner can do with a thread of its own, or to get one. */
export type Habit =
  | 'start'
  | 'turn'
  | 'inject'
  | 'command'
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
  inject: 4,
  command: 3,
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

export interface OwnerOptions extends AskingOptions {
  /** Threads that it goes on with. */
  readonly ids?: readonly string[];
  /** Of threads that it starts; default: now the one and now the other. */
  readonly historyMode?: 'legacy' | 'paginated';
  /** How often it steers its turns; default: one in five. */
  readonly steers?: number;
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
  readonly #asking: Asking;
  readonly #turns: TurnHabits;
  readonly #queues: QueueHabits;
  readonly #owned = new Map<string, Owned>();
  /** By name, of those that it has made. */
  readonly #sectionIds = new Map<string, string>();

  constructor(options: OwnerOptions) {
    this.#options = options;
    this.#client = options.client;
    this.#random = options.random;
    this.#ledger = options.ledger;
    this.#asking = new Asking(options);
    this.#turns = new TurnHabits(this.#asking, options.steers ?? 0.2);
    this.#queues = new QueueHabits(this.#asking, this.#turns);
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
    await this.#turns.turn(owned);
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
        return this.#turns.turn(owned);
      case 'inject':
        return this.#turns.inject(owned);
      case 'command':
        return this.#turns.command(owned);
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
        return this.#queues.queue(owned);
      case 'section':
        return this.#section(owned);
      case 'mark':
        return this.#mark(owned);
      case 'model':
        return this.#model(owned);
      case 'choose':
        return this.#choose(owned);
      case 'pause':
        return this.#queues.pause(owned);
      case 'reword':
        return this.#queues.reword(owned);
      case 'withdraw':
        return this.#queues.withdraw(owned);
      case 'reorder':
        return this.#queues.reorder(owned);
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
      const back = await this.#asking.ask(owned, { ...certain, isArchived: false }, 'unarchived', 'thread/unarchive');
      if (back === undefined) return false;
    }
    if (!owned.isLoaded) {
      if ((await this.#asking.tell(owned, 'thread/resume', { excludeTurns: true })) === undefined) return false;
      owned.isLoaded = true;
      // Whatever waited goes on now, and comes before what is said next.
      if (certain.queued.length > 0) await this.#queues.drained(owned);
    }
    return true;
  }

  async #rename(owned: Owned): Promise<void> {
    const name = `name ${this.#asking.next()}`;
    await this.#asking.ask(owned, { ...threadOf(owned), name }, 'names', 'thread/name/set', { name });
  }

  async #fork(owned: Owned): Promise<void> {
    await owned.turnEnd;
    const answer = await this.#asking.tell(owned, 'thread/fork', { excludeTurns: true });
    if (answer === undefined) return;
    const entry = this.#ledger.entry(answer.thread.id);
    const { said } = threadOf(owned);
    entry.certain = { ...NEW_THREAD, said, name: answer.thread.name ?? null };
    entry.hasMoreThanWords = owned.entry.hasMoreThanWords;
    entry.mayAnswerTwice = owned.entry.mayAnswerTwice;
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
    const answer = await this.#asking.ask(owned, { ...thread, said }, 'reverts', 'thread/revert', { beforeTurnId });
    // It was unloaded for that, and may not have come back.
    if (answer === undefined) owned.isLoaded = false;
  }

  async #archive(owned: Owned): Promise<void> {
    const answer = await this.#asking.ask(
      owned,
      { ...threadOf(owned), isArchived: true },
      'archives',
      'thread/archive',
    );
    if (answer !== undefined) owned.isLoaded = false;
  }

  async #remove(owned: Owned): Promise<void> {
    await this.#asking.ask(owned, null, 'deletions', 'thread/delete');
    // A thread that others continue is refused, after it was unloaded.
    owned.isLoaded = false;
  }

  async #leave(owned: Owned): Promise<void> {
    await this.#asking.tell(owned, 'thread/unsubscribe');
    // It may be unloaded now, or not yet.
    owned.isLoaded = false;
  }

  /** Puts the thread into a new section, or removes the one that it is in. */
  async #section(owned: Owned): Promise<void> {
    const { section } = threadOf(owned);
    const { sections } = this.#ledger;
    const known = section === null ? undefined : this.#sectionIds.get(section);
    if (section !== null && known !== undefined) {
      sections.splice(sections.indexOf(section), 1);
      await this.#asking.ask(owned, { ...threadOf(owned), section: null }, 'sections', 'threadSection/delete', {
        sectionId: known,
      });
      return;
    }
    const name = `section ${this.#asking.next()}`;
    const made = await this.#asking.tell(owned, 'threadSection/create', { name });
    if (made === undefined) return;
    const sectionId = made.section.id as string;
    this.#sectionIds.set(name, sectionId);
    sections.push(name);
    await this.#asking.ask(owned, { ...threadOf(owned), section: name }, 'sections', 'thread/section/move', {
      sectionId,
    });
  }

  /** Renames the section that the thread is in. */
  async #retitle(owned: Owned): Promise<void> {
    const thread = threadOf(owned);
    const { section } = thread;
    const { sections } = this.#ledger;
    const sectionId = section === null ? undefined : this.#sectionIds.get(section);
    if (section === null || sectionId === undefined) return;
    const name = `section ${this.#asking.next()}`;
    sections.splice(sections.indexOf(section), 1);
    const next = { ...thread, section: name };
    const answer = await this.#asking.ask(owned, next, 'sections', 'threadSection/update', { sectionId, name });
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
    await this.#asking.ask(owned, { ...threadOf(owned), isUnread }, 'marks', 'thread/readState/update', params);
  }

  async #model(owned: Owned): Promise<void> {
    const model = `model-${this.#asking.next()}`;
    await this.#asking.ask(owned, { ...threadOf(owned), model }, 'models', 'thread/settings/update', { model });
  }

  /** Chooses the model of new threads, if nobody else is about to. */
  async #choose(owned: Owned): Promise<void> {
    const { chosen } = this.#ledger;
    if (chosen.pending !== undefined) return;
    const value = `model-${this.#asking.next()}`;
    chosen.pending = value;
    const params = { keyPath: 'model', value, mergeStrategy: 'replace' };
    const answer = await this.#asking.tell(owned, 'config/value/write', params);
    if (answer !== undefined) {
      chosen.certain = value;
      this.#ledger.count('defaults');
    }
    if (!this.#asking.isUncertain) chosen.pending = undefined;
  }

  #own(id: string, entry: Entry): Owned {
    const turns = new Map<string, string>();
    const owned = { id, entry, isLoaded: false, turnEnd: Promise.resolve(), runningTurn: undefined, turns };
    this.#owned.set(id, owned);
    return owned;
  }
}

/** The daemon is gone, and with it whatever was asked. */
export const isLostConnection = (error: unknown): boolean =>
  /connection ended|not open|ECONNRESET|CONNECTING/.test(String(error));

/** A daemon that is about to end takes no new threads; its clients see its end next. */
function passOverStopping(error: unknown): void {
  if (!(error instanceof RpcRefusal) || error.body.data?.kind !== 'overloaded') throw error;
}
