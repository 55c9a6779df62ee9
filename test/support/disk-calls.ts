import { readlinkSync } from 'node:fs';
import { relative } from 'node:path';
import { posix } from '../../src/store/local/files.ts';

type Call = (...args: readonly unknown[]) => Promise<unknown>;

/**
 * What is synced, cut, gets a name or loses it while something is done, in order: `fdatasync a`, `fsync a`, `ftruncate a`, `rename a`,
 * `unlink a`, by paths below a home. What happens to locks is left out.
 */
export async function diskCalls(home: string, work: () => Promise<unknown>): Promise<readonly string[]> {
  const calls = posix as unknown as Record<string, Call>;
  const original = { ...calls };
  const made: string[] = [];

  const note = (name: string, path: unknown): void => {
    const place = relative(home, String(path));
    if (!place.endsWith('.lock')) made.push(`${name} ${place}`);
  };

  for (const name of ['fdatasync', 'fsync', 'ftruncate', 'rename', 'unlink']) {
    calls[name] = async (...args) => {
      note(name, typeof args[0] === 'number' ? readlinkSync(`/proc/self/fd/${args[0]}`) : args[0]);
      return original[name]?.(...args);
    };
  }
  try {
    await work();
    return made;
  } finally {
    Object.assign(calls, original);
  }
}
