import { assign, fromPromise, setup } from 'xstate';

/**
 * The daemon's own life: `starting` -> `serving` -> `draining` -> `closing` -> (`cuttingOff` ->) `stopped`.
 *
 * Draining lets running turns finish, for as long as it is given; a second request to stop, or the end of that time,
 * goes on to closing, which takes what is open down in order. A start that fails closes what was opened so far.
 *
 * Closing is `swift` as long as a healthy end may take: requests to stop change nothing then, since many come twice. Once
 * it is `slow`, the next one cuts it off, and so does the end of its time. Decides only; `src/daemon/run-daemon.ts`
 * provides what is done.
 */
export interface DaemonMachineInput {
  /** How long running turns may go on after the first request to stop, ms. */
  readonly drainTimeoutMs: number;
  /** How long closing may take before it is slow, ms. */
  readonly closePatienceMs: number;
  /** How long closing may take at all, ms. */
  readonly closeTimeoutMs: number;
}

export interface DaemonMachineContext extends DaemonMachineInput {
  readonly startFailure: unknown;
  /** Closing did not come to its end. */
  readonly wasCutOff: boolean;
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
    output: {} as Pick<DaemonMachineContext, 'startFailure' | 'wasCutOff'>,
  },
  actors: {
    start: fromPromise<void>(() => notProvided('start')),
    drain: fromPromise<void>(() => notProvided('drain')),
    close: fromPromise<void>(() => notProvided('close')),
    cutOff: fromPromise<void>(() => notProvided('cutOff')),
  },
  actions: { tellSlow: () => notProvided('tellSlow') },
  delays: {
    drainTimeout: ({ context }) => context.drainTimeoutMs,
    closePatience: ({ context }) => context.closePatienceMs,
    closeTimeout: ({ context }) => context.closeTimeoutMs,
  },
}).createMachine({
  id: 'daemon',
  context: ({ input }) => ({ ...input, startFailure: null, wasCutOff: false }),
  options: { maxIterations: 100 },
  initial: 'starting',
  output: ({ context: { startFailure, wasCutOff } }) => ({ startFailure, wasCutOff }),
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
      after: { closeTimeout: 'cuttingOff' },
      initial: 'swift',
      states: {
        swift: { after: { closePatience: 'slow' } },
        slow: { entry: 'tellSlow', on: { stop: '#daemon.cuttingOff' } },
      },
    },
    cuttingOff: {
      entry: assign({ wasCutOff: true }),
      invoke: { src: 'cutOff', onDone: 'stopped', onError: 'stopped' },
    },
    stopped: { type: 'final' },
  },
});
