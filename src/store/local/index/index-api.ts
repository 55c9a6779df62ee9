import type { ThreadId } from '../../../domain/ids.ts';
import type { Page } from '../../../domain/page.ts';
import type { HistoryMode } from '../../../domain/session-meta.ts';
import type { StoreAudit } from '../../../domain/store-audit.ts';
import type { StoredThread } from '../../../domain/stored-thread.ts';
import type { ThreadQuery } from '../../../domain/thread-query.ts';
import type { ThreadItemEntry, Turn } from '../../../domain/turn.ts';
import type { FileStretch } from '../rollout-start.ts';
import type { RestoredTime } from './plain-again.ts';
import type { ForkBoundary, ListItems, ListTurns, SearchHit, SearchThreads } from '../../thread-store.ts';

/** A rollout file of a thread. */
export interface RolloutPlace {
  readonly rolloutId: ThreadId;
  /** Absolute, and the plain one even while the rollout is compressed. */
  readonly path: string;
  readonly isArchived: boolean;
}

/** A thread as its files have it now. */
export interface LocatedThread {
  readonly thread: StoredThread;
  readonly historyMode: HistoryMode;
  /** All its files, the current one first. */
  readonly rollouts: readonly [RolloutPlace, ...RolloutPlace[]];
  /** Name given in the history itself, if that is newer than the one in the name index (SPEC META-4). */
  readonly unindexedName: string | null;
}

/** A prefix of a thread's history, as a fork or a revert refers to it or copies it. */
export interface HistoryPrefix {
  readonly source: StoredThread;
  readonly historyMode: HistoryMode;
  /** The rollout that the prefix ends in. */
  readonly rollout: RolloutPlace;
  /** Bytes of that rollout that belong to it. */
  readonly endOffset: number;
  /** Ordinal of the first record left out; null in legacy history. */
  readonly endOrdinal: number | null;
  /** The turn that was going on where a `latest` prefix ends, if one was. */
  readonly openTurnId: string | null;
}

/** How the index is doing, for `status` and the debug socket. */
export interface IndexStatus {
  /** `scanning`: looking at which files there are. `building`: reading them. Lists are served all along. */
  readonly state: 'scanning' | 'building' | 'ready';
  readonly pending: number;
  readonly indexed: number;
  readonly unreadable: number;
  /**
   * Lines in all rollouts that are no records, and are passed over. A torn last line counts once it has ended: a writer
   * that goes on behind one gives it its newline, so a kill may leave one.
   */
  readonly defects: number;
  /** The files with the most of them, absolute paths; not all, if there are many. */
  readonly defectsIn: readonly { readonly path: string; readonly defects: number }[];
  /** Bytes of rollouts read since start. */
  readonly bytesRead: number;
  /** Why the index that was there could not be used, if it could not; it was set aside or, if full, left alone. */
  readonly setAside: string | null;
  readonly isInMemory: boolean;
  readonly isWatching: boolean;
  /** Why files are no longer read in the background, if they are not; those asked for are read all the same. */
  readonly problem: string | null;
}

/**
 * What the rest of the local store asks of the index. Every answer about one thread is as new as its files are at
 * that moment; lists are too, as far as the operating system has told of changes by other processes.
 * Failures are `SkeinError`s.
 */
export interface IndexApi {
  /** A thread and its files. Looks for new files before it says that there is none. */
  locate(threadId: ThreadId): Promise<LocatedThread | undefined>;
  /** The thread in a file, wherever that lies. `isAdopted`: the file becomes the thread's current one. */
  locateByPath(path: string, isAdopted: boolean): Promise<LocatedThread>;
  /** All files named for a thread, readable or not, the current one last. Absolute paths. */
  files(threadId: ThreadId): Promise<readonly string[]>;
  list(query: ThreadQuery): Promise<Page<StoredThread>>;
  search(params: SearchThreads): Promise<Page<SearchHit>>;
  turns(params: ListTurns): Promise<Page<Turn>>;
  items(params: ListItems): Promise<Page<ThreadItemEntry>>;
  prefix(threadId: ThreadId, boundary: ForkBoundary): Promise<HistoryPrefix>;
  /**
   * The files that hold a thread's history, oldest first. They are there when this resolves; a copy of a compressed
   * one, or one that others move, may be gone soon after.
   */
  stretches(threadId: ThreadId): Promise<readonly FileStretch[]>;
  /**
   * Makes a compressed rollout plain again, durably, before someone writes it; nothing if it is plain or not there.
   * @returns true if it was made plain
   */
  restore(path: string, time: RestoredTime): Promise<boolean>;
  /** As {@link restore} for all rollouts of a thread's history, with the times they had: others will refer to them. */
  restoreHistory(threadId: ThreadId): Promise<void>;
  descendants(threadId: ThreadId): Promise<readonly ThreadId[]>;
  /** Threads outside the set whose history continues one of theirs. */
  referrers(threadIds: readonly ThreadId[]): Promise<readonly ThreadId[]>;
  /** This process wrote, moved or removed these files (absolute paths, old and new ones alike). */
  touch(paths: readonly string[]): Promise<void>;
  /** A file outside the home no longer stands for its thread. */
  forget(path: string): Promise<void>;
  /** Resolves when all files that are there now have been read. */
  whenReady(): Promise<void>;
  status(): Promise<IndexStatus>;
  /** Holds what is known against the files; changes neither. Costs a look at every file. */
  audit(): Promise<StoreAudit>;
  close(): Promise<void>;
}
