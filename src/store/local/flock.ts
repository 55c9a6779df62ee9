import { constants } from 'node:os';
import koffi from 'koffi';
import { libc } from './libc.ts';

/**
 * flock(2): the advisory lock that Codex takes too, held by an open file, released by the kernel when its
 * holder dies. Node has no binding for it, so the C library is called directly.
 */
export type LockKind = 'shared' | 'exclusive';

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;

const flock = libc.func('int flock(int fd, int operation)') as (fd: number, operation: number) => number;

/**
 * Takes a lock on an open file if nobody holds a contrary one; changes the kind of one that this descriptor
 * already holds. Never waits. @returns whether it was taken
 */
export function tryLock(fd: number, kind: LockKind): boolean {
  if (flock(fd, (kind === 'shared' ? LOCK_SH : LOCK_EX) | LOCK_NB) === 0) return true;
  const errno = koffi.errno();
  if (errno === constants.errno.EAGAIN || errno === constants.errno.EWOULDBLOCK) return false;
  throw new Error(`flock failed with errno ${errno}`);
}

/** Gives up whatever lock the descriptor holds. */
export function unlock(fd: number): void {
  flock(fd, LOCK_UN);
}
