import { setImmediate as nextRound } from 'node:timers/promises';
import { messageOf, overloaded } from '../domain/errors.ts';
import { newUuid, type ThreadId } from '../domain/ids.ts';
import type { RolloutItem, RolloutLine } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import { itemOfCompleted } from '../domain/thread-item.ts';
import type { ThreadSettings } from '../domain/thread-settings.ts';
import { turnError, type ThreadItem, type Turn, type TurnItemsView } from '../domain/turn.ts';
import type { UserMessage } from '../domain/user-input.ts';
import { wasRefused, type AppendOptions } from '../live/live-thread.ts';
import type { Durability } from '../store/thread-store.ts';
import { CallQuestions, type AskClients } from './client-questions.ts';
import type { ModelClient, ModelEvent } from './model-client.ts';
import { addTokens, type TokenUsage, type TurnEvent, type TurnOutcome } from './turn-events.ts';
import {
  abortRecords,
  agentRecords,
  beginRecords,
  completeRecords,
  tokenRecord,
  unixSeconds,
  userItem,
  userRecords,
  type TurnIdentity,
  type TurnTimes,
} from './turn-records.ts';

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
  #isInterrupted = false;
  #isOver = false;
  #startedAtMs = 0;
  #lastAgentItem: ThreadItem | undefined;
  #total: TokenUsage;

  constructor(setup: TurnSetup) {
    this.#setup = setup;
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
    const { settings, areSettingsNews, history, model, durability, now } = this.#setup;
    this.#startedAtMs = now();
    const itemId = newUuid();
    const begin = beginRecords(this.#identity, settings, areSettingsNews, this.#startedAtMs, model.contextWindow);
    const said = userRecords(this.#identity, message, itemId, this.#startedAtMs);
    let failure: string | null = null;
    await this.#asOne(async () => {
      try {
        await history.append([...begin, ...said], { durability, onFailure: 'withdraw' });
      } catch (error) {
        this.#end();
        throw error;
      }
      // The turn has begun: whatever goes wrong from here on, it gets an end.
      try {
        this.#tellBegun(message, itemId, accepted);
      } catch (error) {
        failure = messageOf(error);
      }
    });
    failure ??= await this.#converse().catch(messageOf);
    return this.#finish(failure);
  }

  /**
   * Adds a message to the turn.
   * @param accepted called once its words are durable, before anything is told
   * @returns whether the turn took it; false if it was over
   * @throws overloaded if too many wait; what kept the words from being stored
   */
  steer(message: UserMessage, accepted: () => void): Promise<boolean> {
    if (this.#isOver || this.#isInterrupted) return Promise.resolve(false);
    if (this.#pending.length >= MAX_PENDING_MESSAGES) {
      return Promise.reject(overloaded(`${MAX_PENDING_MESSAGES} messages wait to be taken up already`));
    }
    return new Promise((settle, refuse) => {
      this.#pending.push({ message, accepted, settle, refuse });
      // A question to a client stays: whoever steers may be the one to answer it, and must not wait for that.
      if (this.#questions?.isWaiting === true) this.#takeUp().catch(() => {});
      else this.#stream?.abort();
    });
  }

  /** Ends the turn as interrupted, soon. */
  interrupt(): void {
    this.#isInterrupted = true;
    this.#stream?.abort();
  }

  /** The user's words are recorded: whoever asked gets the answer, and everyone hears of them. */
  #tellBegun(message: UserMessage, itemId: string, accepted: () => void): void {
    accepted();
    this.#setup.tell({
      type: 'turnStarted',
      turn: { ...this.accepted, startedAt: unixSeconds(this.#startedAtMs) },
    });
    this.#tellUserItem(message, itemId, this.#startedAtMs);
    this.#messages.push(message);
  }

  /** Asks the model until nothing is left to answer. Returns what made it fail, if anything did. */
  async #converse(): Promise<string | null> {
    /** Messages that the last call was made with, unless it was cut off. */
    let answered = 0;
    for (;;) {
      await this.#takeUp();
      if (this.#isInterrupted) return null;
      if (this.#pending.length > 0) continue;
      if (this.#messages.length === answered) {
        // In the same breath: a message that comes now belongs to the next turn.
        this.#isOver = true;
        return null;
      }
      answered = this.#messages.length;
      this.#stream = new AbortController();
      this.#questions = new CallQuestions(this.#setup.askClients ?? nobody);
      try {
        await this.#answer(this.#stream.signal, this.#questions);
      } catch (error) {
        if (!this.#stream.signal.aborted) return messageOf(error);
      } finally {
        if (this.#stream.signal.aborted) answered = 0;
        this.#stream = undefined;
        this.#questions.end();
        this.#questions = undefined;
      }
    }
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
          const records = userRecords(this.#identity, message, itemId, atMs);
          await this.#setup.history.append(records, { durability: this.#setup.durability, onFailure: 'withdraw' });
        } catch (error) {
          refuse(error);
          return;
        }
        settle(true);
        accepted();
        this.#tellUserItem(message, itemId, atMs);
        this.#messages.push(message);
      });
    }
  }

  /**
   * One call of the model, up to its `completed`: what it does after that is not waited for. Stops without a word when
   * the signal is aborted: the cut answer is nobody's.
   */
  async #answer(signal: AbortSignal, clients: CallQuestions): Promise<void> {
    const { threadId, turnId, settings, history, model } = this.#setup;
    const request = { threadId, turnId, settings, messages: this.#messages, history: () => history.records(), clients };
    const answers = new Map<string, Answer>();
    let count = 0;
    for await (const event of untilAborted(model.stream(request, signal), signal)) {
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
      case 'completed': {
        const { contextWindow } = this.#setup.model;
        this.#total = addTokens(this.#total, event.usage);
        await this.#record([tokenRecord(event.usage, this.#total, contextWindow)]);
        tell({ type: 'tokensUsed', turnId, last: event.usage, total: this.#total, modelContextWindow: contextWindow });
      }
    }
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
      await this.#recordEnd(abortRecords(this.#identity, times));
      return { status: 'interrupted', turn: { ...this.#turn('interrupted', [], 'notLoaded'), ...ended } };
    }
    const last = this.#lastAgentItem;
    const lastText = typeof last?.['text'] === 'string' ? last['text'] : null;
    await this.#recordEnd(completeRecords(this.#identity, times, lastText, failure));
    if (failure !== null) {
      const error = turnError(failure);
      return { status: 'failed', error, turn: { ...this.#turn('failed', [], 'notLoaded'), ...ended, error } };
    }
    const items = last === undefined ? [] : [last];
    return { status: 'completed', turn: { ...this.#turn('completed', items, 'summary'), ...ended } };
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
