import { MemoryOrganizationStore } from '../../../src/store/memory/memory-organization-store.ts';
import { registerOrganizationStoreContract } from '../../contract/organization-store-contract.ts';

registerOrganizationStoreContract('memory', () => {
  const store = new MemoryOrganizationStore();
  return { open: async () => store };
});
