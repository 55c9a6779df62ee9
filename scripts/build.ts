import { join } from 'node:path';
import { bundle, PRODUCT } from './bundle.ts';

/** Compiles what ships. */
await bundle(PRODUCT, join(import.meta.dirname, '../dist'));
