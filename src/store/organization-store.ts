import type { OrganizationChange } from '../domain/organization.ts';

/** What a write survives before it returns. */
export type WriteDurability =
  /** Loss of power. */
  | 'power'
  /** The end of the process. */
  | 'process';

/**
 * The port for what people set around threads: values by kind and key, the last one counts. It is small: all of it is
 * read once, by the one daemon that has it, and only changes are written.
 */
export interface OrganizationStore {
  /** Everything that was set when the store was opened. */
  readonly entries: Iterable<OrganizationChange>;

  /**
   * Sets or removes values, all of them or none, after every write that was asked for before.
   * @throws SkeinError internal (with errno) if it could not be written; nothing of it is there then, or ever. uncertain if
   * it may turn up after a crash, unless something else is written before
   */
  write(changes: readonly OrganizationChange[], durability: WriteDurability): Promise<void>;

  /** Waits for writes that are under way, and lets go of everything. */
  close(): Promise<void>;
}
