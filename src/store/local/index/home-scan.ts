import { readdirSync, statSync, type Stats } from 'node:fs';
import { basename, join } from 'node:path';
import { errnoOf } from '../../../domain/errors.ts';
import { epochMsOfLocalTime, parseRolloutFileName } from '../../../domain/rollout-file-name.ts';
import { compressedPath, LOOKS, plainPath } from '../compressed-rollout.ts';
import type { HomeLayout } from '../home-layout.ts';
import { UNKNOWN_SIZE, type FileState, type SeenFile } from './rollout-row.ts';

/** A folder that holds rollouts, or folders of them. */
export interface RolloutFolder {
  readonly path: string;
  /** Levels of folders below it; rollouts lie where there are none. */
  readonly depth: number;
}

/** Where all rollouts lie: by day, and the archive in one folder. */
export const rolloutRoots = (home: HomeLayout): readonly RolloutFolder[] => [
  { path: home.sessions, depth: 3 },
  { path: home.archivedSessions, depth: 0 },
];

/**
 * The folders that may hold rollouts, newest day first, the archive last; and the folders above them, whose
 * change announces a new day. Folders that are not there or cannot be read are left out.
 */
export function* rolloutFolders(home: HomeLayout): Generator<RolloutFolder> {
  for (const root of rolloutRoots(home)) yield* below(root);
}

function* below(folder: RolloutFolder): Generator<RolloutFolder> {
  if (stateOfFolder(folder.path) === undefined) return;
  yield folder;
  for (const child of foldersIn(folder)) yield* below(child);
}

/** The folders in a folder, newest first. */
export const foldersIn = ({ path, depth }: RolloutFolder): readonly RolloutFolder[] =>
  depth === 0
    ? []
    : namesIn(path)
        .filter(isDated)
        .toSorted()
        .toReversed()
        .map((name) => ({ path: join(path, name), depth: depth - 1 }));

/** True for the name of a folder of a year, a month or a day. */
export const isDated = (name: string): boolean => /^\d+$/.test(name);

/** The rollouts in a folder, by their plain names only, each once. */
export const rolloutNamesIn = (folder: string): readonly string[] => [
  ...new Set(
    namesIn(folder)
      .filter((name) => parseRolloutFileName(name) !== undefined)
      .map(plainPath),
  ),
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

/** Identity of a folder, and when its entries last changed, Unix ms; undefined if there is none. */
export function stateOfFolder(path: string): { readonly inode: number; readonly mtimeMs: number } | undefined {
  const stats = statsOf(path);
  return stats === undefined || !stats.isDirectory() ? undefined : { inode: stats.ino, mtimeMs: stats.mtimeMs };
}

/** One place that cannot be reached (a link in a circle, a lost permission) must not hide all others. */
function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    const isNoPath = (error as { readonly code?: unknown }).code === 'ERR_INVALID_ARG_VALUE';
    if (errnoOf(error) === undefined && !isNoPath) throw error;
    return undefined;
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return [];
  }
}
