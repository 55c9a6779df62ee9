import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Skein's version, from the package that this file lies in, built or not. */
export const VERSION: string = readVersion(import.meta.dirname);

function readVersion(folder: string): string {
  const path = join(folder, 'package.json');
  if (!existsSync(path)) return readVersion(dirname(folder));
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string };
  return version;
}
