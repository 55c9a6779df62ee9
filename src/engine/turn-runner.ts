import { messageOf } from '../domain/errors.ts';
import type { RolloutItem } from '../domain/rollout-line.ts';
import { turnError, type ThreadItem, type Turn } from '../domain/turn.ts';
import type { UserMessage } from '../domain/user-input.ts';
import { ModelCalls } from './model-calls.ts';
import { runCompaction } from './run-compaction.ts';
import { TurnCommands } from './turn-commands.ts';
import type { TokenCount, TokenUsage, TurnOutcome } from './turn-events.ts';
import { TurnLog } from './turn-log.ts';
import { TurnMessages } from './turn-messages.ts';
import { abortRecords, completeRecords, replacedRecords, startedRecord, unixSeconds } from './turn-records.ts';
import type { TurnSetup } from './turn-setup.ts';
import type { UserCommand } from './user-command.ts';

/**
 * Runs one turn: records the user's words durably, streams the model's answer, and records how it ended. Steering cuts
 * the running answer off and asks the model again, unless the answer waits for a client: then it comes to its end
 * before. Interrupting ends the turn. Nothing here decides whether a turn may run; the thread machine does.
 */
export class TurnRunner {
  readonly #setup: TurnSetup;
  readonly #log: TurnLog;
  readonly #messages: TurnMessages;
  readonly #calls: ModelCalls;
  readonly #commands: TurnCommands;
  readonly #interrupted = new AbortController();
  /** The turn has begun, or could not. */
  readonly #begun: Promise<void>;
  #settleBegun: () => void = () => {};
  #takesMessages = true;
  #isReplaced = false;
  #wake: () => void = () => {};
  #isOver = false;
  readonly #startedAtMs: number;

  constructor(setup: TurnSetup) {
    const { signal } = this.#interrupted;
    this.#setup = setup;
    this.#log = new TurnLog(setup);
    this.#messages = new TurnMessages(setup, this.#log, signal);
    this.#calls = new ModelCalls(setup, this.#log);
    this.#commands = new TurnCommands(setup.settings.cwd, this.#log, signal, () => this.#wake());
    this.#begun = new Promise((resolve) => (this.#settleBegun = resolve));
    this.#startedAtMs = setup.now();
  }

  /** Tokens of the thread, this turn included. */
  get totalTokens(): TokenUsage {
    return this.#calls.totalTokens;
  }

  /** The last count of the thread, this turn included. */
  get count(): TokenCount | null {
    return this.#calls.count;
  }

  /** The user has said something in it. */
  get hasWords(): boolean {
    return this.#messages.said.length > 0;
  }

  /** The turn as it is before anything has happened in it. */
  get accepted(): Turn {
    const { turnId, rootTurnId } = this.#log.turn;
    return {
      id: turnId,
      rootTurnId,
      items: [],
      itemsView: 'notLoaded',
      status: 'inProgress',
      error: null,
      startedAt: null,
      completedAt: null,
      durationMs: null,
    };
  }

  /**
   * Runs the turn to its end.
   * @param accepted called once the user's words are as durable as promised, before anything is told
   * @throws if the user's words cannot be stored: they are withdrawn then, and there was no turn
   */
  run(message: UserMessage, accepted: () => void): Promise<TurnOutcome> {
    const entering = this.#messages.entering(message);
    const begun = (): void => {
      this.#tellStarted(accepted);
      this.#messages.say(entering);
    };
    return this.#run(
      () => this.#messages.recordsOf(entering),
      begun,
      () => this.#converse(),
    );
  }

  /** As {@link run}, for a turn that begins with a command of the user and has no message, unless one steers it. */
  runCommand(command: UserCommand, accepted: () => void): Promise<TurnOutcome> {
    const begun = (): void => {
      this.#tellStarted(accepted);
      this.#commands.start(command);
    };
    return this.#run(
      () => this.#messages.newsBehind([]),
      begun,
      () => this.#converse(),
    );
  }

  /** As {@link run}, for a turn that compacts the history. It takes no messages. */
  runCompaction(accepted: () => void): Promise<TurnOutcome> {
    this.#takesMessages = false;
    return this.#run(
      () => this.#messages.newsBehind([]),
      () => this.#tellStarted(accepted),
      async () => {
        await runCompaction(this.#setup, this.#log, this.#calls, this.#interrupted.signal);
        return null;
      },
    );
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
    this.#commands.assertRoom();
    accepted();
    this.#commands.start(command);
    return true;
  }

  /**
   * Adds a message to the turn.
   * @param accepted called once its words are durable, before anything is told
   * @returns whether the turn took it; false if it was over
   * @throws overloaded if too many wait; what kept the words from being stored
   */
  async steer(message: UserMessage, accepted: () => void): Promise<boolean> {
    if (this.#isOver || this.#isInterrupted || !this.#takesMessages) return false;
    this.#messages.assertRoom();
    const taken = this.#messages.wait(message, accepted);
    // A question to a client stays: whoever steers may be the one to answer it, and must not wait for that.
    if (this.#calls.isWaitingForClient) this.#messages.takeUp().catch(() => {});
    else this.#calls.cut();
    this.#wake();
    return taken;
  }

  /** Ends the turn as interrupted, soon. */
  interrupt(): void {
    this.#interrupted.abort();
    this.#calls.cut();
    this.#wake();
  }

  /** Says of an interrupt that follows that another turn takes the place of this one. */
  markReplaced(): void {
    this.#isReplaced = true;
  }

  get #isInterrupted(): boolean {
    return this.#interrupted.signal.aborted;
  }

  /**
   * @param words what it begins with, behind its marker
   * @param begun tells that it has
   * @param work what happens in it; returns what made it fail, if anything did
   */
  async #run(
    words: () => readonly RolloutItem[],
    begun: () => void,
    work: () => Promise<string | null>,
  ): Promise<TurnOutcome> {
    const { model } = this.#setup;
    let failure: string | null = null;
    await this.#log.asOne(async () => {
      try {
        const marker = startedRecord(this.#log.turn, this.#startedAtMs, model.contextWindow);
        await this.#log.store([marker, ...words()]);
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
    await this.#commands.ended();
    return this.#finish(failure);
  }

  /** The beginning is recorded: whoever asked gets the answer, and everyone hears of it. */
  #tellStarted(accepted: () => void): void {
    accepted();
    const turn = { ...this.accepted, startedAt: unixSeconds(this.#startedAtMs) };
    this.#log.tell({ type: 'turnStarted', turn });
  }

  /**
   * Asks the model until nothing is left to answer, and no command of the user runs any more. What was cut off is
   * answered again, with what came meanwhile. Returns what made it fail, if anything did.
   */
  async #converse(): Promise<string | null> {
    const messages = this.#messages;
    for (;;) {
      await messages.takeUp();
      if (this.#isInterrupted) return null;
      if (messages.areWaiting) continue;
      if (messages.isUnanswered) {
        // What is said while it answers is another matter.
        messages.isUnanswered = false;
        const result = await this.#calls.ask(messages.said);
        if (result.type === 'failed') return result.failure;
        if (result.type === 'cut') {
          messages.isUnanswered = true;
          if (!this.#isInterrupted) await this.#calls.repeatCount();
        }
      } else if (this.#commands.areRunning) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      } else {
        // In the same breath: a message that comes now belongs to the next turn.
        this.#isOver = true;
        return null;
      }
    }
  }

  async #finish(failure: string | null): Promise<TurnOutcome> {
    this.#end();
    await this.#messages.settled();
    const { turn: identity, now } = this.#log;
    const times = { startedAtMs: this.#startedAtMs, endedAtMs: now() };
    const ended: Turn = {
      ...this.accepted,
      startedAt: unixSeconds(times.startedAtMs),
      completedAt: unixSeconds(times.endedAtMs),
      durationMs: times.endedAtMs - times.startedAtMs,
    };
    if (this.#isInterrupted) {
      const records = this.#isReplaced ? replacedRecords : abortRecords;
      await this.#calls.repeatCount();
      await this.#log.recordEnd(records(identity, times));
      return { status: 'interrupted', turn: { ...ended, status: 'interrupted' } };
    }
    const { lastSaid } = this.#calls;
    await this.#log.recordEnd(completeRecords(identity, times, lastSaid?.text ?? null, failure));
    if (failure !== null) {
      const error = turnError(failure);
      return { status: 'failed', error, turn: { ...ended, status: 'failed', error } };
    }
    const items: readonly ThreadItem[] = lastSaid === undefined ? [] : [lastSaid.item];
    const itemsView = lastSaid === undefined ? 'notLoaded' : 'summary';
    return { status: 'completed', turn: { ...ended, status: 'completed', items, itemsView } };
  }

  /** Nothing is taken up any more. */
  #end(): void {
    this.#isOver = true;
    this.#messages.refuseWaiting();
  }
}
