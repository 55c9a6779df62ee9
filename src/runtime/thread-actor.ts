import { fromPromise, type Actor } from 'xstate';
import {
  statesOf,
  threadMachine,
  type PersistenceState,
  type ThreadMachineInput,
  type TurnState,
} from '../../machines/thread-machine.ts';
import type { Failure, StoredState, ThreadMachineEmitted, ThreadMachineEvent } from '../../machines/thread-messages.ts';
import { internal, SkeinError } from '../domain/errors.ts';
import { startActor } from './start-actor.ts';
import { TransitionLog, type Transition } from './transitions.ts';

/** What the machine decides and others do. */
export interface ThreadEffects {
  /** Opens the thread's writer; must discard it again if the signal is aborted. */
  open(signal: AbortSignal): Promise<StoredState>;
  /** Flushes; with `mustPersist` a lazy thread is stored. */
  barrier(mustPersist: boolean): Promise<StoredState>;
  runTurn(turnId: string): Promise<void>;
  interruptTurn(): void;
  shutdown(): Promise<void>;
  discardWriter(): void;
}

/** What the thread's owner hears, in order. */
export interface ThreadActorObserver {
  onTurnEnded(): void;
  onPersistenceFailed(failure: Failure, attempts: number): void;
  onPersistenceHealed(): void;
  onTransition(transition: Transition): void;
  /** The machine came to its end: the thread has shut down, or was never opened. */
  onEnded(): void;
  /** The machine failed: the thread must be dropped and opened anew. */
  onCrash(error: unknown): void;
}

type Waiting = { readonly resolve: () => void; readonly reject: (error: SkeinError) => void };

/** What carries out each running machine's decisions. One machine definition for all threads is a third of the memory. */
const effectsByKey = new Map<number, ThreadEffects>();
let lastKey = 0;

function effectsOf({ key }: { readonly key: number }): ThreadEffects {
  const effects = effectsByKey.get(key);
  if (effects === undefined) throw internal('the thread has ended');
  return effects;
}

const wiredMachine = threadMachine.provide({
  actors: {
    openThread: fromPromise<StoredState, ThreadMachineInput>(({ input, signal }) => effectsOf(input).open(signal)),
    runBarrier: fromPromise<StoredState, ThreadMachineInput & { readonly mustPersist: boolean }>(({ input }) =>
      effectsOf(input).barrier(input.mustPersist),
    ),
    runTurn: fromPromise<void, ThreadMachineInput & { readonly turnId: string }>(({ input }) =>
      effectsOf(input).runTurn(input.turnId),
    ),
    shutdownThread: fromPromise<void, ThreadMachineInput>(({ input }) => effectsOf(input).shutdown()),
  },
  actions: {
    discardWriter: ({ context }) => effectsByKey.get(context.key)?.discardWriter(),
    interruptTurn: ({ context }) => effectsByKey.get(context.key)?.interruptTurn(),
  },
});

/**
 * The running machine of one thread, with promises where the machine has tickets. The only place where the machine's
 * decisions meet what carries them out.
 */
export class ThreadActor {
  readonly #actor: Actor<typeof threadMachine>;
  readonly #log: TransitionLog;
  readonly #waiting = new Map<number, Waiting>();
  #lastTicket = 0;
  readonly #opened: Promise<void>;

  constructor(threadId: string, effects: ThreadEffects, observer: ThreadActorObserver, now: () => number) {
    this.#log = new TransitionLog(threadId, now, (transition) => observer.onTransition(transition));
    const openedTicket = this.#ticket();
    this.#opened = openedTicket.settled;
    lastKey += 1;
    const key = lastKey;
    effectsByKey.set(key, effects);
    const emitted = (event: ThreadMachineEmitted): void => this.#hear(event, openedTicket.number, observer);
    this.#actor = startActor(
      wiredMachine,
      { key },
      {
        onCrash: (error) => {
          effectsByKey.delete(key);
          this.#refuseAll(internal('the thread failed', error));
          observer.onCrash(error);
        },
        onDone: () => {
          effectsByKey.delete(key);
          observer.onEnded();
        },
        onEvent: (event, before, after) => this.#log.note(event, before.value, after.value),
        onEmitted: emitted,
      },
    );
  }

  /** Settles when the thread is loaded, or could not be. */
  get opened(): Promise<void> {
    return this.#opened;
  }

  get states(): { readonly persistence: PersistenceState; readonly turn: TurnState } {
    return statesOf(this.#actor.getSnapshot().value);
  }

  /** The last persistence failure that has not healed. */
  get failure(): Failure | null {
    return this.#actor.getSnapshot().context.failure;
  }

  /** The turn that the machine has taken and that has not ended. */
  get turnId(): string | null {
    return this.isOver ? null : this.#actor.getSnapshot().context.turnId;
  }

  get recentTransitions(): readonly Transition[] {
    return this.#log.recent;
  }

  /** Takes events no more: shut down, never opened, or crashed. */
  get isOver(): boolean {
    return this.#actor.getSnapshot().status !== 'active';
  }

  /** Does nothing when the thread is over. */
  send(event: ThreadMachineEvent): void {
    if (!this.isOver) this.#actor.send(event);
  }

  /** Waits for a barrier. @throws what made it fail */
  barrier(type: 'flush' | 'persist', cause: string): Promise<void> {
    return this.#asked((ticket) => ({ type, ticket, cause }));
  }

  /** Ends the thread, its running turn first. Any number of callers may wait. @throws if the last flush failed */
  async shutdown(cause: string): Promise<void> {
    if (this.isOver) return;
    await this.#asked((ticket) => ({ type: 'shutdown', ticket, cause }));
  }

  /** Gives up opening. */
  cancel(cause: string): void {
    this.send({ type: 'cancel', cause });
  }

  #asked(eventOf: (ticket: number) => ThreadMachineEvent): Promise<void> {
    if (this.isOver) return Promise.reject(internal('the thread has ended'));
    const { number, settled } = this.#ticket();
    this.send(eventOf(number));
    return settled;
  }

  #ticket(): { readonly number: number; readonly settled: Promise<void> } {
    this.#lastTicket += 1;
    const number = this.#lastTicket;
    const settled = new Promise<void>((resolve, reject) => this.#waiting.set(number, { resolve, reject }));
    // Whoever waits sees the failure; nobody may be waiting.
    settled.catch(() => {});
    return { number, settled };
  }

  #hear(event: ThreadMachineEmitted, openedTicket: number, observer: ThreadActorObserver): void {
    switch (event.type) {
      case 'thread.opened':
        this.#settle([openedTicket], null);
        return;
      case 'thread.openFailed':
        this.#settle([openedTicket], event.failure);
        return;
      case 'tickets.settled':
        this.#settle(event.tickets, event.failure);
        return;
      case 'persistence.failed':
        observer.onPersistenceFailed(event.failure, event.attempts);
        return;
      case 'persistence.healed':
        observer.onPersistenceHealed();
        return;
      case 'turn.ended':
        observer.onTurnEnded();
    }
  }

  #settle(tickets: readonly number[], failure: Failure | null): void {
    for (const ticket of tickets) {
      const waiting = this.#waiting.get(ticket);
      this.#waiting.delete(ticket);
      if (failure === null) waiting?.resolve();
      else waiting?.reject(errorOf(failure));
    }
  }

  #refuseAll(error: SkeinError): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** A failure that passed through the machine, as the error it was. */
function errorOf(failure: Failure): SkeinError {
  const { message, code = 'internal', ...detail } = failure;
  return new SkeinError(code, message, detail);
}
