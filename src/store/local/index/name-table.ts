import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import type { Statement } from 'better-sqlite3';
import type { ThreadId } from '../../../domain/ids.ts';
import { LineSplitter } from '../line-splitter.ts';
import { parseNameEntry } from '../name-index.ts';
import type { IndexDatabase } from './database.ts';

const CHUNK_BYTES = 256 * 1024;

/** How far `session_index.jsonl` has been read. */
interface NamesRead {
  readonly inode: number;
  readonly size: number;
  readonly mtimeMs: number;
}

/** Keeps `names` in step with `session_index.jsonl`: reads what was appended; reads all again if it was replaced. */
export class NameTable {
  readonly #database: IndexDatabase;
  readonly #path: string;
  readonly #put: Statement;
  readonly #clear: Statement;
  readonly #named: Statement;
  readonly #get: Statement;
  readonly #readState: Statement;
  readonly #writeState: Statement;

  constructor(database: IndexDatabase, path: string) {
    this.#database = database;
    this.#path = path;
    this.#put = database.prepare(`
      INSERT INTO names (thread_id, name, updated_ms) VALUES (?, ?, ?)
      ON CONFLICT (thread_id) DO UPDATE SET name = excluded.name, updated_ms = max(updated_ms, excluded.updated_ms)`);
    this.#clear = database.prepare('DELETE FROM names');
    this.#named = database.prepare('SELECT thread_id FROM names').pluck();
    this.#get = database.prepare('SELECT name, updated_ms FROM names WHERE thread_id = ?');
    this.#readState = database.prepare(`SELECT value FROM facts WHERE key = 'names'`).pluck();
    this.#writeState = database.prepare(`INSERT OR REPLACE INTO facts (key, value) VALUES ('names', ?)`);
  }

  /** The name a thread has now, which is its last entry's, and the latest time in any of its entries. */
  get(threadId: ThreadId): { readonly name: string; readonly updatedAtMs: number } | undefined {
    const row = this.#get.get(threadId) as { name: string; updated_ms: number } | undefined;
    return row === undefined ? undefined : { name: row.name, updatedAtMs: row.updated_ms };
  }

  /** Reads what is new. One stat when nothing is. @returns the threads whose name may have changed */
  sync(): ReadonlySet<ThreadId> {
    const stats = statSync(this.#path, { throwIfNoEntry: false });
    const before = this.#state();
    const now: NamesRead =
      stats === undefined
        ? { inode: 0, size: 0, mtimeMs: 0 }
        : { inode: stats.ino, size: stats.size, mtimeMs: stats.mtimeMs };
    if (before.inode === now.inode && before.size === now.size && before.mtimeMs === now.mtimeMs) return new Set();
    const isAppended = before.inode === now.inode && now.size >= before.size;
    return this.#database.transaction(() => {
      const changed = new Set<ThreadId>();
      if (!isAppended) {
        for (const id of this.#named.all() as ThreadId[]) changed.add(id);
        this.#clear.run();
      }
      const readTo = stats === undefined ? 0 : this.#read(isAppended ? before.size : 0, changed);
      this.#writeState.run(JSON.stringify({ ...now, size: readTo }));
      return changed;
    })();
  }

  /** Takes in entries from an offset; returns the offset behind the last complete line. */
  #read(start: number, changed: Set<ThreadId>): number {
    const fd = openSync(this.#path, 'r');
    try {
      const { size } = fstatSync(fd);
      const splitter = new LineSplitter(start);
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      let position = start;
      const take = (bytes: Buffer | null): void => {
        const entry = bytes === null ? undefined : parseNameEntry(bytes);
        if (entry === undefined) return;
        this.#put.run(entry.threadId, entry.name, entry.updatedAtMs);
        changed.add(entry.threadId);
      };
      while (position < size) {
        const count = readSync(fd, chunk, 0, Math.min(chunk.length, size - position), position);
        if (count === 0) break;
        position += count;
        for (const line of splitter.push(chunk.subarray(0, count))) take(line.bytes);
      }
      const tail = splitter.tail();
      if (tail === undefined) return position;
      // A whole entry that lacks its newline counts, and is read again once it has one: that changes nothing.
      take(tail.bytes);
      return tail.offset;
    } finally {
      closeSync(fd);
    }
  }

  #state(): NamesRead {
    const text = this.#readState.get() as string | undefined;
    return text === undefined ? { inode: 0, size: 0, mtimeMs: 0 } : (JSON.parse(text) as NamesRead);
  }
}
