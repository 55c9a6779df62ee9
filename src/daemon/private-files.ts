import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf, internal } from '../domain/errors.ts';

/** Files that only their owner may read, whatever the umask is (F21). */

/** Makes a folder that is the owner's alone, and makes it so if it was there. */
export function makePrivateFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
  } catch (error) {
    throw internal(`cannot use the folder ${path}`, error);
  }
}

/** What a file holds, trimmed; made on first use. Of two processes that make it at once, both get the same. */
export function readOrMake(path: string, make: () => string): string {
  for (;;) {
    const text = readIfThere(path);
    if (text !== undefined && text !== '') {
      chmodSync(path, 0o600);
      return text;
    }
    if (text === '') rmSync(path);
    const draft = writeDraft(path, `${make()}\n`);
    try {
      linkSync(draft, path);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw internal(`cannot make ${path}`, error);
    } finally {
      rmSync(draft, { force: true });
    }
  }
}

/** Replaces a file whole: readers see the old one or the new one. */
export function replaceFile(path: string, text: string): void {
  renameSync(writeDraft(path, text), path);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw internal(`cannot read ${path}`, error);
  }
}

function writeDraft(path: string, text: string): string {
  const draft = join(dirname(path), `.${randomBytes(8).toString('hex')}.new`);
  const fd = openSync(draft, 'wx', 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return draft;
}
