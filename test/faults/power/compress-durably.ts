import { constants, readFileSync, statSync, utimesSync } from 'node:fs';
import { dirname } from 'node:path';
import { posix, syncDirectory, writeFully } from '../../../src/store/local/files.ts';
import { zstdFrame } from '../../support/zstd.ts';

/** Compresses a rollout as Codex does, if that is not done: with the same time, and with all that a careful writer syncs. */
export async function compressDurably(path: string): Promise<void> {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  const temporary = `${path}.zst.tmp`;
  const fd = await posix.open(temporary, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
  await writeFully(fd, zstdFrame(readFileSync(path)), 0);
  await posix.fsync(fd);
  await posix.close(fd);
  utimesSync(temporary, stats.atime, stats.mtimeMs / 1_000 + 5e-7);
  await posix.rename(temporary, `${path}.zst`);
  await syncDirectory(dirname(path));
  await posix.unlink(path);
}
