import { join } from 'node:path';
import { bundle, INDEX_WORKER } from '../../scripts/bundle.ts';

const FOLDER = join(import.meta.dirname, '../../node_modules/.cache/skein-test');

/** The module that `for-processes.ts` becomes: what a process that a test starts may import. */
export const COMPILED = join(FOLDER, 'for-processes.js');

/** Compiles it, with the thread of the index beside it. */
export const compile = (): Promise<void> => bundle(['test/support/for-processes.ts', INDEX_WORKER], FOLDER);
