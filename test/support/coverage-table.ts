import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { METHODS } from '../../src/server/methods.ts';
import { methodsOf } from './protocol-schemas.ts';

/**
 * The table of the protocol: what Skein has of each method, notification and request of the server that the peer's
 * schema names, and which rules show it. Read from the registry of methods, the sources and the tests.
 */

const ROOT = join(import.meta.dirname, '../..');

export interface CoverageRow {
  readonly name: string;
  readonly state: 'done' | 'empty by design' | 'not supported';
  /** Rules whose tests name it, those first that name little else. */
  readonly rules: readonly string[];
}

export interface Coverage {
  readonly methods: readonly CoverageRow[];
  readonly notifications: readonly CoverageRow[];
  readonly serverRequests: readonly CoverageRow[];
}

const STATES = { done: 'done', empty: 'empty by design', unsupported: 'not supported' } as const;

const filesIn = (folder: string): readonly string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name))
    .toSorted();

/** Sessions that are played to both servers: what they do is shown by the tests that play them. */
const SESSIONS = ['test/support/peer-session.ts', ...filesIn('test/support/sessions')];

export function coverage(): Coverage {
  const [methods, notifications, serverRequests] = (
    ['ClientRequest', 'ServerNotification', 'ServerRequest'] as const
  ).map(methodsOf) as [readonly string[], readonly string[], readonly string[]];
  const sources = filesIn('src').map(textOf);
  const shown = rulesByName([...methods, ...notifications, ...serverRequests]);
  const row = (name: string, state: CoverageRow['state']): CoverageRow => ({
    name,
    state,
    rules: shown.get(name) ?? [],
  });
  const isSent = (name: string): boolean => sources.some((text) => named(name).test(text));
  return {
    methods: methods.map((name) =>
      row(name, name === 'initialize' ? 'done' : STATES[METHODS[name]?.support ?? 'unsupported']),
    ),
    notifications: notifications.map((name) => row(name, isSent(name) ? 'done' : 'not supported')),
    serverRequests: serverRequests.map((name) => row(name, isSent(name) ? 'done' : 'not supported')),
  };
}

/** A name in a source or a test. Of one that is also a word, only what sends it or waits for it counts. */
const named = (name: string): RegExp =>
  /[^a-z]/.test(name)
    ? new RegExp(`'${name}'`)
    : new RegExp(`(?:\\bmethod: |\\bmethod === |\\b(?:toSubscribers|toEveryone|notify|notification|ask)\\()'${name}'`);

const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** A test, or a declaration beside tests. */
interface Chunk {
  readonly rules: readonly string[];
  /** What it declares. */
  readonly declares: readonly string[];
  readonly text: string;
}

const CHUNK = /^(?=[^\s})\]])|^(?= {2}(?:it|test|describe)\b)/m;
const TITLE = /(?:\(|^\s*)['`]([A-Z]+-\d+) /gm;
const DECLARED = /^(?:export )?(?:async )?(?:const|let|function|class) (?:[[{]([^\]}]*)[\]}]|(\w+))/;

const chunksOf = (path: string): readonly Chunk[] =>
  textOf(path)
    .split(CHUNK)
    .map((text) => {
      const [, several, one] = DECLARED.exec(text) ?? [];
      // What is prepared for all tests of a file is shown by none of them.
      const isSetUp = /\b(?:bothServers|beforeAll|beforeEach)\(/.test(text);
      return {
        rules: Array.from(text.matchAll(TITLE), ([, id]) => id ?? ''),
        declares: isSetUp ? [] : (several ?? one ?? '').split(/\W+/).filter((name) => name !== ''),
        text,
      };
    });

/** Which names a chunk has in it, also by way of what it uses. */
function namesIn(chunk: Chunk, around: readonly Chunk[], names: readonly string[]): ReadonlySet<string> {
  const reached = new Set([chunk]);
  for (const { text } of reached) {
    const words = new Set(text.match(/\w+/g));
    for (const other of around) if (other.declares.some((name) => words.has(name))) reached.add(other);
  }
  const texts = Array.from(reached, ({ text }) => text);
  return new Set(names.filter((name) => texts.some((text) => named(name).test(text))));
}

function rulesByName(names: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const sessions = SESSIONS.flatMap(chunksOf);
  const found = new Map<string, Map<string, number>>();
  for (const path of filesIn('test').filter((name) => name.endsWith('.test.ts'))) {
    const chunks = chunksOf(path);
    for (const chunk of chunks.filter(({ rules }) => rules.length > 0)) {
      const here = namesIn(chunk, [...chunks, ...sessions], names);
      for (const name of here) {
        const rules = found.get(name) ?? new Map<string, number>();
        for (const rule of chunk.rules) rules.set(rule, Math.min(here.size, rules.get(rule) ?? Infinity));
        found.set(name, rules);
      }
    }
  }
  return new Map(
    Array.from(found, ([name, rules]) => [
      name,
      [...rules]
        .toSorted(([a, x], [b, y]) => x - y || a.localeCompare(b, 'en', { numeric: true }))
        .map(([rule]) => rule),
    ]),
  );
}

/** Rules in a row; of more the number is told. */
const SHOWN = 10;

function tableOf(head: string, rows: readonly CoverageRow[]): string {
  const counts = ['done', 'empty by design', 'not supported']
    .map((state) => `${rows.filter((row) => row.state === state).length} ${state}`)
    .join(', ');
  const cells = rows.map(({ name, state, rules }) => {
    const more = rules.length > SHOWN ? ` and ${rules.length - SHOWN} more` : '';
    return `| \`${name}\` | ${state} | ${rules.slice(0, SHOWN).join(' ')}${more} |`;
  });
  return [
    `## ${head}`,
    '',
    `${rows.length}: ${counts}.`,
    '',
    '| name | Skein | rules |',
    '|---|---|---|',
    ...cells,
  ].join('\n');
}

/** The text of test/COVERAGE.md. */
export function coverageText(): string {
  const { methods, notifications, serverRequests } = coverage();
  return `# What Skein has of the protocol

Each method, notification and request of the server that the peer's own schema names (version 0.169.0, experimental ones
included), with the rules ([SPEC](../SPEC.md)) whose tests name it; those first that name little else. This page is
written by \`npm run write-coverage\` from the registry of methods, the sources and the tests; a test says when it has fallen behind.

* **done**: Skein does that, or sends it.
* **empty by design**: there is none of it here, and the answer says so.
* **not supported**: a method is refused by name (\`src/server/handlers/unsupported-methods.ts\` says why), a notification or a request is never sent.

Besides, COVER-1 and COVER-2 go through all methods, COVER-3 through all that are not supported; and whatever Skein sends
in any test is held against the peer's schemas.

${tableOf('Methods', methods)}

${tableOf('Notifications', notifications)}

${tableOf('Requests of the server', serverRequests)}
`;
}
