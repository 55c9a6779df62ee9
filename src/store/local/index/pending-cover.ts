import type { Statement } from 'better-sqlite3';
import type { StoredThread } from '../../../domain/stored-thread.ts';
import { sortKeyOf, type ThreadQuery, type ThreadSortKey } from '../../../domain/thread-query.ts';
import type { IndexDatabase } from './database.ts';

/** File names carry local time of whatever zone their writer was in: creation is known to a day and a bit only. */
const ZONE_SLACK_MS = 26 * 60 * 60 * 1_000;

/** Files read before the page is looked at again. */
const FILES_PER_ROUND = 32;

/** A thread is as old as its first file; the file that a revert made says nothing of that. */
const EARLIEST = `CASE WHEN rollout_id = thread_id THEN name_ms - ${ZONE_SLACK_MS} ELSE 0 END`;
const LATEST = `name_ms + ${ZONE_SLACK_MS}`;

/** Where a file that nobody has read yet may stand in a list: not before, not after. */
const BOUNDS: Readonly<Record<ThreadSortKey, { readonly low: string; readonly high: string }>> = {
  createdAt: { low: EARLIEST, high: LATEST },
  updatedAt: { low: 'mtime_ms', high: 'mtime_ms' },
  // The last turn began after the thread did, and not after its file was last written.
  recencyAt: { low: EARLIEST, high: `max(mtime_ms, ${LATEST})` },
};

/**
 * While the index is being built: which unread files could still belong on a page. Reading just those makes a page
 * exact without waiting for the rest.
 */
export class PendingCover {
  readonly #database: IndexDatabase;
  readonly #statements = new Map<string, Statement>();

  constructor(database: IndexDatabase) {
    this.#database = database;
  }

  /** Rows of unread files that may belong on this page, those first that most likely do. Empty when it is exact. */
  missingFrom(query: ThreadQuery, page: readonly StoredThread[]): readonly number[] {
    const { low, high } = BOUNDS[query.sortKey];
    const isAscending = query.direction === 'asc';
    const last = page.length > query.limit ? page.at(query.limit - 1) : undefined;
    const params: Record<string, number | string> = { archived: query.isArchived ? 1 : 0, limit: FILES_PER_ROUND };
    const where = ['state = 0', 'archived = :archived'];
    if (query.onlyIds !== undefined) {
      where.push('thread_id IN (SELECT value FROM json_each(:only))');
      params['only'] = JSON.stringify(query.onlyIds);
    }
    if (last !== undefined) {
      where.push(isAscending ? `${low} <= :last` : `${high} >= :last`);
      params['last'] = sortKeyOf(last, query.sortKey);
    }
    if (query.after !== undefined) {
      where.push(isAscending ? `${high} >= :after` : `${low} <= :after`);
      params['after'] = query.after.keyMs;
    }
    const sql = `SELECT id FROM rollouts INDEXED BY rollouts_pending WHERE ${where.join(' AND ')}
                 ORDER BY ${isAscending ? `${low} ASC` : `${high} DESC`} LIMIT :limit`;
    const statement = this.#statements.get(sql) ?? this.#database.prepare(sql).pluck();
    this.#statements.set(sql, statement);
    return statement.all(params) as number[];
  }
}
