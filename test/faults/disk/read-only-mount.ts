import { execFileSync } from 'node:child_process';
import { NotHere, reasonOf } from '../not-here.ts';

/** Before the command of a daemon, which sees a file or folder on a mount that cannot be written. @throws NotHere */
export function withReadOnly(path: string): readonly [string, ...string[]] {
  try {
    execFileSync('unshare', ['-m', 'true'], { stdio: 'pipe' });
  } catch (error) {
    throw new NotHere(`a read-only mount (${reasonOf(error)})`, { cause: error });
  }
  const mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
  return ['unshare', '-m', 'sh', '-c', mount, path];
}
