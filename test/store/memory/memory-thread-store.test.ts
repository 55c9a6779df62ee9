import { MemoryThreadStore } from '../../../src/store/memory/memory-thread-store.ts';
import { registerThreadStoreContract } from '../../contract/thread-store-contract.ts';

registerThreadStoreContract('memory', async () => {
  const store = new MemoryThreadStore({ defaultModelProvider: 'default-provider' });
  return {
    store,
    holdsNothingOf: (threadId) =>
      store.readThread(threadId, { includeArchived: true }).then(
        () => false,
        () => true,
      ),
    teardown: () => store.close(),
  };
});
