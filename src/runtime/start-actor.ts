import {
  createActor,
  type Actor,
  type AnyStateMachine,
  type EmittedFrom,
  type InputFrom,
  type SnapshotFrom,
} from 'xstate';

/** How whoever starts an actor hears of it. None of these may throw; if one does, that counts as a crash. */
export interface ActorObserver<M extends AnyStateMachine> {
  /** The machine failed for good: it takes no events any more. Called once at most. */
  readonly onCrash: (error: unknown) => void;
  /** The machine came to its end. */
  readonly onDone?: () => void;
  /** After each event that the machine has taken, changed or not. */
  readonly onEvent?: (event: { readonly type: string }, before: SnapshotFrom<M>, after: SnapshotFrom<M>) => void;
  /** What the machine tells, in order. */
  readonly onEmitted?: (event: EmittedFrom<M>) => void;
}

/** Timers of machines keep no process alive. */
const clock = {
  setTimeout: (work: (...args: unknown[]) => void, ms: number): NodeJS.Timeout => setTimeout(work, ms).unref(),
  clearTimeout: (timer: unknown): void => clearTimeout(timer as NodeJS.Timeout),
};

/**
 * Starts a machine as a root of its own: the only call of `createActor`. Roots do not share their fate, cost
 * microseconds, and never reach the process's own error handler, because a crash always has an observer (D1).
 */
export function startActor<M extends AnyStateMachine>(
  machine: M,
  input: InputFrom<M>,
  observer: ActorObserver<M>,
): Actor<M> {
  const { onCrash, onDone = () => {}, onEvent, onEmitted } = observer;
  const logic = onEvent === undefined ? machine : observed(machine, onEvent);
  const actor = createActor(logic, { input, clock });
  let hasCrashed = false;
  const crash = (error: unknown): void => {
    if (hasCrashed) return;
    hasCrashed = true;
    actor.stop();
    onCrash(error);
  };
  // What an observer throws would become an error of the process, and whom it told of nothing would wait for ever.
  const guarded =
    <A extends readonly unknown[]>(observe: (...args: A) => void) =>
    (...args: A): void => {
      if (hasCrashed) return;
      try {
        observe(...args);
      } catch (error) {
        crash(error);
      }
    };
  // One observer for both ends: one that does not take errors would make them unhandled.
  actor.subscribe({ error: crash, complete: guarded(onDone) });
  // The wildcard's type loses the connection to the machine's own events.
  if (onEmitted !== undefined) actor.on('*', guarded(onEmitted));
  actor.start();
  return actor;
}

/** The machine, telling each event it takes. Costs a call; inspection, which could tell it too, doubles the price. */
function observed<M extends AnyStateMachine>(machine: M, onEvent: NonNullable<ActorObserver<M>['onEvent']>): M {
  const transition: typeof machine.transition = (snapshot, event, scope) => {
    const after = machine.transition(snapshot, event, scope);
    onEvent(event, snapshot as SnapshotFrom<M>, after as SnapshotFrom<M>);
    return after;
  };
  return Object.assign(Object.create(machine) as M, { transition });
}
