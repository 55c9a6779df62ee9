import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { DEFAULT_CONFIG } from '../../src/daemon/config.ts';
import { openDaemon } from '../../src/daemon/open-daemon.ts';
import { Releasers } from '../../src/daemon/releasers.ts';
import { diskCalls } from '../support/disk-calls.ts';
import { failing } from '../support/failing-disk.ts';
import { tempFolder } from '../support/temp-home.ts';

/** Begins to open a daemon, and gives up when it has its home. */
async function takeHome(home: string): Promise<unknown> {
  const releasers = new Releasers(() => {});
  const openLog = (): never => {
    throw new Error('far enough');
  };
  const { signal } = new AbortController();
  const failure: unknown = await openDaemon({
    home,
    config: DEFAULT_CONFIG,
    args: [],
    openLog,
    releasers,
    signal,
  }).catch((error: unknown) => error);
  await releasers.releaseAll();
  return failure;
}

function foldersAbove(path: string): readonly string[] {
  const folder = dirname(path);
  return folder === path ? [] : [folder, ...foldersAbove(folder)];
}

const synced = (home: string): Promise<readonly string[]> => diskCalls('/', () => takeHome(home));

it('PLACE-17 the folders above a home are synced before its first daemon has it, whoever made them, and never again', async () => {
  const root = tempFolder();
  const made = join(root, 'not/yet/there');
  const expected = (home: string): readonly string[] => foldersAbove(home).map((folder) => `fsync ${folder.slice(1)}`);
  expect(await synced(made)).toEqual(expected(made));
  expect(await synced(made)).toEqual([]);
  // By a daemon that was killed, or by whoever started it.
  const found = join(root, 'found');
  mkdirSync(join(found, 'skein'), { recursive: true });
  expect(await synced(found)).toEqual(expected(found));
});

it('PLACE-17 a home that cannot be made durable is refused, and tried again', async () => {
  const home = join(tempFolder(), 'home');
  const failure = await failing('fsync', 'EIO', () => takeHome(home));
  expect(failure).toMatchObject({ code: 'internal', detail: { errno: 'EIO' } });
  expect(existsSync(join(home, 'skein/daemon.lock'))).toBe(false);
  expect(await synced(home)).toContain(`fsync ${dirname(home).slice(1)}`);
});
