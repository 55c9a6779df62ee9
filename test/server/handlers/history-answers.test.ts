import { expect, it, onTestFinished } from 'vitest';
import { DEFAULT_COLLABORATION } from '../../../src/domain/thread-settings.ts';
import { EchoModel } from '../../../src/engine/echo-model.ts';
import { ThreadManager } from '../../../src/runtime/thread-manager.ts';
import type { StartThread } from '../../../src/runtime/thread-openings.ts';
import { readAllTurns } from '../../../src/server/handlers/history-answers.ts';
import { MemoryThreadStore } from '../../../src/store/memory/memory-thread-store.ts';

const NEW: Omit<StartThread, 'historyMode' | 'isEphemeral'> = {
  overrides: {},
  originator: 'test',
  threadSource: null,
  baseInstructions: null,
  dynamicTools: [],
};

function newManager(): ThreadManager {
  const manager = new ThreadManager({
    store: new MemoryThreadStore({ defaultModelProvider: 'echo' }),
    model: new EchoModel(),
    defaults: {
      settings: {
        model: 'echo',
        modelProvider: 'echo',
        reasoningEffort: null,
        serviceTier: null,
        cwd: '/work',
        approvalPolicy: 'never',
        approvalsReviewer: 'user',
        sandboxPolicy: { type: 'dangerFullAccess' },
        permissionProfile: null,
        collaboration: DEFAULT_COLLABORATION,
      },
      modelProviders: ['echo'],
      models: ['echo'],
      reasoningEfforts: [],
      version: '1.2.3',
    },
    onProblem: (message) => {
      throw new Error(message);
    },
  });
  onTestFinished(async () => void (await manager.registry.shutdownAll(5_000, 'the test ends')));
  return manager;
}

it.each(['paginated', 'legacy'] as const)(
  'ERR-8 of %s histories too large for one answer say how to page, and leave nothing behind',
  async (historyMode) => {
    const manager = newManager();
    const thread = await manager.startThread({ ...NEW, historyMode, isEphemeral: false });
    for (const words of ['first', 'second', 'third']) {
      const ended = new Promise<void>((resolve) => {
        const stop = manager.onEvent((_id, event) => {
          if (event.type !== 'turnCompleted') return;
          stop();
          resolve();
        });
      });
      const input = [{ type: 'text', text: words.repeat(100) }];
      await thread.takeInput({ message: { input, clientId: null }, accepted: () => {} }, 'test');
      await ended;
    }
    const turns = await readAllTurns(manager, thread.id);
    expect(turns).toHaveLength(3);
    const characters = JSON.stringify(turns).length;
    await expect(readAllTurns(manager, thread.id, characters)).resolves.toHaveLength(3);
    const refusal = /too large for one answer: leave its turns out, and page with thread\/turns\/list/;
    await expect(readAllTurns(manager, thread.id, characters - 1)).rejects.toThrow(refusal);

    const everything = async (): Promise<unknown> => [manager.loadedIds, await manager.store.inspect()];
    const before = await everything();
    for (const isEphemeral of [false, true]) {
      const fork = { ...NEW, isEphemeral, sourceId: thread.id, snapshot: { kind: 'interrupted' } as const };
      const unanswerable = manager.forkThread(fork, async (made) => {
        await readAllTurns(manager, isEphemeral ? thread.id : made.id, 10);
      });
      await expect(unanswerable).rejects.toThrow(refusal);
      expect(await everything()).toEqual(before);
    }
  },
);
