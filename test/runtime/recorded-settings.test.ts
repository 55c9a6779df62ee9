import { describe, expect, it } from 'vitest';
import { internal } from '../../src/domain/errors.ts';
import { PINNED_SECTION } from '../../src/domain/organization.ts';
import type { CodexThread } from '../../src/runtime/codex-thread.ts';
import type { SettingsOverrides } from '../../src/runtime/thread-start.ts';
import { MemoryThreadStore } from '../../src/store/memory/memory-thread-store.ts';
import { interceptedStore } from '../support/intercepted-store.ts';
import { accepted, forkOf, message, NEW, openRuntime, refusal, STORES, type Runtime } from '../support/runtime.ts';

/** When and how often a history says how its thread is run. */

const recordedModels = async (runtime: Runtime, { id }: CodexThread): Promise<readonly unknown[]> =>
  (await runtime.records(id)).flatMap(({ payload }) =>
    payload['type'] === 'thread_settings_applied' ? [(payload['thread_settings'] as { model: string }).model] : [],
  );

const changeModel = (thread: CodexThread, model: string): Promise<void> => thread.updateSettings({ model }, () => {});

async function reloaded(
  runtime: Runtime,
  thread: CodexThread,
  overrides: SettingsOverrides = {},
): Promise<CodexThread> {
  await thread.shutdown('test');
  return runtime.manager.resumeThread({ threadId: thread.id, overrides });
}

const WAYS_TO_BE_STORED: readonly (readonly [string, (runtime: Runtime, thread: CodexThread) => Promise<unknown>])[] = [
  ['a name', ({ manager }, { id }) => manager.updateMetadata(id, { name: 'a name' })],
  ['items', (_, thread) => thread.injectItems([{ type: 'message', role: 'user', content: [] }])],
  ['a place in a section', ({ manager }, { id }) => manager.moveToSection(id, PINNED_SECTION.id, undefined)],
  ['a fork of it', ({ manager }, { id }) => manager.forkThread(forkOf(id, { kind: 'interrupted' }))],
];

describe.each(STORES)('over the %s', (_name, open) => {
  it.each(WAYS_TO_BE_STORED)('SET-8 a thread that %s brings into being records how it is run', async (_what, store) => {
    const runtime = openRuntime(await open());
    for (const historyMode of ['paginated', 'legacy'] as const) {
      const changed = await runtime.start({ historyMode });
      await changed.updateSettings({ model: 'model-2', cwd: '/elsewhere', approvalPolicy: 'never' }, () => {});
      const begunSo = await runtime.start({ historyMode, overrides: { model: 'model-2', reasoningEffort: 'high' } });
      for (const thread of [changed, begunSo]) {
        await store(runtime, thread);
        expect(await recordedModels(runtime, thread)).toEqual(['model-2']);
        const again = await reloaded(runtime, thread);
        expect(again.settings).toEqual(thread.settings);
        // And no more often.
        await runtime.turn(again, 'hello');
        expect(await recordedModels(runtime, thread)).toEqual(['model-2']);
      }
    }
  });

  it('SET-9 each change is recorded once: turns after a resume, and turns of forks, have nothing to add', async () => {
    const runtime = openRuntime(await open());
    for (const historyMode of ['paginated', 'legacy'] as const) {
      let thread = await runtime.talked(['hello'], { historyMode });
      thread = await reloaded(runtime, thread);
      await runtime.turn(thread, 'again');
      expect(await recordedModels(runtime, thread)).toEqual(['model-1']);
      await changeModel(thread, 'model-2');
      thread = await reloaded(runtime, thread);
      await runtime.turn(thread, 'with it');
      await changeModel(thread, 'model-1');
      await runtime.turn(thread, 'and back');
      expect(await recordedModels(runtime, thread)).toEqual(['model-1', 'model-2', 'model-1']);

      const fork = await runtime.manager.forkThread(forkOf(thread.id, { kind: 'interrupted' }));
      const atFirst = await recordedModels(runtime, fork);
      await runtime.turn(fork, 'otherwise');
      await runtime.turn(await reloaded(runtime, fork), 'and on');
      expect(await recordedModels(runtime, fork)).toEqual(atFirst);
    }
  });

  it('SET-9 so it is when turns and changes come together', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.talked(['hello']);
    await Promise.all([changeModel(thread, 'model-2'), accepted(thread, 'with it'), changeModel(thread, 'model-3')]);
    (await runtime.model.call()).answer('re');
    await runtime.whenIdle(thread);
    expect(await recordedModels(runtime, thread)).toEqual(['model-1', 'model-2', 'model-3']);
  });

  it('SET-10 what a resume changes is recorded, and what it only repeats is not', async () => {
    const runtime = openRuntime(await open());
    let thread = await runtime.talked(['hello']);
    thread = await reloaded(runtime, thread, { model: 'model-1', cwd: '/work/project' });
    expect(await recordedModels(runtime, thread)).toEqual(['model-1']);
    thread = await reloaded(runtime, thread, { model: 'model-2', approvalPolicy: 'never' });
    expect(await recordedModels(runtime, thread)).toEqual(['model-1', 'model-2']);
    const { settings } = thread;
    expect(settings).toMatchObject({ model: 'model-2', approvalPolicy: 'never' });
    thread = await reloaded(runtime, thread);
    expect(thread.settings).toEqual(settings);
  });

  it('SET-10 words that steer a turn and change how the next one is run: recorded before they are answered', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.start();
    await accepted(thread, 'hello');
    const call = await runtime.model.call();
    let recorded: Promise<readonly unknown[]> | undefined;
    await thread.takeInput(
      {
        message: message('more'),
        overrides: { model: 'model-2' },
        accepted: () => {
          recorded = recordedModels(runtime, thread);
        },
      },
      'test',
    );
    expect(await recorded).toEqual(['model-1', 'model-2']);
    const again = await runtime.model.call();
    expect([call, again].map(({ request }) => request.settings.model)).toEqual(['model-1', 'model-1']);
    again.answer('re: more');
    await runtime.whenIdle(thread);
    expect((await reloaded(runtime, thread)).settings.model).toBe('model-2');
  });

  it('SET-11 a revert takes back turns, and no change that was made since', async () => {
    const runtime = openRuntime(await open());
    const thread = await runtime.talked(['one']);
    const second = await runtime.turn(thread, 'two');
    await changeModel(thread, 'model-2');
    const reverted = await runtime.manager.revertThread(thread.id, second, 'test');
    expect(reverted.settings.model).toBe('model-2');
    expect((await reloaded(runtime, reverted)).settings.model).toBe('model-2');
  });
});

it('SET-8 a thread whose settings cannot be recorded is not stored', async () => {
  let isBroken = false;
  const store = interceptedStore(new MemoryThreadStore({ defaultModelProvider: 'default-provider' }), (method) => {
    if (isBroken && method === 'appendItems') throw internal('the disk is gone');
  });
  const runtime = openRuntime(store);
  const thread = await runtime.manager.startThread(NEW);
  isBroken = true;
  const named = runtime.manager.updateMetadata(thread.id, { name: 'a name' });
  await expect(named).rejects.toThrow(refusal('internal', 'the disk is gone'));
  expect(thread.isStored).toBe(false);
  isBroken = false;
});
