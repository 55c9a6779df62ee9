import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { errnoOf, internal } from '../domain/errors.ts';
import { syncDirectory } from '../store/local/files.ts';

/** Of folders that others made: ours can be read. Or of file systems that sync no folders. */
const PASSED_OVER: ReadonlySet<string | undefined> = new Set(['EACCES', 'EPERM', 'EINVAL', 'ENOTSUP']);

/**
 * Sees to it that a home is found after a loss of power, and all that stable storage holds of it: every folder above is synced,
 * whoever made them or the home. Once for a home, before its lock is first made: that is the sign that it is done.
 * @param home absolute
 * @throws internal, with errno, if one of them cannot be synced
 */
export async function makeHomeDurable(home: string, lockPath: string): Promise<void> {
  if (existsSync(lockPath)) return;
  for (let [below, folder] = [home, dirname(home)]; folder !== below; [below, folder] = [folder, dirname(folder)]) {
    try {
      await syncDirectory(folder);
    } catch (error) {
      if (!PASSED_OVER.has(errnoOf(error))) throw internal(`cannot sync the folder ${folder}`, error);
    }
  }
}
