import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { METHODS } from '../../src/server/methods.ts';
import { coverage, coverageText } from '../support/coverage-table.ts';

/** test/COVERAGE.md against the code and the tests. */

it('COVER-5 the table of the protocol is what the code and the tests say; nothing is missing in it, and nothing without a rule', () => {
  const text = readFileSync(join(import.meta.dirname, '../COVERAGE.md'), 'utf8');
  expect(text, 'to be written anew: npm run write-coverage').toBe(coverageText());
  const { methods, notifications, serverRequests } = coverage();
  // No method of Skein's own, and none of the peer's that Skein does not know.
  expect(['initialize', ...Object.keys(METHODS)].toSorted()).toEqual(methods.map(({ name }) => name).toSorted());
  const claimed = [...methods, ...notifications, ...serverRequests].filter(({ state }) => state !== 'not supported');
  expect(claimed.filter(({ rules }) => rules.length === 0)).toEqual([]);
});
