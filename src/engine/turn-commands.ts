import { setMaxListeners } from 'node:events';
import { messageOf, overloaded } from '../domain/errors.ts';
import type { TurnLog } from './turn-log.ts';
import { runUserCommand, type UserCommand } from './user-command.ts';

/** Commands of users that run in a turn at once. */
const MAX_COMMANDS = 16;

/** The commands of the user that run in one turn, beside the model. */
export class TurnCommands {
  readonly #cwd: string;
  readonly #log: TurnLog;
  readonly #signal: AbortSignal;
  readonly #onEnded: () => void;
  readonly #running = new Set<Promise<void>>();

  /**
   * @param signal ends all of them when it is aborted
   * @param onEnded called when one has ended
   */
  constructor(cwd: string, log: TurnLog, signal: AbortSignal, onEnded: () => void) {
    this.#cwd = cwd;
    this.#log = log;
    this.#signal = signal;
    this.#onEnded = onEnded;
    setMaxListeners(MAX_COMMANDS + 1, signal);
  }

  get areRunning(): boolean {
    return this.#running.size > 0;
  }

  /** @throws overloaded if too many run already */
  assertRoom(): void {
    if (this.#running.size >= MAX_COMMANDS) throw overloaded(`${MAX_COMMANDS} commands run in this turn already`);
  }

  start(command: UserCommand): void {
    const running = runUserCommand(command, this.#cwd, this.#log, this.#signal)
      .catch((error: unknown) =>
        this.#log.tell({ type: 'warning', message: `A command was given up: ${messageOf(error)}` }),
      )
      .finally(() => {
        this.#running.delete(running);
        this.#onEnded();
      });
    this.#running.add(running);
  }

  /** Resolves when none runs any more. */
  async ended(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
