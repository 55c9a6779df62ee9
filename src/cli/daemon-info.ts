import { readFile } from 'node:fs/promises';
import { daemonFiles, type DaemonInfo } from '../domain/daemon-files.ts';

/** What a daemon has left about itself, or undefined. It may be gone since. @param home absolute */
export async function readInfo(home: string): Promise<DaemonInfo | undefined> {
  try {
    return JSON.parse(await readFile(daemonFiles(home).info, 'utf8')) as DaemonInfo;
  } catch {
    return undefined;
  }
}
