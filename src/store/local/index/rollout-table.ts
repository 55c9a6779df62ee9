import type { Statement } from 'better-sqlite3';
import type { ThreadId } from '../../../domain/ids.ts';
import type { IndexDatabase } from './database.ts';

/** What the index knows of a rollout file's content. */
export type RolloutState = 'pending' | 'indexed' | 'unreadable' | 'missing';

const STATES: readonly RolloutState[] = ['pending', 'indexed', 'unreadable', 'missing'];
const stateNumber = (state: RolloutState): number => STATES.indexOf(state);

/** A file as a scan of the home meets it. */
export interface SeenFile {
  readonly rolloutId: ThreadId;
  readonly threadId: ThreadId;
  /** As stored: below the home, or absolute. */
  readonly path: string;
  readonly isArchived: boolean;
  readonly nameMs: number;
  readonly inode: number;
  readonly size: number;
  readonly mtimeMs: number;
}

export interface RolloutRow {
  readonly id: number;
  readonly rolloutId: ThreadId;
  readonly threadId: ThreadId;
  readonly path: string;
  readonly isArchived: boolean;
  readonly state: RolloutState;
  readonly nameMs: number;
  readonly inode: number;
  readonly fileSize: number;
  readonly mtimeMs: number;
  readonly indexedSize: number;
  readonly defects: number;
  readonly firstUserOffset: number | null;
  readonly base: RolloutBase | null;
  /** JSON texts, parsed by those who need them. */
  readonly fold: string | null;
  readonly facts: string | null;
  readonly problem: string | null;
}

export interface RolloutBase {
  readonly rolloutId: ThreadId;
  readonly endOrdinal: number;
  readonly endOffset: number;
}

/** What indexing found in a rollout, up to `indexedSize`. */
export interface IndexedContent {
  readonly indexedSize: number;
  readonly defects: number;
  readonly tornBytes: number;
  readonly firstUserOffset: number | null;
  readonly base: RolloutBase | null;
  readonly fold: string;
  readonly facts: string;
}

export interface IndexCounts {
  readonly pending: number;
  readonly indexed: number;
  readonly unreadable: number;
  readonly missing: number;
  readonly defects: number;
}

/** Reads and writes rows of `rollouts`. */
export class RolloutTable {
  readonly #insert: Statement;
  readonly #see: Statement;
  readonly #reset: Statement;
  readonly #setState: Statement;
  readonly #setContent: Statement;
  readonly #byRollout: Statement;
  readonly #byId: Statement;
  readonly #byPath: Statement;
  readonly #ofThread: Statement;
  readonly #inFolder: Statement;
  readonly #outside: Statement;
  readonly #delete: Statement;
  readonly #deleteTurns: Statement;
  readonly #deleteItems: Statement;
  readonly #all: Statement;
  readonly #counts: Statement;
  readonly #referrers: Statement;
  readonly #nextUnread: Statement;
  readonly #grown: Statement;

  constructor(database: IndexDatabase) {
    const prepare = (sql: string): Statement => database.prepare(sql);
    this.#insert = prepare(`
      INSERT INTO rollouts (rollout_id, thread_id, path, archived, state, name_ms, inode, file_size, mtime_ms,
                            indexed_size, defects, torn_bytes)
      VALUES (:rolloutId, :threadId, :path, :archived, 0, :nameMs, :inode, :size, :mtimeMs, 0, 0, 0)`);
    this.#see = prepare(`
      UPDATE rollouts SET path = :path, archived = :archived, name_ms = :nameMs, inode = :inode, file_size = :size,
                          mtime_ms = :mtimeMs, state = CASE WHEN state = 1 THEN 1 ELSE 0 END
      WHERE id = :id`);
    this.#reset = prepare(`
      UPDATE rollouts SET state = 0, indexed_size = 0, defects = 0, torn_bytes = 0, first_user_offset = NULL,
                          base_rollout_id = NULL, base_end_ordinal = NULL, base_end_offset = NULL, fold = NULL,
                          facts = NULL, problem = NULL
      WHERE id = ?`);
    this.#setState = prepare('UPDATE rollouts SET state = :state, problem = :problem WHERE id = :id');
    this.#setContent = prepare(`
      UPDATE rollouts SET state = 1, problem = NULL, indexed_size = :indexedSize, defects = :defects,
                          torn_bytes = :tornBytes, first_user_offset = :firstUserOffset,
                          base_rollout_id = :baseRolloutId, base_end_ordinal = :baseEndOrdinal,
                          base_end_offset = :baseEndOffset, fold = :fold, facts = :facts
      WHERE id = :id`);
    this.#byRollout = prepare('SELECT * FROM rollouts WHERE rollout_id = ?');
    this.#byId = prepare('SELECT * FROM rollouts WHERE id = ?');
    this.#byPath = prepare('SELECT * FROM rollouts WHERE path = ?');
    // The last revert's file is the current one: rollout ids grow with time.
    this.#ofThread = prepare('SELECT * FROM rollouts WHERE thread_id = ? AND state <> 3 ORDER BY rollout_id DESC');
    this.#inFolder = prepare(`
      SELECT * FROM rollouts WHERE path >= :folder || '/' AND path < :folder || '0' AND state <> 3`);
    this.#outside = prepare(`
      SELECT * FROM rollouts WHERE NOT EXISTS (
        SELECT 1 FROM json_each(:folders) WHERE path >= value || '/' AND path < value || '0')`);
    this.#delete = prepare('DELETE FROM rollouts WHERE id = ?');
    this.#deleteTurns = prepare('DELETE FROM turns WHERE rollout = ?');
    this.#deleteItems = prepare('DELETE FROM items WHERE rollout = ?');
    this.#all = prepare('SELECT id, path, archived, state, inode, file_size, mtime_ms FROM rollouts');
    this.#counts = prepare('SELECT state, count(*) AS count, sum(defects) AS defects FROM rollouts GROUP BY state');
    this.#nextUnread = prepare('SELECT * FROM rollouts WHERE state = 0 ORDER BY name_ms DESC LIMIT 1');
    this.#grown = prepare('SELECT * FROM rollouts WHERE state = 1 AND file_size > indexed_size + torn_bytes');
    this.#referrers = prepare('SELECT * FROM rollouts WHERE base_rollout_id = ? AND state <> 3');
  }

  /** Notes a file: a new row, or what is new about a known one. Returns its row and whether its content must be read anew. */
  see(file: SeenFile): RolloutRow {
    const params = { ...file, archived: file.isArchived ? 1 : 0 };
    const known = this.byRolloutId(file.rolloutId);
    if (known === undefined) {
      const { rolloutId, threadId, path, archived, nameMs, inode, size, mtimeMs } = params;
      this.#insert.run({ rolloutId, threadId, path, archived, nameMs, inode, size, mtimeMs });
    } else {
      const { path, archived, nameMs, inode, size, mtimeMs } = params;
      this.#see.run({ id: known.id, path, archived, nameMs, inode, size, mtimeMs });
      // Cut or replaced: what was read of it says nothing any more.
      if (inode !== known.inode || size < known.indexedSize) this.reset(known.id);
    }
    const row = this.byRolloutId(file.rolloutId);
    if (row === undefined) throw new Error(`rollout ${file.rolloutId} vanished from the index`);
    return row;
  }

  /** Forgets what was read of a file; it is read again from its start. */
  reset(id: number): void {
    this.#deleteTurns.run(id);
    this.#deleteItems.run(id);
    this.#reset.run(id);
  }

  setMissing(id: number): void {
    this.#setState.run({ id, state: stateNumber('missing'), problem: null });
  }

  setUnreadable(id: number, problem: string): void {
    this.#setState.run({ id, state: stateNumber('unreadable'), problem });
  }

  setContent(id: number, content: IndexedContent): void {
    const { base, ...rest } = content;
    this.#setContent.run({
      id,
      ...rest,
      baseRolloutId: base?.rolloutId ?? null,
      baseEndOrdinal: base?.endOrdinal ?? null,
      baseEndOffset: base?.endOffset ?? null,
    });
  }

  remove(id: number): void {
    this.#deleteTurns.run(id);
    this.#deleteItems.run(id);
    this.#delete.run(id);
  }

  byId(id: number): RolloutRow | undefined {
    return rowOf(this.#byId.get(id));
  }

  byRolloutId(rolloutId: string): RolloutRow | undefined {
    return rowOf(this.#byRollout.get(rolloutId));
  }

  byPath(path: string): RolloutRow | undefined {
    return rowOf(this.#byPath.get(path));
  }

  /** All files of a thread that are there, the current one first. */
  ofThread(threadId: ThreadId): readonly RolloutRow[] {
    return this.#ofThread.all(threadId).map((raw) => definedRow(raw));
  }

  /** Files below a folder (as stored) that were there when last looked at. */
  inFolder(folder: string): readonly RolloutRow[] {
    return this.#inFolder.all({ folder }).map((raw) => definedRow(raw));
  }

  /** Files that lie in none of these folders (as stored). */
  outside(folders: readonly string[]): readonly RolloutRow[] {
    return this.#outside.all({ folders: JSON.stringify(folders) }).map((raw) => definedRow(raw));
  }

  /** Rollouts that continue the given one. */
  referrersOf(rolloutId: ThreadId): readonly RolloutRow[] {
    return this.#referrers.all(rolloutId).map((raw) => definedRow(raw));
  }

  /** The newest file that nobody has read yet. */
  nextUnread(): RolloutRow | undefined {
    return rowOf(this.#nextUnread.get());
  }

  /** Files that were read once and have more to read now. */
  grown(): readonly RolloutRow[] {
    return this.#grown.all().map((raw) => definedRow(raw));
  }

  /** What a sweep compares with the files: path by path. */
  snapshot(): ReadonlyMap<string, Pick<RolloutRow, 'id' | 'state' | 'inode' | 'fileSize' | 'mtimeMs'>> {
    const rows = this.#all.all() as RawRow[];
    return new Map(
      rows.map((raw) => [
        raw.path,
        {
          id: raw.id,
          state: STATES[raw.state] ?? 'pending',
          inode: raw.inode,
          fileSize: raw.file_size,
          mtimeMs: raw.mtime_ms,
        },
      ]),
    );
  }

  counts(): IndexCounts {
    const rows = this.#counts.all() as { state: number; count: number; defects: number | null }[];
    const countOf = (state: RolloutState): number => rows.find((row) => row.state === stateNumber(state))?.count ?? 0;
    return {
      pending: countOf('pending'),
      indexed: countOf('indexed'),
      unreadable: countOf('unreadable'),
      missing: countOf('missing'),
      defects: rows.reduce((sum, row) => sum + (row.defects ?? 0), 0),
    };
  }
}

interface RawRow {
  readonly id: number;
  readonly rollout_id: string;
  readonly thread_id: string;
  readonly path: string;
  readonly archived: number;
  readonly state: number;
  readonly name_ms: number;
  readonly inode: number;
  readonly file_size: number;
  readonly mtime_ms: number;
  readonly indexed_size: number;
  readonly defects: number;
  readonly first_user_offset: number | null;
  readonly base_rollout_id: string | null;
  readonly base_end_ordinal: number | null;
  readonly base_end_offset: number | null;
  readonly fold: string | null;
  readonly facts: string | null;
  readonly problem: string | null;
}

const rowOf = (raw: unknown): RolloutRow | undefined => (raw === undefined ? undefined : definedRow(raw));

function definedRow(value: unknown): RolloutRow {
  const raw = value as RawRow;
  return {
    id: raw.id,
    rolloutId: raw.rollout_id as ThreadId,
    threadId: raw.thread_id as ThreadId,
    path: raw.path,
    isArchived: raw.archived === 1,
    state: STATES[raw.state] ?? 'pending',
    nameMs: raw.name_ms,
    inode: raw.inode,
    fileSize: raw.file_size,
    mtimeMs: raw.mtime_ms,
    indexedSize: raw.indexed_size,
    defects: raw.defects,
    firstUserOffset: raw.first_user_offset,
    base:
      raw.base_rollout_id === null
        ? null
        : {
            rolloutId: raw.base_rollout_id as ThreadId,
            endOrdinal: raw.base_end_ordinal ?? 0,
            endOffset: raw.base_end_offset ?? 0,
          },
    fold: raw.fold,
    facts: raw.facts,
    problem: raw.problem,
  };
}
