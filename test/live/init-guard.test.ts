import { describe, expect, it, onTestFinished } from 'vitest';
import { guardedInit } from '../../src/live/init-guard.ts';
import { LiveThread } from '../../src/live/live-thread.ts';
import type { ThreadStore } from '../../src/store/thread-store.ts';
import { interceptedStore } from '../support/intercepted-store.ts';
import { filesBelow, openLocalStore } from '../support/local-store.ts';
import { headerPayload, someThreadId, T0 } from '../support/records.ts';
import { tempFolder } from '../support/temp-home.ts';

interface Started {
  readonly home: string;
  readonly store: ThreadStore;
  readonly live: LiveThread;
  readonly discards: () => number;
  /** Opens the same id once more. */
  readonly again: () => Promise<LiveThread>;
}

async function started(isDiscardBroken = false): Promise<Started> {
  const home = tempFolder();
  const opened = await openLocalStore(home);
  onTestFinished(() => opened.close());
  let discards = 0;
  const store = interceptedStore(opened, (method) => {
    if (method !== 'discardThread') return;
    discards += 1;
    if (isDiscardBroken) throw new Error('cannot discard');
  });
  const threadId = someThreadId();
  const again = async (): Promise<LiveThread> => {
    const header = async (): Promise<ReturnType<typeof headerPayload>> => headerPayload(threadId, 'paginated');
    const params = { threadId, historyMode: 'paginated', cwd: '/work', createdAtMs: T0, header } as const;
    return (await LiveThread.create(store, params)).live;
  };
  return { home, store, live: await again(), discards: () => discards, again };
}

const filesOf = ({ home, live }: Started): readonly string[] =>
  filesBelow(home).filter((path) => path.includes(live.threadId));

describe('init guard', () => {
  it('LIVE-20 a start that fails discards the writer once, and leaves neither file nor lock; the id is free', async () => {
    const start = await started();
    const failing = guardedInit(
      start.live,
      async () => {
        throw new Error('no model');
      },
      new AbortController().signal,
    );
    await expect(failing).rejects.toThrow('no model');
    expect(start.discards()).toBe(1);
    expect(filesOf(start)).toEqual([]);
    await (await start.again()).discard();
  });

  it('LIVE-21 a start that is cancelled does so too, before, during or after what it had to do', async () => {
    for (const moment of ['before', 'during', 'after'] as const) {
      const start = await started();
      const given = new AbortController();
      if (moment === 'before') given.abort(new Error('given up'));
      let ran = 0;
      const init = async (): Promise<string> => {
        ran += 1;
        if (moment === 'during') given.abort(new Error('given up'));
        await Promise.resolve();
        if (moment === 'after') given.abort(new Error('given up'));
        return 'done';
      };
      await expect(guardedInit(start.live, init, given.signal), moment).rejects.toThrow('given up');
      expect(ran, moment).toBe(moment === 'before' ? 0 : 1);
      expect(start.discards(), moment).toBe(1);
      expect(filesOf(start), moment).toEqual([]);
    }
  });

  it('LIVE-22 what went wrong first is told, also if discarding fails too', async () => {
    const { live } = await started(true);
    const init = async (): Promise<never> => {
      throw new Error('no model');
    };
    await expect(guardedInit(live, init, new AbortController().signal)).rejects.toThrow('no model');
  });

  it('LIVE-23 after success the writer is the caller’s', async () => {
    const { live, discards } = await started();
    expect(await guardedInit(live, async () => 7, new AbortController().signal)).toBe(7);
    expect(discards()).toBe(0);
    await live.persist('process');
  });
});
