import { closeSync, existsSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { messageOf } from '../../../domain/errors.ts';
import { DIRECTORY_MODE, FILE_MODE } from '../files.ts';
import { noteClosed, noteInUse } from './boot.ts';
import { INDEX_VERSION, SCHEMA } from './schema.ts';

export type IndexDatabase = Database.Database;

export interface OpenedDatabase {
  readonly database: IndexDatabase;
  /** Why the index that was there could not be used; it was set aside and is being rebuilt. */
  readonly setAside?: string;
  /** True if the index lives in memory because its folder cannot be written. */
  readonly isInMemory: boolean;
}

/** The index itself is no good, though SQLite reads it. */
export class DamagedIndex extends Error {}

/** A lock on the index that lasts longer than this means that it is not ours to wait for. */
const BUSY_TIMEOUT_MS = 1_000;

/** Set-aside indexes are kept for a look, not for ever. */
const KEPT_SET_ASIDE = 2;

/**
 * Opens the index, whatever state it is in (D7, F14): a missing one is made, a corrupt, locked, truncated or
 * differently versioned one is set aside and made anew, and if the folder can't be written it lives in memory.
 * Never fails for a reason that lies in the file.
 */
export function openDatabase(path: string): OpenedDatabase {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
    makePrivate(path);
    return { database: openVersioned(path), isInMemory: false };
  } catch (first) {
    const reason = messageOf(first);
    try {
      setAside(path);
      makePrivate(path);
      return { database: openVersioned(path), setAside: reason, isInMemory: false };
    } catch {
      return { database: openVersioned(':memory:'), setAside: reason, isInMemory: true };
    }
  }
}

/** SQLite would make the file readable to others; its companions get the mode that it has. */
function makePrivate(path: string): void {
  closeSync(openSync(path, 'a', FILE_MODE));
}

function openVersioned(path: string): IndexDatabase {
  const database = new Database(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    // A home has one daemon, so nobody else has business here; and without memory shared between processes
    // there is none that another one can cut short or lock.
    database.pragma('locking_mode = EXCLUSIVE');
    // NORMAL: a lost tail is found again in the files.
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = NORMAL');
    // While the index is built, the same pages change again and again: 16 MB of them before they are put in place.
    database.pragma('wal_autocheckpoint = 4000');
    database.pragma('journal_size_limit = 67108864');
    database.pragma('temp_store = MEMORY');
    const version = database.pragma('user_version', { simple: true });
    if (version === 0 && isEmpty(database)) create(database);
    else if (version !== INDEX_VERSION) throw new Error(`index has version ${String(version)}, not ${INDEX_VERSION}`);
    else assertUsable(database);
    noteInUse(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function isEmpty(database: IndexDatabase): boolean {
  return database.prepare('SELECT count(*) AS count FROM sqlite_schema').pluck().get() === 0;
}

function create(database: IndexDatabase): void {
  database.transaction(() => {
    database.exec(SCHEMA);
    database.pragma(`user_version = ${INDEX_VERSION}`);
  })();
}

/**
 * Takes a write lock and touches each table: finds foreign locks and broken headers at once. Damage further in
 * shows when it is read, and sets the index aside then; looking through all of it here would delay every start.
 */
function assertUsable(database: IndexDatabase): void {
  database.exec('BEGIN IMMEDIATE; ROLLBACK');
  for (const table of ['rollouts', 'threads', 'names', 'turns', 'items', 'facts']) {
    database.prepare(`SELECT * FROM ${table} LIMIT 1`).get();
  }
}

/** Closes the index in order; one that cannot be told so is looked through anew after the next start of the machine. */
export function closeDatabase({ database }: OpenedDatabase): void {
  try {
    noteClosed(database);
  } catch {
    // It is closed all the same.
  }
  database.close();
}

/** What can be done about an error: nothing that concerns the database, begin anew, or begin anew in memory. */
export type Remedy = 'none' | 'setAside' | 'memory';

/** Errors that speak of the statement and not of the file. */
const OF_STATEMENTS = /^SQLITE_(CONSTRAINT|MISUSE|RANGE|MISMATCH|TOOBIG|AUTH|INTERRUPT|ABORT|NOMEM)/;
/** The place is full or cannot be written: another file there would fare no better. */
const OF_THE_PLACE = /^SQLITE_(FULL|READONLY|CANTOPEN|PERM|IOERR_(WRITE|FSYNC|DIR_FSYNC|TRUNCATE|DELETE|CLOSE|NOMEM))/;

/** The statements are fixed, so any other failure of SQLite says that the file is not as it was made. */
export function remedyFor(error: unknown): Remedy {
  if (error instanceof DamagedIndex) return 'setAside';
  const code = (error as { code?: unknown } | null)?.code;
  if (typeof code !== 'string' || !code.startsWith('SQLITE_') || OF_STATEMENTS.test(code)) return 'none';
  return OF_THE_PLACE.test(code) ? 'memory' : 'setAside';
}

/** JSON that the index itself has written. @throws DamagedIndex */
export function storedJson<T>(text: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new DamagedIndex(`the index holds broken JSON: ${messageOf(error)}`);
  }
}

/** Opens another database in place of one that has failed. Never fails for a reason that lies in the file. */
export function reopenDatabase(failed: OpenedDatabase, path: string, remedy: Remedy): OpenedDatabase {
  failed.database.close();
  if (failed.isInMemory || remedy === 'memory') return { database: openVersioned(':memory:'), isInMemory: true };
  try {
    setAside(path);
  } catch {
    // Opening finds out what is possible.
  }
  return openDatabase(path);
}

function setAside(path: string): void {
  const stamp = new Date().toISOString().replaceAll(':', '-');
  for (const suffix of ['', '-wal', '-shm']) {
    if (existsSync(path + suffix)) renameSync(path + suffix, `${path}.set-aside-${stamp}${suffix}`);
  }
  const folder = dirname(path);
  const prefix = `${basename(path)}.set-aside-`;
  const stamps = new Set(
    readdirSync(folder)
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length).replace(/-(wal|shm)$/, '')),
  );
  for (const old of [...stamps].toSorted().slice(0, -KEPT_SET_ASIDE)) {
    for (const suffix of ['', '-wal', '-shm']) rmSync(join(folder, prefix + old + suffix), { force: true });
  }
}
