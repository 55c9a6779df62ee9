import { assign, emit, fromPromise, setup } from 'xstate';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startActor } from '../../src/runtime/start-actor.ts';
import { until } from '../support/until.ts';

/** A small machine with every way to go wrong. */
const machine = setup({
  types: { events: {} as { readonly type: string }, emitted: {} as { readonly type: 'fact' } },
  actors: {
    broken: fromPromise<void>(() => {
      throw new Error('no promise was made');
    }),
  },
}).createMachine({
  initial: 'resting',
  context: {},
  options: { maxIterations: 50 },
  states: {
    resting: {
      on: {
        throwing: {
          actions: () => {
            throw new Error('an action threw');
          },
        },
        assigning: {
          actions: assign(() => {
            throw new Error('an assignment threw');
          }),
        },
        looping: 'ping',
        telling: { actions: emit({ type: 'fact' }) },
        failing: 'failing',
        waiting: 'waiting',
        ending: 'ended',
      },
    },
    ping: { always: 'pong' },
    pong: { always: 'ping' },
    failing: { invoke: { src: 'broken', onDone: 'ended', onError: 'resting' } },
    waiting: { after: { 60_000: 'ended' }, on: { ending: 'ended' } },
    ended: { type: 'final' },
  },
});

/** What reaches the process because nobody else took it. */
function processErrors(): readonly unknown[] {
  const errors: unknown[] = [];
  const taken = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => errors.push(error));
  onTestFinished(() => {
    process.removeAllListeners('uncaughtException');
    for (const listener of taken) process.on('uncaughtException', listener);
  });
  return errors;
}

const rounds = async (count: number): Promise<void> => {
  for (let round = 0; round < count; round += 1) await new Promise((resolve) => setTimeout(resolve, 0));
};

const onCrashOf = (crashes: unknown[]) => ({ onCrash: (error: unknown): void => void crashes.push(error) });

describe('starting actors', () => {
  it('MACH-20 a machine that throws, or turns in circles, crashes alone: its owner hears it once, and it takes no more', async () => {
    const errors = processErrors();
    for (const type of ['throwing', 'assigning', 'looping']) {
      const crashes: unknown[] = [];
      const actor = startActor(machine, undefined, onCrashOf(crashes));
      const other = startActor(machine, undefined, onCrashOf(crashes));
      actor.send({ type });
      actor.send({ type: 'ending' });
      other.send({ type: 'ending' });
      await rounds(2);
      expect(crashes, type).toHaveLength(1);
      expect(actor.getSnapshot().status, type).toBe('error');
      expect(other.getSnapshot().status, type).toBe('done');
    }
    expect(errors).toEqual([]);
  });

  it('MACH-21 an observer that throws counts as a crash, not as an error of the process', async () => {
    const errors = processErrors();
    const broken = (): never => {
      throw new Error('an observer threw');
    };
    for (const [type, observer] of [
      ['telling', { onEmitted: broken }],
      ['telling', { onEvent: broken }],
      ['ending', { onDone: broken }],
    ] as const) {
      const crashes: unknown[] = [];
      const actor = startActor(machine, undefined, { ...onCrashOf(crashes), ...observer });
      actor.send({ type });
      await rounds(2);
      expect(crashes, JSON.stringify(Object.keys(observer))).toEqual([new Error('an observer threw')]);
      expect(actor.getSnapshot().status).not.toBe('active');
    }
    expect(errors).toEqual([]);
  });

  it('MACH-22 an invoked actor that cannot even begin fails as any other, and crashes nobody', async () => {
    const crashes: unknown[] = [];
    const actor = startActor(machine, undefined, onCrashOf(crashes));
    actor.send({ type: 'failing' });
    await until(() => actor.getSnapshot().matches('resting'));
    expect([actor.getSnapshot().status, crashes]).toEqual(['active', []]);
  });

  it('MACH-23 timers of machines keep no process alive', () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
    const before = timers();
    const actor = startActor(machine, undefined, onCrashOf([]));
    actor.send({ type: 'waiting' });
    expect(timers()).toBe(before);
    actor.send({ type: 'ending' });
    expect(actor.getSnapshot().status).toBe('done');
  });
});
