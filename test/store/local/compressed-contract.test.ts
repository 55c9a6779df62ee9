import type { ThreadStore } from '../../../src/store/thread-store.ts';
import { registerThreadStoreContract } from '../../contract/thread-store-contract.ts';
import { homeHoldsNothingOf, openLocalStore } from '../../support/local-store.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { compressAll } from '../../support/zstd.ts';

/** A store before each of whose methods all of its rollouts are compressed under it. */
const compressedUnder = (store: ThreadStore, home: string): ThreadStore =>
  new Proxy(store, {
    get(target, key) {
      const member: unknown = Reflect.get(target, key);
      if (typeof member !== 'function') return member;
      return (...args: readonly unknown[]): unknown => {
        compressAll(home);
        return member.apply(target, args);
      };
    },
  });

// The whole contract once more, on a home that is compressed all the time.
registerThreadStoreContract('local files that are always compressed', async () => {
  const home = tempFolder();
  let store = compressedUnder(await openLocalStore(home), home);
  return {
    store,
    reopen: async () => {
      await store.close();
      store = compressedUnder(await openLocalStore(home), home);
      return store;
    },
    holdsNothingOf: async (threadId) => homeHoldsNothingOf(home, threadId),
    isUpdatedByResume: true,
    teardown: () => store.close(),
  };
});
