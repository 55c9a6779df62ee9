import { lstat as look } from 'node:fs';
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { createConnection, type Server } from 'node:net';
import { dirname } from 'node:path';
import { errnoOf, internal, invalidRequest } from '../domain/errors.ts';

/** A socket file that somebody has removed is missed for this long at most (F27), ms. */
const CHECK_INTERVAL_MS = 2_500;

/**
 * Lets a server listen on a Unix socket that only its owner can use. A socket that nobody answers on is that of a
 * process that is gone, and makes way.
 * @throws invalidRequest if something else lies there, which is left alone; internal if the socket cannot be had
 */
export async function listenOnSocketFile(server: Server, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await removeDeadSocket(path);
  await new Promise<void>((resolve, reject) => {
    const failed = (error: Error): void => reject(internal(`cannot listen on ${path}`, error));
    server.once('error', failed);
    // The file is made in this very call: nobody else can come in before its mode is set. What other threads make
    // at the same moment gets this mask too: it must leave their folders usable.
    const umask = process.umask(0o077);
    try {
      server.listen(path, () => {
        server.off('error', failed);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
  await chmod(path, 0o600);
}

/**
 * Looks now and then whether the file of a server's socket is still there. A server whose file has gone listens no more,
 * and keeps the connections that it has.
 * @param onVanished told once, when there can be another server in its place
 * @returns ends that
 */
export function watchSocketFile(server: Server, path: string, onVanished: () => void): () => void {
  const timer = setInterval(() => {
    look(path, (error) => {
      if (errnoOf(error) !== 'ENOENT' || !server.listening) return;
      clearInterval(timer);
      // Closing removes the file, so it must come before there is another one.
      server.close();
      onVanished();
    });
  }, CHECK_INTERVAL_MS).unref();
  return () => clearInterval(timer);
}

async function removeDeadSocket(path: string): Promise<void> {
  try {
    const found = await lstat(path);
    if (!found.isSocket()) throw invalidRequest(`cannot listen on ${path}: something that is no socket lies there`);
    if (await isAnswered(path)) throw internal(`another process listens on ${path}`);
    await unlink(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    // Refused: nobody listens any more. Anything else (a full queue, say) is a listener that has no time.
    probe.once('error', (error) => resolve(errnoOf(error) !== 'ECONNREFUSED'));
  });
}
