import { assign, emit, fromPromise, raise, setup, type SnapshotFrom } from 'xstate';
import {
  failureOf,
  type Failure,
  type StoredState,
  type ThreadMachineEmitted,
  type ThreadMachineEvent,
  type Ticket,
} from './thread-messages.ts';

/**
 * One loaded thread (design D2). Decides; never does I/O. What it decides is done by the actors and actions that
 * `src/runtime/thread-actor.ts` provides: opening the writer, barriers, running a turn, shutting down.
 *
 * `opening` -> `loaded` | `initFailed`. `loaded` is two regions side by side:
 * - persistence: `lazy` (nothing stored), `materialized`, `flushing` (something is on its way to the disk),
 *   `recovering` (the last write failed; what is unwritten is kept and tried again).
 * - turn: `idle`, or `active` with `running`, `awaitingClient` (a request to a client is open), `interrupting`.
 * Then `shuttingDown` -> `shutDown`, or back to `loaded` if the last flush failed, so that it can be tried again.
 *
 * Records do not pass through here one by one: the live thread writes them in batches and says when some are queued.
 */

export interface ThreadMachineInput {
  /** Names what carries out this thread's decisions; one machine definition serves all threads. */
  readonly key: number;
}

export interface ThreadMachineContext extends ThreadMachineInput {
  /** A history exists in the store. */
  readonly isStored: boolean;
  /** Callers that wait for the barrier under way. */
  readonly served: readonly Ticket[];
  /** Callers that wait for the next one. */
  readonly waiting: readonly Ticket[];
  /** The next barrier has to store a lazy thread. */
  readonly mustPersist: boolean;
  /** The barrier under way has to. */
  readonly isPersisting: boolean;
  /** Records were queued while a barrier was under way: another one follows. */
  readonly isDirty: boolean;
  /** Callers that wait for the end of the thread; any make it end as soon as no turn runs. */
  readonly ending: readonly Ticket[];
  readonly failure: Failure | null;
  /** Failed attempts in a row. */
  readonly attempts: number;
  readonly turnId: string | null;
  /** Requests to clients that nobody has answered. */
  readonly asked: readonly string[];
}

/** First wait before a failed write is tried again; doubles each time up to the last. */
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 30_000;

/** More steps than this in one transition are a defect of the chart, not work. */
const MAX_ITERATIONS = 1_000;

const notProvided = (name: string): never => {
  throw new Error(`${name} is not provided`);
};

const threadSetup = setup({
  types: {
    input: {} as ThreadMachineInput,
    context: {} as ThreadMachineContext,
    events: {} as ThreadMachineEvent,
    emitted: {} as ThreadMachineEmitted,
  },
  actors: {
    openThread: fromPromise<StoredState, ThreadMachineInput>(() => notProvided('openThread')),
    runBarrier: fromPromise<StoredState, ThreadMachineInput & { readonly mustPersist: boolean }>(() =>
      notProvided('runBarrier'),
    ),
    runTurn: fromPromise<void, ThreadMachineInput & { readonly turnId: string }>(() => notProvided('runTurn')),
    shutdownThread: fromPromise<void, ThreadMachineInput>(() => notProvided('shutdownThread')),
  },
  actions: {
    discardWriter: () => notProvided('discardWriter'),
    interruptTurn: () => notProvided('interruptTurn'),
    refuseTickets: emit(({ context }) => ({
      type: 'tickets.settled',
      tickets: [...context.served, ...context.waiting, ...context.ending],
      failure: context.failure ?? { message: 'the thread was not opened' },
    })),
    tellOpened: emit({ type: 'thread.opened' }),
    tellOpenFailed: emit(({ context }) => ({
      type: 'thread.openFailed',
      failure: context.failure ?? { message: 'opening was cancelled' },
    })),
    tellFailed: emit(({ context }) => ({
      type: 'persistence.failed',
      failure: context.failure ?? { message: 'unknown' },
      attempts: context.attempts,
    })),
    tellHealed: emit({ type: 'persistence.healed' }),
    tellTurnEnded: emit(({ context }) => ({ type: 'turn.ended', turnId: context.turnId })),
    settleServed: emit(({ context }) => ({
      type: 'tickets.settled',
      tickets: context.served,
      failure: context.failure,
    })),
    settleAll: emit(({ context }) => ({
      type: 'tickets.settled',
      tickets: [...context.served, ...context.waiting, ...context.ending],
      failure: context.failure,
    })),
    acknowledge: emit(({ event }) => ({
      type: 'tickets.settled',
      tickets: 'ticket' in event ? [event.ticket] : [],
      failure: null,
    })),
    queueBarrier: assign({
      waiting: ({ context, event }) => ('ticket' in event ? [...context.waiting, event.ticket] : context.waiting),
      mustPersist: ({ context, event }) => context.mustPersist || event.type === 'persist',
    }),
    noteRecords: assign({ isDirty: true }),
    takeWaiting: assign({
      served: ({ context }) => context.waiting,
      isPersisting: ({ context }) => context.mustPersist,
      waiting: [],
      mustPersist: false,
      isDirty: false,
    }),
    forgetServed: assign({ served: [] }),
    forgetTickets: assign({ served: [], waiting: [], ending: [] }),
    noteSuccess: assign({ failure: null, attempts: 0 }),
    countAttempt: assign({ attempts: ({ context }) => context.attempts + 1 }),
    beginTurn: assign({ turnId: ({ event }) => (event.type === 'turn.start' ? event.turnId : null), asked: [] }),
    endTurn: assign({ turnId: null, asked: [] }),
    noteAsked: assign({
      asked: ({ context, event }) =>
        event.type === 'client.asked' ? [...context.asked, event.requestId] : context.asked,
    }),
    noteAnswered: assign({
      asked: ({ context, event }) =>
        event.type === 'client.answered' ? context.asked.filter((id) => id !== event.requestId) : context.asked,
    }),
    noteEnding: assign({
      ending: ({ context, event }) => (event.type === 'shutdown' ? [...context.ending, event.ticket] : context.ending),
    }),
    raiseInterrupt: raise({ type: 'turn.interrupt' }),
  },
  guards: {
    isStored: ({ context }) => context.isStored,
    isEnding: ({ context }) => context.ending.length > 0,
    hasMoreToFlush: ({ context }) => context.waiting.length > 0 || context.isDirty,
    wasFailing: ({ context }) => context.attempts > 0,
    isLastAnswer: ({ context, event }) =>
      event.type === 'client.answered' && context.asked.every((id) => id === event.requestId),
  },
  delays: {
    retryDelay: ({ context }) => Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (context.attempts - 1)),
  },
});

export const threadMachine = threadSetup.createMachine({
  id: 'thread',
  context: ({ input }) => ({
    key: input.key,
    isStored: false,
    served: [],
    waiting: [],
    mustPersist: false,
    isPersisting: false,
    isDirty: false,
    ending: [],
    failure: null,
    attempts: 0,
    turnId: null,
    asked: [],
  }),
  options: { maxIterations: MAX_ITERATIONS },
  initial: 'opening',
  states: {
    opening: {
      invoke: {
        src: 'openThread',
        input: ({ context }) => ({ key: context.key }),
        onDone: {
          target: 'loaded',
          actions: [assign({ isStored: ({ event }) => event.output.isStored }), 'tellOpened'],
        },
        onError: {
          target: 'initFailed',
          actions: assign({ failure: ({ event }) => failureOf(event.error) }),
        },
      },
      on: {
        cancel: 'initFailed',
        shutdown: { target: 'initFailed', actions: 'noteEnding' },
        flush: { actions: 'queueBarrier' },
        persist: { actions: 'queueBarrier' },
      },
    },
    loaded: {
      type: 'parallel',
      states: {
        persistence: {
          initial: 'lazy',
          states: {
            lazy: {
              always: [
                { guard: 'isStored', target: 'materialized' },
                { guard: 'hasMoreToFlush', target: 'flushing' },
              ],
              on: {
                flush: { actions: 'acknowledge' },
                persist: { target: 'flushing', actions: 'queueBarrier' },
                'records.queued': 'flushing',
              },
            },
            materialized: {
              always: { guard: 'hasMoreToFlush', target: 'flushing' },
              on: {
                flush: { target: 'flushing', actions: 'queueBarrier' },
                persist: { target: 'flushing', actions: 'queueBarrier' },
                'records.queued': 'flushing',
              },
            },
            flushing: {
              // Whoever waited before this barrier began is served by it.
              entry: 'takeWaiting',
              invoke: {
                src: 'runBarrier',
                input: ({ context }) => ({ key: context.key, mustPersist: context.isPersisting }),
                onDone: [
                  {
                    guard: 'wasFailing',
                    target: 'settled',
                    actions: [
                      assign({ isStored: ({ event }) => event.output.isStored }),
                      'noteSuccess',
                      'settleServed',
                      'forgetServed',
                      'tellHealed',
                    ],
                  },
                  {
                    target: 'settled',
                    actions: [
                      assign({ isStored: ({ event }) => event.output.isStored }),
                      'noteSuccess',
                      'settleServed',
                      'forgetServed',
                    ],
                  },
                ],
                onError: {
                  target: 'recovering',
                  actions: [
                    assign({ failure: ({ event }) => failureOf(event.error) }),
                    'countAttempt',
                    'settleServed',
                    'forgetServed',
                    'tellFailed',
                  ],
                },
              },
              on: {
                flush: { actions: 'queueBarrier' },
                persist: { actions: 'queueBarrier' },
                'records.queued': { actions: 'noteRecords' },
              },
            },
            settled: {
              always: [
                { guard: 'hasMoreToFlush', target: 'flushing' },
                { guard: 'isStored', target: 'materialized' },
                { target: 'lazy' },
              ],
            },
            recovering: {
              after: { retryDelay: 'flushing' },
              on: {
                flush: { target: 'flushing', actions: 'queueBarrier' },
                persist: { target: 'flushing', actions: 'queueBarrier' },
              },
            },
          },
        },
        turn: {
          initial: 'idle',
          states: {
            idle: {
              always: { guard: 'isEnding', target: '#thread.shuttingDown' },
              on: { 'turn.start': { target: 'active', actions: 'beginTurn' } },
            },
            active: {
              invoke: {
                src: 'runTurn',
                input: ({ context }) => ({ key: context.key, turnId: context.turnId ?? '' }),
                onDone: { target: 'idle', actions: ['tellTurnEnded', 'endTurn'] },
                onError: { target: 'idle', actions: ['tellTurnEnded', 'endTurn'] },
              },
              initial: 'running',
              states: {
                running: {
                  on: {
                    'client.asked': { target: 'awaitingClient', actions: 'noteAsked' },
                    'turn.interrupt': 'interrupting',
                  },
                },
                awaitingClient: {
                  on: {
                    'client.asked': { actions: 'noteAsked' },
                    'client.answered': [
                      { guard: 'isLastAnswer', target: 'running', actions: 'noteAnswered' },
                      { actions: 'noteAnswered' },
                    ],
                    'turn.interrupt': 'interrupting',
                  },
                },
                interrupting: { entry: 'interruptTurn' },
              },
            },
          },
        },
      },
      on: { shutdown: { actions: ['noteEnding', 'raiseInterrupt'] } },
    },
    shuttingDown: {
      invoke: {
        src: 'shutdownThread',
        input: ({ context }) => ({ key: context.key }),
        onDone: { target: 'shutDown', actions: ['noteSuccess', 'settleAll', 'forgetTickets'] },
        onError: {
          target: 'loaded.persistence.recovering',
          actions: [
            assign({ failure: ({ event }) => failureOf(event.error) }),
            'countAttempt',
            'settleAll',
            'forgetTickets',
            'tellFailed',
          ],
        },
      },
      on: {
        shutdown: { actions: 'noteEnding' },
        flush: { actions: 'queueBarrier' },
        persist: { actions: 'queueBarrier' },
      },
    },
    shutDown: { type: 'final' },
    initFailed: {
      type: 'final',
      entry: ['discardWriter', 'tellOpenFailed', 'refuseTickets', 'forgetTickets'],
    },
  },
});

export type ThreadMachine = typeof threadMachine;
export type ThreadSnapshot = SnapshotFrom<ThreadMachine>;

/** The states of persistence that watchers are shown. */
export type PersistenceState =
  | 'opening'
  | 'lazy'
  | 'materialized'
  | 'flushing'
  | 'recovering'
  | 'shuttingDown'
  | 'shutDown'
  | 'initFailed';

export type TurnState = 'idle' | 'running' | 'awaitingClient' | 'interrupting';

/** Both regions as plain words. Outside `loaded` the machine's own state stands for the first, and no turn runs. */
export function statesOf(value: unknown): { readonly persistence: PersistenceState; readonly turn: TurnState } {
  if (typeof value === 'string') return { persistence: value as PersistenceState, turn: 'idle' };
  const { loaded } = value as {
    readonly loaded: { readonly persistence: PersistenceState; readonly turn: string | { readonly active: TurnState } };
  };
  return {
    persistence: loaded.persistence,
    turn: typeof loaded.turn === 'string' ? 'idle' : loaded.turn.active,
  };
}
