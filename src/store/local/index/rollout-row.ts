import type { ThreadId } from '../../../domain/ids.ts';

/** What the index knows of a rollout file's content. */
export type RolloutState = 'pending' | 'indexed' | 'unreadable' | 'missing';

/** By their number in the database. */
export const STATES: readonly RolloutState[] = ['pending', 'indexed', 'unreadable', 'missing'];
export const stateNumber = (state: RolloutState): number => STATES.indexOf(state);

/** The size of a plain text that only decompressing would tell. */
export const UNKNOWN_SIZE = -1;

/** The file that a rollout is in. */
export interface FileState {
  readonly inode: number;
  readonly mtimeMs: number;
  /** Bytes of the plain text; {@link UNKNOWN_SIZE} in a compressed file. */
  readonly size: number;
  /** Bytes of the compressed file; null for a plain one. */
  readonly compressedSize: number | null;
}

/** A file as a scan of the home meets it. */
export interface SeenFile extends FileState {
  readonly rolloutId: ThreadId;
  readonly threadId: ThreadId;
  /** The plain one, as stored: below the home, or absolute. */
  readonly path: string;
  readonly isArchived: boolean;
  readonly nameMs: number;
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
  /** Bytes of the plain text; {@link UNKNOWN_SIZE} for a compressed file that was not read to its end. */
  readonly fileSize: number;
  readonly mtimeMs: number;
  /** Bytes of the compressed file; null if there is a plain one. */
  readonly compressedSize: number | null;
  readonly indexedSize: number;
  /** Bytes behind the last record. */
  readonly tornBytes: number;
  /** Of the file before `indexedSize`, see `markBefore`. */
  readonly mark: string | null;
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

/** What a row knows of its file. */
export type FileOfRow = Pick<RolloutRow, 'inode' | 'fileSize' | 'mtimeMs' | 'compressedSize'>;

/** True if a file is as its row has it. */
export const isSameFile = (row: FileOfRow, file: FileState): boolean =>
  row.inode === file.inode &&
  row.mtimeMs === file.mtimeMs &&
  row.compressedSize === file.compressedSize &&
  (file.compressedSize !== null || row.fileSize === file.size);

/** True if nothing is left to be read of a file as it was last seen. */
export const isReadToEnd = (row: RolloutRow): boolean =>
  row.state === 'indexed' &&
  (row.compressedSize === null ? row.indexedSize >= row.fileSize : row.fileSize !== UNKNOWN_SIZE);

/** True if what was read of a rollout is also what the file holds that it is in now. */
export function isStillTrue(row: RolloutRow, file: FileState): boolean {
  if (file.compressedSize !== null) {
    return row.compressedSize === null
      ? // Compressed by someone who kept the time, as Codex does. That the text has this length is checked once it is unpacked.
        row.mtimeMs === file.mtimeMs && row.facts !== null && row.indexedSize + row.tornBytes === row.fileSize
      : // Inodes are given out again, so all three.
        row.inode === file.inode && row.compressedSize === file.compressedSize && row.mtimeMs === file.mtimeMs;
  }
  // Otherwise it was cut, replaced, or restored and written by someone.
  return row.compressedSize === null && row.inode === file.inode && file.size >= row.indexedSize;
}

/** As the database has it. */
export interface RawRow {
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
  readonly compressed_size: number | null;
  readonly indexed_size: number;
  readonly torn_bytes: number;
  readonly mark: string | null;
  readonly defects: number;
  readonly first_user_offset: number | null;
  readonly base_rollout_id: string | null;
  readonly base_end_ordinal: number | null;
  readonly base_end_offset: number | null;
  readonly fold: string | null;
  readonly facts: string | null;
  readonly problem: string | null;
}

/** A row that a statement found, if it found one. */
export const rowOf = (raw: unknown): RolloutRow | undefined => (raw === undefined ? undefined : definedRow(raw));

/** A row of a statement that finds rows. */
export function definedRow(value: unknown): RolloutRow {
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
    compressedSize: raw.compressed_size,
    indexedSize: raw.indexed_size,
    tornBytes: raw.torn_bytes,
    mark: raw.mark,
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
