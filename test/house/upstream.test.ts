import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

/** test/UPSTREAM.md against the specification. */

const ROOT = join(import.meta.dirname, '../..');

interface Row {
  readonly name: string;
  readonly how: string;
  readonly rules: readonly string[];
  readonly why: string;
}

const ROWS: readonly Row[] = readFileSync(join(ROOT, 'test/UPSTREAM.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => {
    const [name = '', how = '', rules = '', why = ''] = line
      .slice(1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim());
    return { name, how, rules: rules.split(' ').filter((rule) => rule !== ''), why };
  });

const RULES = new Set(
  [...readFileSync(join(ROOT, 'SPEC.md'), 'utf8').matchAll(/^- \*\*([A-Z]+-\d+)\*\*/gm)].map(([, id]) => id),
);

it('HOUSE-9 every behaviour of the original is shown by a rule, or has the reason why it is not', () => {
  expect(ROWS).toHaveLength(349);
  const unfounded = ROWS.filter(({ how, rules, why }) => {
    const isKnown = rules.every((rule) => RULES.has(rule));
    return !isKnown || (how === 'shown' ? rules.length === 0 : !['differs', 'absent'].includes(how) || why === '');
  });
  expect(unfounded).toEqual([]);
});
