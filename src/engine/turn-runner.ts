import { setMaxListeners } from 'node:events';
import { setImmediate as nextRound } from 'node:timers/promises';
import { messageOf, overloaded } from '../domain/errors.ts';
import { newUuid, type ThreadId } from '../domain/ids.ts';
import type { RolloutItem, RolloutLine } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import { itemOfCompleted } from '../domain/thread-item.ts';
import { settingsAppliedItem, turnContextItem, type ThreadSettings } from '../domain/thread-settings.ts';
import { turnError, type ThreadItem, type Turn, type TurnItemsView } from '../domain/turn.ts';
import type { UserMessage } from '../domain/user-input.ts';
import { wasRefused, type AppendOptions } from '../live/live-thread.ts';
import type { Durability } from '../store/thread-store.ts';
import { CallQuestions, type AskClients } from './client-questions.ts';
import { compactedRecord } from './compaction.ts';
import type { CompactRequest, ModelClient, ModelEvent } from './model-client.ts';
import { addTokens, type TokenUsage, type TurnEvent, type TurnOutcome } from './turn-events.ts';
import {
  abortRecords,
  agentRecords,
  beginRecords,
  compactionShown,
  completeRecords,
  replacedRecords,
  startedRecord,
  tokenRecord,
  unixSeconds,
  userItem,
  userRecords,
  type TurnIdentity,
  type TurnTimes,
} from './turn-records.ts';
import { runUserCommand, type UserCommand } from './user-command.ts';

/** What a turn writes its records to; an ephemeral thread's goes nowhere. */
export interface TurnHistory {
  readonly historyMode: HistoryMode;
  append(items: readonly RolloutItem[], options?: AppendOptions): Promise<void>;
  records(): AsyncIterable<RolloutLine>;
}

export interface TurnSetup {
  readonly threadId: ThreadId;
  readonly turnId: string;
  readonly settings: ThreadSettings;
  /** No record says yet that the thread is run with these. */
  readonly areSettingsNews: boolean;
  readonly history: TurnHistory;
  readonly model: ModelClient;
  /** Tokens of the thread so far. */
  readonly tokensBefore: TokenUsage;
  /** What the user's words and the end of the turn survive once acknowledged (D6). */
  readonly durability: Durability;
  readonly tell: (event: TurnEvent) => void;
  /** Default: there is nobody to ask. */
  readonly askClients?: AskClients;
  /** Runs work that records something and then tells it, so that nobody looks in between. Default: just runs it. */
  readonly asOne?: (work: () => Promise<void>) => Promise<void>;
  /** Unix ms. */
  readonly now: () => number;
}

/** Messages that steer a turn and that it has not taken up yet. */
const MAX_PENDING_MESSAGES = 64;

/** Commands of users that run in a turn at once. */
const MAX_COMMANDS = 16;

/** Events of a model between pauses in which everyone else gets their turn: a fast model must not hold the process. */
const EVENTS_PER_PAUSE = 64;

const nobody: AskClients = () =>
  Promise.resolve({ type: 'failed', reason: 'error', message: 'there is nobody to ask' });

interface PendingMessage {
  readonly message: UserMessage;
  readonly accepted: () => void;
  readonly settle: (isTaken: boolean) => void;
  readonly refuse: (error: unknown) => void;
}

/** What a turn is begun for. */
type TurnKind = 'message' | 'command' | 'compaction';

/** An answer under way: what came of it so far. */
interface Answer {
  readonly itemId: string;
  readonly startedAtMs: number;
}

/**
 * Runs one turn: records the user's words durably, streams the model's answer, and records how it ended. Steering cuts
 * the running answer off and asks the model again, unless the answer waits for a client: then it comes to its end
 * before. Interrupting ends the turn. Nothing here decides whether a turn may run; the thread machine does.
 */
export class TurnRunner {
  readonly #setup: TurnSetup;
  readonly #identity: TurnIdentity;
  readonly #messages: UserMessage[] = [];
  readonly #pending: PendingMessage[] = [];
  #stream: AbortController | undefined;
  #questions: CallQuestions | undefined;
  /** Work on the messages that wait; one at a time. */
  #takingUp: Promise<void> = Promise.resolve();
  /** Commands of the user that run in this turn. */
  readonly #commands = new Set<Promise<void>>();
  readonly #interrupted = new AbortController();
  /** The turn has begun, or could not. */
  readonly #begun: Promise<void>;
  #settleBegun: () => void = () => {};
  #kind: TurnKind = 'message';
  /** The user has said something that no answer was finished for. */
  #isUnanswered = false;
  #isReplaced = false;
  #wake: () => void = () => {};
  #isOver = false;
  #startedAtMs = 0;
  #lastAgentItem: ThreadItem | undefined;
  #total: TokenUsage;

  constructor(setup: TurnSetup) {
    this.#setup = setup;
    setMaxListeners(MAX_COMMANDS + 1, this.#interrupted.signal);
    this.#begun = new Promise((resolve) => (this.#settleBegun = resolve));
    this.#total = setup.tokensBefore;
    this.#identity = {
      threadId: setup.threadId,
      historyMode: setup.history.historyMode,
      turnId: setup.turnId,
      rootTurnId: setup.turnId,
    };
  }

  /** Tokens of the thread, this turn included. */
  get totalTokens(): TokenUsage {
    return this.#total;
  }

  /** The turn as it is before anything has happened in it. */
  get accepted(): Turn {
    return this.#turn('inProgress', [], 'notLoaded');
  }

  /**
   * Runs the turn to its end.
   * @param accepted called once the user's words are as durable as promised, before anything is told
   * @throws if the user's words cannot be stored: they are withdrawn then, and there was no turn
   */
  async run(message: UserMessage, accepted: () => void): Promise<TurnOutcome> {
    const { settings, areSettingsNews, model, now } = this.#setup;
    this.#startedAtMs = now();
    const itemId = newUuid();
    const begin = beginRecords(this.#identity, settings, areSettingsNews, this.#startedAtMs, model.contextWindow);
    const said = userRecords(this.#identity, message, itemId, this.#startedAtMs);
    const begun = (): void => this.#tellBegun(message, itemId, accepted);
    return this.#run([...begin, ...said], begun, () => this.#converse());
  }

  /** As {@link run}, for a turn that begins with a command of the user and has no message, unless one steers it. */
  async runCommand(command: UserCommand, accepted: () => void): Promise<TurnOutcome> {
    this.#kind = 'command';
    const begun = (): void => {
      this.#tellStarted(accepted);
      this.#startCommand(command);
    };
    return this.#run(this.#marker(), begun, () => this.#converse());
  }

  /** As {@link run}, for a turn that compacts the history. It takes no messages. */
  async runCompaction(accepted: () => void): Promise<TurnOutcome> {
    this.#kind = 'compaction';
    return this.#run(
      this.#marker(),
      () => this.#tellStarted(accepted),
      () => this.#compact(),
    );
  }

  /** How a turn begins that has no words: its marker, and how the thread is run from here on, if that is news. */
  #marker(): readonly RolloutItem[] {
    const { threadId, settings, areSettingsNews, model, now } = this.#setup;
    this.#startedAtMs = now();
    return [
      startedRecord(this.#identity, this.#startedAtMs, model.contextWindow),
      ...(areSettingsNews ? [settingsAppliedItem(threadId, settings)] : []),
    ];
  }

  /**
   * @param records how it begins
   * @param begun tells that it has
   * @param work what happens in it; returns what made it fail, if anything did
   */
  async #run(
    records: readonly RolloutItem[],
    begun: () => void,
    work: () => Promise<string | null>,
  ): Promise<TurnOutcome> {
    const { history, durability } = this.#setup;
    let failure: string | null = null;
    await this.#asOne(async () => {
      try {
        await history.append(records, { durability, onFailure: 'withdraw' });
      } catch (error) {
        this.#end();
        throw error;
      } finally {
        this.#settleBegun();
      }
      // The turn has begun: whatever goes wrong from here on, it gets an end.
      try {
        begun();
      } catch (error) {
        failure = messageOf(error);
      }
    });
    failure ??= await work().catch(messageOf);
    // What the user has begun beside the model comes to its end in this turn.
    while (this.#commands.size > 0) await Promise.all(this.#commands);
    return this.#finish(failure);
  }

  /**
   * Runs a command of the user in this turn.
   * @param accepted called before anything of it is told
   * @returns whether the turn took it; false if it was over
   * @throws overloaded if too many run already
   */
  async attach(command: UserCommand, accepted: () => void): Promise<boolean> {
    await this.#begun;
    if (this.#isOver || this.#isInterrupted) return false;
    if (this.#commands.size >= MAX_COMMANDS) throw overloaded(`${MAX_COMMANDS} commands run in this turn already`);
    accepted();
    this.#startCommand(command);
    return true;
  }

  /**
   * Adds a message to the turn.
   * @param accepted called once its words are durable, before anything is told
   * @returns whether the turn took it; false if it was over
   * @throws overloaded if too many wait; what kept the words from being stored
   */
  steer(message: UserMessage, accepted: () => void): Promise<boolean> {
    if (this.#isOver || this.#isInterrupted || this.#kind === 'compaction') return Promise.resolve(false);
    if (this.#pending.length >= MAX_PENDING_MESSAGES) {
      return Promise.reject(overloaded(`${MAX_PENDING_MESSAGES} messages wait to be taken up already`));
    }
    return new Promise((settle, refuse) => {
      this.#pending.push({ message, accepted, settle, refuse });
      // A question to a client stays: whoever steers may be the one to answer it, and must not wait for that.
      if (this.#questions?.isWaiting === true) this.#takeUp().catch(() => {});
      else this.#stream?.abort();
      this.#wake();
    });
  }

  /** Ends the turn as interrupted, soon. */
  interrupt(): void {
    this.#interrupted.abort();
    this.#stream?.abort();
    this.#wake();
  }

  /** Says of an interrupt that follows that another turn takes the place of this one. */
  markReplaced(): void {
    this.#isReplaced = true;
  }

  get #isInterrupted(): boolean {
    return this.#interrupted.signal.aborted;
  }

  /** The user's words are recorded: whoever asked gets the answer, and everyone hears of them. */
  #tellBegun(message: UserMessage, itemId: string, accepted: () => void): void {
    this.#tellStarted(accepted);
    this.#tellUserItem(message, itemId, this.#startedAtMs);
    this.#say(message);
  }

  #tellStarted(accepted: () => void): void {
    accepted();
    this.#setup.tell({
      type: 'turnStarted',
      turn: { ...this.accepted, startedAt: unixSeconds(this.#startedAtMs) },
    });
  }

  #say(message: UserMessage): void {
    this.#messages.push(message);
    this.#isUnanswered = true;
  }

  #startCommand(command: UserCommand): void {
    const { settings, tell, now } = this.#setup;
    const recordAndTell = (items: readonly RolloutItem[], event: TurnEvent): Promise<void> =>
      this.#asOne(async () => {
        await this.#record(items);
        tell(event);
      });
    const surroundings = { turn: this.#identity, cwd: settings.cwd, tell, recordAndTell, now };
    const running = runUserCommand(command, surroundings, this.#interrupted.signal)
      .catch((error: unknown) => tell({ type: 'warning', message: `A command was given up: ${messageOf(error)}` }))
      .finally(() => {
        this.#commands.delete(running);
        this.#wake();
      });
    this.#commands.add(running);
  }

  /**
   * Asks the model until nothing is left to answer, and no command of the user runs any more. Returns what made it
   * fail, if anything did.
   */
  async #converse(): Promise<string | null> {
    for (;;) {
      await this.#takeUp();
      if (this.#isInterrupted) return null;
      if (this.#pending.length > 0) continue;
      if (this.#isUnanswered) {
        const failure = await this.#askModel();
        if (failure !== null) return failure;
      } else if (this.#commands.size > 0) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      } else {
        // In the same breath: a message that comes now belongs to the next turn.
        this.#isOver = true;
        return null;
      }
    }
  }

  /** One call of the model. What was cut off is answered again, with what came meanwhile. Returns what made it fail. */
  async #askModel(): Promise<string | null> {
    const stream = new AbortController();
    const questions = new CallQuestions(this.#setup.askClients ?? nobody);
    this.#stream = stream;
    this.#questions = questions;
    // What is said while it answers is another matter.
    this.#isUnanswered = false;
    try {
      await this.#answer(stream.signal, questions);
    } catch (error) {
      if (!stream.signal.aborted) return messageOf(error);
    } finally {
      this.#isUnanswered ||= stream.signal.aborted;
      this.#stream = undefined;
      questions.end();
      this.#questions = undefined;
    }
    return null;
  }

  /** Compacts what a model reads of the history, if it can. Returns what made it fail, if anything did. */
  async #compact(): Promise<string | null> {
    const { turnId, model, history, tell, now } = this.#setup;
    const itemId = newUuid();
    const startedAtMs = now();
    tell({ type: 'itemStarted', turnId, item: compactionItem(itemId, startedAtMs, null), startedAtMs });
    const records: RolloutItem[] = [];
    if (model.compact === undefined) {
      tell({
        type: 'warning',
        message: `Nothing was compacted: the model ${model.name} cannot summarise. The history stays as it is.`,
      });
    } else {
      const { signal } = this.#interrupted;
      const summary = await orAborted(model.compact(this.#request(), signal), signal);
      if (summary === undefined) return null;
      await this.#countTokens(summary.usage);
      records.push(await compactedRecord(history.records(), summary.text));
    }
    if (this.#isInterrupted) return null;
    await this.#asOne(async () => {
      const completedAtMs = now();
      await this.#record([...records, compactionShown(this.#identity, itemId, startedAtMs, completedAtMs)]);
      tell({
        type: 'itemCompleted',
        turnId,
        item: compactionItem(itemId, startedAtMs, completedAtMs),
        completedAtMs,
      });
    });
    return null;
  }

  /** Records the messages that came meanwhile; after an interrupt, what still waits is left to the next turn. */
  #takeUp(): Promise<void> {
    this.#takingUp = this.#takingUp.then(() => this.#takeUpAll());
    return this.#takingUp;
  }

  async #takeUpAll(): Promise<void> {
    while (!this.#isInterrupted) {
      const next = this.#pending.shift();
      if (next === undefined) return;
      const { message, accepted, settle, refuse } = next;
      const itemId = newUuid();
      const atMs = this.#setup.now();
      await this.#asOne(async () => {
        try {
          const said = userRecords(this.#identity, message, itemId, atMs);
          const isFirst = this.#messages.length === 0;
          const records = isFirst ? [turnContextItem(this.#identity.turnId, this.#setup.settings), ...said] : said;
          await this.#setup.history.append(records, { durability: this.#setup.durability, onFailure: 'withdraw' });
        } catch (error) {
          refuse(error);
          return;
        }
        settle(true);
        accepted();
        this.#tellUserItem(message, itemId, atMs);
        this.#say(message);
      });
    }
  }

  #request(): CompactRequest {
    const { threadId, turnId, settings, history } = this.#setup;
    return { threadId, turnId, settings, messages: this.#messages, history: () => history.records() };
  }

  /**
   * One call of the model, up to its `completed`: what it does after that is not waited for. Stops without a word when
   * the signal is aborted: the cut answer is nobody's.
   */
  async #answer(signal: AbortSignal, clients: CallQuestions): Promise<void> {
    const { model } = this.#setup;
    const answers = new Map<string, Answer>();
    let count = 0;
    for await (const event of untilAborted(model.stream({ ...this.#request(), clients }, signal), signal)) {
      await this.#take(event, answers);
      if (event.type === 'completed') return;
      count += 1;
      if (count % EVENTS_PER_PAUSE === 0) await nextRound();
    }
  }

  async #take(event: ModelEvent, answers: Map<string, Answer>): Promise<void> {
    const { turnId, tell, now } = this.#setup;
    switch (event.type) {
      case 'messageStarted': {
        const startedAtMs = now();
        answers.set(event.itemId, { itemId: event.itemId, startedAtMs });
        const item = agentItem(event.itemId, '', startedAtMs, null);
        tell({ type: 'itemStarted', turnId, item, startedAtMs });
        return;
      }
      case 'messageDelta':
        tell({ type: 'agentMessageDelta', turnId, itemId: event.itemId, delta: event.delta });
        return;
      case 'messageCompleted': {
        const completedAtMs = now();
        const startedAtMs = answers.get(event.itemId)?.startedAtMs ?? completedAtMs;
        await this.#asOne(async () => {
          await this.#record(agentRecords(this.#identity, event.itemId, event.text, startedAtMs, completedAtMs));
          const item = agentItem(event.itemId, event.text, startedAtMs, completedAtMs);
          this.#lastAgentItem = item;
          tell({ type: 'itemCompleted', turnId, item, completedAtMs });
        });
        return;
      }
      case 'completed':
        await this.#countTokens(event.usage);
    }
  }

  async #countTokens(usage: TokenUsage): Promise<void> {
    const { turnId, tell, model } = this.#setup;
    this.#total = addTokens(this.#total, usage);
    await this.#record([tokenRecord(usage, this.#total, model.contextWindow)]);
    tell({ type: 'tokensUsed', turnId, last: usage, total: this.#total, modelContextWindow: model.contextWindow });
  }

  async #finish(failure: string | null): Promise<TurnOutcome> {
    this.#end();
    await this.#takingUp.catch(() => {});
    const times: TurnTimes = { startedAtMs: this.#startedAtMs, endedAtMs: this.#setup.now() };
    const ended = {
      startedAt: unixSeconds(times.startedAtMs),
      completedAt: unixSeconds(times.endedAtMs),
      durationMs: times.endedAtMs - times.startedAtMs,
    };
    if (this.#isInterrupted) {
      const records = this.#isReplaced ? replacedRecords : abortRecords;
      await this.#recordEnd(records(this.#identity, times));
      return { status: 'interrupted', turn: { ...this.#turn('interrupted', [], 'notLoaded'), ...ended } };
    }
    const last = this.#lastAgentItem;
    const lastText = typeof last?.['text'] === 'string' ? last['text'] : null;
    await this.#recordEnd(completeRecords(this.#identity, times, lastText, failure));
    if (failure !== null) {
      const error = turnError(failure);
      return { status: 'failed', error, turn: { ...this.#turn('failed', [], 'notLoaded'), ...ended, error } };
    }
    const turn =
      last === undefined ? this.#turn('completed', [], 'notLoaded') : this.#turn('completed', [last], 'summary');
    return { status: 'completed', turn: { ...turn, ...ended } };
  }

  /**
   * Records what has happened. A store that cannot write now keeps it and tries again, so the turn goes on; the
   * thread's machine hears of it, and tells the user.
   * @throws if the store refused it, so that it would be lost
   */
  async #record(items: readonly RolloutItem[], durability: Durability = 'process'): Promise<void> {
    try {
      await this.#setup.history.append(items, { durability });
    } catch (error) {
      if (wasRefused(error)) throw error;
    }
  }

  /** The turn is over whatever comes of this: a turn without a recorded end counts as interrupted. */
  async #recordEnd(items: readonly RolloutItem[]): Promise<void> {
    try {
      await this.#record(items, this.#setup.durability);
    } catch (error) {
      this.#setup.tell({ type: 'warning', message: `The end of this turn could not be saved: ${messageOf(error)}` });
    }
  }

  #asOne(work: () => Promise<void>): Promise<void> {
    const { asOne } = this.#setup;
    return asOne === undefined ? work() : asOne(work);
  }

  #tellUserItem(message: UserMessage, itemId: string, atMs: number): void {
    const { turnId, tell } = this.#setup;
    const shown = (completedAtMs: number | null): ThreadItem => ({
      ...(itemOfCompleted({ item: userItem(message, itemId) }) ?? { type: 'userMessage', id: itemId }),
      startedAtMs: atMs,
      completedAtMs,
    });
    tell({ type: 'itemStarted', turnId, item: shown(null), startedAtMs: atMs });
    tell({ type: 'itemCompleted', turnId, item: shown(atMs), completedAtMs: atMs });
  }

  /** Nothing is taken up any more: what still waits was not taken. */
  #end(): void {
    this.#isOver = true;
    for (const { settle } of this.#pending.splice(0)) settle(false);
  }

  #turn(status: Turn['status'], items: readonly ThreadItem[], itemsView: TurnItemsView): Turn {
    const { turnId, rootTurnId } = this.#identity;
    return {
      id: turnId,
      rootTurnId,
      items,
      itemsView,
      status,
      error: null,
      startedAt: null,
      completedAt: null,
      durationMs: null,
    };
  }
}

function agentItem(id: string, text: string, startedAtMs: number, completedAtMs: number | null): ThreadItem {
  const shown = itemOfCompleted({ item: { type: 'AgentMessage', id, content: [{ type: 'Text', text }] } });
  return { ...(shown ?? { type: 'agentMessage', id }), startedAtMs, completedAtMs };
}

const compactionItem = (id: string, startedAtMs: number, completedAtMs: number | null): ThreadItem => ({
  type: 'contextCompaction',
  id,
  startedAtMs,
  completedAtMs,
});

/** What comes of it, or undefined as soon as the signal is aborted: nobody is waited for then. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  let abort: () => void = () => {};
  const aborted = new Promise<undefined>((resolve) => (abort = () => resolve(undefined)));
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  // What it throws after that is nobody's.
  work.catch(() => {});
  try {
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/**
 * What a model streams, until the signal is aborted: a model that does not listen to it is left alone then, not waited
 * for, and what it does later is nobody's.
 */
async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const events = source[Symbol.asyncIterator]();
  let wake: () => void = () => {};
  const abort = (): void => wake();
  signal.addEventListener('abort', abort);
  try {
    while (!signal.aborted) {
      const step = await new Promise<IteratorResult<T, unknown> | undefined>((resolve, reject) => {
        wake = () => resolve(undefined);
        events.next().then(resolve, reject);
      });
      if (step === undefined || step.done === true || signal.aborted) return;
      yield step.value;
    }
  } finally {
    signal.removeEventListener('abort', abort);
    Promise.resolve()
      .then(() => events.return?.())
      .catch(() => {});
  }
}
