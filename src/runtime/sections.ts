import { invalidRequest } from '../domain/errors.ts';
import { newUuid, type ThreadId } from '../domain/ids.ts';
import {
  change,
  PINNED_SECTION,
  type OrganizationChange,
  type Placement,
  type Section,
  type SectionAppearance,
} from '../domain/organization.ts';
import { Mutex } from '../store/mutex.ts';
import type { OrganizationStore } from '../store/organization-store.ts';

/** Room between neighbours, so that a thread can be put between them without touching any other. */
const STEP = 1_000_000;

/** A thread in a section. */
export interface PlacedThread {
  readonly threadId: ThreadId;
  readonly position: number;
}

export interface SectionsOptions {
  readonly store: OrganizationStore;
  /** Unix ms. */
  readonly now: () => number;
}

/** The sections, and which thread stands where in which of them. A thread is in one section at most. */
export class Sections {
  readonly #options: SectionsOptions;
  readonly #sections = new Map<string, Section>([[PINNED_SECTION.id, PINNED_SECTION]]);
  readonly #placements = new Map<ThreadId, Placement>();
  /** Changes are made one after the other: each begins with what the one before has left. */
  readonly #changes = new Mutex();

  constructor(options: SectionsOptions) {
    this.#options = options;
    for (const { kind, key, value } of options.store.entries) {
      if (kind === 'section') this.#sections.set(key, value as unknown as Section);
      if (kind === 'placement') this.#placements.set(key as ThreadId, value as unknown as Placement);
    }
  }

  /** The pinned one, then the others in the order in which they were made. */
  get all(): readonly Section[] {
    return [...this.#sections.values()].toSorted(({ id: a }, { id: b }) => (a < b ? -1 : 1));
  }

  find(sectionId: string): Section | undefined {
    return this.#sections.get(sectionId);
  }

  /** Where a thread is; undefined if it is in no section. */
  placeOf(threadId: ThreadId): { readonly section: Section; readonly enteredAtMs: number } | undefined {
    const placement = this.#placements.get(threadId);
    const section = placement === undefined ? undefined : this.#sections.get(placement.sectionId);
    return placement === undefined || section === undefined
      ? undefined
      : { section, enteredAtMs: placement.enteredAtMs };
  }

  /** The threads of a section in their order; none of one that is not there. */
  threadsIn(sectionId: string): readonly PlacedThread[] {
    return [...this.#placements]
      .filter(([, placement]) => placement.sectionId === sectionId)
      .map(([threadId, { position }]) => ({ threadId, position }))
      .toSorted((a, b) => a.position - b.position || (a.threadId < b.threadId ? -1 : 1));
  }

  /** Threads that are in any section. */
  get placed(): readonly ThreadId[] {
    return [...this.#placements.keys()];
  }

  create(name: string, appearance: SectionAppearance | null): Promise<Section> {
    return this.#changes.run(() => this.#put({ id: newUuid(), name, appearance }));
  }

  /**
   * @param appearance undefined keeps it
   * @throws invalidRequest for one that is not there, and for the pinned one
   */
  rename(sectionId: string, name: string, appearance: SectionAppearance | null | undefined): Promise<Section> {
    return this.#changes.run(async () => {
      const before = this.#changeable(sectionId, 'renamed');
      return this.#put({ ...before, name, appearance: appearance === undefined ? before.appearance : appearance });
    });
  }

  /** Its threads are in no section then. @throws invalidRequest for one that is not there, and for the pinned one */
  delete(sectionId: string): Promise<void> {
    return this.#changes.run(async () => {
      this.#changeable(sectionId, 'deleted');
      const threads = this.threadsIn(sectionId).map(({ threadId }) => threadId);
      await this.#options.store.write(
        [change('section', sectionId, null), ...threads.map((threadId) => change('placement', threadId, null))],
        'power',
      );
      this.#sections.delete(sectionId);
      for (const threadId of threads) this.#placements.delete(threadId);
    });
  }

  /**
   * Puts a thread into a section, before another thread or at its end, or (null) out of any.
   * @throws invalidRequest if the section, or the other thread in it, is not there
   */
  move(threadId: ThreadId, sectionId: string | null, before: ThreadId | undefined): Promise<void> {
    return this.#changes.run(async () => {
      const placements = sectionId === null ? [] : this.#placementsFor(threadId, sectionId, before);
      const changes =
        sectionId === null
          ? [change('placement', threadId, null)]
          : placements.map(([id, placement]) => change('placement', id, placement));
      await this.#options.store.write(changes, 'power');
      if (sectionId === null) this.#placements.delete(threadId);
      for (const [id, placement] of placements) this.#placements.set(id, placement);
    });
  }

  /** What to remove of a thread that is gone. */
  forget(threadId: ThreadId): readonly OrganizationChange[] {
    return this.#placements.delete(threadId) ? [change('placement', threadId, null)] : [];
  }

  async #put(section: Section): Promise<Section> {
    await this.#options.store.write([change('section', section.id, section)], 'power');
    this.#sections.set(section.id, section);
    return section;
  }

  #changeable(sectionId: string, what: 'renamed' | 'deleted'): Section {
    assertNotPinned(sectionId, what);
    const section = this.#sections.get(sectionId);
    if (section === undefined) throw invalidRequest(`thread section not found: ${sectionId}`);
    return section;
  }

  /** What a move sets: the thread's place, and those of others if there is no room left between them. */
  #placementsFor(
    threadId: ThreadId,
    sectionId: string,
    before: ThreadId | undefined,
  ): readonly (readonly [ThreadId, Placement])[] {
    if (!this.#sections.has(sectionId)) throw invalidRequest(`section ${sectionId} does not exist`);
    if (before === threadId) throw invalidRequest(`thread ${threadId} cannot be moved before itself`);
    const others = this.threadsIn(sectionId).filter((placed) => placed.threadId !== threadId);
    const at = before === undefined ? others.length : others.findIndex((placed) => placed.threadId === before);
    if (at < 0) throw invalidRequest(`before thread ${before} is not in section ${sectionId}`);
    const was = this.#placements.get(threadId);
    const enteredAtMs = was?.sectionId === sectionId ? was.enteredAtMs : this.#options.now();
    const [low, high] = [others[at - 1]?.position ?? 0, others[at]?.position];
    const position = high === undefined ? low + STEP : Math.floor((low + high) / 2);
    if (position > low) return [[threadId, { sectionId, position, enteredAtMs }]];
    const ids = others.map((placed) => placed.threadId).toSpliced(at, 0, threadId);
    return ids.map((id, index) => [
      id,
      {
        sectionId,
        position: (index + 1) * STEP,
        enteredAtMs: id === threadId ? enteredAtMs : (this.#placements.get(id)?.enteredAtMs ?? enteredAtMs),
      },
    ]);
  }
}

/** @throws invalidRequest for the section that stays as it is */
export function assertNotPinned(sectionId: string, what: 'renamed' | 'deleted'): void {
  if (sectionId === PINNED_SECTION.id) throw invalidRequest(`the built-in pinned section cannot be ${what}`);
}
