import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { coverageText } from '../test/support/coverage-table.ts';
import { printProtocolSchemas } from '../test/support/protocol-schemas.ts';

/** Writes the table of the protocol from the code and its tests; a test says when it has fallen behind. */
const remove = printProtocolSchemas();
try {
  writeFileSync(join(import.meta.dirname, '../test/COVERAGE.md'), coverageText());
} finally {
  remove();
}
