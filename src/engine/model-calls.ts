import { setImmediate as nextRound } from 'node:timers/promises';
import { messageOf } from '../domain/errors.ts';
import type { ThreadItem } from '../domain/turn.ts';
import type { UserMessage } from '../domain/user-input.ts';
import { untilAborted } from './abortable.ts';
import { CallQuestions, type AskClients } from './client-questions.ts';
import type { CompactRequest, ModelEvent } from './model-client.ts';
import { shownItem } from './shown-item.ts';
import { addTokens, type TokenCount, type TokenUsage } from './turn-events.ts';
import type { TurnLog } from './turn-log.ts';
import { agentItem, agentRecords, tokenRecord } from './turn-records.ts';
import type { TurnSetup } from './turn-setup.ts';

/** Events of a model between pauses in which everyone else gets their turn: a fast model must not hold the process. */
const EVENTS_PER_PAUSE = 64;

const nobody: AskClients = () =>
  Promise.resolve({ type: 'failed', reason: 'error', message: 'there is nobody to ask' });

/** What came of a call of the model. */
export type CallResult = { readonly type: 'answered' | 'cut' } | { readonly type: 'failed'; readonly failure: string };

/** The calls of the model in one turn, one after the other: what it says is recorded and told as it comes. */
export class ModelCalls {
  readonly #setup: TurnSetup;
  readonly #log: TurnLog;
  #call: { readonly cut: AbortController; readonly questions: CallQuestions } | undefined;
  #lastSaid: { readonly text: string; readonly item: ThreadItem } | undefined;
  #total: TokenUsage;
  #count: TokenCount | null;

  constructor(setup: TurnSetup, log: TurnLog) {
    this.#setup = setup;
    this.#log = log;
    this.#total = setup.tokensBefore;
    this.#count = setup.countBefore ?? null;
  }

  /** Tokens of the thread, these calls included. */
  get totalTokens(): TokenUsage {
    return this.#total;
  }

  /** The last count of the thread, these calls included. */
  get count(): TokenCount | null {
    return this.#count;
  }

  /** The last message of the agent. */
  get lastSaid(): { readonly text: string; readonly item: ThreadItem } | undefined {
    return this.#lastSaid;
  }

  /** The call under way waits for a client. */
  get isWaitingForClient(): boolean {
    return this.#call?.questions.isWaiting === true;
  }

  /** Ends the call under way; the cut answer is nobody's. */
  cut(): void {
    this.#call?.cut.abort();
  }

  /** One call. What it says after its `completed` is not waited for. Never rejects. */
  async ask(messages: readonly UserMessage[]): Promise<CallResult> {
    const cut = new AbortController();
    const questions = new CallQuestions(this.#setup.askClients ?? nobody);
    this.#call = { cut, questions };
    try {
      await this.#answer(messages, cut.signal, questions);
    } catch (error) {
      if (!cut.signal.aborted) return { type: 'failed', failure: messageOf(error) };
    } finally {
      questions.end();
      this.#call = undefined;
    }
    return { type: cut.signal.aborted ? 'cut' : 'answered' };
  }

  request(messages: readonly UserMessage[]): CompactRequest {
    const { threadId, turnId, settings, history } = this.#setup;
    return { threadId, turnId, settings, messages, history: () => history.records() };
  }

  async countTokens(usage: TokenUsage): Promise<void> {
    const { turnId, model } = this.#setup;
    this.#total = addTokens(this.#total, usage);
    await this.#tellCount({ turnId, last: usage, total: this.#total, modelContextWindow: model.contextWindow });
  }

  /** As in the peer: an answer that is cut off was not counted, so the count is what it was. */
  async repeatCount(): Promise<void> {
    if (this.#count !== null) await this.#tellCount({ ...this.#count, turnId: this.#setup.turnId });
  }

  async #tellCount(count: TokenCount): Promise<void> {
    this.#count = count;
    await this.#log.record([tokenRecord(count.last, count.total, count.modelContextWindow)]);
    this.#log.tell({ type: 'tokensUsed', ...count });
  }

  async #answer(messages: readonly UserMessage[], signal: AbortSignal, clients: CallQuestions): Promise<void> {
    const startTimes = new Map<string, number>();
    let count = 0;
    const events = this.#setup.model.stream({ ...this.request(messages), clients }, signal);
    for await (const event of untilAborted(events, signal)) {
      await this.#take(event, startTimes);
      if (event.type === 'completed') return;
      count += 1;
      if (count % EVENTS_PER_PAUSE === 0) await nextRound();
    }
  }

  /** @param startTimes of the messages that have begun, by item */
  async #take(event: ModelEvent, startTimes: Map<string, number>): Promise<void> {
    const { turn, tell, now } = this.#log;
    const { turnId } = turn;
    switch (event.type) {
      case 'messageStarted': {
        const startedAtMs = now();
        startTimes.set(event.itemId, startedAtMs);
        const item = shownItem(agentItem(event.itemId, ''), startedAtMs, null);
        tell({ type: 'itemStarted', turnId, item, startedAtMs });
        return;
      }
      case 'messageDelta':
        tell({ type: 'agentMessageDelta', turnId, itemId: event.itemId, delta: event.delta });
        return;
      case 'messageCompleted': {
        const { itemId, text } = event;
        const completedAtMs = now();
        const startedAtMs = startTimes.get(itemId) ?? completedAtMs;
        const item = shownItem(agentItem(itemId, text), startedAtMs, completedAtMs);
        const records = agentRecords(turn, itemId, text, startedAtMs, completedAtMs);
        await this.#log.recordAndTell(records, { type: 'itemCompleted', turnId, item, completedAtMs });
        this.#lastSaid = { text, item };
        return;
      }
      case 'completed':
        await this.countTokens(event.usage);
    }
  }
}
