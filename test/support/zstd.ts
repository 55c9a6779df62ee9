import { chmodSync, existsSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow } from './local-store.ts';

const MAX_BLOCK = 128 * 1024;
const WINDOW_OF_2_MIB = (21 - 10) << 3;

/**
 * A zstd frame (RFC 8878) that holds bytes as they are: blocks of the raw kind. Any decoder takes it; that Skein
 * decodes the other kinds as well is shown with what Codex writes.
 */
export function zstdFrame(bytes: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, WINDOW_OF_2_MIB])];
  for (let start = 0; start === 0 || start < bytes.length; start += MAX_BLOCK) {
    const block = bytes.subarray(start, start + MAX_BLOCK);
    const isLast = start + MAX_BLOCK >= bytes.length;
    const header = Buffer.alloc(3);
    header.writeUIntLE((block.length << 3) | (isLast ? 1 : 0), 0, 3);
    parts.push(header, block);
  }
  return Buffer.concat(parts);
}

/** Puts a compressed file beside a rollout as Codex does: with the same time and permissions, whole or not at all. */
export function addCompressed(path: string, text: Buffer = readFileSync(path)): void {
  const { atime, mtime, mtimeMs, mode } = statSync(path);
  const temporary = `${path}.zst.tmp`;
  rmSync(temporary, { force: true });
  writeFileSync(temporary, zstdFrame(text));
  chmodSync(temporary, mode & 0o777);
  // Codex keeps the time to the nanosecond; seconds as a float lie a little below or above.
  utimesSync(temporary, atime, mtimeMs / 1_000 + 5e-7);
  if (Math.trunc(statSync(temporary).mtimeMs) !== Math.trunc(mtimeMs)) utimesSync(temporary, atime, mtime);
  if (existsSync(`${path}.zst`)) throw new Error(`${path}.zst exists already`);
  renameSync(temporary, `${path}.zst`);
}

/** Compresses a rollout as Codex does. */
export function compress(path: string): void {
  addCompressed(path);
  rmSync(path);
}

/** Compresses every rollout there is, whether it is being written or not. */
export function compressAll(home: string): void {
  for (const folder of ['sessions', 'archived_sessions'].map((name) => join(home, name)).filter(existsSync)) {
    for (const name of filesBelow(folder)) {
      const path = join(folder, name);
      if (!/\/?rollout-[^/]*\.jsonl$/.test(name)) continue;
      rmSync(`${path}.zst`, { force: true });
      compress(path);
    }
  }
}
