import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { printProtocolSchemas } from './protocol-schemas.ts';

const root = join(import.meta.dirname, '../..');

/**
 * Compiles the product, so that tests run the daemon and its threads as users do, and prints the schemas of the protocol.
 * @returns takes back what only the run needed
 */
export default function build(): () => void {
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  });
  // As npm does when it installs a command.
  chmodSync(join(root, 'dist/src/main.js'), 0o755);
  // Commands of users run by a login shell: no test may hang on what somebody's profile does, or leave anything there.
  const home = mkdtempSync(join(tmpdir(), 'skein-test-home-'));
  process.env['HOME'] = home;
  const removeSchemas = printProtocolSchemas();
  return () => {
    removeSchemas();
    rmSync(home, { recursive: true, force: true });
  };
}
