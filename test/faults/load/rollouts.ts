import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../../src/domain/errors.ts';

/** Paths of all rollouts of a home, archived ones too. */
export const rolloutsOf = (home: string): readonly string[] =>
  ['sessions', 'archived_sessions'].flatMap((folder) => rolloutsIn(join(home, folder)));

function rolloutsIn(folder: string): readonly string[] {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    return names.filter((name) => name.endsWith('.jsonl')).map((name) => join(folder, name));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
