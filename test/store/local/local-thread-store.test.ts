import { registerThreadStoreContract } from '../../contract/thread-store-contract.ts';
import { homeHoldsNothingOf, openLocalStore } from '../../support/local-store.ts';
import { tempFolder } from '../../support/temp-home.ts';

registerThreadStoreContract('local', async () => {
  const home = tempFolder();
  let store = await openLocalStore(home);
  return {
    store,
    reopen: async () => {
      await store.close();
      store = await openLocalStore(home);
      return store;
    },
    holdsNothingOf: async (threadId) => homeHoldsNothingOf(home, threadId),
    teardown: () => store.close(),
  };
});
