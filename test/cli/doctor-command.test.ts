import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, it } from 'vitest';
import { healthChecks, type Examined, type HealthCheck } from '../../src/cli/health-checks.ts';
import { daemonFiles } from '../../src/domain/daemon-files.ts';
import { newUuid, type ThreadId } from '../../src/domain/ids.ts';
import { auditOf, MAX_FINDINGS, type AuditFinding } from '../../src/domain/store-audit.ts';
import { eventually } from '../support/eventually.ts';
import { writeRollout } from '../support/home-files.ts';
import { skein, startInBackground, type CommandResult } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';

const checkOf = ({ json }: CommandResult, name: HealthCheck['name']): HealthCheck =>
  json.checks.find((check: HealthCheck) => check.name === name);

it('CLI-38 doctor finds a home well, and what is not', async () => {
  const home = tempFolder();
  expect(await skein(home, ['doctor'])).toMatchObject({ code: 3, stderr: expect.stringContaining('skein start') });
  const { path } = writeRollout(home);
  writeRollout(home);
  writeRollout(home, { isArchived: true });
  await startInBackground(home);
  const well = await eventually(async () => {
    const result = await skein(home, ['doctor', '--json']);
    expect(result.json.audit.pending).toBe(0);
    return result;
  });
  expect(well.code).toBe(0);
  expect(well.json).toMatchObject({ isWell: true, home });
  expect(well.json.checks.map(({ status }: HealthCheck) => status)).toEqual(Array.from({ length: 7 }, () => 'ok'));
  expect(well.json.audit).toMatchObject({
    histories: 3,
    threads: 3,
    missing: 0,
    stale: 0,
    duplicate: 0,
    unreadable: 0,
  });

  copyFileSync(path, join(home, 'archived_sessions', basename(path)));
  const { token } = daemonFiles(home);
  chmodSync(token, 0o644);
  const ill = await skein(home, ['doctor', '--json']);
  expect(ill.code).toBe(1);
  expect(ill.json.isWell).toBe(false);
  expect(checkOf(ill, 'threads')).toMatchObject({
    status: 'problem',
    findings: [expect.stringContaining('duplicate')],
  });
  expect(checkOf(ill, 'files')).toMatchObject({ status: 'problem', findings: [`${token} has mode 0644`] });
  const forPeople = await skein(home, ['doctor']);
  expect(forPeople.code).toBe(1);
  expect(forPeople.stdout).toMatch(/^problem {2}files .*others$/m);
  expect(forPeople.stdout).toContain(`what to do: chmod -R go-rwx ${home}/skein`);
});

it('CLI-38 doctor finds a rebuilt index well', async () => {
  const home = tempFolder();
  for (let made = 0; made < 30; made += 1) writeRollout(home, { isArchived: made % 3 === 0 });
  mkdirSync(join(home, 'skein'));
  writeFileSync(join(home, 'skein', 'index.sqlite'), 'no database');
  await startInBackground(home);
  const lists = async (): Promise<unknown> =>
    Promise.all(
      [[], ['--archived']].map((args) =>
        skein(home, ['thread', 'list', '--all', '--json', ...args]).then(({ lines }) => lines),
      ),
    );
  const before = await lists();
  await skein(home, ['stop']);
  for (const suffix of ['', '-wal']) rmSync(join(home, 'skein', `index.sqlite${suffix}`), { force: true });
  await startInBackground(home);
  expect(await lists()).toEqual(before);
  const { code, json } = await eventually(async () => {
    const result = await skein(home, ['doctor', '--json']);
    expect(result.json.audit.pending).toBe(0);
    return result;
  });
  expect(code).toBe(0);
  expect(json.audit).toMatchObject({ histories: 30, threads: 30, missing: 0, stale: 0, duplicate: 0, unreadable: 0 });
});

const INDEX = {
  state: 'ready',
  indexed: 1,
  pending: 0,
  defects: 2,
  setAside: null,
  isInMemory: false,
  isWatching: true,
  problem: null,
};

/** What is well, but for what is given. */
function checked(changes: object = {}, index: object = {}, threads: readonly object[] = []): readonly HealthCheck[] {
  return healthChecks({
    version: '1',
    snapshot: {
      daemon: { version: '1', home: '/h', pid: 7, startedAtMs: 0 },
      threads,
      stores: [{ index: { ...INDEX, ...index } }],
    },
    audit: auditOf({ histories: 1, threads: 1, pending: 0 }, []),
    exposed: [],
    freeBytes: 2 ** 40,
    nowMs: 1_000,
    ...changes,
  } as unknown as Examined);
}

it.each<[HealthCheck['name'], HealthCheck['status'], RegExp, readonly HealthCheck[]]>([
  ['daemon', 'warning', /this command is of skein 2/, checked({ version: '2' })],
  ['disk', 'warning', /^10 MiB free/, checked({ freeBytes: 10 * 2 ** 20 })],
  ['index', 'warning', /made anew: the old one was locked/, checked({}, { setAside: 'locked' })],
  ['index', 'warning', /lives in memory/, checked({}, { isInMemory: true })],
  ['index', 'warning', /lists look for them/, checked({}, { isWatching: false })],
  ['index', 'problem', /any more: EIO/, checked({}, { problem: 'EIO' })],
  [
    'saving',
    'problem',
    /t1: no space/,
    checked({}, {}, [{ threadId: 't1', failure: { message: 'no space' } }, { failure: null }]),
  ],
])('CLI-38 doctor says of %s when there is a %s: %s', (name, status, words, checks) => {
  expect(checks.filter((check) => check.status !== 'ok').map((check) => [check.name, check.status])).toEqual([
    [name, status],
  ]);
  const check = checks.find((one) => one.name === name);
  expect([check?.summary, ...(check?.findings ?? [])].join('\n')).toMatch(words);
});

it('CLI-38 doctor tells the first findings, and how many more there are', () => {
  const finding = (number: number): AuditFinding => ({
    kind: number % 2 === 0 ? 'missing' : 'unreadable',
    threadId: newUuid() as ThreadId,
    place: `/h/${number}`,
    detail: 'why',
  });
  const findings = Array.from({ length: MAX_FINDINGS * 2 }, (_, number) => finding(number));
  const checks = checked({ audit: auditOf({ histories: 0, threads: 0, pending: 0 }, findings) });
  const told = checks.find(({ name }) => name === 'threads')?.findings ?? [];
  expect(told[0]).toBe('missing: /h/0: why');
  expect(told.at(-1)).toBe(`and ${MAX_FINDINGS / 2} more (at most ${MAX_FINDINGS} are told)`);
  expect(told).toHaveLength(MAX_FINDINGS / 2 + 1);
});
