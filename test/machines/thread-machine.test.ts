import { getShortestPaths } from 'xstate/graph';
import { initialTransition, transition } from 'xstate';
import { array, assert, constantFrom, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { statesOf, threadMachine, type ThreadSnapshot } from '../../machines/thread-machine.ts';
import type { ThreadMachineEvent } from '../../machines/thread-messages.ts';

/** Everything that can happen to a thread, actors' reports included, as the graph walks it. */
const DONE = (actor: string, output?: unknown): ThreadMachineEvent =>
  ({ type: `xstate.done.actor.${actor}`, output, actorId: actor }) as unknown as ThreadMachineEvent;
const FAILED = (actor: string, message = 'disk full'): ThreadMachineEvent =>
  ({
    type: `xstate.error.actor.${actor}`,
    error: Object.assign(new Error(message), { code: 'internal', detail: { errno: 'ENOSPC' } }),
    actorId: actor,
  }) as unknown as ThreadMachineEvent;

const OPEN = '0.thread.opening';
const BARRIER = '0.thread.loaded.persistence.flushing';
const TURN = '0.thread.loaded.turn.active';
const SHUTDOWN = '0.thread.shuttingDown';
const RETRY = { type: 'xstate.after.retryDelay.thread.loaded.persistence.recovering' } as unknown as ThreadMachineEvent;

interface Step {
  readonly snapshot: ThreadSnapshot;
  readonly actions: readonly string[];
}

/** Plays events through the pure machine; actions are what the last event caused. */
function play(...events: readonly ThreadMachineEvent[]): Step {
  let [snapshot, actions] = initialTransition(threadMachine, { key: 1 });
  for (const event of events) [snapshot, actions] = transition(threadMachine, snapshot, event);
  return { snapshot, actions: actions.map((action) => described(action)) };
}

/** `type`, and for told facts which. */
function described(action: { readonly type: string; readonly params?: unknown }): string {
  const { event } = (action.params ?? {}) as { event?: { type: string } };
  return action.type === 'xstate.emit' && event !== undefined ? `tell ${event.type}` : action.type;
}

const emitted = (step: { readonly actions: readonly string[] }): readonly string[] =>
  step.actions.filter((action) => action.startsWith('tell ')).map((action) => action.slice('tell '.length));

const states = (step: Step): string => {
  const { persistence, turn } = statesOf(step.snapshot.value);
  return `${persistence}/${turn}`;
};

const opened = (isStored: boolean): readonly ThreadMachineEvent[] => [DONE(OPEN, { isStored })];
const flush = (ticket: number): ThreadMachineEvent => ({ type: 'flush', ticket });
const persist = (ticket: number): ThreadMachineEvent => ({ type: 'persist', ticket });
const startTurn: ThreadMachineEvent = { type: 'turn.start', turnId: 'turn-1' };

const EVENTS: readonly ThreadMachineEvent[] = [
  DONE(OPEN, { isStored: false }),
  DONE(OPEN, { isStored: true }),
  FAILED(OPEN),
  { type: 'cancel' },
  flush(1),
  persist(2),
  { type: 'records.queued' },
  DONE(BARRIER, { isStored: true }),
  FAILED(BARRIER),
  RETRY,
  startTurn,
  { type: 'client.asked', requestId: 'r' },
  { type: 'client.answered', requestId: 'r' },
  { type: 'client.answered', requestId: 'another' },
  { type: 'turn.interrupt' },
  DONE(TURN),
  FAILED(TURN),
  { type: 'shutdown', ticket: 3 },
  DONE(SHUTDOWN),
  FAILED(SHUTDOWN),
];

/** Reports come only from actors that are at work. */
const isPossible = (state: ThreadSnapshot, event: ThreadMachineEvent): boolean =>
  !('actorId' in event) || String(event.actorId) in state.children;

/** The shortest way to every state of the machine. */
const waysThrough = (): readonly { readonly state: ThreadSnapshot }[] =>
  getShortestPaths(threadMachine, {
    input: { key: 1 },
    events: (state) => EVENTS.filter((event) => isPossible(state, event)),
    // What tells states apart, without the tickets, which only ever grow.
    serializeState: (state) => {
      const { isStored, failure, asked, ending } = state.context;
      return JSON.stringify([state.value, isStored, failure !== null, asked.length > 0, ending.length > 0]);
    },
    stopWhen: (state) => state.status !== 'active',
  });

describe('thread machine', () => {
  it('MACH-1 opens lazy or materialized, by what the store has', () => {
    expect(states(play())).toBe('opening/idle');
    expect(states(play(...opened(false)))).toBe('lazy/idle');
    expect(states(play(...opened(true)))).toBe('materialized/idle');
    expect(emitted(play(...opened(true)))).toEqual(['thread.opened']);
  });

  it('MACH-2 an opening that fails or is cancelled ends in initFailed and discards the writer', () => {
    for (const event of [FAILED(OPEN), { type: 'cancel' }, { type: 'shutdown', ticket: 1 }] as const) {
      const step = play(event);
      expect(states(step)).toBe('initFailed/idle');
      expect(step.actions).toContain('discardWriter');
      expect(emitted(step)).toEqual(['thread.openFailed', 'tickets.settled']);
      expect(step.snapshot.status).toBe('done');
    }
  });

  it('MACH-3 flush of a lazy thread is acknowledged at once and changes nothing', () => {
    const step = play(...opened(false), flush(7));
    expect(states(step)).toBe('lazy/idle');
    expect(emitted(step)).toEqual(['tickets.settled']);
  });

  it('MACH-4 persist stores a lazy thread', () => {
    const flushing = play(...opened(false), persist(7));
    expect(states(flushing)).toBe('flushing/idle');
    expect(flushing.snapshot.context).toMatchObject({ served: [7], isPersisting: true });
    const done = play(...opened(false), persist(7), DONE(BARRIER, { isStored: true }));
    expect(states(done)).toBe('materialized/idle');
    expect(emitted(done)).toEqual(['tickets.settled']);
  });

  it('MACH-5 queued records lead through flushing to materialized', () => {
    const queued = play(...opened(false), { type: 'records.queued' });
    expect(states(queued)).toBe('flushing/idle');
    expect(states(play(...opened(false), { type: 'records.queued' }, DONE(BARRIER, { isStored: true })))).toBe(
      'materialized/idle',
    );
  });

  it('MACH-6 callers that come while a barrier is under way are served by the next one', () => {
    const busy = play(...opened(true), flush(1), flush(2), persist(3));
    expect(busy.snapshot.context).toMatchObject({ served: [1], waiting: [2, 3] });
    const next = play(...opened(true), flush(1), flush(2), persist(3), DONE(BARRIER, { isStored: true }));
    expect(states(next)).toBe('flushing/idle');
    expect(next.snapshot.context).toMatchObject({ served: [2, 3], waiting: [], isPersisting: true });
  });

  it('MACH-7 a failed barrier answers its callers, recovers, and tells when it has healed', () => {
    const failed = play(...opened(true), flush(1), FAILED(BARRIER));
    expect(states(failed)).toBe('recovering/idle');
    expect(failed.snapshot.context).toMatchObject({
      failure: { message: 'disk full', errno: 'ENOSPC' },
      attempts: 1,
      served: [],
    });
    expect(emitted(failed)).toEqual(['tickets.settled', 'persistence.failed']);
    const retrying = play(...opened(true), flush(1), FAILED(BARRIER), RETRY);
    expect(states(retrying)).toBe('flushing/idle');
    const healed = play(...opened(true), flush(1), FAILED(BARRIER), RETRY, DONE(BARRIER, { isStored: true }));
    expect(states(healed)).toBe('materialized/idle');
    expect(emitted(healed)).toEqual(['tickets.settled', 'persistence.healed']);
    expect(healed.snapshot.context).toMatchObject({ failure: null, attempts: 0 });
  });

  it('MACH-8 a barrier asked for while recovering is tried at once', () => {
    expect(states(play(...opened(true), flush(1), FAILED(BARRIER), flush(2)))).toBe('flushing/idle');
  });

  it('MACH-9 a turn runs, waits for clients, and ends; its failure ends it too', () => {
    const asked: ThreadMachineEvent = { type: 'client.asked', requestId: 'r1' };
    const askedAgain: ThreadMachineEvent = { type: 'client.asked', requestId: 'r2' };
    const answered = (requestId: string): ThreadMachineEvent => ({ type: 'client.answered', requestId });
    expect(states(play(...opened(true), startTurn))).toBe('materialized/running');
    expect(states(play(...opened(true), startTurn, asked))).toBe('materialized/awaitingClient');
    expect(states(play(...opened(true), startTurn, asked, askedAgain, answered('r1')))).toBe(
      'materialized/awaitingClient',
    );
    expect(states(play(...opened(true), startTurn, asked, askedAgain, answered('r1'), answered('r2')))).toBe(
      'materialized/running',
    );
    for (const end of [DONE(TURN), FAILED(TURN)]) {
      const ended = play(...opened(true), startTurn, end);
      expect(states(ended)).toBe('materialized/idle');
      expect(emitted(ended)).toEqual(['turn.ended']);
      expect(ended.snapshot.context).toMatchObject({ turnId: null, asked: [] });
    }
  });

  it('MACH-10 an interrupt is passed on once, and the turn ends by itself', () => {
    const interrupted = play(...opened(true), startTurn, { type: 'turn.interrupt' });
    expect(states(interrupted)).toBe('materialized/interrupting');
    expect(interrupted.actions).toContain('interruptTurn');
    const again = play(...opened(true), startTurn, { type: 'turn.interrupt' }, { type: 'turn.interrupt' });
    expect(again.actions).not.toContain('interruptTurn');
    expect(states(play(...opened(true), { type: 'turn.interrupt' }))).toBe('materialized/idle');
  });

  it('MACH-11 a second turn is not begun while one runs', () => {
    const step = play(...opened(true), startTurn, { type: 'turn.start', turnId: 'turn-2' });
    expect(step.snapshot.context.turnId).toBe('turn-1');
  });

  it('MACH-12 shutdown interrupts a running turn first, waits for its end, and answers all its callers', () => {
    const ending = play(...opened(true), startTurn, { type: 'shutdown', ticket: 1 });
    expect(states(ending)).toBe('materialized/interrupting');
    const shuttingDown = play(...opened(true), startTurn, { type: 'shutdown', ticket: 1 }, DONE(TURN));
    expect(states(shuttingDown)).toBe('shuttingDown/idle');
    const done = play(
      ...opened(true),
      startTurn,
      { type: 'shutdown', ticket: 1 },
      DONE(TURN),
      { type: 'shutdown', ticket: 2 },
      flush(3),
      DONE(SHUTDOWN),
    );
    expect(states(done)).toBe('shutDown/idle');
    expect(done.snapshot.status).toBe('done');
    expect(emitted(done)).toEqual(['tickets.settled']);
  });

  it('MACH-13 a shutdown whose flush fails goes back to loaded and can be tried again', () => {
    const failed = play(...opened(true), { type: 'shutdown', ticket: 1 }, FAILED(SHUTDOWN));
    expect(states(failed)).toBe('recovering/idle');
    expect(emitted(failed)).toEqual(['tickets.settled', 'persistence.failed']);
    const again = play(
      ...opened(true),
      { type: 'shutdown', ticket: 1 },
      FAILED(SHUTDOWN),
      { type: 'shutdown', ticket: 2 },
      DONE(SHUTDOWN),
    );
    expect(states(again)).toBe('shutDown/idle');
  });

  it('MACH-14 callers of a barrier that shutdown overtakes are answered by the shutdown', () => {
    const step = play(...opened(true), flush(1), { type: 'shutdown', ticket: 2 });
    expect(states(step)).toBe('shuttingDown/idle');
    expect(step.snapshot.context.served).toEqual([1]);
  });

  it('MACH-15 every state of the design is reachable, and from each a shutdown comes to an end', () => {
    const paths = waysThrough();
    const reached = new Set(paths.map((path) => JSON.stringify(statesOf(path.state.value))));
    for (const persistence of ['lazy', 'materialized', 'flushing', 'recovering'] as const) {
      for (const turn of ['idle', 'running', 'awaitingClient', 'interrupting'] as const) {
        expect(reached, `${persistence} x ${turn}`).toContain(JSON.stringify({ persistence, turn }));
      }
    }
    for (const persistence of ['opening', 'shuttingDown', 'shutDown', 'initFailed'] as const) {
      expect(reached, persistence).toContain(JSON.stringify({ persistence, turn: 'idle' }));
    }
    for (const { state } of paths) {
      if (state.status === 'done') continue;
      let snapshot: ThreadSnapshot = state;
      for (const event of [{ type: 'shutdown', ticket: 9 } as const, DONE(TURN), DONE(SHUTDOWN)]) {
        if ('actorId' in event && !(String(event.actorId) in snapshot.children)) continue;
        [snapshot] = transition(threadMachine, snapshot, event);
      }
      expect(snapshot.status, JSON.stringify(state.value)).toBe('done');
    }
  });

  it('MACH-16 every caller is answered exactly once, whatever happens in whatever order', () => {
    const happening = constantFrom(
      'flush',
      'persist',
      'shutdown',
      'records.queued',
      'turn.start',
      'turn.interrupt',
      'cancel',
      'opened',
      'opened stored',
      'open failed',
      'stored',
      'barrier failed',
      'retry',
      'turn ended',
      'turn failed',
      'shut down',
      'shutdown failed',
    );
    assert(
      property(array(happening, { maxLength: 40 }), (happenings) => {
        let [snapshot] = initialTransition(threadMachine, { key: 1 });
        const asked: number[] = [];
        const answered: number[] = [];
        const happen = (what: string): void => {
          const event = eventOf(what, asked.length + 1);
          const comesFrom = 'actorId' in event ? String(event.actorId) : undefined;
          if (snapshot.status !== 'active' || (comesFrom !== undefined && !(comesFrom in snapshot.children))) return;
          if ('ticket' in event) asked.push(event.ticket);
          const [after, actions] = transition(threadMachine, snapshot, event);
          snapshot = after;
          answered.push(...actions.flatMap(ticketsIn));
        };
        for (const what of happenings) happen(what);
        for (const what of ['opened', 'shutdown', 'turn ended', 'shut down']) happen(what);
        expect(snapshot.status).toBe('done');
        expect(answered.toSorted((a, b) => a - b)).toEqual(asked);
      }),
    );
  });

  it('MACH-17 every transition of the chart is taken on some way', () => {
    const taken = new Set<unknown>();
    for (const { state } of waysThrough()) {
      for (const event of EVENTS.filter((one) => isPossible(state, one))) {
        for (const one of threadMachine.getTransitionData(state, event)) taken.add(one);
      }
    }
    const all = transitionsBelow(threadMachine.root);
    expect(all.length).toBeGreaterThan(30);
    const missing = all.filter((one) => !taken.has(one)).map(({ source, eventType }) => `${source.id}: ${eventType}`);
    expect(missing).toEqual([]);
  });
});

type Node = typeof threadMachine.root;

function transitionsBelow(node: Node): readonly Node['definition']['transitions'][number][] {
  const own = [...node.transitions.values()].flat();
  return [...own, ...Object.values(node.states).flatMap((child) => transitionsBelow(child))];
}

function eventOf(what: string, ticket: number): ThreadMachineEvent {
  switch (what) {
    case 'flush':
    case 'persist':
    case 'shutdown':
      return { type: what, ticket };
    case 'opened':
      return DONE(OPEN, { isStored: false });
    case 'opened stored':
      return DONE(OPEN, { isStored: true });
    case 'open failed':
      return FAILED(OPEN);
    case 'stored':
      return DONE(BARRIER, { isStored: true });
    case 'barrier failed':
      return FAILED(BARRIER);
    case 'retry':
      return RETRY;
    case 'turn ended':
      return DONE(TURN);
    case 'turn failed':
      return FAILED(TURN);
    case 'shut down':
      return DONE(SHUTDOWN);
    case 'shutdown failed':
      return FAILED(SHUTDOWN);
    default:
      return what === 'turn.start' ? startTurn : ({ type: what } as ThreadMachineEvent);
  }
}

/** The tickets that an action answers. */
function ticketsIn(action: { readonly type: string; readonly params?: unknown }): readonly number[] {
  const { event } = (action.params ?? {}) as { event?: { type: string; tickets?: readonly number[] } };
  return event?.type === 'tickets.settled' ? (event.tickets ?? []) : [];
}
