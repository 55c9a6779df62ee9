import fs, { readFileSync, readlinkSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import type { DiskFault } from './disk-fault.ts';

/**
 * Loaded into a daemon before anything of it (`node --import`): the system calls that it makes through `node:fs` then
 * fail, hang, or kill it, as the file says that `SKEIN_FAULTS` names. It is read again at each SIGUSR2, and the number in it said
 * on standard error when that is done, with the number of calls that the one before has hit. Calls that SQLite makes do not come by here.
 */

type Callback = (error: NodeJS.ErrnoException | null, ...results: unknown[]) => void;
type Call = (...args: unknown[]) => unknown;

const controlPath = process.env['SKEIN_FAULTS'] ?? '';

/** The system's own, without the switch. */
const { writeSync, open, openSync } = fs;

/** A pipe that nobody writes to: opening it does not come back. */
const hangingPath = `${controlPath}.pipe`;

let fault: DiskFault | null = null;
let calls = 0;

if (isMainThread) {
  read();
  process.on('SIGUSR2', read);
  for (const name of [
    'write',
    'writev',
    'fdatasync',
    'fsync',
    'ftruncate',
    'rename',
    'unlink',
    'link',
    'mkdir',
    'open',
  ]) {
    wrap(name, false);
    wrap(`${name}Sync`, true);
  }
  for (const name of ['writeFile', 'appendFile', 'rm', 'chmod', 'copyFile']) {
    wrap(name, false);
    wrap(`${name}Sync`, true);
  }
  syncBuiltinESMExports();
}

function read(): void {
  const control = JSON.parse(readFileSync(controlPath, 'utf8')) as { serial: number; fault: DiskFault | null };
  const hits = fault === null ? 0 : Math.min(Math.max(0, calls - fault.after), fault.times ?? calls);
  fault = control.fault;
  calls = 0;
  process.stderr.write(`[fault ${control.serial}] ${hits}\n`);
}

/** Puts the switch before a function of `node:fs`. */
function wrap(name: string, isSync: boolean): void {
  const functions = fs as unknown as Record<string, Call | undefined>;
  const original = functions[name];
  if (original === undefined) return;
  const wrapped = function wrapped(this: unknown, ...args: unknown[]): unknown {
    const call = isSync ? name.slice(0, -'Sync'.length) : name;
    if (fault === null || !fits(fault, call, args)) return Reflect.apply(original, this, args);
    calls += 1;
    if (calls <= fault.after || calls > fault.after + (fault.times ?? calls))
      return Reflect.apply(original, this, args);
    const [half, error] = [halfOf(call, args), asError(fault, call)];
    switch (fault.kind) {
      case 'kill':
        process.kill(process.pid, 'SIGKILL');
        return undefined;
      case 'kill in mid-write':
        // Half of it reaches the file, as of a write that is cut off.
        if (half !== null) Reflect.apply(writeSync, fs, half);
        process.kill(process.pid, 'SIGKILL');
        return undefined;
      case 'short write':
        // Half goes; whoever asks for the rest is told that there is no room.
        if (half !== null && calls === fault.after + 1) return Reflect.apply(original, this, [...half, ...rest(args)]);
        return fail(error, args, isSync);
      case 'error':
        return fail(error, args, isSync);
      case 'hang':
        if (isSync) openSync(hangingPath, 'r');
        else open(hangingPath, 'r', () => {});
        return undefined;
    }
  };
  // Among these is what makes promises of `fs.write` resolve with an object.
  Object.defineProperties(wrapped, Object.getOwnPropertyDescriptors(original));
  functions[name] = wrapped;
}

function fits({ calls: names, path }: DiskFault, call: string, args: readonly unknown[]): boolean {
  if (!names.includes(call)) return false;
  // Only an open that may create a file changes the disk.
  if (call === 'open' && !createsFile(args[1])) return false;
  return new RegExp(path).test(pathOf(args));
}

const createsFile = (flags: unknown): boolean =>
  typeof flags === 'number' ? (flags & fs.constants.O_CREAT) !== 0 : typeof flags === 'string' && /[wa]/.test(flags);

/** Where a call works: what it names, or what its descriptor stands for. */
function pathOf(args: readonly unknown[]): string {
  const [first, second] = args;
  if (typeof first === 'string')
    return typeof second === 'string' && second.startsWith('/') ? `${first} ${second}` : first;
  if (typeof first !== 'number') return String(first);
  try {
    return readlinkSync(`/proc/self/fd/${first}`);
  } catch {
    return '';
  }
}

/** The arguments of a write of half as much; null if it is none of bytes at a place. */
function halfOf(call: string, args: readonly unknown[]): readonly unknown[] | null {
  const [fd, bytes, offset = 0, length, position = null] = args.filter((arg) => typeof arg !== 'function');
  if (call !== 'write' || !(bytes instanceof Uint8Array)) return null;
  return [fd, bytes, offset, Math.floor(((length as number | undefined) ?? bytes.byteLength) / 2), position];
}

const rest = (args: readonly unknown[]): readonly unknown[] => args.filter((arg) => typeof arg === 'function');

const asError = ({ errno }: DiskFault, call: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`${errno}: injected, ${call}`), { code: errno, syscall: call });

function fail(error: NodeJS.ErrnoException, args: readonly unknown[], isSync: boolean): undefined {
  if (isSync) throw error;
  const callback = args.at(-1) as Callback;
  setImmediate(() => callback(error));
}
