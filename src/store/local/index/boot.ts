import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';
import type { Database } from 'better-sqlite3';

/** Linux names each start of the machine. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

const MINUTE_MS = 60_000;

/** Names the start of this machine: elsewhere by its minute, so that a clock that is set makes another one of it. */
function currentBoot(): string {
  try {
    return readFileSync(BOOT_ID, 'utf8').trim();
  } catch {
    return String(Math.round((Date.now() - uptime() * 1_000) / MINUTE_MS));
  }
}

/**
 * Notes in an index that it is in use. One that was when the machine went down may have read what never came to the
 * disk, in files that look as it left them. (In WAL mode whatever came to the disk of it, this note came before.)
 * @throws Error if it was
 */
export function noteInUse(database: Database): void {
  const boot = currentBoot();
  const before = database.prepare(`SELECT value FROM facts WHERE key = 'boot'`).pluck().get();
  if (before === boot) return;
  if (before !== undefined) throw new Error('the index was in use when the machine went down');
  database.prepare(`INSERT INTO facts (key, value) VALUES ('boot', ?)`).run(boot);
}

/** The index is closed in order: what it has read is not the tail of something under way. */
export function noteClosed(database: Database): void {
  database.prepare(`DELETE FROM facts WHERE key = 'boot'`).run();
}
