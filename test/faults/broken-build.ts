import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OnLoadResult } from 'esbuild';
import { bundle, PRODUCT } from '../../scripts/bundle.ts';
import { tempFolder } from '../support/temp-home.ts';
import type { WhenDone } from '../support/process.ts';

const ROOT = join(import.meta.dirname, '../..');

/** A defect that the product is compiled with, to see that the suite notices it. */
export interface Sabotage {
  readonly name: string;
  /** A file of the repository. */
  readonly file: string;
  /** What stands there once, and what is to stand there instead. */
  readonly from: string;
  readonly to: string;
}

/** Compiles the product with a defect. @returns the path of its command */
export async function brokenBuild(sabotage: Sabotage, whenDone: WhenDone): Promise<string> {
  const folder = tempFolder('skein-broken-', whenDone);
  writeFileSync(join(folder, 'package.json'), readFileSync(join(ROOT, 'package.json')));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const broken = spoilt(sabotage);
  await bundle(PRODUCT, join(folder, 'dist'), [
    {
      name: 'sabotage',
      setup: (build) => build.onLoad({ filter: /\.ts$/ }, ({ path }) => (path === broken.path ? broken.module : null)),
    },
  ]);
  return join(folder, 'dist/main.js');
}

function spoilt({ name, file, from, to }: Sabotage): { readonly path: string; readonly module: OnLoadResult } {
  const path = join(ROOT, file);
  const [before, after, ...more] = readFileSync(path, 'utf8').split(from);
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`${name}: ${file} does not say ${from} once; the sabotage has to follow the code`);
  }
  return { path, module: { contents: `${before}${to}${after}`, loader: 'ts' } };
}
