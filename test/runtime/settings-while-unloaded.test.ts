import { readlinkSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { ThreadId } from '../../src/domain/ids.ts';
import type { ThreadStore } from '../../src/store/thread-store.ts';
import { failing } from '../support/failing-disk.ts';
import { gate, interceptedStore } from '../support/intercepted-store.ts';
import { openLocalStore } from '../support/local-store.ts';
import { openRuntime, refusal, type Runtime } from '../support/runtime.ts';
import { tempFolder } from '../support/temp-home.ts';

/** Changes that clients make while the thread is taken down: the places are found by what the store does. */

type Place = 'while its writer ends' | 'asked before, and recorded while its writer ends' | 'while nobody writes it';

interface Scene {
  readonly runtime: Runtime;
  readonly threadId: ThreadId;
  readonly turnId: string;
  /** What was answered and told, in order. */
  readonly order: string[];
  /** Does something to the thread, and changes its settings at the place. */
  readonly during: (place: Place, work: () => Promise<unknown>) => Promise<PromiseSettledResult<unknown>>;
}

async function openScene(): Promise<Scene> {
  let onCall: (method: string) => void = () => {};
  const store: ThreadStore = await openLocalStore(tempFolder());
  const runtime = openRuntime(interceptedStore(store, (method) => onCall(method)));
  const thread = await runtime.talked(['one']);
  const turnId = await runtime.turn(thread, 'two');
  const { id: threadId } = thread;
  const order: string[] = [];
  runtime.manager.onEvent((_id, { type }) => order.push(type));

  const during: Scene['during'] = async (place, work) => {
    let changed: Promise<unknown> | undefined;
    const change = (): void => {
      changed ??= runtime.manager.withLoaded(threadId, (loaded) =>
        loaded.updateSettings({ model: 'model-2' }, () => order.push('changed')),
      );
      changed.catch(() => {});
    };
    const mayRecord = gate();
    if (place.startsWith('asked before')) {
      void runtime.manager.get(threadId).steadily(() => mayRecord.passed);
      change();
    }
    if (place === 'while nobody writes it') {
      onCall = (method) => {
        if (/^(?:revert|delete|archive)Thread/.test(method)) change();
      };
    }
    await failing('close', 'EIO', work, ([fd]) => {
      const isRollout = readlinkSync(`/proc/self/fd/${fd as number}`).endsWith('.jsonl');
      if (isRollout && place === 'while its writer ends') change();
      if (isRollout) mayRecord.open();
      return false;
    });
    if (changed === undefined) throw new Error('nothing came by the place');
    const [outcome] = await Promise.allSettled([changed]);
    return outcome;
  };
  return { runtime, threadId, turnId, order, during };
}

const PLACES: readonly Place[] = [
  'while its writer ends',
  'asked before, and recorded while its writer ends',
  'while nobody writes it',
];

it.each(PLACES)(
  'SET-14 a change that comes while its thread is being reverted is made when that is done (%s)',
  async (place) => {
    const { runtime, threadId, turnId, order, during } = await openScene();
    const revert = (): Promise<unknown> =>
      runtime.manager.revertThread(threadId, turnId, 'test', async () => void order.push('reverted'));
    expect(await during(place, revert)).toMatchObject({ status: 'fulfilled' });
    expect(order.filter((what) => /revert|change|settings/i.test(what) && what !== 'statusChanged')).toEqual([
      'reverted',
      'threadReverted',
      'changed',
      'settingsChanged',
    ]);
    expect(runtime.manager.get(threadId).settings.model).toBe('model-2');
    await runtime.manager.unloadIdle(threadId, 'test');
    const resumed = await runtime.manager.resumeThread({ threadId, overrides: {} });
    expect(resumed.settings.model).toBe('model-2');
  },
);

it.each([
  ...PLACES.map((place) => ['deleted', place] as const),
  ...PLACES.map((place) => ['archived', place] as const),
  ...PLACES.slice(0, 2).map((place) => ['unloaded', place] as const),
])('SET-14 a thread that is being %s is not found for a change that comes too late (%s)', async (what, place) => {
  const { runtime, threadId, order, during } = await openScene();
  const { manager } = runtime;
  const work = (): Promise<unknown> => {
    if (what === 'deleted') return manager.deleteThread(threadId, 'test');
    return what === 'archived' ? manager.archiveThread(threadId, 'test') : manager.unloadIdle(threadId, 'test');
  };
  const outcome = await during(place, work);
  expect(outcome).toMatchObject({ status: 'rejected', reason: refusal('notFound', `thread not found: ${threadId}`) });
  expect(order).not.toContain('changed');
});
