import { readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, type Plugin } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');

/** The thread of the index, which is started from a file beside what starts it. */
export const INDEX_WORKER = 'src/store/local/index/index-worker.ts';

/** What ships. */
export const PRODUCT: readonly string[] = ['src/main.ts', INDEX_WORKER];

/** Packages that load binaries or built-in modules in their own way; the others become part of the bundle. */
const EXTERNAL = ['better-sqlite3', 'koffi', 'pino', 'ws'];

/**
 * Compiles entry points, each with all that it needs, into a folder, one file for each and for what they share; what
 * the folder held before goes. A daemon that loads a few files starts in half the time of one that loads hundreds.
 * @param entries paths within the repository
 */
export async function bundle(entries: readonly string[], folder: string, plugins: Plugin[] = []): Promise<void> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [...entries],
    outdir: folder,
    entryNames: '[name]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: EXTERNAL,
    sourcemap: true,
    sourcesContent: false,
    metafile: true,
    plugins,
  });
  const made = new Set(Object.keys(metafile.outputs).map((path) => basename(path)));
  for (const name of readdirSync(folder)) if (!made.has(name)) rmSync(join(folder, name), { recursive: true });
}
