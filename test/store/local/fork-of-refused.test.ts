import { readlinkSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import type { SkeinError } from '../../../src/domain/errors.ts';
import type { HistoryMode } from '../../../src/domain/session-meta.ts';
import { NO_FACTS } from '../../../src/domain/thread-facts.ts';
import { posix } from '../../../src/store/local/files.ts';
import { HomeLayout } from '../../../src/store/local/home-layout.ts';
import type { IndexApi } from '../../../src/store/local/index/index-api.ts';
import { openIndexInline } from '../../../src/store/local/index/index-thread.ts';
import { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { createThread, forkThread, say, wordsIn } from '../../support/local-threads.ts';
import { record, turnItems } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

const MODES: readonly HistoryMode[] = ['legacy', 'paginated'];

const PATHS: readonly (readonly [HistoryMode, 'cut off' | 'not cut off'])[] = MODES.flatMap((mode) => [
  [mode, 'cut off'] as const,
  [mode, 'not cut off'] as const,
]);

const injected = (): Error => Object.assign(new Error('EIO: injected'), { code: 'EIO' });

it.each(PATHS)(
  'FORK-12 of words that are refused while it is made holds none of them, nor what comes in their place (%s, %s)',
  async (mode, end) => {
    const home = tempFolder();
    const index = openIndexInline({ home: new HomeLayout(home), defaultModelProvider: 'default-provider' });
    const prefix = index.prefix.bind(index);
    let hasLooked = (): void => {};
    const looked = new Promise<void>((resolve) => {
      hasLooked = resolve;
    });
    const watched: IndexApi = Object.assign(index, {
      prefix: async (...args: Parameters<typeof prefix>) => {
        const found = await prefix(...args);
        hasLooked();
        return found;
      },
    });
    const store = await LocalThreadStore.open({ home, index: watched });
    onTestFinished(() => store.close());
    const threadId = await createThread(store, mode);
    await say(store, threadId, mode, 'a');
    const { path } = await store.readThread(threadId);
    const records = turnItems(mode, threadId, 'refused', 're: refused').items.map((item) => record(item));

    // The fork looks at its source when the words are in the file; then their sync fails, and the one after it.
    const calls = posix as unknown as Record<'fdatasync' | 'ftruncate', (...args: readonly number[]) => Promise<void>>;
    const { fdatasync, ftruncate } = calls;
    let fork: ReturnType<typeof forkThread> | undefined;
    let isFailing = true;
    let syncs = 0;
    calls.fdatasync = async (fd = -1) => {
      if (!isFailing || readlinkSync(`/proc/self/fd/${fd}`) !== path) return fdatasync(fd);
      syncs += 1;
      // The third is that of the cut.
      if (syncs > 2) return fdatasync(fd);
      fork ??= forkThread(store, threadId, mode);
      // Who awaits it comes later.
      fork.catch(() => {});
      await looked;
      throw injected();
    };
    calls.ftruncate = async (...args) => {
      if (isFailing && end === 'not cut off') throw injected();
      return ftruncate(...args);
    };
    try {
      await expect(
        store.appendItems({ threadId, records, facts: NO_FACTS, durability: 'power', onFailure: 'withdraw' }),
      ).rejects.toMatchObject({ code: end === 'cut off' ? 'internal' : 'uncertain' });
      isFailing = false;
      await say(store, threadId, mode, 'b');
      const forked = await fork?.then(
        ({ id }) => wordsIn(store, id),
        (error: SkeinError) => error.code,
      );
      // What may be there or not is no ground for a fork.
      expect(forked).toEqual(end === 'cut off' ? ['a', 're: a'] : 'internal');
      expect(await wordsIn(store, threadId)).toEqual(['a', 're: a', 'b', 're: b']);
    } finally {
      Object.assign(calls, { fdatasync, ftruncate });
    }
  },
);
