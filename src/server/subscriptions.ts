import type { ThreadId } from '../domain/ids.ts';
import type { Connection } from './connection.ts';

/** Who learns whether anyone wants a thread. */
export interface SubscriptionsObserver {
  onWanted(threadId: ThreadId): void;
  /** Nobody watches it or is about to. May be said again. */
  onAbandoned(threadId: ThreadId): void;
}

/**
 * Who watches which thread. Watching is the connection's: it ends with it, and a thread that is loaded anew (after a
 * revert) keeps its watchers.
 */
export class Subscriptions {
  readonly #byThread = new Map<ThreadId, Set<Connection>>();
  readonly #byConnection = new Map<Connection, Set<ThreadId>>();
  /** Requests that will make somebody a watcher, by thread. */
  readonly #expected = new Map<ThreadId, number>();
  readonly #observer: SubscriptionsObserver;

  constructor(observer: SubscriptionsObserver) {
    this.#observer = observer;
  }

  /** Makes a connection a watcher, unless it is gone by now. */
  add(threadId: ThreadId, connection: Connection): void {
    if (!connection.isClosed) {
      setOf(this.#byThread, threadId).add(connection);
      setOf(this.#byConnection, connection).add(threadId);
    }
    this.#judge(threadId);
  }

  /** Wants a thread while work goes on that may end with a new watcher. */
  async expecting<T>(threadId: ThreadId, work: () => Promise<T>): Promise<T> {
    this.#expected.set(threadId, (this.#expected.get(threadId) ?? 0) + 1);
    this.#judge(threadId);
    try {
      return await work();
    } finally {
      const left = (this.#expected.get(threadId) ?? 1) - 1;
      if (left > 0) this.#expected.set(threadId, left);
      else this.#expected.delete(threadId);
      this.#judge(threadId);
    }
  }

  /** @returns whether the connection was watching */
  remove(threadId: ThreadId, connection: Connection): boolean {
    if (this.#byThread.get(threadId)?.has(connection) !== true) return false;
    this.#forget(threadId, connection);
    this.#judge(threadId);
    return true;
  }

  /** The connection is gone. */
  removeConnection(connection: Connection): void {
    for (const threadId of this.threadsOf(connection)) this.remove(threadId, connection);
  }

  /** The thread is gone, or unloaded for good: whoever wants to watch it again says so. */
  removeThread(threadId: ThreadId): void {
    for (const connection of this.watchersOf(threadId)) this.#forget(threadId, connection);
  }

  watchersOf(threadId: ThreadId): ReadonlySet<Connection> {
    return this.#byThread.get(threadId) ?? NONE;
  }

  threadsOf(connection: Connection): readonly ThreadId[] {
    return [...(this.#byConnection.get(connection) ?? [])];
  }

  /** Somebody watches it, or is about to. */
  isWanted(threadId: ThreadId): boolean {
    return this.#byThread.has(threadId) || this.#expected.has(threadId);
  }

  #forget(threadId: ThreadId, connection: Connection): void {
    removeFrom(this.#byThread, threadId, connection);
    removeFrom(this.#byConnection, connection, threadId);
  }

  #judge(threadId: ThreadId): void {
    if (this.isWanted(threadId)) this.#observer.onWanted(threadId);
    else this.#observer.onAbandoned(threadId);
  }
}

const NONE: ReadonlySet<Connection> = new Set();

function setOf<K, V>(sets: Map<K, Set<V>>, key: K): Set<V> {
  const set = sets.get(key) ?? new Set();
  sets.set(key, set);
  return set;
}

/** Empty sets are not kept. */
function removeFrom<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const set = sets.get(key);
  set?.delete(value);
  if (set?.size === 0) sets.delete(key);
}
