import type { OrganizationChange } from '../../domain/organization.ts';
import type { OrganizationStore } from '../organization-store.ts';

/** What was set, as long as this object is there. */
export class MemoryOrganizationStore implements OrganizationStore {
  readonly #values = new Map<string, OrganizationChange>();

  get entries(): Iterable<OrganizationChange> {
    return this.#values.values();
  }

  async write(changes: readonly OrganizationChange[]): Promise<void> {
    for (const change of changes) {
      const key = `${change.kind} ${change.key}`;
      if (change.value === null) this.#values.delete(key);
      else this.#values.set(key, change);
    }
  }

  async close(): Promise<void> {}
}
