import type { PersistenceState, TurnState } from '../../machines/thread-machine.ts';
import type { Failure, StoredState } from '../../machines/thread-messages.ts';
import { invalidRequest, overloaded } from '../domain/errors.ts';
import type { ClientReply } from '../domain/client-request.ts';
import type { ThreadId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import type { ThreadMetadataPatch } from '../domain/metadata-patch.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import type { ThreadSettings } from '../domain/thread-settings.ts';
import type { UserMessage } from '../domain/user-input.ts';
import type { ModelClient } from '../engine/model-client.ts';
import type { TokenCount, TokenUsage } from '../engine/turn-events.ts';
import type { UserCommand } from '../engine/user-command.ts';
import { Mutex } from '../store/mutex.ts';
import type { Durability } from '../store/thread-store.ts';
import type { OpenQuestion } from './open-questions.ts';
import { RunSettings } from './run-settings.ts';
import { ThreadActor } from './thread-actor.ts';
import type { ThreadEvent, ThreadStatus } from './thread-events.ts';
import { ThreadQuestions } from './thread-questions.ts';
import { ThreadTurns, type UserInputParams } from './thread-turns.ts';
import { ThreadWriter, type ThreadWriterOptions } from './thread-writer.ts';
import type { Transition } from './transitions.ts';

export interface CodexThreadParams {
  readonly id: ThreadId;
  readonly settings: ThreadSettings;
  /** As `ThreadWriterOptions.open`. */
  readonly open: ThreadWriterOptions['open'];
  readonly model: ModelClient;
  /** What the user's words and the ends of turns survive once acknowledged (D6). */
  readonly durability: Durability;
  readonly now: () => number;
  /** @throws overloaded if no turn is to begin any more */
  readonly assertMayBegin: () => void;
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

/** Operations on one thread that may wait at once. */
const MAX_PENDING_OPERATIONS = 256;

/**
 * One loaded thread from the outside: takes input, says what it is doing, tells what happens, and ends. Its machine
 * decides; its live thread writes; its turn runner talks to the model.
 */
export class CodexThread {
  readonly id: ThreadId;
  readonly #params: CodexThreadParams;
  readonly #actor: ThreadActor;
  readonly #writer: ThreadWriter;
  readonly #settings: RunSettings;
  readonly #questions: ThreadQuestions;
  readonly #turns: ThreadTurns;
  /** Held while something is recorded and told, and while someone takes a look that must fall before or after it. */
  readonly #recordAndTell = new Mutex();
  #pending = 0;
  #lastActivityMs: number;

  constructor(params: CodexThreadParams) {
    const { id, open, model, durability, now, assertMayBegin } = params;
    this.id = id;
    this.#params = params;
    this.#lastActivityMs = now();
    const tell = (event: ThreadEvent): void => this.#tell(event);
    const recordAndTell = this.#recordAndTell;
    const writer = new ThreadWriter({ id, open, durability, now, onQueued: () => this.#recordsQueued() });
    this.#writer = writer;
    // The opening begins here, and waits: what is made behind it is there by then.
    const actor = this.#startActor();
    const settings = new RunSettings(params.settings, { writer, recordAndTell, tell });
    const questions = new ThreadQuestions(actor, tell);
    const shared = { actor, writer, settings, questions, model, durability, recordAndTell, tell, now };
    this.#actor = actor;
    this.#settings = settings;
    this.#questions = questions;
    this.#turns = new ThreadTurns({ threadId: id, assertMayBegin, ...shared });
  }

  /** Resolves when the thread is loaded. @throws what kept it from being; it is over then, and holds nothing */
  get opened(): Promise<void> {
    return this.#actor.opened.catch(async (error: unknown) => {
      await this.#writer.openingEnded;
      throw error;
    });
  }

  /** Gives up opening. */
  cancel(cause: string): void {
    this.#actor.cancel(cause);
  }

  get settings(): ThreadSettings {
    return this.#settings.current;
  }

  get isEphemeral(): boolean {
    return this.#writer.isEphemeral;
  }

  /** The thread exists in its store. */
  get isStored(): boolean {
    return this.#writer.isStored;
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
    return this.#turns.activeId;
  }

  /** Operations that are under way or wait for their turn. */
  get pendingOperations(): number {
    return this.#pending;
  }

  /** Tokens of all turns. */
  get tokens(): TokenUsage {
    return this.#turns.tokens;
  }

  /** The last count of a call of a model; null before the first, or if the history does not name its turn. */
  get tokenCount(): TokenCount | null {
    return this.#turns.tokenCount;
  }

  get status(): ThreadStatus {
    return this.#turns.status;
  }

  /** The thread as a store would describe it, from what is known here: also while it is lazy or ephemeral. */
  get described(): StoredThread {
    return this.#writer.described(this.settings);
  }

  /**
   * Begins a turn with a user's message, or adds it to the running one. Resolves when its words are durable.
   * @throws what kept them from being: nothing of the message is kept then
   */
  takeInput(params: UserInputParams, cause: string): Promise<void> {
    return this.#operation(() => this.#turns.takeInput(params, cause));
  }

  /**
   * Begins a turn of a given id with a user's message, if none runs. Resolves when its words are durable.
   * @returns false if a turn runs: nothing has happened then
   * @throws what kept the words from being durable; they may stand in the history all the same
   */
  beginTurn(turnId: string, params: UserInputParams, cause: string): Promise<boolean> {
    return this.#operation(() => this.#turns.begin(turnId, params, cause));
  }

  /** Adds a message to the running turn, which must be the one expected. Resolves when its words are durable. */
  steer(expectedTurnId: string, message: UserMessage, accepted: () => void): Promise<void> {
    return this.#operation(() => this.#turns.steer(expectedTurnId, message, accepted));
  }

  /**
   * Runs a command of the user: in the running turn, or in one of its own.
   * @param accepted called before anything of it is told
   * @throws what kept its turn from beginning: it does not run then
   */
  runCommand(command: UserCommand, accepted: () => void, cause: string): Promise<void> {
    return this.#operation(() => this.#turns.runCommand(command, accepted, cause));
  }

  /**
   * Begins a turn that compacts the history; one that runs is interrupted for it.
   * @param accepted called before anything of it is told
   */
  compact(accepted: () => void, cause: string): Promise<void> {
    return this.#operation(() => this.#turns.compact(accepted, cause));
  }

  /**
   * Changes how the thread is run from the next turn on, without one. A thread that is stored records it before it is
   * told; any other does with its first turn.
   * @param accepted called before it is told
   * @throws if it cannot be recorded: nothing has changed then
   */
  updateSettings(overrides: Partial<ThreadSettings>, accepted: () => void): Promise<void> {
    return this.#operation(() => this.#settings.change(overrides, accepted));
  }

  /** @throws invalidRequest if no turn runs, or another one */
  assertActive(turnId: string): void {
    this.#turns.assertActive(turnId);
  }

  /** Asks the running turn to end. @throws invalidRequest if none runs, or another one */
  interrupt(turnId: string, cause: string): void {
    this.assertActive(turnId);
    this.#actor.send({ type: 'turn.interrupt', cause });
  }

  /** What the running turn waits for its clients to answer, oldest first. */
  get openQuestions(): readonly OpenQuestion[] {
    return this.#questions.open;
  }

  /**
   * Passes on what a client has answered. The first answer counts.
   * @returns false if the question is not open (any more)
   */
  answer(questionId: string, reply: ClientReply, cause: string): boolean {
    return this.#questions.answer(questionId, reply, cause);
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
      await this.#writer.append(this.isStored ? records : [...this.#settings.news, ...records]);
    });
  }

  /** Changes metadata. @throws invalidRequest for an ephemeral thread */
  async updateMetadata(patch: ThreadMetadataPatch): Promise<StoredThread> {
    return this.#operation(async () => {
      if (!this.isStored) await this.#settings.record('process');
      return this.#writer.updateMetadata(patch);
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

  #startActor(): ThreadActor {
    const { id, now, onTransition, onEnded, onCrash } = this.#params;
    return new ThreadActor(
      id,
      {
        open: (signal) => this.#open(signal),
        barrier: (mustPersist) => this.#barrier(mustPersist),
        runTurn: (turnId) => this.#turns.run(turnId),
        interruptTurn: () => this.#turns.interrupt(),
        shutdown: () => this.#writer.shutdown(),
        discardWriter: () => this.#writer.discard(),
      },
      {
        onTurnEnded: () => this.#turns.ended(),
        onPersistenceFailed: (failure, attempts) => this.#persistenceFailed(failure, attempts),
        onPersistenceHealed: () => this.#tell({ type: 'warning', message: 'Saving this thread works again.' }),
        onTransition,
        onEnded,
        onCrash: (error) => onCrash(error, this.#letGo(error)),
      },
      now,
    );
  }

  async #open(signal: AbortSignal): Promise<StoredState> {
    const thread = await this.#writer.open(signal);
    this.#turns.countFrom(thread);
    return { isStored: this.isStored };
  }

  async #barrier(mustPersist: boolean): Promise<StoredState> {
    if (mustPersist && !this.isStored) await this.#settings.record(this.#params.durability);
    await this.#writer.barrier(mustPersist);
    return { isStored: this.isStored };
  }

  /** After a crash: ends what runs, answers who waits, and gives the writer back. Never rejects. */
  async #letGo(error: unknown): Promise<void> {
    await this.#turns.crashed(error);
    await this.#writer.release();
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
}
