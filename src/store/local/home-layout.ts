import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import { dayFoldersOf, renderRolloutFileName, type RolloutFileName } from '../../domain/rollout-file-name.ts';

/** Where things lie in a home (D4): Codex's layout, and one folder of our own. */
export class HomeLayout {
  /** Absolute. */
  readonly home: string;

  constructor(home: string) {
    this.home = resolve(home);
  }

  get sessions(): string {
    return join(this.home, 'sessions');
  }

  get archivedSessions(): string {
    return join(this.home, 'archived_sessions');
  }

  get nameIndex(): string {
    return join(this.home, 'session_index.jsonl');
  }

  get nameIndexLock(): string {
    return join(this.home, 'session_index.jsonl.lock');
  }

  /** What people set around threads, and nothing else knows. */
  get organization(): string {
    return join(this.home, 'skein_threads.jsonl');
  }

  get writerLocks(): string {
    return join(this.home, 'thread-writer-locks');
  }

  /** All that is Skein's own and can be made anew. */
  get own(): string {
    return join(this.home, 'skein');
  }

  get index(): string {
    return join(this.own, 'index.sqlite');
  }

  /** Plain copies of compressed rollouts, for reading in places. */
  get plainCopies(): string {
    return join(this.own, 'plain');
  }

  /** Intents of deletions that touch more than one file. */
  get deletions(): string {
    return join(this.own, 'deletions');
  }

  activePath(name: RolloutFileName): string {
    return join(this.sessions, ...dayFoldersOf(name), renderRolloutFileName(name));
  }

  archivedPath(name: RolloutFileName): string {
    return join(this.archivedSessions, renderRolloutFileName(name));
  }

  /** True for a path inside `archived_sessions/`. */
  isArchived(path: string): boolean {
    return isInside(this.archivedSessions, path);
  }

  /** True for a path inside one of the two collections of rollouts. */
  isCollected(path: string): boolean {
    return isInside(this.sessions, path) || isInside(this.archivedSessions, path);
  }

  /** A path as the index keeps it: below the home if it lies there, so that a home can be moved. */
  toStored(path: string): string {
    return wayBelow(this.home, path) ?? path;
  }

  /** Inverse of {@link toStored}; relative paths are below the home. */
  fromStored(path: string): string {
    return isAbsolute(path) ? path : join(this.home, path);
  }
}

/** True for a path below a folder; both absolute, compared as text. */
export const isInside = (folder: string, path: string): boolean => wayBelow(folder, path) !== undefined;

/** A path with parts that lead nowhere, or back. */
const IN_DISORDER = /\/\.{0,2}(?:\/|$)/;

/** The rest of a path below a folder, in order; undefined if it is not below. */
function wayBelow(folder: string, path: string): string | undefined {
  // Few are not in order, and putting them so takes many times as long as to see that they are.
  if (sep === '/' && !IN_DISORDER.test(folder + path)) {
    return path.startsWith(folder) && path[folder.length] === sep ? path.slice(folder.length + 1) : undefined;
  }
  const way = relative(folder, path);
  return way === '' || way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way) ? undefined : way;
}
