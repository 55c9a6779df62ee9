import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { posix } from './files.ts';

/** What a rollout is called until it is whole: no listing shows it. */
export const unfinishedPath = (path: string): string => join(dirname(path), `.${basename(path)}.new`);

/** What a compressed rollout that is being made plain again is called until it is whole. */
export const restoringPath = (path: string): string => join(dirname(path), `.${basename(path)}.plain`);

const UNFINISHED = /^\.rollout-.*\.jsonl\.new$/;

/** File names that {@link restoringPath} makes. */
export const RESTORING = /^\.rollout-.*\.jsonl\.plain$/;

/**
 * Removes what a daemon that was killed left half made, folder by folder, before this one first writes there. The home
 * has one daemon, so nobody else is making them.
 */
export class UnfinishedRollouts {
  readonly #pattern: RegExp;
  readonly #swept = new Map<string, Promise<void>>();

  /** @param pattern of the names of what one kind of writer leaves: each sweeps its own kind only */
  constructor(pattern: RegExp = UNFINISHED) {
    this.#pattern = pattern;
  }

  /** Resolves when the folder holds none but those of this process. */
  sweep(folder: string): Promise<void> {
    const sweeping = this.#swept.get(folder) ?? remove(folder, this.#pattern);
    this.#swept.set(folder, sweeping);
    return sweeping;
  }
}

/** Never fails: leftovers harm nobody. */
async function remove(folder: string, pattern: RegExp): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const unfinished = names.filter((name) => pattern.test(name));
  await Promise.allSettled(unfinished.map((name) => posix.unlink(join(folder, name))));
}
