import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

/** The import table of ARCHITECTURE.md against what the files really import. */

const ROOT = join(import.meta.dirname, '../..');

interface Room {
  readonly rooms: ReadonlySet<string>;
  readonly packages: ReadonlySet<string>;
}

const words = (cell: string): ReadonlySet<string> =>
  new Set(
    cell
      .split(',')
      .map((word) => word.trim())
      .filter((word) => word !== ''),
  );

const TABLE: ReadonlyMap<string, Room> = new Map(
  [...readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8').matchAll(/^\| `(\w+)` \|[^|]*\|([^|]*)\|([^|]*)\|$/gm)].map(
    ([, name = '', rooms = '', packages = '']) => [name, { rooms: words(rooms), packages: words(packages) }],
  ),
);

interface Import {
  readonly file: string;
  readonly target: string;
}

const FILES = ['src', 'machines'].flatMap((top) =>
  readdirSync(join(ROOT, top), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(top, name)),
);

/** `import … from`, `export … from`, `import(…)`, `new URL(…, import.meta.url)`. */
const SPECIFIER =
  /(?:^|\n)(?:import|export)\b[^;'"]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]|(?:^|\n)import\s*['"]([^'"]+)['"]|new URL\(\s*['"]([^'"]+)['"]\s*,\s*import\.meta\.url/g;

const importsOf = (file: string): readonly Import[] =>
  [...readFileSync(join(ROOT, file), 'utf8').matchAll(SPECIFIER)].map((match) => {
    const specifier = match.slice(1).find((group) => group !== undefined) ?? '';
    const path = join(dirname(file), specifier).replace(/\.js$/, '.ts');
    return { file, target: specifier.startsWith('.') ? path : specifier };
  });

const IMPORTS = FILES.flatMap(importsOf);

const isOurs = ({ target }: Import): boolean => target.startsWith('src/') || target.startsWith('machines/');

/** The folder below `src/`, or the file there; `machines`. */
const roomOf = (path: string): string => {
  const [top = '', second = ''] = path.split('/');
  return top === 'machines' ? top : second.replace(/\.ts$/, '');
};

const packageOf = (specifier: string): string =>
  specifier.startsWith('@') ? specifier.split('/').slice(0, 2).join('/') : (specifier.split('/')[0] ?? '');

describe('the house', () => {
  it('HOUSE-1 has a row in the table for every room, and no other rows', () => {
    expect([...new Set(FILES.map(roomOf))].toSorted()).toEqual([...TABLE.keys()].toSorted());
    expect(IMPORTS.length).toBeGreaterThan(FILES.length);
  });

  it('HOUSE-2 rooms import from the rooms of their row only', () => {
    const wrong = IMPORTS.filter(isOurs).filter(({ file, target }) => {
      const [from, to] = [roomOf(file), roomOf(target)];
      return from !== to && TABLE.get(from)?.rooms.has(to) !== true;
    });
    expect(wrong).toEqual([]);
  });

  it('HOUSE-3 rooms use the packages of their row only, and every package named is used', () => {
    const foreign = IMPORTS.filter((one) => !isOurs(one) && !one.target.startsWith('node:'));
    const used = foreign.map(({ file, target }) => `${roomOf(file)}: ${packageOf(target)}`);
    const named = [...TABLE].flatMap(([room, { packages }]) => [...packages].map((name) => `${room}: ${name}`));
    expect([...new Set(used)].toSorted()).toEqual(named.toSorted());
  });

  it('HOUSE-4 machines touch nothing of the system, and the domain only what computes', () => {
    const system = IMPORTS.filter(({ target }) => target.startsWith('node:'));
    const of = (room: string): readonly string[] => [
      ...new Set(system.filter(({ file }) => roomOf(file) === room).map(({ target }) => target)),
    ];
    expect(of('machines')).toEqual([]);
    expect(of('domain').filter((name) => !/^node:(path|buffer|url|os)$/.test(name))).toEqual([]);
  });

  it('HOUSE-5 has no cycles between files', () => {
    const targetsOf = (file: string): readonly string[] =>
      IMPORTS.filter((one) => isOurs(one) && one.file === file).map(({ target }) => target);
    const done = new Set<string>();
    const cyclesFrom = (file: string, path: readonly string[]): readonly string[] => {
      if (path.includes(file)) return [[...path.slice(path.indexOf(file)), file].join(' -> ')];
      if (done.has(file)) return [];
      const found = targetsOf(file).flatMap((target) => cyclesFrom(target, [...path, file]));
      done.add(file);
      return found;
    };
    const cycles = FILES.flatMap((file) => cyclesFrom(file, []));
    expect(cycles).toEqual([]);
  });

  it('HOUSE-6 has no barrels', () => {
    expect(FILES.filter((file) => file.endsWith('/index.ts'))).toEqual([]);
    expect(FILES.filter((file) => /^export \* from/m.test(readFileSync(join(ROOT, file), 'utf8')))).toEqual([]);
  });

  it('HOUSE-7 creates actors in one file', () => {
    const callers = FILES.filter((file) => /\bcreateActor\(/.test(readFileSync(join(ROOT, file), 'utf8')));
    expect(callers.map((file) => relative('src', file))).toEqual(['runtime/start-actor.ts']);
  });
});
