import type { Failure, PersistenceState, TurnState } from '../../machines/thread-machine.ts';
import { internal, invalidRequest, overloaded } from '../domain/errors.ts';
import type { ClientReply, ClientRequest } from '../domain/client-request.ts';
import { newUuid, type ThreadId } from '../domain/ids.ts';
import { numberMember, isJsonObject, type JsonObject, type JsonValue } from '../domain/json.ts';
import type { ThreadMetadataPatch } from '../domain/metadata-patch.ts';
import type { RolloutLine } from '../domain/rollout-line.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import { settingsAppliedItem, type ThreadSettings } from '../domain/thread-settings.ts';
import type { Turn } from '../domain/turn.ts';
import type { UserMessage } from '../domain/user-input.ts';
import type { ModelClient } from '../engine/model-client.ts';
import { NO_TOKENS, type TokenUsage, type TurnEvent, type TurnOutcome } from '../engine/turn-events.ts';
import { TurnRunner, type TurnHistory } from '../engine/turn-runner.ts';
import type { UserCommand } from '../engine/user-command.ts';
import type { LiveThread } from '../live/live-thread.ts';
import { Mutex } from '../store/mutex.ts';
import type { Durability } from '../store/thread-store.ts';
import { OpenQuestions, type OpenQuestion } from './open-questions.ts';
import { ThreadActor } from './thread-actor.ts';
import type { ActiveFlag, ThreadEvent, ThreadStatus } from './thread-events.ts';
import { EphemeralHistory, StoredHistory } from './thread-history.ts';
import type { Transition } from './transitions.ts';

/** What a thread is opened with. */
export interface OpenedThread {
  /** Null for an ephemeral thread. */
  readonly live: LiveThread | null;
  /** As the store has it; for a thread that is not stored yet, as it will be. */
  readonly thread: StoredThread;
  /** The thread's own history says already how it is run. */
  readonly areSettingsRecorded?: boolean;
  /** What an ephemeral fork remembers of its source. */
  readonly inherited?: AsyncIterable<RolloutLine>;
}

export interface CodexThreadParams {
  readonly id: ThreadId;
  readonly settings: ThreadSettings;
  /** Opens the writer. Must leave nothing behind if the signal is aborted before it returns. */
  readonly open: (signal: AbortSignal) => Promise<OpenedThread>;
  readonly model: ModelClient;
  /** What the user's words and the ends of turns survive once acknowledged (D6). */
  readonly durability: Durability;
  readonly now: () => number;
  readonly onEvent: (event: ThreadEvent) => void;
  readonly onTransition: (transition: Transition) => void;
  /** The thread has shut down, or was never opened. */
  readonly onEnded: () => void;
  /**
   * The thread's machine failed; it must be dropped.
   * @param released settles when the thread has let go of its writer, so that it can be opened anew; never rejects
   */
  readonly onCrash: (error: unknown, released: Promise<void>) => void;
}

/** An answer to user input: a turn begun by it, or the running one that it joined. */
export interface AcceptedInput {
  readonly turn: Turn;
}

export interface UserInputParams {
  readonly message: UserMessage;
  /** Settings from this turn on. */
  readonly overrides?: Partial<ThreadSettings>;
  /** Called once the input is durable, before anything that follows from it is told. */
  readonly accepted: (answer: AcceptedInput) => void;
}

/** How a turn is begun. */
interface TurnBeginning {
  /** Runs the turn to its end; says when its beginning is durable. */
  readonly run: (runner: TurnRunner, accepted: () => void) => Promise<TurnOutcome>;
  readonly isCompaction: boolean;
  readonly accepted: (answer: AcceptedInput) => void;
}

const messageTurn = (message: UserMessage, accepted: TurnBeginning['accepted']): TurnBeginning => ({
  run: (runner, begun) => runner.run(message, begun),
  isCompaction: false,
  accepted,
});

/** Operations on one thread that may wait at once. */
const MAX_PENDING_OPERATIONS = 256;

/** Questions of one turn that clients may have before them at once. */
const MAX_OPEN_QUESTIONS = 64;

interface RunningTurn {
  readonly turnId: string;
  readonly runner: TurnRunner;
  readonly isCompaction: boolean;
  /** Runs it to its end. */
  readonly run: () => Promise<TurnOutcome>;
  readonly refuse: (error: unknown) => void;
  outcome: TurnOutcome | undefined;
  /** The work of the runner. */
  ran: Promise<void>;
  readonly ended: Promise<void>;
  readonly end: () => void;
}

/**
 * One loaded thread from the outside: takes input, says what it is doing, tells what happens, and ends. Its machine
 * decides; its live thread writes; its turn runner talks to the model.
 */
export class CodexThread {
  readonly id: ThreadId;
  readonly #params: CodexThreadParams;
  readonly #actor: ThreadActor;
  #settings: ThreadSettings;
  /** What the last record of settings says, if it was made here. */
  #recordedSettings: ThreadSettings | undefined;
  #opened: OpenedThread | undefined;
  /** Settles when the attempt to open the thread has ended; never rejects. */
  #openingEnded: Promise<void> = Promise.resolve();
  #history: TurnHistory | undefined;
  #turn: RunningTurn | undefined;
  #tokens: TokenUsage = NO_TOKENS;
  #hasFailed = false;
  readonly #questions = new OpenQuestions();
  /** What clients were last told that the running turn waits for. */
  #shownFlags: readonly ActiveFlag[] = [];
  /** Those of an interrupted turn: the turn knows already, and clients will when it has ended. */
  #withdrawn: OpenQuestion[] = [];
  /** Held while something is recorded and told, and while someone takes a look that must fall before or after it. */
  readonly #recordAndTell = new Mutex();
  #pending = 0;
  #lastActivityMs: number;

  constructor(params: CodexThreadParams) {
    this.id = params.id;
    this.#params = params;
    this.#settings = params.settings;
    this.#lastActivityMs = params.now();
    this.#actor = new ThreadActor(
      params.id,
      {
        open: (signal) => {
          const opening = this.#open(signal);
          this.#openingEnded = opening.then(
            () => {},
            () => {},
          );
          return opening;
        },
        barrier: (mustPersist) => this.#barrier(mustPersist),
        runTurn: (turnId) => this.#runTurn(turnId),
        interruptTurn: () => this.#turn?.runner.interrupt(),
        shutdown: async () => this.#opened?.live?.shutdown(),
        discardWriter: () => {
          const discarded = this.#discardOpened();
          this.#openingEnded = this.#openingEnded.then(() => discarded);
        },
      },
      {
        onTurnEnded: () => this.#turnEnded(),
        onPersistenceFailed: (failure, attempts) => this.#persistenceFailed(failure, attempts),
        onPersistenceHealed: () => this.#tell({ type: 'warning', message: 'Saving this thread works again.' }),
        onTransition: params.onTransition,
        onEnded: params.onEnded,
        onCrash: (error) => params.onCrash(error, this.#letGo(error)),
      },
      params.now,
    );
  }

  /** Resolves when the thread is loaded. @throws what kept it from being; it is over then, and holds nothing */
  get opened(): Promise<void> {
    return this.#actor.opened.catch(async (error: unknown) => {
      await this.#openingEnded;
      throw error;
    });
  }

  /** Gives up opening. */
  cancel(cause: string): void {
    this.#actor.cancel(cause);
  }

  get settings(): ThreadSettings {
    return this.#settings;
  }

  get isEphemeral(): boolean {
    return this.#opened?.live === null;
  }

  /** The thread exists in its store. */
  get isStored(): boolean {
    return this.#opened?.live?.isStored === true;
  }

  get isOver(): boolean {
    return this.#actor.isOver;
  }

  get states(): { readonly persistence: PersistenceState; readonly turn: TurnState } {
    return this.#actor.states;
  }

  get failure(): Failure | null {
    return this.#actor.failure;
  }

  get recentTransitions(): readonly Transition[] {
    return this.#actor.recentTransitions;
  }

  /** When anything last happened here, Unix ms. */
  get lastActivityMs(): number {
    return this.#lastActivityMs;
  }

  get activeTurnId(): string | null {
    return this.#turn?.turnId ?? null;
  }

  /** Operations that are under way or wait for their turn. */
  get pendingOperations(): number {
    return this.#pending;
  }

  /** Tokens of all turns. */
  get tokens(): TokenUsage {
    return this.#turn?.runner.totalTokens ?? this.#tokens;
  }

  get status(): ThreadStatus {
    const { turn } = this.#actor.states;
    if (turn !== 'idle') return { type: 'active', activeFlags: this.#questions.flags };
    return this.#hasFailed ? { type: 'systemError' } : { type: 'idle' };
  }

  /** The thread as a store would describe it, from what is known here: also while it is lazy or ephemeral. */
  get described(): StoredThread {
    const { live, thread } = this.#loaded();
    const { settings } = this;
    const shown = { model: settings.model, reasoningEffort: settings.reasoningEffort, cwd: settings.cwd };
    if (live === null) return { ...thread, ...shown };
    const { facts } = live;
    return {
      ...thread,
      ...shown,
      preview: facts.preview,
      firstUserMessage: facts.firstUserMessage,
      recencyAtMs: facts.recencyAtMs ?? thread.recencyAtMs,
      updatedAtMs: Math.max(thread.updatedAtMs, facts.recencyAtMs ?? 0),
    };
  }

  /**
   * Begins a turn with a user's message, or adds it to the running one. Resolves when its words are durable.
   * @throws what kept them from being: nothing of the message is kept then
   */
  async takeInput({ message, overrides, accepted }: UserInputParams, cause: string): Promise<void> {
    await this.#operation(async () => {
      this.#changeSettings(overrides ?? {});
      for (;;) {
        const running = this.#turn;
        if (running === undefined) {
          await this.#startTurn(messageTurn(message, accepted), cause);
          return;
        }
        const answer = { turn: running.runner.accepted };
        const isTaken = await running.runner.steer(message, () => accepted(answer));
        if (isTaken) return;
        // The turn was over already: the message begins the next one.
        await running.ended;
      }
    });
  }

  /**
   * Begins a turn of a given id with a user's message, if none runs. Resolves when its words are durable.
   * @returns false if a turn runs: nothing has happened then
   * @throws what kept the words from being durable; they may stand in the history all the same
   */
  async beginTurn(turnId: string, { message, accepted }: UserInputParams, cause: string): Promise<boolean> {
    return this.#operation(async () => {
      if (this.#turn !== undefined) return false;
      await this.#startTurn(messageTurn(message, accepted), cause, turnId);
      return true;
    });
  }

  /** Adds a message to the running turn, which must be the one expected. Resolves when its words are durable. */
  async steer(expectedTurnId: string, message: UserMessage, accepted: () => void): Promise<void> {
    await this.#operation(async () => {
      const running = this.#turn;
      if (running === undefined) throw invalidRequest('no active turn to steer');
      if (running.turnId !== expectedTurnId) {
        throw invalidRequest(`expected active turn id \`${expectedTurnId}\` but found \`${running.turnId}\``);
      }
      if (message.input.length === 0) throw invalidRequest('input must not be empty');
      if (running.isCompaction) throw invalidRequest('cannot steer a compact turn');
      const isTaken = await running.runner.steer(message, accepted);
      if (!isTaken) throw invalidRequest('no active turn to steer');
    });
  }

  /**
   * Runs a command of the user: in the running turn, or in one of its own.
   * @param accepted called before anything of it is told
   * @throws what kept its turn from beginning: it does not run then
   */
  async runCommand(command: UserCommand, accepted: () => void, cause: string): Promise<void> {
    await this.#operation(async () => {
      for (;;) {
        const running = this.#turn;
        if (running === undefined) {
          await this.#startTurn(
            {
              run: (runner, begun) => runner.runCommand(command, begun),
              isCompaction: false,
              accepted,
            },
            cause,
          );
          return;
        }
        if (await running.runner.attach(command, accepted)) return;
        await running.ended;
      }
    });
  }

  /**
   * Begins a turn that compacts the history; one that runs is interrupted for it.
   * @param accepted called before anything of it is told
   */
  async compact(accepted: () => void, cause: string): Promise<void> {
    await this.#operation(async () => {
      for (let running = this.#turn; running !== undefined; running = this.#turn) {
        running.runner.markReplaced();
        this.#actor.send({ type: 'turn.interrupt', cause });
        await running.ended;
      }
      await this.#startTurn(
        {
          run: (runner, begun) => runner.runCompaction(begun),
          isCompaction: true,
          accepted,
        },
        cause,
      );
    });
  }

  /**
   * Changes how the thread is run from the next turn on, without one. A thread that is stored records it before it is
   * told; any other does with its first turn.
   * @param accepted called before it is told
   * @throws if it cannot be recorded: nothing has changed then
   */
  async updateSettings(overrides: Partial<ThreadSettings>, accepted: () => void): Promise<void> {
    await this.#operation(async () => {
      const before = this.#settings;
      const changed = withOverrides(before, overrides);
      // At once: a turn that begins while this is recorded runs with it.
      this.#settings = changed;
      await this.#recordAndTell.run(async () => {
        if (changed !== before && this.isStored) {
          try {
            await this.#writer().append([settingsAppliedItem(this.id, changed)], { onFailure: 'withdraw' });
            this.#recordedSettings = changed;
          } catch (error) {
            if (this.#settings === changed) this.#settings = before;
            throw error;
          }
        }
        accepted();
        if (changed !== before) this.#tell({ type: 'settingsChanged', settings: changed });
      });
    });
  }

  /** @throws invalidRequest if no turn runs, or another one */
  assertActive(turnId: string): void {
    const running = this.#turn;
    if (running === undefined) throw invalidRequest('no active turn to interrupt');
    if (running.turnId !== turnId) {
      throw invalidRequest(`expected active turn id ${turnId} but found ${running.turnId}`);
    }
  }

  /** Asks the running turn to end. @throws invalidRequest if none runs, or another one */
  interrupt(turnId: string, cause: string): void {
    this.assertActive(turnId);
    this.#actor.send({ type: 'turn.interrupt', cause });
  }

  /** What the running turn waits for its clients to answer, oldest first. */
  get openQuestions(): readonly OpenQuestion[] {
    return this.#questions.all;
  }

  /**
   * Passes on what a client has answered. The first answer counts.
   * @returns false if the question is not open (any more)
   */
  answer(questionId: string, reply: ClientReply, cause: string): boolean {
    const question = this.#questions.close(questionId);
    if (question === undefined) return false;
    this.#questionClosed(question, cause);
    question.settle(reply);
    return true;
  }

  /**
   * Runs work while every item that is recorded has also been told, and none comes to it: whoever reads the thread and
   * begins to listen in it gets each item exactly once. A running turn waits meanwhile, so the work must be short.
   */
  steadily<T>(work: () => Promise<T>): Promise<T> {
    return this.#recordAndTell.run(work);
  }

  /** Adds raw items to what the model reads. Durable when it returns. */
  async injectItems(items: readonly JsonObject[]): Promise<void> {
    if (items.length === 0) throw invalidRequest('items must not be empty');
    await this.#operation(async () => {
      const records = items.map((payload) => ({ type: 'response_item', payload }));
      await this.#writer().append(records, { durability: this.#params.durability, onFailure: 'withdraw' });
    });
  }

  /** Changes metadata. @throws invalidRequest for an ephemeral thread */
  async updateMetadata(patch: ThreadMetadataPatch): Promise<StoredThread> {
    return this.#operation(async () => {
      const { live } = this.#loaded();
      if (live === null) throw invalidRequest(`ephemeral thread does not support metadata updates: ${this.id}`);
      const thread = await live.updateMetadata(patch);
      this.#opened = { live, thread };
      return thread;
    });
  }

  /** Makes what is queued durable; nothing for an unused thread. */
  flush(cause: string): Promise<void> {
    return this.#actor.barrier('flush', cause);
  }

  /** Stores a lazy thread. */
  persist(cause: string): Promise<void> {
    return this.#actor.barrier('persist', cause);
  }

  /** Ends the thread, a running turn first. @throws if what is queued cannot be written; it can be tried again */
  shutdown(cause: string): Promise<void> {
    return this.#actor.shutdown(cause);
  }

  async #open(signal: AbortSignal): Promise<{ readonly isStored: boolean }> {
    const opened = await this.#params.open(signal);
    const { live, thread } = opened;
    if (live !== null) live.onQueued(() => this.#recordsQueued());
    this.#history = live === null ? await this.#ephemeralHistory(opened) : new StoredHistory(live);
    this.#opened = opened;
    this.#tokens = tokensOf(thread.tokenUsage);
    if (opened.areSettingsRecorded === true) this.#recordedSettings = this.#settings;
    // Given up after the last look at the signal: nobody else knows of this writer yet.
    if (signal.aborted) await this.#discardOpened();
    return { isStored: live?.isStored === true };
  }

  /** The thread was not opened after all. */
  async #discardOpened(): Promise<void> {
    const live = this.#opened?.live ?? null;
    this.#opened = undefined;
    await live?.discard().catch(() => {});
  }

  /** After a crash: ends what runs, answers who waits, and gives the writer back. Never rejects. */
  async #letGo(error: unknown): Promise<void> {
    const turn = this.#turn;
    this.#turn = undefined;
    turn?.runner.interrupt();
    turn?.refuse(internal('the thread failed', error));
    turn?.end();
    for (const question of this.#questions.all) this.#withdraw(question.questionId);
    this.#tellWithdrawn();
    await turn?.ran.catch(() => {});
    await this.#openingEnded;
    const live = this.#opened?.live ?? null;
    await live?.shutdown().catch(() => live.discard().catch(() => {}));
  }

  async #ephemeralHistory({ thread, inherited }: OpenedThread): Promise<TurnHistory> {
    const history = new EphemeralHistory(thread.historyMode, this.#params.now);
    if (inherited !== undefined) for await (const line of inherited) history.remember(line);
    return history;
  }

  async #barrier(mustPersist: boolean): Promise<{ readonly isStored: boolean }> {
    const { live } = this.#loaded();
    // An ephemeral thread has nothing to store: its barriers are met.
    if (live === null) return { isStored: false };
    if (mustPersist) await live.persist(this.#params.durability);
    else await live.flush('process');
    return { isStored: live.isStored };
  }

  #startTurn({ run, isCompaction, accepted }: TurnBeginning, cause: string, turnId = newUuid()): Promise<void> {
    return new Promise((resolve, refuse) => {
      const settings = this.#settings;
      const runner = new TurnRunner({
        threadId: this.id,
        turnId,
        settings,
        areSettingsNews: settings !== this.#recordedSettings,
        history: this.#writer(),
        model: this.#params.model,
        tokensBefore: this.#tokens,
        durability: this.#params.durability,
        tell: (event) => this.#tellTurn(event),
        askClients: (request, signal) => this.#ask(turnId, request, signal),
        asOne: (work) => this.#recordAndTell.run(work),
        now: this.#params.now,
      });
      let end: () => void = () => {};
      const ended = new Promise<void>((done) => (end = done));
      const acknowledge = (): void => {
        this.#recordedSettings = settings;
        resolve();
        accepted({ turn: runner.accepted });
      };
      this.#turn = {
        turnId,
        runner,
        isCompaction,
        run: () => run(runner, acknowledge),
        refuse,
        outcome: undefined,
        ran: Promise.resolve(),
        ended,
        end,
      };
      this.#actor.send({ type: 'turn.start', turnId, cause });
      // The machine takes a turn only while it is loaded and idle.
      if (this.#actor.turnId !== turnId) {
        this.#turn = undefined;
        refuse(invalidRequest(`thread ${this.id} is closing`));
      }
    });
  }

  #runTurn(turnId: string): Promise<void> {
    const turn = this.#turn;
    if (turn?.turnId !== turnId) return Promise.resolve();
    turn.ran = turn.run().then(
      (outcome) => {
        turn.outcome = outcome;
      },
      (error: unknown) => turn.refuse(error),
    );
    return turn.ran;
  }

  #turnEnded(): void {
    const turn = this.#turn;
    this.#turn = undefined;
    this.#shownFlags = [];
    if (turn === undefined) return;
    this.#tokens = turn.runner.totalTokens;
    const { outcome } = turn;
    if (outcome !== undefined) {
      const { turnId } = turn;
      this.#hasFailed = outcome.status === 'failed';
      if (outcome.status === 'completed') this.#tell({ type: 'turnToRead', turnId });
      this.#tell({ type: 'statusChanged', status: this.status });
      if (outcome.status === 'failed') {
        this.#tell({ type: 'turnFailed', turnId, error: outcome.error });
        this.#tell({ type: 'turnToRead', turnId });
      }
      this.#tell({ type: 'turnCompleted', turn: outcome.turn });
    }
    this.#tellWithdrawn();
    turn.end();
  }

  #ask(turnId: string, request: ClientRequest, signal: AbortSignal): Promise<ClientReply> {
    if (this.#questions.size >= MAX_OPEN_QUESTIONS) {
      const message = `${MAX_OPEN_QUESTIONS} questions wait for an answer already`;
      return Promise.resolve({ type: 'failed', reason: 'error', message });
    }
    return new Promise((resolve) => {
      const questionId = newUuid();
      const withdraw = (): void => this.#withdraw(questionId);
      const settle = (reply: ClientReply): void => {
        signal.removeEventListener('abort', withdraw);
        resolve(reply);
      };
      this.#actor.send({ type: 'client.asked', requestId: questionId, cause: request.method });
      // The machine lets a turn ask only while it runs.
      if (this.#turn?.turnId !== turnId || this.#actor.states.turn !== 'awaitingClient') {
        settle({ type: 'withdrawn' });
        return;
      }
      this.#questions.add({ questionId, turnId, request, settle });
      signal.addEventListener('abort', withdraw);
      this.#tellFlags();
      this.#tell({ type: 'clientAsked', questionId, turnId, request });
    });
  }

  /** The turn waits for the answer no more. */
  #withdraw(questionId: string): void {
    const question = this.#questions.close(questionId);
    if (question === undefined) return;
    if (this.isOver || this.#actor.states.turn === 'interrupting') this.#withdrawn.push(question);
    else this.#questionClosed(question, `${question.request.method} withdrawn`);
    question.settle({ type: 'withdrawn' });
  }

  #questionClosed({ questionId, request: { method } }: OpenQuestion, cause: string): void {
    this.#tell({ type: 'clientQuestionClosed', questionId, method });
    this.#actor.send({ type: 'client.answered', requestId: questionId, cause });
    this.#tellFlags();
  }

  /** Says what the running turn waits for, if that has changed. */
  #tellFlags(): void {
    const { flags } = this.#questions;
    if (flags.join() === this.#shownFlags.join()) return;
    this.#shownFlags = flags;
    this.#tell({ type: 'statusChanged', status: this.status });
  }

  /** What clients could not answer any more, once they know that the turn has ended. */
  #tellWithdrawn(): void {
    for (const { questionId, request } of this.#withdrawn.splice(0)) {
      this.#tell({ type: 'clientQuestionClosed', questionId, method: request.method });
    }
  }

  #tellTurn(event: TurnEvent): void {
    if (event.type === 'turnStarted') {
      this.#hasFailed = false;
      this.#tell({ type: 'statusChanged', status: this.status });
    }
    this.#tell(event);
  }

  #recordsQueued(): void {
    this.#lastActivityMs = this.#params.now();
    this.#actor.send({ type: 'records.queued' });
  }

  #persistenceFailed(failure: Failure, attempts: number): void {
    // Said once; it is tried again more often than anyone wants to read.
    if (attempts > 1) return;
    this.#tell({ type: 'warning', message: `Saving this thread failed and will be tried again: ${failure.message}` });
  }

  #changeSettings(overrides: Partial<ThreadSettings>): void {
    const changed = withOverrides(this.#settings, overrides);
    if (changed === this.#settings) return;
    this.#settings = changed;
    this.#tell({ type: 'settingsChanged', settings: changed });
  }

  async #operation<T>(work: () => Promise<T>): Promise<T> {
    if (this.#pending >= MAX_PENDING_OPERATIONS) {
      throw overloaded(`${MAX_PENDING_OPERATIONS} operations wait for thread ${this.id} already; try again later`);
    }
    this.#pending += 1;
    this.#lastActivityMs = this.#params.now();
    try {
      return await work();
    } finally {
      this.#pending -= 1;
    }
  }

  #tell(event: ThreadEvent): void {
    this.#lastActivityMs = this.#params.now();
    this.#params.onEvent(event);
  }

  #writer(): TurnHistory {
    if (this.#history === undefined) throw invalidRequest(`thread ${this.id} is not loaded`);
    return this.#history;
  }

  #loaded(): OpenedThread {
    if (this.#opened === undefined) throw invalidRequest(`thread ${this.id} is not loaded`);
    return this.#opened;
  }
}

/** The same settings if nothing changes. */
function withOverrides(settings: ThreadSettings, overrides: Partial<ThreadSettings>): ThreadSettings {
  const changed = { ...settings, ...overrides };
  return JSON.stringify(changed) === JSON.stringify(settings) ? settings : changed;
}

/** Tokens as rollouts count them, in the protocol's names. */
function tokensOf(stored: JsonValue): TokenUsage {
  if (!isJsonObject(stored)) return NO_TOKENS;
  return {
    totalTokens: numberMember(stored, 'total_tokens') ?? 0,
    inputTokens: numberMember(stored, 'input_tokens') ?? 0,
    cachedInputTokens: numberMember(stored, 'cached_input_tokens') ?? 0,
    cacheWriteInputTokens: numberMember(stored, 'cache_write_input_tokens') ?? 0,
    outputTokens: numberMember(stored, 'output_tokens') ?? 0,
    reasoningOutputTokens: numberMember(stored, 'reasoning_output_tokens') ?? 0,
  };
}
