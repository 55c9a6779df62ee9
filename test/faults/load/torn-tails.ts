import { appendFileSync, readFileSync } from 'node:fs';
import type { Random } from '../random.ts';
import { rolloutsOf } from './rollouts.ts';

/**
 * Leaves behind some rollouts what a write that was cut off leaves: the beginning of a record, without a line feed. One
 * write of the system is not atomic against SIGKILL, and such a moment is rare.
 * @returns how many were torn
 */
export function tearTails(home: string, random: Random): number {
  let torn = 0;
  for (const path of rolloutsOf(home)) {
    if (!random.chance(0.2)) continue;
    const content = readFileSync(path);
    if (content.at(-1) !== 0x0a) continue;
    const start = content.lastIndexOf(0x0a, content.length - 2) + 1;
    const record = content.subarray(start, content.length - 1);
    if (record.length < 2) continue;
    appendFileSync(path, record.subarray(0, 1 + random.below(record.length - 1)));
    torn += 1;
  }
  return torn;
}
