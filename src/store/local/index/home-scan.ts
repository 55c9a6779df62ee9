import { readdirSync, statSync, type Stats } from 'node:fs';
import { basename, join } from 'node:path';
import { errnoOf } from '../../../domain/errors.ts';
import { epochMsOfLocalTime, parseRolloutFileName } from '../../../domain/rollout-file-name.ts';
import { compressedPath, LOOKS, plainPath } from '../compressed-rollout.ts';
import type { HomeLayout } from '../home-layout.ts';
import { UNKNOWN_SIZE, type FileState, type SeenFile } from './rollout-table.ts';

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

/** The rollouts in a folder, by their plain names only, each once. */
export const rolloutNamesIn = (folder: string): readonly string[] => [
  ...new Set((namesIn(folder) ?? []).filter((name) => parseRolloutFileName(name) !== undefined).map(plainPath)),
];

/**
 * A rollout as it stands now, plain or compressed; undefined if it is gone, not a file, or not named as one.
 * @param path its plain path
 */
export function seeFile(home: HomeLayout, path: string): SeenFile | undefined {
  const name = parseRolloutFileName(basename(path));
  if (name === undefined) return undefined;
  const state = stateOfRollout(path);
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

/**
 * The regular file that a rollout is in, the plain one if both are there; undefined if there is none.
 * @param path its plain path
 */
export function stateOfRollout(path: string): FileState | undefined {
  for (let look = 1; look <= LOOKS; look += 1) {
    const state = stateOfFile(path, false) ?? stateOfFile(compressedPath(path), true);
    if (state !== undefined) return state;
  }
  return undefined;
}

function stateOfFile(path: string, isCompressed: boolean): FileState | undefined {
  const stats = statsOf(path);
  if (stats === undefined || !stats.isFile()) return undefined;
  const state = { inode: stats.ino, mtimeMs: Math.trunc(stats.mtimeMs) };
  return isCompressed
    ? { ...state, size: UNKNOWN_SIZE, compressedSize: stats.size }
    : { ...state, size: stats.size, compressedSize: null };
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
