import { readFileSync, statSync, type Stats } from 'node:fs';
import { errnoOf } from '../../domain/errors.ts';

/** Who holds a lock file, in words for a refusal: `pid 123 (codex)`. Best effort, bounded, never fails. */
export function describeHolder(lockPath: string): string {
  const signature = signatureIn(lockPath);
  const holders = holdersInKernelTable(lockPath);
  // A signature outlives a holder that was killed; the kernel knows better, where it tells.
  const isSigner = signature !== undefined && (holders === undefined || holders.includes(signature.pid));
  const pid = isSigner ? signature.pid : holders?.[0];
  if (pid === undefined || !isAlive(pid)) return 'another process';
  const shown = isSigner ? signature.product : processName(pid);
  return shown === undefined ? `pid ${pid}` : `pid ${pid} (${shown})`;
}

/** Skein writes who it is into the locks it holds; Codex leaves them empty. */
function signatureIn(lockPath: string): { readonly pid: number; readonly product: string | undefined } | undefined {
  const text = textOf(lockPath);
  const pid = /"pid":(\d{1,10})\b/.exec(text)?.[1];
  return pid === undefined ? undefined : { pid: Number(pid), product: /"product":"(\w{1,20})"/.exec(text)?.[1] };
}

/**
 * Linux lists all locks with pid, device and inode: `5: FLOCK ADVISORY WRITE 4235 fe:00:2148533 0 EOF`.
 * Those on the same device come first; some file systems give files another device than their locks.
 * @returns undefined where there is no such list, or no such lock in it
 */
function holdersInKernelTable(lockPath: string): readonly number[] | undefined {
  const stats = statsOf(lockPath);
  if (stats === undefined) return undefined;
  const rows = textOf('/proc/locks')
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
    .filter(([, kind, , , pid, file]) => kind === 'FLOCK' && Number(pid) > 0 && file?.endsWith(`:${stats.ino}`));
  const device = deviceName(stats.dev);
  const onDevice = rows.filter(([, , , , , file]) => file?.startsWith(`${device}:`));
  const found = (onDevice.length > 0 ? onDevice : rows).map(([, , , , pid]) => Number(pid));
  return found.length === 0 ? undefined : found;
}

/** Major and minor number as the kernel's table writes them. */
function deviceName(dev: number): string {
  const bits = BigInt(dev);
  const major = ((bits >> 8n) & 0xfffn) | ((bits >> 32n) & 0xfffff000n);
  const minor = (bits & 0xffn) | ((bits >> 12n) & 0xffffff00n);
  const hex = (value: bigint): string => value.toString(16).padStart(2, '0');
  return `${hex(major)}:${hex(minor)}`;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
}

/** The command's own name; undefined if there is no such process (or no /proc). */
function processName(pid: number): string | undefined {
  const name = textOf(`/proc/${pid}/comm`).trim();
  return name === '' ? undefined : name;
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
