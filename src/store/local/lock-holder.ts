import { readFileSync, statSync } from 'node:fs';

/** Who holds a lock file, in words for a refusal: `pid 123 (codex)`. Best effort, bounded, never fails. */
export function describeHolder(lockPath: string): string {
  const pid = pidInside(lockPath) ?? pidInKernelTable(lockPath);
  if (pid === undefined) return 'another process';
  const name = processName(pid);
  return name === undefined ? `pid ${pid}` : `pid ${pid} (${name})`;
}

/** Skein writes its pid into the locks it holds; Codex leaves them empty. */
function pidInside(lockPath: string): number | undefined {
  const match = /"pid":(\d+)/.exec(textOf(lockPath));
  const pid = match?.[1] === undefined ? undefined : Number(match[1]);
  return pid !== undefined && processName(pid) !== undefined ? pid : undefined;
}

/** Linux lists all locks with pid and inode: `5: FLOCK ADVISORY WRITE 4235 fe:00:2148533 0 EOF`. */
function pidInKernelTable(lockPath: string): number | undefined {
  let inode: number;
  try {
    inode = statSync(lockPath).ino;
  } catch {
    return undefined;
  }
  for (const row of textOf('/proc/locks').split('\n')) {
    const [, kind, , , pid, device] = row.trim().split(/\s+/);
    if (kind === 'FLOCK' && device?.endsWith(`:${inode}`) === true && Number(pid) > 0) return Number(pid);
  }
  return undefined;
}

/** The command's own name; undefined if there is no such process (or no /proc). */
function processName(pid: number): string | undefined {
  const name = textOf(`/proc/${pid}/comm`).trim();
  return name === '' ? undefined : name;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
