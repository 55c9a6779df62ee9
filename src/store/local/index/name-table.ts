import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import type { Statement } from 'better-sqlite3';
import type { ThreadId } from '../../../domain/ids.ts';
import { LineSplitter } from '../line-splitter.ts';
import { parseNameEntry, type NameEntry } from '../name-index.ts';
import { storedJson, type IndexDatabase } from './database.ts';
import { markBefore } from './file-mark.ts';

const CHUNK_BYTES = 256 * 1024;

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

/** Keeps `names` in step with `session_index.jsonl`: reads what was appended; reads all again if it was replaced. */
export class NameTable {
  readonly #database: IndexDatabase;
  readonly #path: string;
  readonly #put: Statement;
  readonly #remove: Statement;
  readonly #all: Statement;
  readonly #get: Statement;
  readonly #readState: Statement;
  readonly #writeState: Statement;

  constructor(database: IndexDatabase, path: string) {
    this.#database = database;
    this.#path = path;
    this.#put = database.prepare(`
      INSERT INTO names (thread_id, name, updated_ms) VALUES (?, ?, ?)
      ON CONFLICT (thread_id) DO UPDATE SET name = excluded.name, updated_ms = max(updated_ms, excluded.updated_ms)`);
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

  /** Reads what is new: what was appended, or all of a file that was replaced. @returns the threads whose name changed */
  sync(): ReadonlySet<ThreadId> {
    return this.#database.transaction(() => {
      const before = this.#state();
      const now = this.#stat();
      if (now.inode === 0) {
        this.#writeState.run(JSON.stringify(NOTHING_READ));
        return this.#replaceAll(this.#named(), new Map());
      }
      const isAppended =
        before.inode === now.inode &&
        now.size >= before.readTo &&
        markBefore(this.#path, before.readTo) === before.mark;
      const { entries, readTo } = this.#read(isAppended ? before.readTo : 0);
      const changed = isAppended ? this.#putAll(entries) : this.#replaceAll(this.#named(), entries);
      this.#writeState.run(JSON.stringify({ ...now, readTo, mark: markBefore(this.#path, readTo) }));
      return changed;
    })();
  }

  #putAll(entries: ReadonlyMap<ThreadId, NameEntry>): Set<ThreadId> {
    for (const { threadId, name, updatedAtMs } of entries.values()) this.#put.run(threadId, name, updatedAtMs);
    return new Set(entries.keys());
  }

  /** Writes the differences only: of many names, a replaced file mostly lacks one. */
  #replaceAll(
    before: ReadonlyMap<ThreadId, NameEntry>,
    after: ReadonlyMap<ThreadId, NameEntry>,
  ): ReadonlySet<ThreadId> {
    const differs = ([threadId, { name, updatedAtMs }]: [ThreadId, NameEntry]): boolean => {
      const known = before.get(threadId);
      return known?.name !== name || known.updatedAtMs !== updatedAtMs;
    };
    const changed = this.#putAll(new Map([...after].filter(differs)));
    for (const threadId of before.keys()) {
      if (after.has(threadId)) continue;
      this.#remove.run(threadId);
      changed.add(threadId);
    }
    return changed;
  }

  #named(): ReadonlyMap<ThreadId, NameEntry> {
    const rows = this.#all.all() as { thread_id: ThreadId; name: string; updated_ms: number }[];
    return new Map(
      rows.map((row) => [row.thread_id, { threadId: row.thread_id, name: row.name, updatedAtMs: row.updated_ms }]),
    );
  }

  /** Entries from an offset on, the last one of each thread, and the offset behind the last complete line. */
  #read(start: number): { readonly entries: ReadonlyMap<ThreadId, NameEntry>; readonly readTo: number } {
    const entries = new Map<ThreadId, NameEntry>();
    const take = (bytes: Buffer | null): void => {
      const entry = bytes === null ? undefined : parseNameEntry(bytes);
      if (entry !== undefined) entries.set(entry.threadId, entry);
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
