import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { NotHere, reasonOf } from './not-here.ts';

/**
 * What changes a disk, as the kernel sees it: also what native code calls, as SQLite does. A mark before a name: not
 * every machine has that one. Each counts for itself.
 */
export const SYSTEM_CALLS = [
  'openat',
  'pwrite64',
  'fsync',
  'fdatasync',
  'ftruncate',
  '?unlink',
  'unlinkat',
  '?rename',
  '?renameat',
  'renameat2',
] as const;

export type SystemCall = (typeof SYSTEM_CALLS)[number];

/** The n-th call of a kind, from 1 on. */
export interface Point {
  readonly call: SystemCall;
  readonly number: number;
}

/**
 * Arguments of `strace` that kill a process before it makes a call, or, without a point, note what it calls.
 * @param paths only calls for these files count
 * @param log where the calls are noted
 */
export const killing = (point: Point | null, paths: readonly string[], log: string): readonly string[] => [
  '-f',
  '-o',
  log,
  ...paths.flatMap((path) => ['-P', path]),
  '-e',
  `trace=${point?.call ?? SYSTEM_CALLS.join(',')}`,
  ...(point === null ? [] : ['-e', `inject=${point.call}:signal=KILL:when=${point.number}`]),
];

/** @throws NotHere if there is no `strace`, or it may not look into other processes */
export function assertTraceable(): void {
  try {
    execFileSync('strace', ['-f', '-o', '/dev/null', 'true'], { stdio: 'pipe' });
  } catch (error) {
    throw new NotHere(`strace (${reasonOf(error)})`, { cause: error });
  }
}

/** All points of what has been noted, in its order. */
export function pointsIn(log: string): readonly Point[] {
  const made = new Map<SystemCall, number>();
  return readFileSync(log, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const name = /^\d+ +(\w+)\(/.exec(line)?.[1];
      const call = SYSTEM_CALLS.find((one) => one.replace('?', '') === name);
      if (call === undefined) return [];
      const number = (made.get(call) ?? 0) + 1;
      made.set(call, number);
      return [{ call, number }];
    });
}
