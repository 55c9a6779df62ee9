import type { ThreadId } from '../domain/ids.ts';
import type { JsonObject, JsonValue } from '../domain/json.ts';
import type { ThreadMetadataPatch } from '../domain/metadata-patch.ts';
import type { Page, SortDirection } from '../domain/page.ts';
import type { RolloutItem, RolloutLine } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import type { StoreAudit } from '../domain/store-audit.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import type { ThreadFacts } from '../domain/thread-facts.ts';
import type { ThreadQuery } from '../domain/thread-query.ts';
import type { ThreadItemEntry, Turn, TurnItemsView } from '../domain/turn.ts';

/**
 * How far an acknowledged write has come (D6). `process`: in the kernel, survives the end of this process.
 * `power`: on stable storage, survives the end of the machine. A store without that distinction gives the stronger.
 */
export type Durability = 'process' | 'power';

/** A record on its way into a history. The store numbers it where the history mode wants that. */
export interface NewRecord {
  /** UTC, ISO 8601 with milliseconds. */
  readonly timestamp: string;
  readonly item: RolloutItem;
}

export interface CreateThread {
  readonly threadId: ThreadId;
  readonly historyMode: HistoryMode;
  /** Working directory; needed, must not be empty. */
  readonly cwd: string;
  /** Unix ms; the header's `timestamp`, and what file names are made of. */
  readonly createdAtMs: number;
  readonly header: HeaderSource;
}

/**
 * Makes the `session_meta` payload. Called when the thread is first written, not when it is created, so that
 * facts such as git are those of that moment; called again if that first write failed.
 */
export type HeaderSource = () => Promise<JsonObject>;

/** A thread that has a writer and no history yet. */
export interface PlannedThread {
  /** Absolute path that its rollout will have; null in stores without local files. */
  readonly path: string | null;
}

export interface ResumeThread {
  readonly threadId: ThreadId;
  /** A rollout to resume instead of the one the id leads to. Needs `supports.paths`. */
  readonly path?: string;
  readonly includeArchived?: boolean;
}

export interface AppendRecords {
  readonly threadId: ThreadId;
  /** At least one; in order. */
  readonly records: readonly NewRecord[];
  /** What the history says after these records, for stores that do not read it back. What the header says they know. */
  readonly facts: ThreadFacts;
  readonly durability: Durability;
  /**
   * What becomes of the records if they cannot be written now. `keep`: they stay queued, and later writes
   * and barriers retry them, so the caller must not send them again. `withdraw`: they are taken back. Where that fails
   * too the error is `uncertain`: readers may see them until a later write or barrier has taken them back, or, if the
   * process ends before that, for good.
   */
  readonly onFailure: 'keep' | 'withdraw';
}

/** Where a fork leaves its source. Positions count after rollbacks. */
export type ForkBoundary =
  | { readonly kind: 'latest' }
  /** This turn is the last one kept. */
  | { readonly kind: 'throughTurn'; readonly turnId: string }
  /** This turn and all later ones are left out. */
  | { readonly kind: 'beforeTurn'; readonly turnId: string }
  /** Left out from the user message with this 0-based number on; past the end keeps everything. */
  | { readonly kind: 'beforeUserMessage'; readonly index: number };

export interface ForkThread extends CreateThread {
  readonly sourceId: ThreadId;
  readonly boundary: ForkBoundary;
}

export interface ListTurns {
  readonly threadId: ThreadId;
  readonly cursor?: string;
  /** At least 1. */
  readonly limit: number;
  readonly direction: SortDirection;
  readonly itemsView: TurnItemsView;
}

export interface ListItems {
  readonly threadId: ThreadId;
  /** Only items of this turn. */
  readonly turnId?: string;
  readonly cursor?: string;
  /** Start beyond this item of `turnId`, instead of a cursor. */
  readonly anchorItemId?: string;
  /** At least 1. */
  readonly limit: number;
  readonly direction: SortDirection;
}

export interface SearchThreads {
  readonly query: ThreadQuery;
  /** What to find in messages; not blank. Case-insensitive, literal. */
  readonly term: string;
}

export interface SearchHit {
  readonly thread: StoredThread;
  /** The words around the first place found. */
  readonly snippet: string;
}

/** What a store can do beyond the rest; asked before work begins (D3). */
export interface StoreSupport {
  /** Threads have local paths: `readThreadByPath`, `ResumeThread.path`. */
  readonly paths: boolean;
}

/**
 * The storage port: durable histories of threads and what is known about them, free of paths (D3).
 *
 * A thread is *live* between `createThread`, `resumeThread` or `forkThread` and `shutdownThread` or
 * `discardThread`; only then it can be appended to. Records of one thread keep the order of their appends;
 * threads do not wait for each other. All failures are `SkeinError`s: `notFound`, `invalidRequest`,
 * `conflict` (with the holder), `unsupported`, `overloaded`, `internal` (with errno).
 */
export interface ThreadStore {
  readonly supports: StoreSupport;

  /**
   * Registers a writer for a new thread and says where it will lie. Nothing is stored yet: the thread is *lazy* until its first append
   * or `persistThread`.
   * @throws invalidRequest if it is live here or has no `cwd`; conflict if someone else writes it
   */
  createThread(params: CreateThread): Promise<PlannedThread>;

  /**
   * Registers a writer over stored history, which stays as it is: no record, no new modification time.
   * @throws notFound; invalidRequest if live here; conflict if someone else writes it
   */
  resumeThread(params: ResumeThread): Promise<StoredThread>;

  /**
   * Registers a writer for a new thread that begins with a prefix of another one, and stores its header
   * before it returns. The source stays as it is and may go on being written meanwhile.
   * @throws notFound; invalidRequest for a turn that is not there
   */
  forkThread(params: ForkThread): Promise<StoredThread>;

  /** Adds records; acknowledged as `durability` says. Makes a lazy thread stored. @throws notFound if not live */
  appendItems(params: AppendRecords): Promise<void>;

  /** Stores a lazy thread's header, and all that is queued. Returns when that is durable. @throws notFound if not live */
  persistThread(threadId: ThreadId, durability: Durability): Promise<void>;

  /** Makes all that is queued durable; does nothing for a lazy thread. @throws notFound if not live */
  flushThread(threadId: ThreadId, durability: Durability): Promise<void>;

  /**
   * Flushes and releases the writer; an unused thread leaves nothing behind. If the flush fails the thread
   * stays live with what it has queued, and shutdown can be tried again. @throws notFound if not live
   */
  shutdownThread(threadId: ThreadId): Promise<void>;

  /** Releases the writer without writing what is queued. What is stored stays. @throws notFound if not live */
  discardThread(threadId: ThreadId): Promise<void>;

  /** All records, oldest first, inherited ones included; damaged ones are left out. Read in pieces, never whole. */
  loadHistory(threadId: ThreadId, options?: { readonly includeArchived?: boolean }): AsyncIterable<RolloutLine>;

  /** @throws notFound, also for an archived thread unless `includeArchived` */
  readThread(threadId: ThreadId, options?: { readonly includeArchived?: boolean }): Promise<StoredThread>;

  /** Needs `supports.paths`. Relative paths are below the home. @throws invalidRequest naming the path */
  readThreadByPath(path: string, options?: { readonly includeArchived?: boolean }): Promise<StoredThread>;

  /** Threads that have something to show, that is a preview. */
  listThreads(query: ThreadQuery): Promise<Page<StoredThread>>;

  searchThreads(params: SearchThreads): Promise<Page<SearchHit>>;

  /**
   * Turns, archived threads included. A turn without an end is `inProgress`, or `interrupted` where a paginated fork has taken it over.
   * @throws notFound; invalidRequest for a bad cursor
   */
  listTurns(params: ListTurns): Promise<Page<Turn>>;

  /** Items, archived threads included. @throws notFound; invalidRequest for a bad cursor or anchor */
  listItems(params: ListItems): Promise<Page<ThreadItemEntry>>;

  /**
   * Applies a patch, all members or none; an empty one is a read. Live or not, archived or not (an archived
   * thread stays archived). A lazy thread is stored first.
   * @throws notFound; invalidRequest for a bad member; conflict if someone else writes the thread
   */
  updateThreadMetadata(threadId: ThreadId, patch: ThreadMetadataPatch): Promise<StoredThread>;

  /**
   * Hides threads from the active list. The first must succeed; the others are tried, and those that
   * succeeded are returned with it. @throws notFound if the first is unknown or archived; conflict if live or
   * written by someone else, before anything moves
   */
  archiveThreads(threadIds: readonly [ThreadId, ...ThreadId[]]): Promise<readonly ThreadId[]>;

  /** Undoes {@link archiveThreads}; the thread counts as updated now. @throws conflict if live; notFound if it is not archived */
  unarchiveThread(threadId: ThreadId): Promise<StoredThread>;

  /**
   * Removes threads for good. A missing one beside the first counts as removed.
   * @throws notFound if the first is unknown; conflict if live or written by someone else; invalidRequest if a
   * thread outside the set was forked from one of them by reference. Before anything is removed.
   */
  deleteThreads(threadIds: readonly [ThreadId, ...ThreadId[]]): Promise<readonly ThreadId[]>;

  /**
   * Whether {@link deleteThreads} would be refused because of forks, for whoever has something to end before it. A
   * fork that is made meanwhile still keeps it. @throws invalidRequest as that does
   */
  assertUnreferenced(threadIds: readonly ThreadId[]): Promise<void>;

  /**
   * Replaces a stored, not live, paginated thread's history by its prefix before a turn.
   * @param records stand behind that: either all of it is done, or nothing. Default: none
   * @throws invalidRequest for legacy history or an unknown turn; conflict if live
   */
  revertThread(threadId: ThreadId, beforeTurnId: string, records?: readonly NewRecord[]): Promise<StoredThread>;

  /** Threads spawned by this one, at any depth, nearest first. */
  descendantsOf(threadId: ThreadId): Promise<readonly ThreadId[]>;

  /** What an operator sees of the store: writers, queues, index. JSON, no secrets. */
  inspect(): Promise<Readonly<Record<string, JsonValue>>>;

  /**
   * Holds the list of threads against what is held; changes neither. Costs a look at every history, without keeping others
   * waiting.
   */
  audit(): Promise<StoreAudit>;

  /** Releases everything. Writers that are still live are shut down, or discarded if that fails. */
  close(): Promise<void>;
}
