import { statesOf } from '../../machines/thread-machine.ts';

/** One change of a thread's states, as debuggers see it. No snapshot: those would keep everything they saw alive. */
export interface Transition {
  readonly threadId: string;
  /** Counts the thread's events from 1. */
  readonly seq: number;
  /** Unix ms. */
  readonly atMs: number;
  readonly event: string;
  /** Who or what brought the event about: a request of a connection, a timer, the end of something. */
  readonly cause: string;
  /** `persistence/turn`. */
  readonly from: string;
  readonly to: string;
}

/** As many as tell the story of a thread, few enough for ten thousand of them. */
const KEPT = 32;

/** The last changes of one thread's states. */
export class TransitionLog {
  readonly #threadId: string;
  readonly #now: () => number;
  readonly #onTransition: (transition: Transition) => void;
  #kept: Transition[] = [];
  #seq = 0;

  constructor(threadId: string, now: () => number, onTransition: (transition: Transition) => void) {
    this.#threadId = threadId;
    this.#now = now;
    this.#onTransition = onTransition;
  }

  /** Notes an event; one that changed no state only counts. */
  note(event: { readonly type: string; readonly cause?: string }, before: unknown, after: unknown): void {
    this.#seq += 1;
    const [from, to] = [stateText(before), stateText(after)];
    if (from === to) return;
    const { type, cause = causeOf(type) } = event;
    const transition = {
      threadId: this.#threadId,
      seq: this.#seq,
      atMs: this.#now(),
      event: readable(type),
      cause,
      from,
      to,
    };
    this.#kept.push(transition);
    if (this.#kept.length > KEPT) this.#kept.shift();
    this.#onTransition(transition);
  }

  /** Oldest first. */
  get recent(): readonly Transition[] {
    return this.#kept;
  }
}

const stateText = (value: unknown): string => {
  const { persistence, turn } = statesOf(value);
  return `${persistence}/${turn}`;
};

/** Events that nobody sent come from the machine's own actors and timers. */
function causeOf(type: string): string {
  if (type.startsWith('xstate.done.actor.') || type.startsWith('xstate.error.actor.')) return 'actor';
  return type.startsWith('xstate.after.') ? 'timer' : 'thread';
}

/** `xstate.done.actor.0.thread.loaded.persistence.flushing` as `flushing done`. */
function readable(type: string): string {
  const match = /^xstate\.(done|error)\.actor\..*?([^.]+)$/.exec(type);
  if (match !== null) return `${match[2]} ${match[1] === 'done' ? 'done' : 'failed'}`;
  const timer = /^xstate\.after\.([^.]+)\./.exec(type);
  return timer === null ? type : `after ${timer[1]}`;
}
