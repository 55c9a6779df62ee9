import { appendFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { HealthCheck } from '../../src/cli/health-checks.ts';
import { startDaemon } from '../support/daemon.ts';
import { eventually } from '../support/eventually.ts';
import { writeRollout } from '../support/home-files.ts';
import type { Json } from '../support/rpc-client.ts';
import { skein } from '../support/skein.ts';
import { tempFolder } from '../support/temp-home.ts';

/** What commands say of the index of a daemon, and of what it has read. */

const doctorOn = async (home: string, name: HealthCheck['name']): Promise<HealthCheck & { readonly code: number }> => {
  const { code, json } = await skein(home, ['doctor', '--json']);
  return { code, ...json.checks.find((check: HealthCheck) => check.name === name) };
};

const indexOf = async (home: string): Promise<Json> => (await skein(home, ['status', '--json'])).json.index;

it('CLI-41 status and doctor say that an index was rebuilt, and why', async () => {
  const home = tempFolder();
  const { threadId } = writeRollout(home);
  const sound = await startDaemon(home);
  await eventually(async () => expect(await indexOf(home)).toMatchObject({ state: 'ready', setAside: null }));
  expect((await skein(home, ['status'])).stdout).not.toContain('rebuilt');
  expect(await doctorOn(home, 'index')).toMatchObject({ code: 0, status: 'ok', findings: [] });
  await sound.stop();

  writeFileSync(join(home, 'skein', 'index.sqlite'), 'not a database\n'.repeat(1_000));
  await startDaemon(home);
  await eventually(async () => {
    expect(await indexOf(home)).toMatchObject({ state: 'ready', indexed: 1, setAside: 'file is not a database' });
  });
  expect((await skein(home, ['status'])).stdout).toMatch(
    /^index {6}ready: 1 threads, rebuilt, the old one was file is not a database$/m,
  );
  const told = 'it was made anew: the old one was file is not a database';
  // All is as it should be again.
  expect(await doctorOn(home, 'index')).toMatchObject({ code: 0, status: 'warning', findings: [told] });
  expect((await skein(home, ['doctor'])).stdout).toContain(told);
  expect((await skein(home, ['thread', 'list'])).stdout).toContain(threadId);
});

it('CLI-42 status and doctor count lines that are no records, name their files, and raise no alarm', async () => {
  const home = tempFolder();
  const damaged = writeRollout(home, { said: ['one', 'two'] });
  appendFileSync(damaged.path, 'no record\n{"neither":"is this"}\n\n');
  const torn = writeRollout(home);
  appendFileSync(torn.path, '{"timestamp":"2026-03-04T05:06:07.000Z","type":"event_m');
  const daemon = await startDaemon(home);
  const countIs = (defects: number): Promise<void> =>
    eventually(async () => expect(await indexOf(home)).toMatchObject({ state: 'ready', pending: 0, defects }));
  await countIs(2);
  expect((await skein(home, ['status'])).stdout).toMatch(
    /^index {6}ready: 2 threads, lines that are no records: 2 \(skein doctor says where\)$/m,
  );
  // Whoever writes it may be about to end the line.
  expect((await doctorOn(home, 'rollouts')).findings).toEqual([`bad lines: ${damaged.path}: 2`]);

  const client = await daemon.connect();
  await client.call('thread/resume', { threadId: torn.threadId });
  await client.turn(torn.threadId, 'on a line of its own');
  await countIs(3);
  const rollouts = await doctorOn(home, 'rollouts');
  expect(rollouts).toMatchObject({
    code: 0,
    status: 'ok',
    summary: 'files that cannot be read: 0, lines that are no records: 3',
    findings: [`bad lines: ${damaged.path}: 2`, `bad lines: ${torn.path}: 1`],
    remedy: expect.stringContaining('bad lines are passed over'),
  });
  const forPeople = await skein(home, ['doctor']);
  expect(forPeople.code).toBe(0);
  expect(forPeople.stdout).toContain(`bad lines: ${torn.path}: 1\n  what to do: bad lines are passed over`);

  await client.call('thread/delete', { threadId: torn.threadId });
  rmSync(damaged.path);
  await countIs(0);
  expect((await skein(home, ['status'])).stdout).toMatch(/^index {6}ready: 0 threads$/m);
  expect(await doctorOn(home, 'rollouts')).toMatchObject({ code: 0, status: 'ok', findings: [], remedy: null });
});

it('CLI-42 of many files with bad lines doctor names the worst, and counts the others', async () => {
  const home = tempFolder();
  const paths = Array.from({ length: 13 }, (_, number) => {
    const { path } = writeRollout(home);
    appendFileSync(path, 'no record\n'.repeat(number + 1));
    return path;
  });
  await startDaemon(home);
  await eventually(async () => expect((await indexOf(home)).indexed).toBe(13));
  const worst = Array.from({ length: 10 }, (_, at) => `bad lines: ${paths[12 - at]}: ${13 - at}`);
  expect((await doctorOn(home, 'rollouts')).findings).toEqual([...worst, 'bad lines: in other files: 6']);
});
