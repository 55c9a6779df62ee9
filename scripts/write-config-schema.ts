import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { configJsonSchema, DEFAULT_CONFIG } from '../src/daemon/config.ts';

/** Writes the default configuration and its schema from the code; a test says when they have fallen behind. */
const root = join(import.meta.dirname, '..');

const write = (name: string, value: object): void =>
  writeFileSync(join(root, name), `${JSON.stringify(value, null, 2)}\n`);

write('daemon.config.schema.json', configJsonSchema());
write('daemon.config.json', { $schema: './daemon.config.schema.json', ...DEFAULT_CONFIG });
