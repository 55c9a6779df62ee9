import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tempFolder } from '../support/temp-home.ts';
import type { WhenDone } from '../support/process.ts';

const ROOT = join(import.meta.dirname, '../..');

/** A defect that is put into the compiled product, to see that the suite notices it. */
export interface Sabotage {
  readonly name: string;
  /** A file of `dist`. */
  readonly file: string;
  /** What stands there once, and what is to stand there instead. */
  readonly from: string;
  readonly to: string;
}

/** Compiles nothing: copies what was compiled, and breaks it. @returns the path of its command */
export function brokenBuild({ name, file, from, to }: Sabotage, whenDone: WhenDone): string {
  const folder = tempFolder('skein-broken-', whenDone);
  cpSync(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true });
  cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const path = join(folder, 'dist', file);
  const [before, after, ...more] = readFileSync(path, 'utf8').split(from);
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`${name}: ${file} does not say ${from} once; the sabotage has to follow the code`);
  }
  writeFileSync(path, `${before}${to}${after}`);
  return join(folder, 'dist/src/main.js');
}
