import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ThreadId } from '../../src/domain/ids.ts';
import { HomeLayout } from '../../src/store/local/home-layout.ts';
import { openIndexInline } from '../../src/store/local/index/index-thread.ts';
import { LocalThreadStore } from '../../src/store/local/local-thread-store.ts';

/** A local store over a home, with its index in this thread. */
export function openLocalStore(home: string): Promise<LocalThreadStore> {
  const index = openIndexInline({ home: new HomeLayout(home), defaultModelProvider: 'default-provider' });
  return LocalThreadStore.open({ home, index });
}

/** Files below a folder, relative to it, sorted. */
export const filesBelow = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted();

/** True if no file of a home but the lock of a live writer speaks of a thread. */
export function homeHoldsNothingOf(home: string, threadId: ThreadId): boolean {
  const files = filesBelow(home).filter(
    (path) => !path.startsWith('skein/') && !path.startsWith('thread-writer-locks/'),
  );
  return files.every((path) => !path.includes(threadId) && !readFileSync(join(home, path), 'utf8').includes(threadId));
}
