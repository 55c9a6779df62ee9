import { posix } from '../../src/store/local/files.ts';

type Call = (...args: readonly unknown[]) => Promise<unknown>;

/** What goes wrong with a call: the system's error; for writes also half of it before. A failed close closes. */
export type Fault = 'ENOSPC' | 'EIO' | 'half, then ENOSPC';

/**
 * Lets one of the store's system calls fail while something is done; all of its calls, or those that fit.
 * @param fits looks at the arguments of a call
 */
export async function failing<T>(
  name: keyof typeof posix,
  fault: Fault,
  work: () => Promise<T>,
  fits: (args: readonly unknown[]) => boolean = () => true,
): Promise<T> {
  const calls = posix as unknown as Record<string, Call>;
  const original = calls[name] as Call;
  let isHalfDone = false;
  calls[name] = async (...args) => {
    if (!fits(args)) return original(...args);
    if (fault === 'half, then ENOSPC' && !isHalfDone) {
      isHalfDone = true;
      const [fd, bytes, offset, length, position] = args;
      return original(fd, bytes, offset, Math.floor((length as number) / 2), position);
    }
    if (name === 'close') await original(...args);
    const code = fault === 'EIO' ? 'EIO' : 'ENOSPC';
    throw Object.assign(new Error(`${code}: injected, ${name}`), { code });
  };
  try {
    return await work();
  } finally {
    calls[name] = original;
  }
}

/** Fits the first call only. */
export function once(): () => boolean {
  let isFirst = true;
  return () => {
    const fits = isFirst;
    isFirst = false;
    return fits;
  };
}
