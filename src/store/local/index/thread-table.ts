import { isDeepStrictEqual } from 'node:util';
import type { Statement } from 'better-sqlite3';
import type { ThreadId } from '../../../domain/ids.ts';
import type { SessionMeta } from '../../../domain/session-meta.ts';
import { storedThread, type StoredThread } from '../../../domain/stored-thread.ts';
import type { ThreadFacts } from '../../../domain/thread-facts.ts';
import {
  foldedText,
  normalizedFolder,
  sourceKindsOf,
  type SourceKind,
  type ThreadPosition,
  type ThreadQuery,
  type ThreadSortKey,
} from '../../../domain/thread-query.ts';
import { storedJson, type IndexDatabase } from './database.ts';
import type { RolloutRow } from './rollout-row.ts';
import type { RolloutTable } from './rollout-table.ts';

const SORT_COLUMNS: Readonly<Record<ThreadSortKey, string>> = {
  createdAt: 'created_ms',
  updatedAt: 'updated_ms',
  recencyAt: 'recency_ms',
};

const SORT_INDEXES: Readonly<Record<ThreadSortKey, string>> = {
  createdAt: 'threads_created',
  updatedAt: 'threads_updated',
  recencyAt: 'threads_recency',
};

/** Threads that are sorted faster than found in order among all others. */
const FEW = 2_000;

const SOURCE_BITS: Readonly<Record<SourceKind, number>> = {
  cli: 1,
  vscode: 2,
  exec: 4,
  appServer: 8,
  subAgent: 16,
  subAgentReview: 32,
  subAgentCompact: 64,
  subAgentThreadSpawn: 128,
  subAgentOther: 256,
  unknown: 512,
};

/** How a row becomes what callers see. */
export interface ThreadView {
  /** Absolute path of a stored one. */
  readonly pathOf: (stored: string) => string;
  readonly defaultModelProvider: string;
}

/** A thread as the index has it, with the rollout it stands in. */
export interface IndexedThread {
  readonly thread: StoredThread;
  readonly rollout: RolloutRow;
  readonly header: SessionMeta;
  readonly facts: ThreadFacts;
}

/** Rows of `threads`: kept from rollouts and names, read by lists. */
export class ThreadTable {
  readonly #database: IndexDatabase;
  readonly #rollouts: RolloutTable;
  readonly #view: ThreadView;
  readonly #upsert: Statement;
  readonly #delete: Statement;
  readonly #nameRow: Statement;
  readonly #children: Statement;
  readonly #rolloutOf: Statement;
  readonly #row: Statement;
  readonly #count: Statement;
  readonly #withoutFile: Statement;
  readonly #countInFolders: Statement;
  /** Statements of lists by their text: there are few shapes, and preparing costs more than running. */
  readonly #lists = new Map<string, Statement>();

  constructor(database: IndexDatabase, rollouts: RolloutTable, view: ThreadView) {
    this.#database = database;
    this.#rollouts = rollouts;
    this.#view = view;
    const prepare = (sql: string): Statement => database.prepare(sql);
    this.#upsert = prepare(`
      INSERT OR REPLACE INTO threads (thread_id, rollout, archived, shown, created_ms, updated_ms, recency_ms, provider,
                                      sources, cwd, parent_id, title)
      VALUES (:threadId, :rollout, :archived, :shown, :createdMs, :updatedMs, :recencyMs, :provider, :sources, :cwd,
              :parentId, :title)`);
    this.#delete = prepare('DELETE FROM threads WHERE thread_id = ?');
    this.#nameRow = prepare('SELECT name, updated_ms FROM names WHERE thread_id = ?');
    this.#children = prepare('SELECT thread_id FROM threads WHERE parent_id = ? ORDER BY thread_id').pluck();
    this.#countInFolders = prepare(`
      SELECT count(*) FROM (
        SELECT 1 FROM threads INDEXED BY threads_cwd
        WHERE archived = :archived AND shown = 1 AND cwd IN (SELECT value FROM json_each(:cwds)) LIMIT :limit)`).pluck();
    this.#rolloutOf = prepare('SELECT rollout FROM threads WHERE thread_id = ?').pluck();
    this.#row = prepare(`
      SELECT thread_id AS threadId, rollout, archived, shown, created_ms AS createdMs, updated_ms AS updatedMs,
             recency_ms AS recencyMs, provider, sources, cwd, parent_id AS parentId, title
      FROM threads WHERE thread_id = ?`);
    this.#count = prepare('SELECT count(*) FROM threads').pluck();
    this.#withoutFile = prepare(`
      SELECT thread_id FROM threads WHERE rollout NOT IN (SELECT id FROM rollouts WHERE state <> 3)`).pluck();
  }

  /**
   * Derives a thread's row from its current rollout and its name. There is none if no rollout is readable, and none
   * while the current one is unread: what an older one says of the thread may be long past.
   */
  refresh(threadId: ThreadId): void {
    const row = this.#derived(threadId);
    if (row === undefined) this.#delete.run(threadId);
    else this.#upsert.run(row);
  }

  /** Holds a thread's row against what it would be if it were derived now. */
  compare(threadId: ThreadId): 'same' | 'different' | 'notListed' | 'onlyListed' {
    const derived = this.#derived(threadId);
    const row = this.#row.get(threadId);
    if (derived === undefined) return row === undefined ? 'same' : 'onlyListed';
    if (row === undefined) return 'notListed';
    return isDeepStrictEqual(row, derived) ? 'same' : 'different';
  }

  count(): number {
    return this.#count.get() as number;
  }

  /** Threads whose row leads to no file that is there. */
  withoutFile(): readonly ThreadId[] {
    return this.#withoutFile.all() as ThreadId[];
  }

  #derived(threadId: ThreadId): Record<string, string | number | null> | undefined {
    const current = this.#rollouts.ofThread(threadId).find((row) => row.state !== 'unreadable');
    const indexed = current?.state === 'indexed' ? this.#indexed(current) : undefined;
    if (indexed === undefined) return undefined;
    const { thread, rollout, facts } = indexed;
    return {
      threadId,
      rollout: rollout.id,
      archived: rollout.isArchived ? 1 : 0,
      shown: thread.preview === '' ? 0 : 1,
      createdMs: thread.createdAtMs,
      updatedMs: thread.updatedAtMs,
      recencyMs: thread.recencyAtMs,
      provider: facts.modelProvider,
      sources: sourceKindsOf(thread.source).reduce((bits, kind) => bits | SOURCE_BITS[kind], 0),
      cwd: normalizedFolder(thread.cwd),
      parentId: thread.parentThreadId,
      title: foldedText(thread.name ?? thread.preview),
    };
  }

  /** The thread with its current rollout, archived or not; undefined if the index has none. */
  get(threadId: ThreadId): IndexedThread | undefined {
    const rollout = this.#rolloutOf.get(threadId) as number | undefined;
    const row = rollout === undefined ? undefined : this.#rollouts.byId(rollout);
    return row === undefined ? undefined : this.#indexed(row);
  }

  /** Any rollout of a thread as if it were the thread's current one. */
  ofRollout(row: RolloutRow): IndexedThread | undefined {
    return this.#indexed(row);
  }

  /** The threads of a page in order, one more than the limit if there are more. */
  list(query: ThreadQuery): readonly StoredThread[] {
    const { sql, params } = this.#listSql(query);
    const statement = this.#lists.get(sql) ?? this.#database.prepare(sql).pluck();
    this.#lists.set(sql, statement);
    return (statement.all(params) as number[]).flatMap((rollout) => {
      const row = this.#rollouts.byId(rollout);
      const indexed = row === undefined ? undefined : this.#indexed(row);
      return indexed === undefined ? [] : [indexed.thread];
    });
  }

  /** Descendants, nearest first. */
  descendantsOf(threadId: ThreadId): readonly ThreadId[] {
    const found: ThreadId[] = [];
    const known = new Set<ThreadId>([threadId]);
    let generation: readonly ThreadId[] = [threadId];
    while (generation.length > 0) {
      generation = generation
        .flatMap((parent) => this.#children.all(parent) as ThreadId[])
        .filter((child) => !known.has(child));
      for (const child of generation) known.add(child);
      found.push(...generation);
    }
    return found;
  }

  #indexed(row: RolloutRow): IndexedThread | undefined {
    const facts = row.facts === null ? null : storedJson<ThreadFacts>(row.facts);
    if (facts === null || facts.header === null) return undefined;
    // A header that does not say when leaves it to the file's name.
    const createdAtMs = facts.header.createdAtMs === 0 ? row.nameMs : facts.header.createdAtMs;
    const thread = storedThread({ ...facts.header, createdAtMs }, facts, {
      path: this.#view.pathOf(row.path),
      name: this.#nameOf(row.threadId, facts),
      updatedAtMs: row.mtimeMs,
      archivedAtMs: row.isArchived ? row.mtimeMs : null,
      defaultModelProvider: this.#view.defaultModelProvider,
    });
    return { thread, rollout: row, header: facts.header, facts };
  }

  /** The newer of the name in the name index and one given in the history itself (SPEC META-4). */
  #nameOf(threadId: ThreadId, facts: ThreadFacts): string | null {
    const indexed = this.#nameRow.get(threadId) as { name: string; updated_ms: number } | undefined;
    const inHistory = facts.namedInHistory;
    return inHistory !== null && inHistory.atMs > (indexed?.updated_ms ?? 0) ? inHistory.name : (indexed?.name ?? null);
  }

  #listSql(query: ThreadQuery): { readonly sql: string; readonly params: Record<string, unknown> } {
    const column = SORT_COLUMNS[query.sortKey];
    const params: Record<string, unknown> = { archived: query.isArchived ? 1 : 0, limit: query.limit + 1 };
    const where = ['archived = :archived'];
    if (query.onlyIds === undefined) where.push('shown = 1');
    else {
      where.push('thread_id IN (SELECT value FROM json_each(:only))');
      params['only'] = JSON.stringify(query.onlyIds);
    }
    if (query.after !== undefined) where.push(afterSql(column, query, query.after, params));
    if (query.modelProviders !== undefined) {
      where.push(`coalesce(provider, :defaultProvider) IN (SELECT value FROM json_each(:providers))`);
      params['defaultProvider'] = this.#view.defaultModelProvider;
      params['providers'] = JSON.stringify(query.modelProviders);
    }
    if (query.sourceKinds !== undefined) {
      where.push('sources & :sources <> 0');
      params['sources'] = query.sourceKinds.reduce((bits, kind) => bits | SOURCE_BITS[kind], 0);
    }
    if (query.cwds !== undefined) {
      where.push('cwd IN (SELECT value FROM json_each(:cwds))');
      params['cwds'] = JSON.stringify(query.cwds.map(normalizedFolder));
    }
    if (query.titleContains !== undefined) {
      where.push('instr(title, :title) > 0');
      params['title'] = foldedText(query.titleContains);
    }
    if (query.excludedIds !== undefined && query.excludedIds.length > 0) {
      where.push('thread_id NOT IN (SELECT value FROM json_each(:excluded))');
      params['excluded'] = JSON.stringify(query.excludedIds);
    }
    if (query.parentId !== undefined) {
      where.push('parent_id = :parent');
      params['parent'] = query.parentId;
    }
    if (query.ancestorId !== undefined) {
      where.push('thread_id IN (SELECT value FROM json_each(:descendants))');
      params['descendants'] = JSON.stringify(this.descendantsOf(query.ancestorId));
    }
    const order = query.direction === 'asc' ? 'ASC' : 'DESC';
    const sql = `SELECT rollout FROM threads ${this.#narrowestWay(query, params)} WHERE ${where.join(' AND ')}
                 ORDER BY ${column} ${order}, thread_id ${order} LIMIT :limit`;
    return { sql, params };
  }

  /** Which index leads to a page with the least reading: that of the order, unless a filter leaves few threads. */
  #narrowestWay(query: ThreadQuery, params: Record<string, unknown>): string {
    if (query.ancestorId !== undefined || query.onlyIds !== undefined) return 'NOT INDEXED';
    if (query.parentId !== undefined) return 'INDEXED BY threads_parent';
    const { archived, cwds } = params;
    const isFew = cwds !== undefined && this.#countInFolders.get({ archived, cwds, limit: FEW }) !== FEW;
    return isFew ? 'INDEXED BY threads_cwd' : `INDEXED BY ${SORT_INDEXES[query.sortKey]}`;
  }
}

function afterSql(column: string, query: ThreadQuery, after: ThreadPosition, params: Record<string, unknown>): string {
  const beyond = query.direction === 'asc' ? '>' : '<';
  params['key'] = after.keyMs;
  if (after.id === null) return `${column} ${beyond} :key`;
  params['id'] = after.id;
  return `(${column}, thread_id) ${beyond} (:key, :id)`;
}
