import { readFile, realpath } from 'node:fs/promises';
import { daemonFiles, type DaemonInfo } from '../domain/daemon-files.ts';
import { isJsonObject, stringMember } from '../domain/json.ts';

/**
 * What a daemon has left about itself, or undefined. It may be gone since. Whatever else lies there says nothing: not what
 * is damaged, and not what came with a copy of another home, whose daemon is none of this one's business (CLI-34).
 * @param home absolute
 */
export async function readInfo(home: string): Promise<DaemonInfo | undefined> {
  try {
    const info: unknown = JSON.parse(await readFile(daemonFiles(home).info, 'utf8'));
    const itsHome = isJsonObject(info) && stringMember(info, 'socket') !== undefined ? info['home'] : undefined;
    if (typeof itsHome !== 'string' || !(await isSame(home, itsHome))) return undefined;
    return info as object as DaemonInfo;
  } catch {
    return undefined;
  }
}

/** One folder may go by several paths. What is not there is no folder. */
export const isSame = async (one: string, other: string): Promise<boolean> => {
  if (one === other) return true;
  const [first, second] = await Promise.all([one, other].map((path) => realpath(path).catch(() => undefined)));
  return first !== undefined && first === second;
};
