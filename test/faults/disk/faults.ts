import { CHANGES, type DiskFault } from '../preload/disk-fault.ts';

/** What needs room. */
const GROWING = ['write', 'writev', 'open', 'mkdir', 'link', 'writeFile', 'appendFile', 'copyFile'] as const;

/** What a disk does, from some call on. */
export type DiskWeather = Omit<DiskFault, 'path' | 'after'> & { readonly name: string };

/** What a disk refuses that takes no changes any more; what is open for writing keeps it from that in earnest. */
const CHANGING = CHANGES.filter((call) => call !== 'fdatasync' && call !== 'fsync');

export const WEATHERS: readonly DiskWeather[] = [
  { name: 'full', kind: 'error', errno: 'ENOSPC', calls: GROWING },
  { name: 'full in mid-write', kind: 'short write', errno: 'ENOSPC', calls: ['write'] },
  { name: 'over quota for two calls', kind: 'error', errno: 'EDQUOT', calls: GROWING, times: 2 },
  { name: 'broken', kind: 'error', errno: 'EIO', calls: CHANGES },
  { name: 'broken for one call', kind: 'error', errno: 'EIO', calls: CHANGES, times: 1 },
  { name: 'read-only', kind: 'error', errno: 'EROFS', calls: CHANGING },
  { name: 'not syncing', kind: 'error', errno: 'EIO', calls: ['fdatasync', 'fsync'] },
  { name: 'neither syncing nor cutting', kind: 'error', errno: 'EIO', calls: ['fdatasync', 'fsync', 'ftruncate'] },
];
