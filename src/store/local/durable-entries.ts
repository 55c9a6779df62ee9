import { basename, dirname } from 'node:path';
import { syncDirectory, syncFile } from './files.ts';

/** What the folders of a day are called, and those above them: years, months and days. */
const DATED = /^\d+$/;

const COLLECTIONS: ReadonlySet<string> = new Set(['sessions', 'archived_sessions']);

/** The folders that lead to a rollout, its own first, the home last; to one that is in no collection its own alone. */
export function foldersTo(path: string): readonly string[] {
  const folders = [dirname(path)];
  while (DATED.test(basename(folders.at(-1) ?? ''))) folders.push(dirname(folders.at(-1) ?? ''));
  const root = folders.at(-1) ?? '';
  return COLLECTIONS.has(basename(root)) ? [...folders, dirname(root)] : folders.slice(0, 1);
}

/**
 * Makes durable that a rollout is where it is. All folders to it are synced, also those that were there: whoever made
 * them may have ended, or may not have come so far.
 */
export async function syncEntries(path: string): Promise<void> {
  for (const folder of foldersTo(path)) await syncDirectory(folder);
}

/** Makes durable what a rollout holds now, and that it is where it is, whoever wrote it. */
export async function syncRollout(path: string): Promise<void> {
  await syncFile(path);
  await syncEntries(path);
}
