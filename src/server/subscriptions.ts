import type { ThreadId } from '../domain/ids.ts';
import type { Connection } from './connection.ts';

/**
 * Who watches which thread. Watching is the connection's: it ends with it, and a thread that is loaded anew (after a
 * revert) keeps its watchers.
 */
export class Subscriptions {
  readonly #byThread = new Map<ThreadId, Set<Connection>>();
  readonly #onAbandoned: (threadId: ThreadId) => void;

  /** @param onAbandoned called when the last watcher of a thread has left */
  constructor(onAbandoned: (threadId: ThreadId) => void) {
    this.#onAbandoned = onAbandoned;
  }

  add(threadId: ThreadId, connection: Connection): void {
    const watchers = this.#byThread.get(threadId) ?? new Set();
    watchers.add(connection);
    this.#byThread.set(threadId, watchers);
  }

  /** @returns whether the connection was watching */
  remove(threadId: ThreadId, connection: Connection): boolean {
    const watchers = this.#byThread.get(threadId);
    if (watchers === undefined || !watchers.delete(connection)) return false;
    if (watchers.size === 0) {
      this.#byThread.delete(threadId);
      this.#onAbandoned(threadId);
    }
    return true;
  }

  removeConnection(connection: Connection): void {
    for (const threadId of this.threadsOf(connection)) this.remove(threadId, connection);
  }

  watchersOf(threadId: ThreadId): ReadonlySet<Connection> {
    return this.#byThread.get(threadId) ?? NOBODY;
  }

  threadsOf(connection: Connection): readonly ThreadId[] {
    return [...this.#byThread].filter(([, watchers]) => watchers.has(connection)).map(([threadId]) => threadId);
  }
}

const NOBODY: ReadonlySet<Connection> = new Set();
