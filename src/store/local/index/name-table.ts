import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import type { Statement } from 'better-sqlite3';
import type { ThreadId } from '../../../domain/ids.ts';
import { LineSplitter } from '../line-splitter.ts';
import { parseNameEntry, type NameEntry } from '../name-index.ts';
import { storedJson, type IndexDatabase } from './database.ts';
import { markBefore } from './file-mark.ts';

const CHUNK_BYTES = 256 * 1024;

/** Names that one change of the database takes in: its log (WAL) has to hold all of a change. */
const NAMES_PER_CHANGE = 500;

/** How far `session_index.jsonl` has been read. */
interface NamesRead {
  readonly inode: number;
  /** Of the whole file then. */
  readonly size: number;
  readonly mtimeMs: number;
  /** Behind the last complete line. */
  readonly readTo: number;
  /** Of the file before `readTo`, see `markBefore`. */
  readonly mark: string;
}

const NOTHING_READ: NamesRead = { inode: 0, size: 0, mtimeMs: 0, readTo: 0, mark: '' };

/** No file is like it, so all that is there is read again. */
const HALF_READ: NamesRead = { ...NOTHING_READ, inode: -1 };

/** What becomes of the name of a thread. */
interface NameChange {
  readonly threadId: ThreadId;
  readonly apply: () => void;
}

/** Keeps `names` in step with `session_index.jsonl`: reads what was appended; reads all again if it was replaced. */
export class NameTable {
  readonly #path: string;
  readonly #add: Statement;
  readonly #replace: Statement;
  readonly #remove: Statement;
  readonly #all: Statement;
  readonly #get: Statement;
  readonly #readState: Statement;
  readonly #writeState: Statement;
  readonly #atomically: (work: () => void) => void;

  constructor(database: IndexDatabase, path: string) {
    this.#path = path;
    this.#atomically = database.transaction((work: () => void) => work());
    this.#add = database.prepare(`
      INSERT INTO names (thread_id, name, updated_ms) VALUES (?, ?, ?)
      ON CONFLICT (thread_id) DO UPDATE SET name = excluded.name, updated_ms = max(updated_ms, excluded.updated_ms)`);
    this.#replace = database.prepare('INSERT OR REPLACE INTO names (thread_id, name, updated_ms) VALUES (?, ?, ?)');
    this.#remove = database.prepare('DELETE FROM names WHERE thread_id = ?');
    this.#all = database.prepare('SELECT thread_id, name, updated_ms FROM names');
    this.#get = database.prepare('SELECT name, updated_ms FROM names WHERE thread_id = ?');
    this.#readState = database.prepare(`SELECT value FROM facts WHERE key = 'names'`).pluck();
    this.#writeState = database.prepare(`INSERT OR REPLACE INTO facts (key, value) VALUES ('names', ?)`);
  }

  /** The name a thread has now, which is its last entry's, and the latest time in any of its entries. */
  get(threadId: ThreadId): { readonly name: string; readonly updatedAtMs: number } | undefined {
    const row = this.#get.get(threadId) as { name: string; updated_ms: number } | undefined;
    return row === undefined ? undefined : { name: row.name, updatedAtMs: row.updated_ms };
  }

  /** True if the file has not changed since it was read. One stat. */
  isCurrent(): boolean {
    const [before, now] = [this.#state(), this.#stat()];
    return before.inode === now.inode && before.size === now.size && before.mtimeMs === now.mtimeMs;
  }

  /**
   * Reads what is new: what was appended, or all of a file that was replaced. Many names are several changes of the
   * database; nobody sees it between them, and an index that is left there reads the whole file again.
   * @param refresh called for each thread whose name changed, as part of the same change
   */
  sync(refresh: (threadId: ThreadId) => void): void {
    const before = this.#state();
    const now = this.#stat();
    const isThere = now.inode !== 0;
    const isAppended =
      isThere &&
      before.inode === now.inode &&
      now.size >= before.readTo &&
      markBefore(this.#path, before.readTo) === before.mark;
    const { entries, readTo } = isThere
      ? this.#read(isAppended ? before.readTo : 0)
      : { entries: new Map<ThreadId, NameEntry>(), readTo: 0 };
    const after = isThere ? { ...now, readTo, mark: markBefore(this.#path, readTo) } : NOTHING_READ;
    const waiting = isAppended ? this.#additionsOf(entries) : this.#differencesTo(entries);
    if (waiting.length > NAMES_PER_CHANGE) this.#note(HALF_READ);
    do {
      const some = waiting.splice(0, NAMES_PER_CHANGE);
      this.#atomically(() => {
        for (const { threadId, apply } of some) {
          apply();
          refresh(threadId);
        }
        if (waiting.length === 0) this.#note(after);
      });
    } while (waiting.length > 0);
  }

  #note(state: NamesRead): void {
    this.#writeState.run(JSON.stringify(state));
  }

  #additionsOf(entries: ReadonlyMap<ThreadId, NameEntry>): NameChange[] {
    return Array.from(entries.values(), ({ threadId, name, updatedAtMs }) => ({
      threadId,
      apply: () => this.#add.run(threadId, name, updatedAtMs),
    }));
  }

  /** Of many names, a replaced file mostly lacks one. */
  #differencesTo(after: ReadonlyMap<ThreadId, NameEntry>): NameChange[] {
    const before = this.#named();
    const changes: NameChange[] = [];
    for (const { threadId, name, updatedAtMs } of after.values()) {
      const known = before.get(threadId);
      if (known?.name === name && known.updatedAtMs === updatedAtMs) continue;
      changes.push({ threadId, apply: () => this.#replace.run(threadId, name, updatedAtMs) });
    }
    for (const threadId of before.keys()) {
      if (!after.has(threadId)) changes.push({ threadId, apply: () => this.#remove.run(threadId) });
    }
    return changes;
  }

  #named(): ReadonlyMap<ThreadId, NameEntry> {
    const rows = this.#all.all() as { thread_id: ThreadId; name: string; updated_ms: number }[];
    return new Map(
      rows.map((row) => [row.thread_id, { threadId: row.thread_id, name: row.name, updatedAtMs: row.updated_ms }]),
    );
  }

  /**
   * Entries from an offset on, the last one of each thread with the latest time of all, and the offset behind the last
   * complete line.
   */
  #read(start: number): { readonly entries: ReadonlyMap<ThreadId, NameEntry>; readonly readTo: number } {
    const entries = new Map<ThreadId, NameEntry>();
    const take = (bytes: Buffer | null): void => {
      const entry = bytes === null ? undefined : parseNameEntry(bytes);
      if (entry === undefined) return;
      const updatedAtMs = Math.max(entry.updatedAtMs, entries.get(entry.threadId)?.updatedAtMs ?? 0);
      entries.set(entry.threadId, { ...entry, updatedAtMs });
    };
    const fd = openSync(this.#path, 'r');
    try {
      const { size } = fstatSync(fd);
      const splitter = new LineSplitter(start);
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      let position = start;
      while (position < size) {
        const count = readSync(fd, chunk, 0, Math.min(chunk.length, size - position), position);
        if (count === 0) break;
        position += count;
        for (const line of splitter.push(chunk.subarray(0, count))) take(line.bytes);
      }
      const tail = splitter.tail();
      if (tail === undefined) return { entries, readTo: position };
      // A whole entry that lacks its newline counts, and is read again once it has one: that changes nothing.
      take(tail.bytes);
      return { entries, readTo: tail.offset };
    } finally {
      closeSync(fd);
    }
  }

  #stat(): Pick<NamesRead, 'inode' | 'size' | 'mtimeMs'> {
    const stats = statSync(this.#path, { throwIfNoEntry: false });
    if (stats === undefined || !stats.isFile()) return { inode: 0, size: 0, mtimeMs: 0 };
    return { inode: stats.ino, size: stats.size, mtimeMs: stats.mtimeMs };
  }

  #state(): NamesRead {
    const text = this.#readState.get() as string | undefined;
    return text === undefined ? NOTHING_READ : storedJson<NamesRead>(text);
  }
}
