import type { ThreadId } from '../domain/ids.ts';
import type { OrganizationStore } from '../store/organization-store.ts';
import { ChosenDefaults } from './chosen-defaults.ts';
import { ReadMarks, type ReadMarksOptions } from './read-marks.ts';
import { Sections, type SectionsOptions } from './sections.ts';
import { ThreadQueues, type ThreadQueuesOptions } from './thread-queues.ts';

export interface OrganizationOptions extends SectionsOptions {
  readonly readMarks: Omit<ReadMarksOptions, 'store'>;
  readonly queues: Omit<ThreadQueuesOptions, 'store'>;
}

/** What people have set around threads, beside what stands in the threads' own histories. */
export class Organization {
  readonly sections: Sections;
  readonly readMarks: ReadMarks;
  readonly queues: ThreadQueues;
  readonly chosenDefaults: ChosenDefaults;
  readonly #store: OrganizationStore;

  constructor({ store, now, readMarks, queues }: OrganizationOptions) {
    this.#store = store;
    this.sections = new Sections({ store, now });
    this.readMarks = new ReadMarks({ store, ...readMarks });
    this.queues = new ThreadQueues({ store, ...queues });
    this.chosenDefaults = new ChosenDefaults(store);
  }

  /** Removes what is set for threads that are gone. Durable when it returns. */
  async forget(threadIds: readonly ThreadId[]): Promise<void> {
    for (const threadId of threadIds) {
      await this.queues.settled(threadId);
      await this.readMarks.settled(threadId);
    }
    const parts = [this.sections, this.readMarks, this.queues];
    await this.#store.write(
      threadIds.flatMap((threadId) => parts.flatMap((part) => part.forget(threadId))),
      'power',
    );
  }
}
