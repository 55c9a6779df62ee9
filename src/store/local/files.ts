import {
  close,
  constants,
  fdatasync,
  fstat,
  fsync,
  ftruncate,
  link,
  mkdir,
  open,
  read,
  rename,
  stat,
  unlink,
  write,
} from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { errnoOf } from '../../domain/errors.ts';

/**
 * The system calls that the local store lives on, asynchronous, on plain descriptors: the smallest thing that
 * can be held open ten thousand times. All of them reject with Node's system errors.
 */
export const posix = {
  open: promisify(open),
  close: promisify(close),
  read: promisify(read),
  write: promisify(write),
  fdatasync: promisify(fdatasync),
  fsync: promisify(fsync),
  fstat: promisify(fstat),
  ftruncate: promisify(ftruncate),
  link: promisify(link),
  mkdir: promisify(mkdir),
  rename: promisify(rename),
  stat: promisify(stat),
  unlink: promisify(unlink),
} as const;

export const OPEN_EXISTING = constants.O_RDWR;
export const OPEN_NEW = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
export const OPEN_LOCK = constants.O_RDWR | constants.O_CREAT;

/** Only the owner reads what users say to their agents, whatever the umask (F21). */
export const FILE_MODE = 0o600;
export const DIRECTORY_MODE = 0o700;

/** Writes all of a buffer at a position; a short write goes on where it stopped. */
export async function writeFully(fd: number, bytes: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const { bytesWritten } = await posix.write(fd, bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** Writes all of a buffer at the end of a file opened with O_APPEND, wherever that is by now. */
export async function appendFully(fd: number, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await posix.write(fd, bytes, done, bytes.length - done, null)).bytesWritten;
  }
}

/** Cuts off what was written behind the first `size` bytes of a file and is refused: a loss of power does not bring it back. */
export async function cutOff(fd: number, size: number): Promise<void> {
  await posix.ftruncate(fd, size);
  await posix.fdatasync(fd);
}

/** Reads a byte range, shorter only at the end of the file. */
export async function readRange(fd: number, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await posix.read(fd, buffer, done, length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}

/** Makes a directory and its parents; returns those it made, deepest first, for the caller to sync. */
export async function makeDirectory(path: string): Promise<readonly string[]> {
  try {
    await posix.mkdir(path, { mode: DIRECTORY_MODE });
    return [path];
  } catch (error) {
    switch (errnoOf(error)) {
      case 'EEXIST':
        return [];
      case 'ENOENT':
        break;
      default:
        throw error;
    }
  }
  const made = await makeDirectory(dirname(path));
  return [...(await makeDirectory(path)), ...made];
}

/** Makes the entries of a directory durable: a new or renamed file is only safe after this. */
export const syncDirectory = (path: string): Promise<void> => syncAt(path, posix.fsync);

/** Makes durable what a file holds now, whoever wrote it; not that it is where it is. */
export const syncFile = (path: string): Promise<void> => syncAt(path, posix.fdatasync);

async function syncAt(path: string, sync: (fd: number) => Promise<void>): Promise<void> {
  const fd = await posix.open(path, constants.O_RDONLY);
  try {
    await sync(fd);
  } finally {
    // What is synced is safe, whatever a close says.
    await posix.close(fd).catch(() => {});
  }
}

/** For a file that may be gone already. @throws every other error */
export function ignoreMissing(error: unknown): void {
  if (errnoOf(error) !== 'ENOENT') throw error;
}

/** True if a path leads to something. */
export async function exists(path: string): Promise<boolean> {
  try {
    await posix.stat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return false;
    throw error;
  }
}
