import { readdirSync, statSync, type Stats } from 'node:fs';
import { basename, join } from 'node:path';
import { errnoOf } from '../../../domain/errors.ts';
import { epochMsOfLocalTime, parseRolloutFileName } from '../../../domain/rollout-file-name.ts';
import type { HomeLayout } from '../home-layout.ts';
import type { SeenFile } from './rollout-table.ts';

const NUMBERED = /^\d+$/;

/**
 * The folders that may hold rollouts, newest day first, the archive last; and the folders above them, whose
 * change announces a new day. Folders that are not there are left out.
 */
export function* rolloutFolders(home: HomeLayout): Generator<{ readonly path: string; readonly isLeaf: boolean }> {
  yield* dayFolders(home.sessions, 3);
  if (stateOfFolder(home.archivedSessions) !== undefined) yield { path: home.archivedSessions, isLeaf: true };
}

function* dayFolders(folder: string, depth: number): Generator<{ readonly path: string; readonly isLeaf: boolean }> {
  const names = namesIn(folder);
  if (names === undefined) return;
  yield { path: folder, isLeaf: depth === 0 };
  if (depth === 0) return;
  const numbered = names
    .filter((name) => NUMBERED.test(name))
    .toSorted()
    .toReversed();
  for (const name of numbered) yield* dayFolders(join(folder, name), depth - 1);
}

/** The rollout files in a folder, by name only. */
export const rolloutNamesIn = (folder: string): readonly string[] =>
  (namesIn(folder) ?? []).filter((name) => parseRolloutFileName(name) !== undefined);

/** A rollout file as it stands now; undefined if it is gone, not a file, or not named as one. */
export function seeFile(home: HomeLayout, path: string): SeenFile | undefined {
  const name = parseRolloutFileName(basename(path));
  if (name === undefined || name.isCompressed) return undefined;
  const state = stateOfFile(path);
  if (state === undefined) return undefined;
  return {
    rolloutId: name.rolloutId,
    threadId: name.threadId,
    path: home.toStored(path),
    isArchived: home.isArchived(path),
    nameMs: epochMsOfLocalTime(name.localTime),
    ...state,
  };
}

/** Identity, size and time of a regular file; undefined if there is none. */
export function stateOfFile(
  path: string,
): { readonly inode: number; readonly size: number; readonly mtimeMs: number } | undefined {
  const stats = statsOf(path);
  if (stats === undefined || !stats.isFile()) return undefined;
  return { inode: stats.ino, size: stats.size, mtimeMs: Math.trunc(stats.mtimeMs) };
}

/** What the system says of paths that lead nowhere, and Node of those that cannot be any. */
const NOWHERE: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'ERR_INVALID_ARG_VALUE']);

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (error) {
    if (NOWHERE.has((error as { readonly code?: unknown }).code)) return undefined;
    throw error;
  }
}

/** When the entries of a folder last changed, Unix ms; undefined if there is none. */
export const stateOfFolder = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.mtimeMs;

function namesIn(folder: string): readonly string[] | undefined {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}
