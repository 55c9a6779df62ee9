import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

/** SPEC.md against the titles of the tests. */

const ROOT = join(import.meta.dirname, '../..');

const RULES = [...readFileSync(join(ROOT, 'SPEC.md'), 'utf8').matchAll(/^- \*\*([A-Z]+-\d+)\*\*/gm)].map(
  ([, id]) => id ?? '',
);

const TEST_FILES = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(ROOT, 'test', name), 'utf8'));

/** First words of titles: of `it`, and of tables of tests, whose title may stand on a line of its own. */
const TITLE = /(?:\(|^\s*)['`]([A-Z]+-\d+) /gm;

const TITLES = TEST_FILES.flatMap((text) => Array.from(text.matchAll(TITLE), ([, id]) => id ?? ''));

it('HOUSE-8 every rule of the specification has a test that begins with its number, and every test a rule', () => {
  expect(new Set(RULES).size).toBe(RULES.length);
  expect([...new Set(TITLES)].toSorted()).toEqual(RULES.toSorted());
});
