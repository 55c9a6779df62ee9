import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import * as fc from 'fast-check';
import { posix } from '../../src/store/local/files.ts';

type Call = (...args: readonly unknown[]) => Promise<unknown>;

/** What goes wrong with some of the system calls that are made in one step. */
export interface Fault {
  readonly call: 'write' | 'fdatasync' | 'fsync' | 'ftruncate' | 'open' | 'fstat' | 'close' | 'rename' | 'unlink';
  /** The first of these calls that is meant, from 0. */
  readonly from: number;
  /** How many are. */
  readonly count: number;
  readonly errno: 'EIO' | 'ENOSPC' | 'EDQUOT';
  /**
   * Of a write: all of it but so many parts in four is made by a call that is short, and the next one fails. Of a sync: the pages that
   * were not synced before are lost.
   */
  readonly harm: 0 | 1 | 2 | 'all but the last byte';
}

/** Most often there are none. */
export const faults: fc.Arbitrary<readonly Fault[]> = fc.oneof(
  { weight: 2, arbitrary: fc.constant([]) },
  {
    weight: 3,
    arbitrary: fc.array(
      fc.record({
        call: fc.oneof(
          { weight: 2, arbitrary: fc.constantFrom<Fault['call'][]>('write', 'fdatasync', 'ftruncate') },
          {
            weight: 1,
            arbitrary: fc.constantFrom<Fault['call'][]>('fsync', 'open', 'close', 'rename', 'unlink', 'fstat'),
          },
        ),
        from: fc.oneof(fc.constant(0), fc.nat(3)),
        count: fc.constantFrom(1, 2, 99),
        errno: fc.constantFrom('EIO', 'ENOSPC', 'EDQUOT'),
        harm: fc.constantFrom<Fault['harm'][]>(0, 1, 2, 'all but the last byte'),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  },
);

/** A disk that fails as it is told to, under every file of this process that the store writes. */
export class DiskWeather {
  /** Bytes of a file, by inode, that a sync has made safe. */
  readonly #safe = new Map<number, number>();
  /** Pages were lost since this was set to false. */
  hasLost = false;

  /** Does something while calls fail; and what was lost is lost. */
  async during<T>(bad: readonly Fault[], work: () => Promise<T>): Promise<T> {
    const calls = posix as unknown as Record<string, Call>;
    const original = { ...calls };
    const made = new Map<string, number>();
    const short = new Set<Fault>();
    const pass = (name: string, args: readonly unknown[]): Promise<unknown> => (original[name] as Call)(...args);
    for (const name of Object.keys(original)) {
      calls[name] = async (...args) => {
        const nth = made.get(name) ?? 0;
        made.set(name, nth + 1);
        const fault = bad.find(
          (one) => one.call === name && nth >= one.from && nth < one.from + one.count + (short.has(one) ? 1 : 0),
        );
        const [fd, bytes, offset, length, position] = args as [number, unknown, number, number, unknown];
        if (fault === undefined) {
          const done = await pass(name, args);
          if (name === 'fdatasync') this.#noteSafe(fd, Infinity);
          if (name === 'ftruncate') this.#noteSafe(fd, this.#safeIn(fd));
          // An inode that another file had before.
          if (name === 'open' && fstatSync(done as number).size === 0) this.#noteSafe(done as number, 0);
          return done;
        }
        if (name === 'write' && fault.harm !== 0 && !short.has(fault)) {
          short.add(fault);
          const written = fault.harm === 'all but the last byte' ? length - 1 : Math.floor((length * fault.harm) / 4);
          if (written > 0) return pass(name, [fd, bytes, offset, written, position]);
        }
        if (name === 'fdatasync' && fault.harm !== 0) this.#lose(fd);
        // A close that fails closes.
        if (name === 'close') await pass(name, args);
        throw Object.assign(new Error(`${fault.errno}: injected, ${name}`), { code: fault.errno });
      };
    }
    try {
      return await work();
    } finally {
      Object.assign(calls, original);
    }
  }

  /** Others add to a file, durably. */
  append(path: string, text: string): void {
    const fd = openSync(path, 'a', 0o600);
    writeSync(fd, text);
    this.#noteSafe(fd, Infinity);
    closeSync(fd);
  }

  #safeIn(fd: number): number {
    return this.#safe.get(fstatSync(fd).ino) ?? 0;
  }

  #noteSafe(fd: number, bytes: number): void {
    const { ino, size } = fstatSync(fd);
    this.#safe.set(ino, Math.min(size, bytes));
  }

  /** What the kernel does not hold any more reads as if nothing had been written there. */
  #lose(fd: number): void {
    const [safe, { size }] = [this.#safeIn(fd), fstatSync(fd)];
    if (safe >= size) return;
    ftruncateSync(fd, safe);
    ftruncateSync(fd, size);
    this.hasLost = true;
  }
}
