import { overloaded } from '../domain/errors.ts';
import { newUuid } from '../domain/ids.ts';
import type { RolloutItem } from '../domain/rollout-line.ts';
import { turnContextItem } from '../domain/thread-settings.ts';
import type { UserMessage } from '../domain/user-input.ts';
import { shownItem } from './shown-item.ts';
import type { TurnLog } from './turn-log.ts';
import { userItem, userRecords } from './turn-records.ts';
import type { TurnSetup } from './turn-setup.ts';

/** Messages that steer a turn and that it has not taken up yet. */
const MAX_WAITING = 64;

/** A message as it enters a turn. */
interface Entering {
  readonly message: UserMessage;
  readonly itemId: string;
  /** Unix ms. */
  readonly atMs: number;
}

interface Waiting {
  readonly message: UserMessage;
  readonly accepted: () => void;
  readonly settle: (isTaken: boolean) => void;
  readonly refuse: (error: unknown) => void;
}

/** What the user says in one turn: what waits to be taken up, what was said, and whether it has been answered. */
export class TurnMessages {
  readonly #setup: Pick<TurnSetup, 'settings' | 'nextSettings' | 'history'>;
  readonly #log: TurnLog;
  readonly #interrupted: AbortSignal;
  readonly #said: UserMessage[] = [];
  readonly #waiting: Waiting[] = [];
  /** Work on the messages that wait; one at a time. */
  #takingUp: Promise<void> = Promise.resolve();
  /** The user has said something that no answer was finished for. */
  isUnanswered = false;

  /** @param interrupted aborted when nothing is to be taken up any more */
  constructor(setup: Pick<TurnSetup, 'settings' | 'nextSettings' | 'history'>, log: TurnLog, interrupted: AbortSignal) {
    this.#setup = setup;
    this.#log = log;
    this.#interrupted = interrupted;
  }

  /** Oldest first. */
  get said(): readonly UserMessage[] {
    return this.#said;
  }

  get areWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  entering(message: UserMessage): Entering {
    return { message, itemId: newUuid(), atMs: this.#log.now() };
  }

  /** The records of a message; those of the first one say how the turn is run. */
  recordsOf({ message, itemId, atMs }: Entering): readonly RolloutItem[] {
    const { turn } = this.#log;
    const words = userRecords(turn, message, itemId, atMs);
    if (this.#said.length > 0) return words;
    const context = turnContextItem(turn.turnId, this.#setup.settings);
    return [context, ...this.newsBehind([context]), ...words];
  }

  /**
   * How the thread is run from the next turn on, if the history does not say it behind some records: what was changed since this
   * turn began must not be undone by what says how this one is run (SET-15).
   */
  newsBehind(records: readonly RolloutItem[]): readonly RolloutItem[] {
    const { settings, nextSettings = () => settings, history } = this.#setup;
    return history.settingsNews(nextSettings(), records);
  }

  /** A message is recorded: everyone hears of it, and it is to be answered. */
  say({ message, itemId, atMs }: Entering): void {
    const { turn, tell } = this.#log;
    const { turnId } = turn;
    const item = userItem(message, itemId);
    tell({ type: 'itemStarted', turnId, item: shownItem(item, atMs, null), startedAtMs: atMs });
    tell({ type: 'itemCompleted', turnId, item: shownItem(item, atMs, atMs), completedAtMs: atMs });
    this.#said.push(message);
    this.isUnanswered = true;
  }

  /** @throws overloaded if too many wait already */
  assertRoom(): void {
    if (this.#waiting.length >= MAX_WAITING) throw overloaded(`${MAX_WAITING} messages wait to be taken up already`);
  }

  /**
   * Lets a message wait until it is taken up.
   * @param accepted called once its words are durable, before anything is told
   * @returns whether it was taken; false if the turn was over before
   * @throws what kept the words from being stored
   */
  wait(message: UserMessage, accepted: () => void): Promise<boolean> {
    return new Promise((settle, refuse) => this.#waiting.push({ message, accepted, settle, refuse }));
  }

  /** Records the messages that wait; after an interrupt they are left to the next turn. */
  takeUp(): Promise<void> {
    this.#takingUp = this.#takingUp.then(() => this.#takeUpAll());
    return this.#takingUp;
  }

  /** What still waits is not taken. */
  refuseWaiting(): void {
    for (const { settle } of this.#waiting.splice(0)) settle(false);
  }

  /** Resolves when nothing is being taken up any more. */
  async settled(): Promise<void> {
    await this.#takingUp.catch(() => {});
  }

  async #takeUpAll(): Promise<void> {
    while (!this.#interrupted.aborted) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      const { message, accepted, settle, refuse } = next;
      const entering = this.entering(message);
      await this.#log.asOne(async () => {
        try {
          await this.#log.store(this.recordsOf(entering));
        } catch (error) {
          refuse(error);
          return;
        }
        settle(true);
        accepted();
        this.say(entering);
      });
    }
  }
}
