import { closeSync, fstatSync, statSync } from 'node:fs';
import koffi from 'koffi';
import { onTestFinished } from 'vitest';

/** Real faults, which need neither privileges nor special hardware. */

const libc = koffi.load(process.platform === 'darwin' ? 'libSystem.B.dylib' : 'libc.so.6');
const Limit = koffi.struct({ current: 'uint64', max: 'uint64' });
const getLimit = libc.func('getrlimit', 'int', ['int', koffi.out(koffi.pointer(Limit))]);
const setLimit = libc.func('setrlimit', 'int', ['int', koffi.pointer(Limit)]);
const RLIMIT_FSIZE = 1;

// Else the system ends a process that reaches the limit; this way its writes fail.
process.on('SIGXFSZ', () => {});

const unlimited = { current: 0n, max: 0n };
getLimit(RLIMIT_FSIZE, unlimited);

/**
 * From now on no file of this process grows beyond so many bytes: a write goes as far as it can, and the next one fails
 * with EFBIG, as on a full disk. Null lifts the limit; so does the end of the test.
 */
export function limitFileSize(bytes: number | null): void {
  if (bytes !== null) onTestFinished(() => setFileSizeLimit(null));
  setFileSizeLimit(bytes);
}

/** As {@link limitFileSize}, for use within properties: the caller sees to lifting it. */
export function setFileSizeLimit(bytes: number | null): void {
  const current = bytes === null ? unlimited.max : BigInt(bytes);
  if (setLimit(RLIMIT_FSIZE, { current, max: unlimited.max }) !== 0) throw new Error('setrlimit failed');
}

/** Closes the descriptors that this process has open on a file, behind the back of their owners; says how many. */
export function closeDescriptorsOf(path: string): number {
  const { ino, dev } = statSync(path);
  let closed = 0;
  for (let fd = 3; fd < 1_024; fd += 1) {
    const stat = descriptorStat(fd);
    if (stat?.ino !== ino || stat.dev !== dev) continue;
    closeSync(fd);
    closed += 1;
  }
  return closed;
}

function descriptorStat(fd: number): ReturnType<typeof fstatSync> | undefined {
  try {
    return fstatSync(fd);
  } catch {
    return undefined;
  }
}
