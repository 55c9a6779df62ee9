/** What is to go wrong with the calls of a daemon to its disk. */
export interface DiskFault {
  /**
   * `error`: they fail. `short write`: the first write does half, and those behind it fail. `kill`: the daemon is killed
   * before the call. `kill in mid-write`: half of the write is done before that. `hang`: they do not come back, and each
   * keeps the thread that it runs in, as a disk does that answers no more.
   */
  readonly kind: 'error' | 'short write' | 'kill' | 'kill in mid-write' | 'hang';
  /** Functions of `node:fs`, by the names of the asynchronous ones. */
  readonly calls: readonly string[];
  /** A regular expression: the paths that are meant; of two paths of a call, both with a space between. */
  readonly path: string;
  /** So many calls go well before. */
  readonly after: number;
  /** So many fail; default: all from there on. */
  readonly times?: number;
  /** What the system would say. */
  readonly errno: 'ENOSPC' | 'EDQUOT' | 'EIO' | 'EROFS' | 'EMFILE';
}

/** All that changes a disk. */
export const CHANGES = [
  'write',
  'writev',
  'fdatasync',
  'fsync',
  'ftruncate',
  'rename',
  'unlink',
  'link',
  'mkdir',
  'open',
  'writeFile',
  'appendFile',
  'rm',
  'chmod',
  'copyFile',
] as const;
