import { conflict, internal, invalidRequest } from '../../domain/errors.ts';
import type { ThreadId } from '../../domain/ids.ts';
import type { JsonObject, JsonValue } from '../../domain/json.ts';
import { assertValidPatch, type ThreadMetadataPatch } from '../../domain/metadata-patch.ts';
import type { Page } from '../../domain/page.ts';
import { localTimeOf } from '../../domain/rollout-file-name.ts';
import type { RolloutLine } from '../../domain/rollout-line.ts';
import type { StoreAudit } from '../../domain/store-audit.ts';
import type { StoredThread } from '../../domain/stored-thread.ts';
import type { ThreadQuery } from '../../domain/thread-query.ts';
import type { ThreadItemEntry, Turn } from '../../domain/turn.ts';
import { KeyedMutex } from '../mutex.ts';
import { withStoreErrors } from '../store-errors.ts';
import type {
  AppendRecords,
  CreateThread,
  Durability,
  ForkBoundary,
  ForkThread,
  ListItems,
  ListTurns,
  NewRecord,
  PlannedThread,
  ResumeThread,
  SearchHit,
  SearchThreads,
  StoreSupport,
  ThreadStore,
} from '../thread-store.ts';
import { forkHeader, startOfRollout } from './branches.ts';
import { canonicalPath } from './canonical-path.ts';
import { Collections } from './collections.ts';
import { LOOKS } from './compressed-rollout.ts';
import { Deletions } from './deletions.ts';
import { readStretch } from './history-stream.ts';
import { HomeLayout } from './home-layout.ts';
import { IndexAccess, noRollout } from './index-access.ts';
import type { HistoryPrefix, IndexApi, LocatedThread } from './index/index-api.ts';
import { LiveWriters } from './live-writers.ts';
import { MetadataPatches } from './metadata-patches.ts';
import { NameIndex } from './name-index.ts';
import { locateNamed } from './named-rollout.ts';
import { OpenFiles } from './open-files.ts';
import { Reverts } from './reverts.ts';
import type { RolloutWriter } from './rollout-writer.ts';
import { StoredRollouts } from './stored-rollouts.ts';
import { WriterLocks } from './writer-locks.ts';

export interface LocalThreadStoreOptions {
  /** Absolute path of the home; may be shared with Codex. */
  readonly home: string;
  readonly index: IndexApi;
  /** Rollouts kept open at once. */
  readonly maxOpenFiles?: number;
  /** Unix ms. */
  readonly now?: () => number;
}

/**
 * Threads in the files of a home, in Codex's layout and line format (D4), with an index beside them (D7).
 *
 * The files are the truth and the index follows them, so `AppendRecords.facts` is not needed here: the index reads
 * what was written. Names stand in `session_index.jsonl`; memory mode and git facts are `session_meta` lines, in both
 * history modes, so that nothing is lost with the index.
 */
export class LocalThreadStore implements ThreadStore {
  readonly supports: StoreSupport = { paths: true };
  readonly #home: HomeLayout;
  readonly #now: () => number;
  readonly #index: IndexAccess;
  readonly #indexApi: IndexApi;
  readonly #locks: WriterLocks;
  readonly #names: NameIndex;
  readonly #openFiles: OpenFiles;
  readonly #live: LiveWriters;
  readonly #stored: StoredRollouts;
  readonly #collections: Collections;
  readonly #deletions: Deletions;
  readonly #reverts: Reverts;
  readonly #patches: MetadataPatches;
  /** Whatever creates, moves, ends or removes a thread does so alone. Appends do not wait for it. */
  readonly #lifecycle = new KeyedMutex<ThreadId>();

  private constructor(options: LocalThreadStoreOptions) {
    this.#home = new HomeLayout(options.home);
    this.#now = options.now ?? Date.now;
    this.#indexApi = options.index;
    this.#index = new IndexAccess(options.index);
    this.#locks = new WriterLocks(this.#home.writerLocks);
    this.#names = new NameIndex(this.#home.nameIndex, this.#home.nameIndexLock);
    this.#openFiles = new OpenFiles(options.maxOpenFiles);
    this.#stored = new StoredRollouts(this.#index, this.#openFiles, this.#now);
    this.#live = new LiveWriters(this.#locks, this.#openFiles, this.#now, this.#stored.restore);
    this.#collections = new Collections(this.#home, this.#index, this.#locks, this.#now);
    this.#deletions = new Deletions(this.#home, this.#index, this.#locks, this.#names);
    this.#reverts = new Reverts(this.#home, this.#index, this.#locks, this.#stored, this.#names, this.#now);
    this.#patches = new MetadataPatches(this.#index, this.#locks, this.#stored, this.#names, this.#now);
  }

  /** Opens the store of a home and finishes what a crash left half done. */
  static async open(options: LocalThreadStoreOptions): Promise<LocalThreadStore> {
    const store = new LocalThreadStore(options);
    await store.#deletions.finish();
    return withStoreErrors(store);
  }

  async createThread(params: CreateThread): Promise<PlannedThread> {
    assertCwd(params.cwd);
    const { writer } = await this.#lifecycle.run(params.threadId, () => this.#create(params, params.header));
    return { path: writer.path };
  }

  async resumeThread({ threadId, path, includeArchived = false }: ResumeThread): Promise<StoredThread> {
    return this.#lifecycle.run(threadId, async () => {
      let resumed: StoredThread | undefined;
      await this.#live.open(threadId, async () => {
        const located =
          path === undefined
            ? await this.#index.located(threadId)
            : await locateNamed(path, threadId, { home: this.#home, index: this.#index, live: this.#live });
        const [current] = located.rollouts;
        if (current.isArchived && !includeArchived) throw noRollout(threadId);
        const { historyMode } = located;
        const isRestored = await this.#stored.restore(current.path);
        resumed = isRestored ? (await this.#index.located(threadId)).thread : located.thread;
        return { historyMode, path: current.path, start: await this.#stored.startAtEnd(current.path, historyMode) };
      });
      if (resumed === undefined) throw noRollout(threadId);
      return resumed;
    });
  }

  async forkThread(params: ForkThread): Promise<StoredThread> {
    assertCwd(params.cwd);
    const { threadId, sourceId, boundary } = params;
    return this.#lifecycle.runAll([sourceId, threadId], async () => {
      // The source must be there to refer to; it goes on being written meanwhile.
      await this.#storeIfLazy(sourceId, 'process');
      await this.#index.current.restoreHistory(sourceId);
      const prefix = await this.#prefix(sourceId, boundary);
      if (prefix.historyMode === 'paginated' && !this.#home.isCollected(prefix.rollout.path)) {
        throw invalidRequest(`thread ${sourceId} lies outside the home, where a fork cannot refer to it`);
      }
      if (prefix.historyMode === 'paginated') await this.#stored.makeDurable(prefix.rollout.path);
      const header = async (): Promise<JsonObject> => forkHeader(await params.header(), sourceId, prefix);
      const live = await this.#create({ ...params, historyMode: prefix.historyMode }, header, prefix);
      try {
        // The name first: one without a thread harms nobody, and the thread appears with it or not at all.
        if (prefix.source.name !== null) await this.#names.append(threadId, prefix.source.name, this.#now());
        await live.writer.persist('power', 'withdraw');
      } catch (error) {
        await this.#live.discard(threadId);
        if (prefix.source.name !== null) await this.#names.remove(new Set([threadId])).catch(() => {});
        throw error;
      }
      this.#index.touch(live.writer.path);
      return (await this.#index.located(threadId)).thread;
    });
  }

  async appendItems({ threadId, records, durability, onFailure }: AppendRecords): Promise<void> {
    const { writer } = this.#live.get(threadId);
    await writer.append(records, durability, onFailure);
    this.#index.touch(writer.path);
  }

  async persistThread(threadId: ThreadId, durability: Durability): Promise<void> {
    const { writer } = this.#live.get(threadId);
    await writer.persist(durability);
    this.#index.touch(writer.path);
  }

  async flushThread(threadId: ThreadId, durability: Durability): Promise<void> {
    const { writer } = this.#live.get(threadId);
    await writer.flush(durability);
    if (writer.isStored) this.#index.touch(writer.path);
  }

  async shutdownThread(threadId: ThreadId): Promise<void> {
    await this.#lifecycle.run(threadId, async () => {
      const { writer } = this.#live.get(threadId);
      await this.#live.shutdown(threadId);
      this.#letGo(writer);
    });
  }

  async discardThread(threadId: ThreadId): Promise<void> {
    await this.#lifecycle.run(threadId, async () => {
      const { writer } = this.#live.get(threadId);
      await this.#live.discard(threadId);
      this.#letGo(writer);
    });
  }

  async *loadHistory(
    threadId: ThreadId,
    { includeArchived = false }: { readonly includeArchived?: boolean } = {},
  ): AsyncGenerator<RolloutLine> {
    await this.#readable(threadId, includeArchived);
    const { length } = await this.#index.current.stretches(threadId);
    for (let index = 0; index < length; index += 1) yield* readStretch(await this.#stored.openStretch(threadId, index));
  }

  async readThread(
    threadId: ThreadId,
    { includeArchived = false }: { readonly includeArchived?: boolean } = {},
  ): Promise<StoredThread> {
    return (await this.#readable(threadId, includeArchived)).thread;
  }

  async readThreadByPath(
    path: string,
    { includeArchived = false }: { readonly includeArchived?: boolean } = {},
  ): Promise<StoredThread> {
    const { thread, rollouts } = await this.#index.current.locateByPath(await canonicalPath(this.#home, path), false);
    if (rollouts[0].isArchived && !includeArchived) throw invalidRequest(`thread ${thread.id} is archived: ${path}`);
    return thread;
  }

  async listThreads(query: ThreadQuery): Promise<Page<StoredThread>> {
    return this.#index.current.list(query);
  }

  async searchThreads(params: SearchThreads): Promise<Page<SearchHit>> {
    return this.#index.current.search(params);
  }

  async listTurns(params: ListTurns): Promise<Page<Turn>> {
    return this.#index.current.turns(params);
  }

  async listItems(params: ListItems): Promise<Page<ThreadItemEntry>> {
    return this.#index.current.items(params);
  }

  async updateThreadMetadata(threadId: ThreadId, patch: ThreadMetadataPatch): Promise<StoredThread> {
    assertValidPatch(patch);
    return this.#lifecycle.run(threadId, async () => {
      await this.#storeIfLazy(threadId, 'power');
      await this.#patches.apply(threadId, patch, this.#live.find(threadId)?.writer);
      return (await this.#index.located(threadId)).thread;
    });
  }

  async archiveThreads(threadIds: readonly [ThreadId, ...ThreadId[]]): Promise<readonly ThreadId[]> {
    return this.#lifecycle.runAll(threadIds, async () => {
      await this.#assertAllFree(threadIds);
      const [first] = threadIds;
      await this.#collections.archive(first);
      const archived = [first];
      for (const threadId of new Set(threadIds.slice(1).filter((other) => other !== first))) {
        const isDone = await this.#collections.archive(threadId).then(
          () => true,
          () => false,
        );
        if (isDone) archived.push(threadId);
      }
      return archived;
    });
  }

  async unarchiveThread(threadId: ThreadId): Promise<StoredThread> {
    return this.#lifecycle.run(threadId, () => this.#collections.unarchive(threadId));
  }

  async deleteThreads(threadIds: readonly [ThreadId, ...ThreadId[]]): Promise<readonly ThreadId[]> {
    return this.#lifecycle.runAll(threadIds, async () => {
      this.#assertNoneLive(threadIds);
      return this.#deletions.remove(threadIds);
    });
  }

  assertUnreferenced(threadIds: readonly ThreadId[]): Promise<void> {
    return this.#deletions.assertUnreferenced(threadIds);
  }

  async revertThread(
    threadId: ThreadId,
    beforeTurnId: string,
    records: readonly NewRecord[] = [],
  ): Promise<StoredThread> {
    return this.#lifecycle.run(threadId, async () => {
      this.#assertNoneLive([threadId]);
      await this.#reverts.revert(threadId, beforeTurnId, records);
      return (await this.#index.located(threadId)).thread;
    });
  }

  async descendantsOf(threadId: ThreadId): Promise<readonly ThreadId[]> {
    return this.#index.current.descendants(threadId);
  }

  async inspect(): Promise<Readonly<Record<string, JsonValue>>> {
    const index = await this.#indexApi.status();
    return {
      kind: 'local',
      home: this.#home.home,
      openFiles: this.#openFiles.count,
      writers: this.#live.all.map(({ threadId, writer }) => ({
        threadId,
        isStored: writer.isStored,
        queuedBytes: writer.queuedBytes,
        failure: writer.failure === undefined ? null : writer.failure.message,
      })),
      index: { ...index },
    };
  }

  async audit(): Promise<StoreAudit> {
    return this.#index.current.audit();
  }

  async close(): Promise<void> {
    for (const { threadId } of this.#live.all) {
      await this.shutdownThread(threadId).catch(() => this.discardThread(threadId).catch(() => {}));
    }
    await this.#indexApi.close();
    await this.#locks.close();
  }

  /** Resolves when the index has read everything that is there now. */
  whenIndexed(): Promise<void> {
    return this.#index.current.whenReady();
  }

  #create(
    params: Pick<CreateThread, 'threadId' | 'historyMode' | 'createdAtMs'>,
    header: CreateThread['header'],
    prefix?: HistoryPrefix,
  ): ReturnType<LiveWriters['open']> {
    const { threadId, historyMode, createdAtMs } = params;
    return this.#live.open(threadId, async () => ({
      historyMode,
      path: this.#home.activePath({
        threadId,
        rolloutId: threadId,
        localTime: localTimeOf(createdAtMs),
        isCompressed: false,
      }),
      start: startOfRollout(header, historyMode, prefix),
    }));
  }

  /** Where a fork ends: at nothing that its source, which goes on being written, may yet refuse. */
  async #prefix(sourceId: ThreadId, boundary: ForkBoundary): Promise<HistoryPrefix> {
    const writer = this.#live.find(sourceId)?.writer;
    for (let look = 1; ; look += 1) {
      const cuts = writer?.cuts;
      const prefix = await this.#index.current.prefix(sourceId, boundary);
      await writer?.decided();
      if (writer?.cuts === cuts) return prefix;
      if (look === LOOKS) throw internal(`what is written to thread ${sourceId} is cut off again and again`);
    }
  }

  /** A lazy thread that something is to be done with comes into being. */
  async #storeIfLazy(threadId: ThreadId, durability: Durability): Promise<void> {
    const writer = this.#live.find(threadId)?.writer;
    if (writer === undefined || writer.isStored) return;
    await writer.persist(durability);
    this.#index.touch(writer.path);
  }

  /** A rollout outside the home stands for its thread only while it is live. */
  #letGo(writer: RolloutWriter): void {
    if (!this.#home.isCollected(writer.path)) this.#index.forget(writer.path);
    else if (writer.isStored) this.#index.touch(writer.path);
  }

  async #readable(threadId: ThreadId, includeArchived: boolean): Promise<LocatedThread> {
    const located = await this.#index.located(threadId);
    if (located.rollouts[0].isArchived && !includeArchived) throw noRollout(threadId);
    return located;
  }

  #assertNoneLive(threadIds: readonly ThreadId[]): void {
    for (const threadId of threadIds) {
      if (this.#live.find(threadId) === undefined) continue;
      throw conflict(`thread ${threadId} has a live writer in this process`, `pid ${process.pid} (skein)`);
    }
  }

  /** Finds a writer anywhere before anything is touched. */
  async #assertAllFree(threadIds: readonly ThreadId[]): Promise<void> {
    this.#assertNoneLive(threadIds);
    for (const threadId of threadIds) await this.#locks.assertFree(threadId);
  }
}

function assertCwd(cwd: string): void {
  if (cwd === '') throw invalidRequest('local thread store requires a cwd');
}
