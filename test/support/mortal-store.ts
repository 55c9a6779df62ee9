import { closeSync, constants, writeSync } from 'node:fs';
import { HomeLayout } from '../../src/store/local/home-layout.ts';
import { posix } from '../../src/store/local/files.ts';
import { openIndexInline } from '../../src/store/local/index/index-thread.ts';
import { LocalThreadStore } from '../../src/store/local/local-thread-store.ts';

type Call = (...args: readonly unknown[]) => Promise<unknown>;

/** How a process dies at a call: before it, or, in a write, half-way through. */
export type Death = 'before' | 'torn';

/**
 * Opens a store, lets it work, and stops it dead when it has made `n` calls that change the disk: the next one does not
 * happen, nor any later one, and its descriptors (so its locks, too) go, as the kernel sees to when a process is killed.
 *
 * @returns the names of the calls that were made
 */
export async function workAndDie(
  home: string,
  n: number,
  death: Death,
  work: (store: LocalThreadStore) => Promise<unknown>,
): Promise<readonly string[]> {
  const calls = posix as unknown as Record<string, Call>;
  const original = { ...calls };
  const open = new Set<number>();
  let left = Number.POSITIVE_INFINITY;
  let die = (): void => {};
  const died = new Promise<void>((resolve) => {
    die = resolve;
  });
  const made: string[] = [];

  for (const [name, call] of Object.entries(original)) {
    calls[name] = async (...args) => {
      if (changesDisk(name, args)) left -= 1;
      if (left < 0) {
        if (left === -1 && death === 'torn' && name === 'write') writeHalf(args);
        left = Number.NEGATIVE_INFINITY;
        die();
        return new Promise(() => {});
      }
      // A process that dies takes nothing from the kernel: syncing would only take time.
      if (name === 'fsync' || name === 'fdatasync') return undefined;
      if (changesDisk(name, args)) made.push(name);
      const result = await call(...args);
      if (name === 'open') open.add(result as number);
      if (name === 'close') open.delete(args[0] as number);
      return result;
    };
  }
  const index = openIndexInline({ home: new HomeLayout(home), defaultModelProvider: 'default-provider' });
  try {
    const store = await LocalThreadStore.open({ home, index });
    made.length = 0;
    left = n;
    await Promise.race([died, work(store)]);
    return made;
  } finally {
    Object.assign(calls, original);
    for (const fd of open) closeSync(fd);
    await index.close();
  }
}

function changesDisk(name: string, args: readonly unknown[]): boolean {
  if (name === 'open') return ((args[1] as number) & constants.O_CREAT) !== 0;
  return ['write', 'ftruncate', 'rename', 'unlink', 'link', 'mkdir'].includes(name);
}

function writeHalf([fd, bytes, offset, length, position]: readonly unknown[]): void {
  const half = Math.floor((length as number) / 2);
  writeSync(fd as number, bytes as Buffer, offset as number, half, position as number | null);
}
