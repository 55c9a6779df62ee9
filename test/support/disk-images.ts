import { posix } from '../../src/store/local/files.ts';

type Call = (...args: readonly unknown[]) => Promise<unknown>;

const CHANGES = ['write', 'ftruncate', 'rename', 'unlink', 'link', 'mkdir', 'fdatasync'] as const;

/** Looks at the disk just before each change that the stores make to it while something is done. */
export async function duringEachChange<T>(look: () => void, work: () => Promise<T>): Promise<T> {
  const calls = posix as unknown as Record<string, Call>;
  const originals = CHANGES.map((name) => [name, calls[name] as Call] as const);
  for (const [name, original] of originals) {
    calls[name] = (...args) => {
      look();
      return original(...args);
    };
  }
  try {
    return await work();
  } finally {
    for (const [name, original] of originals) calls[name] = original;
  }
}
