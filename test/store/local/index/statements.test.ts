import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { ThreadQuery } from '../../../../src/domain/thread-query.ts';
import { CatchUp } from '../../../../src/store/local/index/catch-up.ts';
import { openDatabase } from '../../../../src/store/local/index/database.ts';
import { HistoryPages } from '../../../../src/store/local/index/history-pages.ts';
import { NameTable } from '../../../../src/store/local/index/name-table.ts';
import { PendingCover } from '../../../../src/store/local/index/pending-cover.ts';
import { RolloutTable } from '../../../../src/store/local/index/rollout-table.ts';
import { ThreadTable } from '../../../../src/store/local/index/thread-table.ts';
import { query } from '../../../support/open-index.ts';
import { someThreadId } from '../../../support/records.ts';
import { tempFolder } from '../../../support/temp-home.ts';

/** What looks at everything, by intention: a sweep of the home, a replaced name index, the status, an audit. */
const WHOLE = [
  /^SELECT id, path, archived, state, inode, file_size, mtime_ms, compressed_size FROM rollouts$/,
  /^SELECT thread_id, name, updated_ms FROM names$/,
  /^SELECT state, count\(\*\)/,
  /^SELECT id FROM rollouts WHERE state <> 3$/,
  /^SELECT count\(\*\) FROM threads$/,
  /^SELECT thread_id FROM threads WHERE rollout NOT IN \(SELECT id FROM rollouts WHERE state <> 3\)$/,
];

/** Every combination of what a list can be asked. */
function* queries(): Generator<ThreadQuery> {
  const after = { keyMs: 1, id: someThreadId() };
  const filters: readonly Partial<ThreadQuery>[] = [
    {},
    { modelProviders: ['a'] },
    { sourceKinds: ['cli'] },
    { cwds: ['/a', '/b'] },
    { titleContains: 'a' },
    { excludedIds: [someThreadId()] },
    { onlyIds: [someThreadId(), someThreadId()] },
    { parentId: someThreadId() },
    { ancestorId: someThreadId() },
  ];
  for (const sortKey of ['createdAt', 'updatedAt', 'recencyAt'] as const)
    for (const direction of ['asc', 'desc'] as const)
      for (const filter of filters)
        for (const position of [{}, { after }, { after: { keyMs: 1, id: null } }])
          yield query({ sortKey, direction, ...filter, ...position });
}

it('PAGE-3 no statement behind a list, a page or a change reads a whole table', () => {
  const { database } = openDatabase(join(tempFolder(), 'index.sqlite'));
  onTestFinished(() => void database.close());
  const statements = new Set<string>();
  const prepare = database.prepare.bind(database);
  database.prepare = (sql: string) => {
    statements.add(sql.replace(/\s+/g, ' ').trim());
    return prepare(sql);
  };

  const meter = { bytesRead: 0 };
  const rollouts = new RolloutTable(database);
  const threads = new ThreadTable(database, rollouts, { pathOf: (path) => path, defaultModelProvider: 'p' });
  const cover = new PendingCover(database);
  const parts = [new CatchUp(database, rollouts, meter), new HistoryPages(database, meter, ({ path }) => path)];
  expect([...parts, new NameTable(database, '/nowhere')]).toHaveLength(3);
  for (const asked of queries()) {
    threads.list(asked);
    cover.missingFrom(asked, []);
  }

  expect(statements.size).toBeGreaterThan(100);
  const offenders = [...statements]
    .filter((sql) => !WHOLE.some((pattern) => pattern.test(sql)))
    .flatMap((sql) =>
      (prepare(`EXPLAIN QUERY PLAN ${sql.replace(/:[a-zA-Z]+|\?/g, '1')}`).all() as { detail: string }[])
        // Of unread files there are few, or none: only an index of them may be read from end to end.
        .filter(({ detail }) =>
          /^SCAN (?!json_each|\(subquery|CONSTANT|rollouts USING (COVERING )?INDEX rollouts_(pending|grown))/.test(
            detail,
          ),
        )
        .map(({ detail }) => `${detail}: ${sql}`),
    );
  expect(offenders).toEqual([]);
});
