import { readlinkSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { expect, it } from 'vitest';
import type { SkeinError } from '../../src/domain/errors.ts';
import type { ThreadId } from '../../src/domain/ids.ts';
import type { ThreadManager } from '../../src/runtime/thread-manager.ts';
import type { ThreadStore } from '../../src/store/thread-store.ts';
import { failing } from '../support/failing-disk.ts';
import { gate, interceptedStore } from '../support/intercepted-store.ts';
import { openLocalStore } from '../support/local-store.ts';
import { openRuntime, refusal, type Runtime } from '../support/runtime.ts';
import { tempFolder } from '../support/temp-home.ts';

/** Changes that clients make while the thread is taken down: the places are found by what the store does. */

type Place = 'while its writer ends' | 'asked before, and recorded while its writer ends' | 'while nobody writes it';

/** A change that clients make: how it is asked for, and what is told of it if anything is. */
interface Change {
  readonly ask: (manager: ThreadManager, threadId: ThreadId, done: () => void) => Promise<unknown>;
  readonly told: readonly string[];
}

const SETTINGS: Change = {
  ask: (manager, threadId, done) =>
    manager.withLoaded(threadId, (loaded) => loaded.updateSettings({ model: 'model-2' }, done)),
  told: ['settingsChanged'],
};

const ITEMS: Change = {
  ask: async (manager, threadId, done) => {
    await manager.withLoaded(threadId, (loaded) => loaded.injectItems([INJECTED]));
    done();
  },
  told: [],
};

const NAME: Change = {
  ask: (manager, threadId, done) => manager.updateMetadata(threadId, { name: 'another' }, async () => done()),
  told: ['threadNamed'],
};

const INJECTED = { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'injected' }] };

interface Scene {
  readonly runtime: Runtime;
  readonly threadId: ThreadId;
  readonly turnId: string;
  /** What was answered and told, in order. */
  readonly order: string[];
  /** How often what is added stands in the history. */
  readonly injected: () => Promise<number>;
  /** Does something to the thread, and asks for a change at the place. */
  readonly during: (
    place: Place,
    change: Change,
    work: () => Promise<unknown>,
  ) => Promise<PromiseSettledResult<unknown>>;
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

  const during: Scene['during'] = async (place, { ask }, work) => {
    let changed: Promise<unknown> | undefined;
    const change = (): void => {
      changed ??= ask(runtime.manager, threadId, () => order.push('changed'));
      changed.catch(() => {});
    };
    const mayRecord = gate();
    if (place === WAITING) {
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
  const injected = async (): Promise<number> => {
    let count = 0;
    for await (const { item } of store.loadHistory(threadId, { includeArchived: true })) {
      if (isDeepStrictEqual(item.payload, INJECTED)) count += 1;
    }
    return count;
  };
  return { runtime, threadId, turnId, order, injected, during };
}

/** Settings are recorded and told as one, and so may wait for their turn at it. */
const WAITING: Place = 'asked before, and recorded while its writer ends';
const AT_ONCE: readonly Place[] = ['while its writer ends', 'while nobody writes it'];
const PLACES: readonly Place[] = [...AT_ONCE, WAITING];

const SHOWN = /^(?:reverted|changed|threadReverted|settingsChanged|threadNamed)$/;

/** What came of a change that was asked for while its thread was being reverted. */
async function changedWhileReverted(place: Place, change: Change): Promise<Scene> {
  const scene = await openScene();
  const { runtime, threadId, turnId, order } = scene;
  const revert = (): Promise<unknown> =>
    runtime.manager.revertThread(threadId, turnId, 'test', async () => void order.push('reverted'));
  expect(await scene.during(place, change, revert)).toMatchObject({ status: 'fulfilled' });
  const expected = ['reverted', 'threadReverted', 'changed', ...change.told];
  expect(order.filter((what) => SHOWN.test(what))).toEqual(expected);
  return scene;
}

it.each(PLACES)(
  'SET-14 a change that comes while its thread is being reverted is made when that is done (%s)',
  async (place) => {
    const { runtime, threadId } = await changedWhileReverted(place, SETTINGS);
    expect(runtime.manager.get(threadId).settings.model).toBe('model-2');
    await runtime.manager.unloadIdle(threadId, 'test');
    const resumed = await runtime.manager.resumeThread({ threadId, overrides: {} });
    expect(resumed.settings.model).toBe('model-2');
  },
);

it.each(AT_ONCE)(
  'MGR-51 items that come while their thread is being reverted are taken after it (%s)',
  async (place) => {
    const { injected } = await changedWhileReverted(place, ITEMS);
    expect(await injected()).toBe(1);
  },
);

it.each(AT_ONCE)('MGR-51 so is a name (%s)', async (place) => {
  const { runtime, threadId } = await changedWhileReverted(place, NAME);
  expect((await runtime.manager.readThread(threadId)).name).toBe('another');
});

type Ending = 'deleted' | 'archived' | 'unloaded';

/** Nobody holds a thread that is unloaded once its writer has ended. */
const endings = (places: readonly Place[]): readonly (readonly [Ending, Place])[] =>
  (['deleted', 'archived', 'unloaded'] as const).flatMap((ending) =>
    places
      .filter((place) => ending !== 'unloaded' || place !== 'while nobody writes it')
      .map((place) => [ending, place] as const),
  );

/** Asks for a change while the thread is being taken away. */
async function changedWhileEnding(
  ending: Ending,
  place: Place,
  change: Change,
): Promise<Scene & { readonly outcome: PromiseSettledResult<unknown> }> {
  const scene = await openScene();
  const { threadId } = scene;
  const { manager } = scene.runtime;
  const outcome = await scene.during(place, change, () => {
    if (ending === 'deleted') return manager.deleteThread(threadId, 'test');
    return ending === 'archived' ? manager.archiveThread(threadId, 'test') : manager.unloadIdle(threadId, 'test');
  });
  return { ...scene, outcome };
}

it.each(endings(PLACES))(
  'SET-14 a thread that is being %s is not found for a change that comes too late (%s)',
  async (ending, place) => {
    const { threadId, order, outcome } = await changedWhileEnding(ending, place, SETTINGS);
    expect(outcome).toMatchObject({ status: 'rejected', reason: refusal('notFound', `thread not found: ${threadId}`) });
    expect(order).not.toContain('changed');
  },
);

it.each(endings(AT_ONCE))(
  'MGR-51 a thread that is being %s is not found for items that come too late (%s)',
  async (...scene) => {
    const { threadId, outcome, injected } = await changedWhileEnding(...scene, ITEMS);
    expect(outcome).toMatchObject({ status: 'rejected', reason: refusal('notFound', `thread not found: ${threadId}`) });
    expect(scene[0] === 'deleted' ? 0 : await injected()).toBe(0);
  },
);

it.each(endings(AT_ONCE))(
  'MGR-51 a thread that is being %s gets a name that comes late, if it stays stored (%s)',
  async (...scene) => {
    const { runtime, threadId, outcome } = await changedWhileEnding(...scene, NAME);
    const found = await runtime.manager.readThread(threadId).then(
      ({ name }) => name,
      ({ code }: SkeinError) => code,
    );
    const expected = scene[0] === 'deleted' ? ['rejected', 'notFound'] : ['fulfilled', 'another'];
    expect([outcome.status, found]).toEqual(expected);
  },
);
