import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle, PRODUCT } from '../../scripts/bundle.ts';
import { compile } from './compiled.ts';
import { printProtocolSchemas } from './protocol-schemas.ts';

/**
 * Compiles the product, so that tests run the daemon and its threads as users do, and prints the schemas of the protocol.
 * @returns takes back what only the run needed
 */
export default async function build(): Promise<() => void> {
  await bundle(PRODUCT, join(import.meta.dirname, '../../dist'));
  await compile();
  // Commands of users run by a login shell: no test may hang on what somebody's profile does, or leave anything there.
  const home = mkdtempSync(join(tmpdir(), 'skein-test-home-'));
  process.env['HOME'] = home;
  const removeSchemas = printProtocolSchemas();
  return () => {
    removeSchemas();
    rmSync(home, { recursive: true, force: true });
  };
}
