import { createHash } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { basename, join } from 'node:path';
import { invalidRequest } from '../domain/errors.ts';
import { MAX_SOCKET_PATH_BYTES } from '../server/addresses.ts';
import { makePrivateFolder } from './private-files.ts';

/**
 * Where a socket of the daemon can really lie: at its place in the home if the system takes a path of that length,
 * else in a short folder of the user's own (F27). Clients learn the place from the daemon's info file.
 * @throws invalidRequest if that folder is someone else's
 */
export function usableSocketPath(wanted: string, home: string, environment: NodeJS.ProcessEnv = process.env): string {
  if (fits(wanted)) return wanted;
  const uid = process.getuid?.() ?? 0;
  const tag = createHash('sha256').update(home).digest('hex').slice(0, 12);
  const runtime = environment['XDG_RUNTIME_DIR'];
  const bases = [...(runtime === undefined || runtime === '' ? [] : [runtime]), '/tmp'];
  const folder = bases
    .map((base) => join(base, `skein-${uid}`, tag))
    .find((place) => fits(join(place, basename(wanted))));
  if (folder === undefined) throw invalidRequest(`no place is short enough for the socket ${wanted}`);
  makeOwnFolder(join(folder, '..'), uid);
  makeOwnFolder(folder, uid);
  return join(folder, basename(wanted));
}

const fits = (path: string): boolean => Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES;

function makeOwnFolder(path: string, uid: number): void {
  // In a folder that everyone may write to, someone else may have been here first.
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found !== undefined && (!found.isDirectory() || found.uid !== uid)) {
    throw invalidRequest(`${path} belongs to someone else; set XDG_RUNTIME_DIR, or use a home with a shorter path`);
  }
  makePrivateFolder(path);
}
