import { invalidRequest, notFound } from '../domain/errors.ts';
import { newThreadId, type ThreadId } from '../domain/ids.ts';
import type { ThreadMetadataPatch } from '../domain/metadata-patch.ts';
import type { QueuedSubmission } from '../domain/organization.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import type { ThreadSettings } from '../domain/thread-settings.ts';
import type { ModelClient } from '../engine/model-client.ts';
import { MemoryOrganizationStore } from '../store/memory/memory-organization-store.ts';
import type { OrganizationStore } from '../store/organization-store.ts';
import type { Durability, ThreadStore } from '../store/thread-store.ts';
import { noAnswer, type Answer } from './answer.ts';
import type { CodexThread } from './codex-thread.ts';
import { explainForkFailure, planFork } from './fork.ts';
import { Organization } from './organization.ts';
import type { ManagerEvent, ManagerListener, ThreadEvent } from './thread-events.ts';
import { ThreadFamilies } from './thread-families.ts';
import { ThreadOpenings, type ForkThreadParams, type ResumeThreadParams, type StartThread } from './thread-openings.ts';
import { overriddenSettings, type ThreadDefaults } from './thread-start.ts';
import { ThreadRegistry } from './thread-registry.ts';
import { ThreadReverts } from './thread-reverts.ts';
import { whenSettled } from './when-settled.ts';

export interface ThreadManagerOptions {
  readonly store: ThreadStore;
  /** Where sections, queues and marks are kept. Default: nowhere. */
  readonly organizationStore?: OrganizationStore;
  readonly model: ModelClient;
  readonly defaults: ThreadDefaults;
  /** What the user's words and the ends of turns survive once acknowledged (D6). Default: `power`. */
  readonly durability?: Durability;
  /** Clients may run commands in the folders of threads, as the user of the daemon. Default: true. */
  readonly runsCommands?: boolean;
  /** Unix ms. */
  readonly now?: () => number;
  /** Something went wrong that no caller waits for. */
  readonly onProblem: (message: string, cause: unknown) => void;
}

/**
 * The supervisor: starts, resumes, forks, finds and changes threads, and tells what happens to them. What is loaded,
 * its registry knows; what is not, it asks of the store.
 */
export class ThreadManager {
  readonly #options: ThreadManagerOptions;
  readonly #now: () => number;
  readonly #registry: ThreadRegistry;
  readonly #openings: ThreadOpenings;
  readonly #organization: Organization;
  readonly #listeners = new Set<ManagerListener>();
  readonly #families: ThreadFamilies;
  readonly #reverts: ThreadReverts;

  constructor(options: ThreadManagerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#registry = new ThreadRegistry({
      model: options.model,
      durability: options.durability ?? 'power',
      now: this.#now,
      onEvent: (threadId, event) => this.#hear(threadId, event),
      onProblem: options.onProblem,
    });
    const { store, onProblem } = options;
    this.#openings = new ThreadOpenings({ store, defaults: () => this.defaults, now: this.#now });
    this.#organization = new Organization({
      store: options.organizationStore ?? new MemoryOrganizationStore(),
      now: this.#now,
      readMarks: {
        onChanged: (threadId, readState) => this.#tell(threadId, { type: 'readStateChanged', readState }),
        onProblem,
      },
      queues: {
        threads: store,
        find: (threadId) => (this.#registry.isClosing(threadId) ? undefined : this.find(threadId)),
        onChanged: (threadId) => this.#tell(threadId, { type: 'queueChanged' }),
        onProblem,
      },
    });
    const [registry, organization] = [this.#registry, this.#organization];
    const tell = (threadId: ThreadId, event: ManagerEvent): void => this.#tell(threadId, event);
    this.#families = new ThreadFamilies({ store, registry, organization, tell, onProblem });
    const reload = (threadId: ThreadId, settings: ThreadSettings): Promise<CodexThread> =>
      this.#resumeCold(threadId, undefined, () => settings);
    const find = (threadId: ThreadId): CodexThread => this.get(threadId);
    this.#reverts = new ThreadReverts({ store, registry, organization, now: this.#now, find, reload, tell });
  }

  get store(): ThreadStore {
    return this.#options.store;
  }

  /** What turns run against. */
  get model(): ModelClient {
    return this.#options.model;
  }

  /** What threads begin with: what clients have chosen, else what is configured. */
  get defaults(): ThreadDefaults {
    const { defaults } = this.#options;
    const settings = this.#organization.chosenDefaults.over(defaults.settings);
    return { ...defaults, settings, models: [...new Set([...defaults.models, settings.model])] };
  }

  /** Clients may run commands in the folders of threads. */
  get runsCommands(): boolean {
    return this.#options.runsCommands ?? true;
  }

  /** Hears every event of every thread. @returns ends that */
  onEvent(listener: ManagerListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What people have set around threads. */
  get organization(): Organization {
    return this.#organization;
  }

  /** The threads that are loaded. */
  get registry(): ThreadRegistry {
    return this.#registry;
  }

  /** Ids of loaded threads, sorted. */
  get loadedIds(): readonly ThreadId[] {
    return this.loaded.map(({ id }) => id).toSorted((a, b) => (a < b ? -1 : 1));
  }

  get loaded(): readonly CodexThread[] {
    return this.#registry.all;
  }

  /** A loaded thread, or undefined. Never loads. */
  find(threadId: ThreadId): CodexThread | undefined {
    return this.#registry.find(threadId);
  }

  /** A loaded thread. @throws notFound */
  get(threadId: ThreadId): CodexThread {
    const thread = this.find(threadId);
    if (thread === undefined) throw notFound(`thread not found: ${threadId}`);
    return thread;
  }

  /** Does something with a loaded thread, also while that is loaded anew. @throws notFound; what `work` throws */
  withLoaded<T>(threadId: ThreadId, work: (thread: CodexThread) => Promise<T>): Promise<T> {
    return this.#whenSettled(threadId, (thread) => work(thread ?? this.get(threadId)));
  }

  /** A new thread, loaded, lazy. @throws invalidRequest for settings that cannot be */
  async startThread(params: StartThread, answer: Answer<CodexThread> = noAnswer): Promise<CodexThread> {
    const threadId = newThreadId();
    const opening = this.#openings.started(threadId, params);
    const thread = await this.#registry.load(threadId, async () => opening);
    await answer(thread);
    this.#tell(threadId, { type: 'threadStarted', thread: thread.described });
    return thread;
  }

  /**
   * A stored thread, loaded; one that is loaded already is returned as it is.
   * @throws notFound; invalidRequest if it is archived, closing, or loaded from another file; conflict if another
   * process writes it
   */
  async resumeThread(params: ResumeThreadParams): Promise<CodexThread> {
    const { threadId, path } = params;
    if (this.#registry.isClosing(threadId)) {
      throw invalidRequest(`thread ${threadId} is closing; retry thread/resume after the thread is closed`);
    }
    const opening = this.#registry.opening(threadId);
    // Nothing may wait between this look and the loading: whoever comes second must find the first.
    const running = opening === undefined ? this.find(threadId) : await opening;
    if (running?.isEphemeral === true) throw notFound(`no rollout found for thread id ${threadId}`);
    if (running !== undefined) {
      const active = running.described.path;
      if (path !== undefined && active !== path) {
        throw invalidRequest(
          `cannot resume running thread ${threadId} with stale path: requested \`${path}\`, active \`${active}\``,
        );
      }
      return running;
    }
    const { defaults } = this;
    return this.#resumeCold(threadId, path, (restored) => overriddenSettings(restored, params.overrides, defaults));
  }

  /**
   * A thread that can be forked, as it is.
   * @throws notFound, for ephemeral ones too; invalidRequest if it is archived
   */
  async readForkSource(threadId: ThreadId): Promise<StoredThread> {
    const source = this.find(threadId);
    if (source?.isEphemeral === true) throw notFound(`no rollout found for thread id ${threadId}`);
    return source === undefined || source.isStored ? this.#unarchived(threadId) : source.described;
  }

  /** A new thread that begins with what another one has, loaded. */
  async forkThread(params: ForkThreadParams, answer: Answer<CodexThread> = noAnswer): Promise<CodexThread> {
    const { store } = this.#options;
    const { sourceId, snapshot } = params;
    const source = await this.#forkSource(sourceId);
    const plan = await planFork(store, source, snapshot, this.find(sourceId)?.activeTurnId ?? null);
    const threadId = newThreadId();
    const opening = this.#openings.forked(threadId, source, plan, params);
    const thread = await this.#registry
      .load(threadId, async () => opening)
      .catch((error: unknown) => {
        throw explainForkFailure(error, source, snapshot);
      });
    try {
      await answer(thread);
    } catch (error) {
      // Nobody was told of it: a refusal must leave nothing behind.
      await this.#registry.close(threadId, 'a fork that cannot be shown').catch(() => {});
      if (!params.isEphemeral) await store.deleteThreads([threadId]).catch(() => {});
      throw error;
    }
    this.#tell(threadId, { type: 'threadStarted', thread: thread.described });
    return thread;
  }

  /** The thread as it is: loaded, stored or archived. @throws notFound */
  async readThread(threadId: ThreadId): Promise<StoredThread> {
    const thread = this.find(threadId);
    if (thread !== undefined && !thread.isStored) return thread.described;
    const stored = await this.#options.store.readThread(threadId, { includeArchived: true });
    return thread === undefined ? stored : { ...stored, ...shownOf(thread) };
  }

  /** Changes metadata of a thread, loaded or not; one that is on its way is waited for. @throws notFound; invalidRequest for an ephemeral one */
  async updateMetadata(
    threadId: ThreadId,
    patch: ThreadMetadataPatch,
    answer: Answer<StoredThread> = noAnswer,
  ): Promise<StoredThread> {
    const { store } = this.#options;
    const updated = await this.#whenSettled(
      threadId,
      (thread) => thread?.updateMetadata(patch) ?? store.updateThreadMetadata(threadId, patch),
    );
    await answer(updated);
    if (patch.name !== undefined) this.#tell(threadId, { type: 'threadNamed', name: patch.name });
    return updated;
  }

  /** Archives a thread and those it spawned, deepest first; loaded ones are ended before. @returns the archived ids */
  archiveThread(
    threadId: ThreadId,
    cause: string,
    answer: Answer<readonly ThreadId[]> = noAnswer,
  ): Promise<readonly ThreadId[]> {
    return this.#families.archive(threadId, cause, answer);
  }

  /** Takes one thread out of the archive; those it spawned stay there. @throws notFound */
  unarchiveThread(threadId: ThreadId, answer: Answer<StoredThread> = noAnswer): Promise<StoredThread> {
    return this.#families.unarchive(threadId, answer);
  }

  /** Removes a thread and those it spawned for good. @returns the deleted ids @throws invalidRequest if forks still need it */
  deleteThread(
    threadId: ThreadId,
    cause: string,
    answer: Answer<readonly ThreadId[]> = noAnswer,
  ): Promise<readonly ThreadId[]> {
    return this.#families.delete(threadId, cause, answer);
  }

  /**
   * Takes a loaded, paginated thread back to before a turn; a running turn is interrupted. Whatever happens, the
   * thread is loaded again when this ends, with its settings.
   */
  revertThread(
    threadId: ThreadId,
    beforeTurnId: string,
    cause: string,
    answer: Answer<CodexThread> = noAnswer,
  ): Promise<CodexThread> {
    return this.#reverts.revert(threadId, beforeTurnId, cause, answer);
  }

  /**
   * Puts a thread into a section or (null) out of any; one that is not stored yet is stored.
   * @throws notFound; invalidRequest for an ephemeral thread, or a place that is not there
   */
  async moveToSection(
    threadId: ThreadId,
    sectionId: string | null,
    before: ThreadId | undefined,
    answer: Answer<void> = noAnswer,
  ): Promise<void> {
    await this.#registry.whenSettled(threadId);
    const thread = this.find(threadId);
    if (thread?.isEphemeral === true) {
      throw invalidRequest(`ephemeral thread does not support section moves: ${threadId}`);
    }
    await this.#assertKept(threadId, 'section move');
    await this.#organization.sections.move(threadId, sectionId, before);
    await answer();
    this.#tell(threadId, { type: 'sectionChanged', sectionId });
  }

  /**
   * Adds a message to the queue of a thread, which takes it when it can.
   * @throws invalidRequest if the queue is full; what keeps the thread from being stored
   */
  async enqueue(
    threadId: ThreadId,
    message: Omit<QueuedSubmission, 'id'>,
    cause: string,
    answer: Answer<QueuedSubmission> = noAnswer,
  ): Promise<void> {
    // What was said for a thread must not outlive the only place where the thread is: memory.
    await this.#assertKept(threadId, cause);
    const { queues } = this.#organization;
    const submission = await queues.add(threadId, message);
    await answer(submission);
    this.#tell(threadId, { type: 'queueChanged' });
    void queues.wake(threadId, cause);
  }

  /** Tells whoever watches a thread that its queue is another. */
  tellQueueChanged(threadId: ThreadId): void {
    this.#tell(threadId, { type: 'queueChanged' });
  }

  /** Tells everyone that a thread has no goal. */
  tellGoalCleared(threadId: ThreadId): void {
    this.#tell(threadId, { type: 'goalCleared' });
  }

  #whenSettled<T>(threadId: ThreadId, work: (thread: CodexThread | undefined) => Promise<T>): Promise<T> {
    return whenSettled({ registry: this.#registry, reverts: this.#reverts }, threadId, work);
  }

  /** Makes sure that a thread is stored. @throws notFound */
  async #assertKept(threadId: ThreadId, cause: string): Promise<void> {
    const thread = this.find(threadId);
    if (thread === undefined) await this.#options.store.readThread(threadId, { includeArchived: true });
    else if (!thread.isStored) await thread.persist(cause);
  }

  /** Unloads a thread that nobody uses any more, and says so. */
  async unloadIdle(threadId: ThreadId, cause: string): Promise<void> {
    if (this.find(threadId) === undefined) return;
    await this.#registry.close(threadId, cause);
    this.#tell(threadId, { type: 'threadClosed' });
  }

  /** @param settingsOf what the thread is run with, given how it was last; what is another is recorded at once */
  async #resumeCold(
    threadId: ThreadId,
    path: string | undefined,
    settingsOf: (restored: ThreadSettings) => ThreadSettings,
  ): Promise<CodexThread> {
    const { store } = this.#options;
    const thread = await this.#registry.load(threadId, async () => {
      const found = path === undefined ? await this.#unarchived(threadId) : await store.readThreadByPath(path);
      return this.#openings.resumed({ ...found, id: threadId }, path, settingsOf);
    });
    this.#tell(threadId, { type: 'statusChanged', status: thread.status });
    return thread;
  }

  async #unarchived(threadId: ThreadId): Promise<StoredThread> {
    const stored = await this.#options.store.readThread(threadId, { includeArchived: true });
    if (stored.archivedAtMs !== null) {
      throw invalidRequest(
        `session ${threadId} is archived. Run \`codex unarchive ${threadId}\` to unarchive it first.`,
      );
    }
    return stored;
  }

  async #forkSource(sourceId: ThreadId): Promise<StoredThread> {
    const source = this.find(sourceId);
    if (source !== undefined && !source.isEphemeral && !source.isStored) await source.persist('fork');
    return this.readForkSource(sourceId);
  }

  /** Tells what happens in a thread, with what follows from it for its marks and its queue. */
  #hear(threadId: ThreadId, event: ThreadEvent): void {
    const { readMarks, queues } = this.#organization;
    const isKept = this.find(threadId)?.isEphemeral === false;
    if (event.type === 'turnToRead') {
      if (isKept) readMarks.turnEnded(threadId, event.turnId);
      return;
    }
    this.#tell(threadId, event);
    if (event.type !== 'turnCompleted' || !isKept) return;
    if (event.turn.status !== 'interrupted') {
      queues.unpause(threadId);
      void queues.wake(threadId, 'the next of the queue');
    } else if (!this.#registry.isClosing(threadId)) queues.pause(threadId);
  }

  #tell(threadId: ThreadId, event: ManagerEvent): void {
    for (const listener of this.#listeners) listener(threadId, event);
  }
}

/** What only a loaded thread knows about itself. */
const shownOf = (thread: CodexThread): Partial<StoredThread> => ({
  model: thread.settings.model,
  reasoningEffort: thread.settings.reasoningEffort,
  cwd: thread.settings.cwd,
});
