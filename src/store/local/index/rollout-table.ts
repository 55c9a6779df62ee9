import type { Statement } from 'better-sqlite3';
import type { ThreadId } from '../../../domain/ids.ts';
import type { CountedTokens } from '../../../domain/thread-facts.ts';
import { storedJson, type IndexDatabase } from './database.ts';
import {
  definedRow,
  isStillTrue,
  rowOf,
  stateNumber,
  STATES,
  UNKNOWN_SIZE,
  type FileOfRow,
  type FileState,
  type RawRow,
  type RolloutBase,
  type RolloutRow,
  type RolloutState,
  type SeenFile,
} from './rollout-row.ts';

/** What indexing found in a rollout, up to `indexedSize`. */
export interface IndexedContent {
  readonly indexedSize: number;
  /** False while there is more to be read: a file that was unread stays so until it is read to its end. */
  readonly isWhole: boolean;
  /** Null for a compressed file. */
  readonly mark: string | null;
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

/** Rows whose file has more to be read: as the partial index has it, to the letter. */
const GROWN = 'state = 1 AND (file_size > indexed_size + torn_bytes OR file_size < 0)';

/** Reads and writes rows of `rollouts`. */
export class RolloutTable {
  readonly #database: IndexDatabase;
  readonly #transaction: (work: () => unknown) => unknown;
  readonly #insert: Statement;
  readonly #see: Statement;
  readonly #reset: Statement;
  readonly #setState: Statement;
  readonly #setFailed: Statement;
  readonly #setContent: Statement;
  readonly #setFile: Statement;
  readonly #byRollout: Statement;
  readonly #byId: Statement;
  readonly #byPath: Statement;
  readonly #ofThread: Statement;
  readonly #inFolder: Statement;
  readonly #delete: Statement;
  readonly #deleteTurns: Statement;
  readonly #deleteItems: Statement;
  readonly #present: Statement;
  readonly #all: Statement;
  readonly #counts: Statement;
  readonly #defective: Statement;
  readonly #referrers: Statement;
  readonly #unread: Statement;
  readonly #anyUnread: Statement;
  readonly #anyGrown: Statement;
  readonly #grown: Statement;
  readonly #countedBefore: Statement;

  constructor(database: IndexDatabase) {
    this.#database = database;
    // Made once: each makes four functions.
    this.#transaction = database.transaction((work: () => unknown) => work());
    const prepare = (sql: string): Statement => database.prepare(sql);
    this.#insert = prepare(`
      INSERT INTO rollouts (rollout_id, thread_id, path, archived, state, name_ms, inode, file_size, mtime_ms,
                            compressed_size, indexed_size, defects, torn_bytes)
      VALUES (:rolloutId, :threadId, :path, :archived, 0, :nameMs, :inode, :size, :mtimeMs, :compressedSize, 0, 0, 0)
      RETURNING *`);
    this.#see = prepare(`
      UPDATE rollouts SET path = :path, archived = :archived, name_ms = :nameMs, inode = :inode, file_size = :size,
                          mtime_ms = :mtimeMs, compressed_size = :compressedSize,
                          state = CASE WHEN state = 1 OR :isRead THEN 1 ELSE 0 END,
                          torn_bytes = CASE WHEN :compressedSize IS NOT NULL OR (file_size = :size AND mtime_ms = :mtimeMs)
                                       THEN torn_bytes ELSE 0 END
      WHERE id = :id`);
    this.#reset = prepare(`
      UPDATE rollouts SET state = 0, indexed_size = 0, mark = NULL, defects = 0, torn_bytes = 0, first_user_offset = NULL,
                          base_rollout_id = NULL, base_end_ordinal = NULL, base_end_offset = NULL, fold = NULL,
                          facts = NULL, problem = NULL,
                          file_size = CASE WHEN compressed_size IS NULL THEN file_size ELSE ${UNKNOWN_SIZE} END
      WHERE id = ?`);
    this.#setState = prepare('UPDATE rollouts SET state = :state, problem = :problem WHERE id = :id');
    this.#setFailed = prepare('UPDATE rollouts SET state = 2, problem = :problem, mtime_ms = -1 WHERE id = :id');
    this.#setContent = prepare(`
      UPDATE rollouts SET state = CASE WHEN :isWhole = 1 THEN 1 ELSE state END, problem = NULL, indexed_size = :indexedSize, mark = :mark, defects = :defects,
                          torn_bytes = :tornBytes, first_user_offset = :firstUserOffset,
                          base_rollout_id = :baseRolloutId, base_end_ordinal = :baseEndOrdinal,
                          base_end_offset = :baseEndOffset, fold = :fold, facts = :facts
      WHERE id = :id`);
    this.#setFile = prepare(`
      UPDATE rollouts SET inode = :inode, file_size = :size, mtime_ms = :mtimeMs, compressed_size = :compressedSize
      WHERE id = :id`);
    this.#byRollout = prepare('SELECT * FROM rollouts WHERE rollout_id = ?');
    this.#byId = prepare('SELECT * FROM rollouts WHERE id = ?');
    this.#byPath = prepare('SELECT * FROM rollouts WHERE path = ?');
    // The last revert's file is the current one: rollout ids grow with time.
    this.#ofThread = prepare('SELECT * FROM rollouts WHERE thread_id = ? AND state <> 3 ORDER BY rollout_id DESC');
    this.#inFolder = prepare(`
      SELECT path FROM rollouts WHERE path >= :folder || '/' AND path < :folder || '0' AND state <> 3`).pluck();
    this.#delete = prepare('DELETE FROM rollouts WHERE id = ?');
    this.#deleteTurns = prepare('DELETE FROM turns WHERE rollout = ?');
    this.#deleteItems = prepare('DELETE FROM items WHERE rollout = ?');
    this.#present = prepare('SELECT id FROM rollouts WHERE state <> 3').pluck();
    this.#all = prepare('SELECT id, path, archived, state, inode, file_size, mtime_ms, compressed_size FROM rollouts');
    this.#counts = prepare('SELECT state, count(*) AS count, sum(defects) AS defects FROM rollouts GROUP BY state');
    this.#defective = prepare(`
      SELECT path, defects FROM rollouts WHERE defects > 0 AND state <> 3 ORDER BY defects DESC, path LIMIT ?`);
    this.#unread = prepare(
      'SELECT id FROM rollouts INDEXED BY rollouts_pending WHERE state = 0 ORDER BY name_ms DESC LIMIT ?',
    ).pluck();
    this.#grown = prepare(`SELECT * FROM rollouts INDEXED BY rollouts_grown WHERE ${GROWN}`);
    this.#anyUnread = prepare('SELECT 1 FROM rollouts INDEXED BY rollouts_pending WHERE state = 0 LIMIT 1').pluck();
    this.#anyGrown = prepare(`SELECT 1 FROM rollouts INDEXED BY rollouts_grown WHERE ${GROWN} LIMIT 1`).pluck();
    this.#countedBefore = prepare(`
      SELECT counted FROM turns WHERE rollout = ? AND count_offset < ? ORDER BY pos DESC LIMIT 1`).pluck();
    this.#referrers = prepare('SELECT * FROM rollouts WHERE base_rollout_id = ? AND state <> 3');
  }

  /** All of it happens or none, whenever the process may end. Synchronous; can be nested. */
  atomically<T>(work: () => T): T {
    return this.#transaction(work) as T;
  }

  /** Within what happens {@link atomically}, if that is under way: then what fails here must not be met before its end. */
  #withinOne<T>(work: () => T): T {
    return this.#database.inTransaction ? work() : this.atomically(work);
  }

  /**
   * Notes a file: a new row, or what is new about a known one.
   * @param known the row that its rollout has, if it has one
   */
  see(file: SeenFile, known = this.byRolloutId(file.rolloutId)): RolloutRow {
    return this.#withinOne(() => (known === undefined ? this.#added(file) : this.#changed(known, file)));
  }

  #added(file: SeenFile): RolloutRow {
    const { rolloutId, threadId, path, isArchived, nameMs, inode, size, mtimeMs, compressedSize } = file;
    const archived = isArchived ? 1 : 0;
    return definedRow(
      this.#insert.get({ rolloutId, threadId, path, archived, nameMs, inode, size, mtimeMs, compressedSize }),
    );
  }

  #changed(known: RolloutRow, file: SeenFile): RolloutRow {
    const { path, isArchived, nameMs, inode, mtimeMs, compressedSize } = file;
    const isTrue = isStillTrue(known, file);
    const size = isTrue && compressedSize !== null ? known.fileSize : file.size;
    const isRead = isTrue && compressedSize !== null && known.state === 'missing' && size !== UNKNOWN_SIZE ? 1 : 0;
    const archived = isArchived ? 1 : 0;
    this.#see.run({ id: known.id, path, archived, nameMs, inode, size, mtimeMs, compressedSize, isRead });
    if (!isTrue) this.reset(known.id);
    const row = this.byId(known.id);
    if (row === undefined) throw new Error(`rollout ${file.rolloutId} vanished from the index`);
    return row;
  }

  /** Forgets what was read of a file; it is read again from its start. */
  reset(id: number): void {
    this.#withinOne(() => {
      this.#deleteTurns.run(id);
      this.#deleteItems.run(id);
      this.#reset.run(id);
    });
  }

  setMissing(id: number): void {
    this.#setState.run({ id, state: stateNumber('missing'), problem: null });
  }

  setUnreadable(id: number, problem: string): void {
    this.#setState.run({ id, state: stateNumber('unreadable'), problem });
  }

  /** The system would not let the file be read. Unlike what stands in a file, that can pass: it is tried again. */
  setFailed(id: number, problem: string): void {
    this.#setFailed.run({ id, problem });
  }

  setContent(id: number, content: IndexedContent): void {
    const { base, isWhole, ...rest } = content;
    this.#setContent.run({
      id,
      ...rest,
      isWhole: isWhole ? 1 : 0,
      baseRolloutId: base?.rolloutId ?? null,
      baseEndOrdinal: base?.endOrdinal ?? null,
      baseEndOffset: base?.endOffset ?? null,
    });
  }

  /** Notes that the same text is in another file now, or how long the text in a compressed file turned out to be. */
  setFile(id: number, file: FileState): void {
    const { inode, size, mtimeMs, compressedSize } = file;
    this.#setFile.run({ id, inode, size, mtimeMs, compressedSize });
  }

  remove(id: number): void {
    this.#withinOne(() => {
      this.#deleteTurns.run(id);
      this.#deleteItems.run(id);
      this.#delete.run(id);
    });
  }

  byId(id: number): RolloutRow | undefined {
    return rowOf(this.#byId.get(id));
  }

  /** The last count of tokens of a rollout before a byte offset, if there is one. */
  countedBefore(id: number, endOffset: number): CountedTokens | undefined {
    const counted = this.#countedBefore.get(id, endOffset) as string | undefined;
    return counted === undefined ? undefined : storedJson<CountedTokens>(counted);
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

  /** Stored paths of files below a folder (as stored) that were there when last looked at. */
  inFolder(folder: string): readonly string[] {
    return this.#inFolder.all({ folder }) as string[];
  }

  /** Row ids of all files that were there when last looked at. */
  present(): readonly number[] {
    return this.#present.all() as number[];
  }

  /** Rollouts that continue the given one. */
  referrersOf(rolloutId: ThreadId): readonly RolloutRow[] {
    return this.#referrers.all(rolloutId).map((raw) => definedRow(raw));
  }

  /** True if a file has not been read, or not to its end. */
  hasUnread(): boolean {
    return this.#anyUnread.get() === 1 || this.#anyGrown.get() === 1;
  }

  /** Row ids of files that nobody has read yet, the newest first; all of them without a limit. */
  unread(limit = -1): readonly number[] {
    return this.#unread.all(limit) as number[];
  }

  /** Files that were read once and have more to read now. */
  grown(): readonly RolloutRow[] {
    return this.#grown.all().map((raw) => definedRow(raw));
  }

  /** What a sweep compares with the files: path by path. */
  snapshot(): ReadonlyMap<string, Pick<RolloutRow, 'id' | 'state'> & FileOfRow> {
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
          compressedSize: raw.compressed_size,
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
      // What stood in a file that is gone is nobody's concern.
      defects: rows.reduce((sum, row) => sum + (row.state === stateNumber('missing') ? 0 : (row.defects ?? 0)), 0),
    };
  }

  /** Files with lines that are no records, those with the most first. Stored paths. */
  defective(limit: number): readonly { readonly path: string; readonly defects: number }[] {
    return this.#defective.all(limit) as { path: string; defects: number }[];
  }
}
