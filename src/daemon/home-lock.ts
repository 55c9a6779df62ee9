import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { conflict } from '../domain/errors.ts';
import { tryLock } from '../store/local/flock.ts';
import { describeHolder } from '../store/local/lock-holder.ts';

/** The right to be the daemon of a home. The kernel takes it back when the process ends, however it ends (D9). */
export interface HomeLock {
  release(): void;
}

/** @throws conflict naming the daemon that has the home */
export function lockHome(lockPath: string): HomeLock {
  mkdirSync(dirname(lockPath), { recursive: true, mode: 0o700 });
  const fd = openSync(lockPath, 'a+', 0o600);
  if (!tryLock(fd, 'exclusive')) {
    closeSync(fd);
    const holder = describeHolder(lockPath);
    throw conflict(`a daemon already serves this home: ${holder}`, holder);
  }
  // Only a hint for people and refusals: the lock itself is what counts.
  ftruncateSync(fd, 0);
  writeSync(fd, `{"pid":${process.pid},"product":"skein"}\n`);
  return { release: () => closeSync(fd) };
}
