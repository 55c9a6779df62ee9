import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { JsonObject } from '../../src/domain/json.ts';
import { OpenFiles } from '../../src/store/local/open-files.ts';
import type { RolloutStart } from '../../src/store/local/rollout-start.ts';
import { readTail } from '../../src/store/local/rollout-tail.ts';
import { RolloutWriter } from '../../src/store/local/rollout-writer.ts';
import type { NewRecord } from '../../src/store/thread-store.ts';
import { record, T0 } from './records.ts';
import { tempFolder } from './temp-home.ts';

/** A place for a rollout, two folders deep; there is nothing yet. */
export const plannedPath = (): string => join(tempFolder(), 'sessions/04/rollout-of-a-test.jsonl');

export const folderOf = dirname;

export const plannedStart = (header: () => Promise<JsonObject> = async () => ({ id: 'x' })): RolloutStart => ({
  kind: 'new',
  header,
  nextOrdinal: 0,
});

/** A writer of a paginated rollout that does not exist yet. */
export const plannedWriter = (path: string, openFiles = new OpenFiles()): RolloutWriter =>
  new RolloutWriter(path, plannedStart(), openFiles, () => T0);

/** A writer over a paginated rollout that exists. */
export const resumedWriter = async (path: string, openFiles = new OpenFiles()): Promise<RolloutWriter> =>
  new RolloutWriter(path, { kind: 'existing', ...(await readTail(path, 'paginated')) }, openFiles, () => T0);

export const numbered = (...numbers: readonly number[]): readonly NewRecord[] =>
  numbers.map((n) => record({ type: 'event_msg', payload: { type: 'numbered', n } }));

/** The numbers of the records in a paginated rollout. @throws if a line is no record or an ordinal out of turn */
export function numbersIn(path: string): readonly number[] {
  const text = readFileSync(path, 'utf8');
  if (!text.endsWith('\n')) throw new Error(`the rollout ends in the middle of a line: ${text.slice(-80)}`);
  const lines = text.split('\n').slice(0, -1);
  const parsed = lines.map((line) => JSON.parse(line) as { ordinal: number; payload: { n?: number } });
  for (const [index, { ordinal }] of parsed.entries()) {
    if (ordinal !== index) throw new Error(`line ${index} has ordinal ${ordinal}`);
  }
  return parsed.flatMap(({ payload }) => payload.n ?? []);
}
