import { assign, fromPromise, setup } from 'xstate';

/**
 * The daemon's own life: `starting` -> `serving` -> `draining` -> `closing` -> `stopped`.
 *
 * Draining lets running turns finish, for as long as it is given; a second request to stop, or the end of that time,
 * goes on to closing, which takes what is open down in order and is bounded itself. A start that fails closes what
 * was opened so far. Decides only; `src/daemon/lifecycle.ts` provides what is done.
 */
export interface DaemonMachineInput {
  /** How long running turns may go on after the first request to stop, ms. */
  readonly drainTimeoutMs: number;
}

export interface DaemonMachineContext extends DaemonMachineInput {
  readonly startFailure: unknown;
}

export type DaemonMachineEvent =
  /** Asked to stop: a signal, or a command. */
  | { readonly type: 'stop' }
  /** Asked to stop without waiting for turns. */
  | { readonly type: 'stopNow' };

const notProvided = (name: string): never => {
  throw new Error(`${name} is not provided`);
};

export const daemonMachine = setup({
  types: {
    input: {} as DaemonMachineInput,
    context: {} as DaemonMachineContext,
    events: {} as DaemonMachineEvent,
    output: {} as { readonly startFailure: unknown },
  },
  actors: {
    start: fromPromise<void>(() => notProvided('start')),
    drain: fromPromise<void>(() => notProvided('drain')),
    close: fromPromise<void>(() => notProvided('close')),
  },
  delays: { drainTimeout: ({ context }) => context.drainTimeoutMs },
}).createMachine({
  id: 'daemon',
  context: ({ input }) => ({ ...input, startFailure: null }),
  options: { maxIterations: 100 },
  initial: 'starting',
  output: ({ context }) => ({ startFailure: context.startFailure }),
  states: {
    starting: {
      invoke: {
        src: 'start',
        onDone: 'serving',
        onError: { target: 'closing', actions: assign({ startFailure: ({ event }) => event.error }) },
      },
      on: { stop: 'closing', stopNow: 'closing' },
    },
    serving: {
      on: { stop: 'draining', stopNow: 'closing' },
    },
    draining: {
      invoke: { src: 'drain', onDone: 'closing', onError: 'closing' },
      after: { drainTimeout: 'closing' },
      on: { stop: 'closing', stopNow: 'closing' },
    },
    closing: {
      invoke: { src: 'close', onDone: 'stopped', onError: 'stopped' },
    },
    stopped: { type: 'final' },
  },
});
