import { messageOf } from '../domain/errors.ts';
import type { RolloutItem } from '../domain/rollout-line.ts';
import { wasRefused } from '../live/live-thread.ts';
import type { Durability } from '../store/thread-store.ts';
import type { TurnEvent } from './turn-events.ts';
import type { TurnIdentity } from './turn-records.ts';
import type { TurnHistory, TurnSetup } from './turn-setup.ts';

/** What one turn records and tells. */
export class TurnLog {
  readonly turn: TurnIdentity;
  readonly tell: (event: TurnEvent) => void;
  /** Unix ms. */
  readonly now: () => number;
  readonly #history: TurnHistory;
  readonly #durability: Durability;
  readonly #asOne: (work: () => Promise<void>) => Promise<void>;

  constructor({ threadId, turnId, history, durability, tell, now, asOne = (work) => work() }: TurnSetup) {
    this.turn = { threadId, historyMode: history.historyMode, turnId, rootTurnId: turnId };
    this.tell = tell;
    this.now = now;
    this.#history = history;
    this.#durability = durability;
    this.#asOne = asOne;
  }

  /** Runs work that records something and then tells it, so that nobody looks in between. */
  asOne(work: () => Promise<void>): Promise<void> {
    return this.#asOne(work);
  }

  /** Stores what a turn takes in, as durably as promised. @throws what kept it from that: nothing of it is kept */
  store(items: readonly RolloutItem[]): Promise<void> {
    return this.#history.append(items, { durability: this.#durability, onFailure: 'withdraw' });
  }

  /**
   * Records what has happened. A store that cannot write now keeps it and tries again, so the turn goes on; the
   * thread's machine hears of it, and tells the user.
   * @throws if the store refused it, so that it would be lost
   */
  async record(items: readonly RolloutItem[], durability: Durability = 'process'): Promise<void> {
    try {
      await this.#history.append(items, { durability });
    } catch (error) {
      if (wasRefused(error)) throw error;
    }
  }

  /** As {@link record}; tells it then, and nobody looks in between. */
  recordAndTell(items: readonly RolloutItem[], event: TurnEvent): Promise<void> {
    return this.#asOne(async () => {
      await this.record(items);
      this.tell(event);
    });
  }

  /** The turn is over whatever comes of this: a turn without a recorded end counts as interrupted. */
  async recordEnd(items: readonly RolloutItem[]): Promise<void> {
    try {
      await this.record(items, this.#durability);
    } catch (error) {
      this.tell({ type: 'warning', message: `The end of this turn could not be saved: ${messageOf(error)}` });
    }
  }
}
