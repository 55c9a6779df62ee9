import type { Played } from './scenario.ts';

const HEADINGS = [
  'scenario',
  'injected',
  'times',
  'acknowledged',
  'found',
  'lost',
  'seconds',
  'other figures',
] as const;

/** Figures as text: a line per scenario, and below it each promise that was broken. */
export function table(rows: readonly (readonly [string, Played])[]): string {
  const cells = rows.map(([name, figures]) => [
    name,
    figures.injected,
    String(figures.times),
    String(figures.acknowledged),
    String(figures.found),
    String(figures.acknowledged - figures.found),
    String(figures.seconds),
    Object.entries(figures.details)
      .map(([what, times]) => `${what} ${times}`)
      .join(', '),
  ]);
  const widths = HEADINGS.map((heading, at) => Math.max(heading.length, ...cells.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd();
  const defects = rows.flatMap(([name, figures]) => figures.defects.map((defect) => `${name}: ${defect}`));
  return `${[line(HEADINGS), ...cells.map(line), ...defects].join('\n')}\n`;
}
