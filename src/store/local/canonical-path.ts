import { realpath } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { isInside, type HomeLayout } from './home-layout.ts';

/**
 * Where a path leads that a caller has named: relative ones are below the home, links are followed, and what lies in
 * the home is spelled as the home is, wherever that itself and its collections may be linked to. A path that leads
 * nowhere stays as it is, for whoever opens it to refuse.
 */
export async function canonicalPath(home: HomeLayout, path: string): Promise<string> {
  const absolute = resolve(home.home, path);
  const real = await realOf(absolute);
  if (real === undefined) return absolute;
  for (const root of [home.sessions, home.archivedSessions, home.home]) {
    const realRoot = await realOf(root);
    if (realRoot !== undefined && isInside(realRoot, real)) return join(root, relative(realRoot, real));
  }
  return real;
}

const realOf = (path: string): Promise<string | undefined> => realpath(path).catch(() => undefined);
