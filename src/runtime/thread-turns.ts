import { internal, invalidRequest } from '../domain/errors.ts';
import { newUuid, type ThreadId } from '../domain/ids.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import type { ThreadSettings } from '../domain/thread-settings.ts';
import type { Turn } from '../domain/turn.ts';
import type { UserMessage } from '../domain/user-input.ts';
import type { ModelClient } from '../engine/model-client.ts';
import {
  NO_TOKENS,
  type TokenCount,
  type TokenUsage,
  type TurnEvent,
  type TurnOutcome,
} from '../engine/turn-events.ts';
import { countOf, tokensOf } from '../engine/turn-records.ts';
import { TurnRunner } from '../engine/turn-runner.ts';
import type { UserCommand } from '../engine/user-command.ts';
import type { Mutex } from '../store/mutex.ts';
import type { Durability } from '../store/thread-store.ts';
import type { RunSettings } from './run-settings.ts';
import type { ThreadActor } from './thread-actor.ts';
import type { ThreadEvent, ThreadStatus } from './thread-events.ts';
import type { ThreadQuestions } from './thread-questions.ts';
import type { ThreadWriter } from './thread-writer.ts';

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

export interface ThreadTurnsOptions {
  readonly threadId: ThreadId;
  readonly actor: Pick<ThreadActor, 'send' | 'states' | 'turnId'>;
  readonly writer: Pick<ThreadWriter, 'history'>;
  readonly settings: RunSettings;
  readonly questions: ThreadQuestions;
  readonly model: ModelClient;
  readonly durability: Durability;
  /** Held while something is recorded and told. */
  readonly recordAndTell: Mutex;
  readonly tell: (event: ThreadEvent) => void;
  readonly now: () => number;
  /** @throws overloaded if no turn is to begin any more */
  readonly assertMayBegin: () => void;
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
 * The turns of one loaded thread, one at a time: whatever is said to the thread begins one or joins the one that runs.
 * The thread's machine decides which may begin; see {@link ThreadTurns.run}.
 */
export class ThreadTurns {
  readonly #options: ThreadTurnsOptions;
  #running: RunningTurn | undefined;
  #tokens: TokenUsage = NO_TOKENS;
  #count: TokenCount | null = null;
  #hasFailed = false;

  constructor(options: ThreadTurnsOptions) {
    this.#options = options;
  }

  get activeId(): string | null {
    return this.#running?.turnId ?? null;
  }

  /** Tokens of all turns. */
  get tokens(): TokenUsage {
    return this.#running?.runner.totalTokens ?? this.#tokens;
  }

  /** The last count of a call of a model; null before the first, or if the history does not name its turn. */
  get tokenCount(): TokenCount | null {
    return this.#running?.runner.count ?? this.#count;
  }

  /** The thread is opened, with what its history counts. */
  countFrom(thread: StoredThread): void {
    this.#tokens = tokensOf(thread.tokenUsage);
    this.#count = countOf(thread);
  }

  /** What the thread is doing. */
  get status(): ThreadStatus {
    const { actor, questions } = this.#options;
    if (actor.states.turn !== 'idle') return { type: 'active', activeFlags: questions.flags };
    return this.#hasFailed ? { type: 'systemError' } : { type: 'idle' };
  }

  /** As `CodexThread.takeInput`. */
  async takeInput({ message, overrides, accepted }: UserInputParams, cause: string): Promise<void> {
    const { settings } = this.#options;
    let change = overrides;
    for (;;) {
      const running = this.#running;
      if (running === undefined) {
        // Its turn records them.
        if (change !== undefined) settings.use(change);
        return this.#start(messageTurn(message, accepted), cause);
      }
      if (change !== undefined) await settings.change(change, () => {});
      change = undefined;
      const answer = { turn: running.runner.accepted };
      const isTaken = await running.runner.steer(message, () => accepted(answer));
      if (isTaken) return;
      // The turn was over already: the message begins the next one.
      await running.ended;
    }
  }

  /** As `CodexThread.beginTurn`. */
  async begin(turnId: string, { message, accepted }: UserInputParams, cause: string): Promise<boolean> {
    if (this.#running !== undefined) return false;
    await this.#start(messageTurn(message, accepted), cause, turnId);
    return true;
  }

  /** As `CodexThread.steer`. */
  async steer(expectedTurnId: string, message: UserMessage, accepted: () => void): Promise<void> {
    const running = this.#running;
    if (running === undefined) throw invalidRequest('no active turn to steer');
    if (running.turnId !== expectedTurnId) {
      throw invalidRequest(`expected active turn id \`${expectedTurnId}\` but found \`${running.turnId}\``);
    }
    if (message.input.length === 0) throw invalidRequest('input must not be empty');
    if (running.isCompaction) throw invalidRequest('cannot steer a compact turn');
    const isTaken = await running.runner.steer(message, accepted);
    if (!isTaken) throw invalidRequest('no active turn to steer');
  }

  /** As `CodexThread.runCommand`. */
  async runCommand(command: UserCommand, accepted: () => void, cause: string): Promise<void> {
    for (let running = this.#running; running !== undefined; running = this.#running) {
      if (await running.runner.attach(command, accepted)) return;
      await running.ended;
    }
    await this.#start(
      { run: (runner, begun) => runner.runCommand(command, begun), isCompaction: false, accepted },
      cause,
    );
  }

  /** As `CodexThread.compact`. */
  async compact(accepted: () => void, cause: string): Promise<void> {
    this.#options.assertMayBegin();
    for (let running = this.#running; running !== undefined; running = this.#running) {
      running.runner.markReplaced();
      this.#options.actor.send({ type: 'turn.interrupt', cause });
      await running.ended;
    }
    await this.#start({ run: (runner, begun) => runner.runCompaction(begun), isCompaction: true, accepted }, cause);
  }

  /** @throws invalidRequest if no turn runs, or another one */
  assertActive(turnId: string): void {
    const running = this.#running;
    if (running === undefined) throw invalidRequest('no active turn to interrupt');
    if (running.turnId !== turnId) {
      throw invalidRequest(`expected active turn id ${turnId} but found ${running.turnId}`);
    }
  }

  /** The machine has taken a turn: runs it to its end. */
  run(turnId: string): Promise<void> {
    const turn = this.#running;
    if (turn?.turnId !== turnId) return Promise.resolve();
    turn.ran = turn.run().then(
      (outcome) => {
        turn.outcome = outcome;
      },
      (error: unknown) => turn.refuse(error),
    );
    return turn.ran;
  }

  /** The machine wants the running turn to end. */
  interrupt(): void {
    this.#running?.runner.interrupt();
  }

  /** The machine has seen the end of the turn: tells of it. */
  ended(): void {
    const turn = this.#running;
    this.#running = undefined;
    if (turn !== undefined) {
      const { runner, outcome } = turn;
      this.#tokens = runner.totalTokens;
      this.#count = runner.count;
      if (outcome !== undefined) this.#tellOutcome(turn.turnId, outcome, runner.hasWords);
    }
    this.#options.questions.turnEnded();
    turn?.end();
  }

  /** The machine has failed: ends what runs, and answers who waits. Resolves when nothing of it runs any more. */
  async crashed(error: unknown): Promise<void> {
    const turn = this.#running;
    this.#running = undefined;
    turn?.runner.interrupt();
    turn?.refuse(internal('the thread failed', error));
    turn?.end();
    this.#options.questions.crashed();
    await turn?.ran.catch(() => {});
  }

  #start({ run, isCompaction, accepted }: TurnBeginning, cause: string, turnId = newUuid()): Promise<void> {
    const { threadId, actor, writer, settings, questions, model, durability, recordAndTell, now } = this.#options;
    this.#options.assertMayBegin();
    return new Promise((resolve, refuse) => {
      const runner = new TurnRunner({
        threadId,
        turnId,
        settings: settings.current,
        nextSettings: () => settings.acknowledged,
        history: writer.history,
        model,
        tokensBefore: this.#tokens,
        countBefore: this.#count,
        durability,
        tell: (event) => this.#tellTurn(event),
        askClients: (request, signal) => questions.ask(turnId, request, signal),
        asOne: (work) => recordAndTell.run(work),
        now,
      });
      let end: () => void = () => {};
      const ended = new Promise<void>((done) => (end = done));
      const acknowledge = (): void => {
        resolve();
        accepted({ turn: runner.accepted });
      };
      this.#running = {
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
      actor.send({ type: 'turn.start', turnId, cause });
      // The machine takes a turn only while it is loaded and idle.
      if (actor.turnId !== turnId) {
        this.#running = undefined;
        refuse(invalidRequest(`thread ${threadId} is closing`));
      }
    });
  }

  #tellTurn(event: TurnEvent): void {
    const { tell } = this.#options;
    if (event.type === 'turnStarted') {
      this.#hasFailed = false;
      tell({ type: 'statusChanged', status: this.status });
    }
    tell(event);
  }

  /** @param hasWords a turn that nobody has said anything in (a command, a compaction) leaves nothing to read */
  #tellOutcome(turnId: string, outcome: TurnOutcome, hasWords: boolean): void {
    const { tell } = this.#options;
    this.#hasFailed = outcome.status === 'failed';
    if (outcome.status === 'completed' && hasWords) tell({ type: 'turnToRead', turnId });
    tell({ type: 'statusChanged', status: this.status });
    if (outcome.status === 'failed') {
      tell({ type: 'turnFailed', turnId, error: outcome.error });
      tell({ type: 'turnToRead', turnId });
    }
    tell({ type: 'turnCompleted', turn: outcome.turn });
  }
}
