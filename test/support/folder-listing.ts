import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** All that lies below a folder, with what would tell that it was touched; but for what lies in some folders of it. */
export const folderListing = (folder: string, but: readonly string[] = []): readonly string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !but.some((one) => name.startsWith(`${one}/`)))
    .toSorted()
    .map((name) => {
      const { mtimeMs, size, mode } = lstatSync(join(folder, name));
      return but.includes(name) ? name : `${name} ${mtimeMs} ${size} ${mode}`;
    });
