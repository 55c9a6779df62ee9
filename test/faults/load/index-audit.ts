import { copyFileSync, existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { withDebugSocket } from '../../../src/cli/with-debug.ts';
import type { DaemonInfo } from '../../../src/domain/daemon-files.ts';
import { HomeLayout } from '../../../src/store/local/home-layout.ts';
import type { IndexStatus } from '../../../src/store/local/index/index-api.ts';
import { tempFolder } from '../../support/temp-home.ts';
import type { WhenDone } from '../../support/process.ts';
import { rolloutsOf } from './rollouts.ts';

/** What a daemon says of its index. */
export async function indexStatus({ debugSocket }: Pick<DaemonInfo, 'debugSocket'>): Promise<IndexStatus> {
  const { stores } = await withDebugSocket(debugSocket ?? '', (debug) => debug.call('snapshot', {}));
  return stores[0]?.['index'] as unknown as IndexStatus;
}

/** What a daemon itself finds when it holds its lists against the files: what `skein doctor` calls problems. */
export async function ownAudit({ debugSocket }: Pick<DaemonInfo, 'debugSocket'>): Promise<readonly string[]> {
  const { findings } = await withDebugSocket(debugSocket ?? '', (debug) => debug.call('audit', {}));
  return findings
    .filter(({ kind }) => kind !== 'unreadable')
    .map(({ kind, place, detail }) => `${kind}: ${place}: ${detail}`);
}

interface Row {
  path: string;
  readonly archived: number;
  readonly state: number;
  readonly file_size: number;
  readonly covered: number;
}

/** As the schema says: 1 is indexed, 3 is missing. */
const [INDEXED, MISSING] = [1, 3];

/**
 * Holds a copy of the index of a home, whose daemon rests, against the files.
 * @returns what is missing, out of date, there twice, or broken
 */
export function auditIndex(home: string, whenDone: WhenDone): readonly string[] {
  const layout = new HomeLayout(home);
  const folder = tempFolder('skein-audit-', whenDone);
  const copy = join(folder, 'index.sqlite');
  for (const suffix of ['', '-wal']) {
    if (existsSync(layout.index + suffix)) copyFileSync(layout.index + suffix, copy + suffix);
  }
  const database = new Database(copy);
  try {
    const integrity = database.pragma('integrity_check', { simple: true });
    if (integrity !== 'ok') return [`the database is broken: ${String(integrity)}`];
    const rows = database
      .prepare('SELECT path, archived, state, file_size, indexed_size + torn_bytes AS covered FROM rollouts')
      .all() as Row[];
    const there = rows.filter(({ state }) => state !== MISSING);
    for (const row of there) row.path = layout.fromStored(row.path);
    const files = rolloutsOf(home);
    const stray = database
      .prepare('SELECT thread_id FROM threads WHERE rollout NOT IN (SELECT id FROM rollouts WHERE state = 1)')
      .pluck()
      .all();
    return [
      ...files.flatMap((path) => {
        const own = there.filter((row) => row.path === path);
        const [row] = own;
        if (row === undefined) return [`${path} is missing`];
        return own.length > 1
          ? [`${path} is there ${own.length} times`]
          : isCurrent(row)
            ? []
            : [`${JSON.stringify(row)} is out of date`];
      }),
      ...there.filter(({ path }) => !files.includes(path)).map(({ path }) => `${path} is there, and no such file`),
      ...stray.map((id) => `thread ${String(id)} is there, and its rollout is not`),
    ];
  } finally {
    database.close();
    rmSync(folder, { recursive: true });
  }
}

function isCurrent({ path, archived, state, file_size: size, covered }: Row): boolean {
  const isArchived = path.includes('/archived_sessions/');
  return state === INDEXED && (archived === 1) === isArchived && size === statSync(path).size && covered === size;
}
