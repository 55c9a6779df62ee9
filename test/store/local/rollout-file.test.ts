import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { parseRolloutFileName } from '../../../src/domain/rollout-file-name.ts';
import { posix } from '../../../src/store/local/files.ts';
import { cutRecord } from '../../../src/store/local/record-encoder.ts';
import { RolloutFile } from '../../../src/store/local/rollout-file.ts';
import type { RolloutStart } from '../../../src/store/local/rollout-start.ts';
import { unfinishedPath } from '../../../src/store/local/unfinished-rollouts.ts';
import { limitFileSize } from '../../support/faults.ts';
import { T0 } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';
import { folderOf, numbered, numbersIn, plannedPath, plannedStart } from '../../support/writers.ts';

const cuts = (...numbers: readonly number[]): ReturnType<typeof cutRecord>[] => numbered(...numbers).map(cutRecord);

function fileAt(path: string, start: RolloutStart = plannedStart()): RolloutFile {
  const file = new RolloutFile(path, start, () => T0);
  onTestFinished(() => file.releaseHandle());
  return file;
}

it('WRITE-16 a rollout is seen under its name only when it is whole', async () => {
  const path = plannedPath();
  const seen: string[][] = [];
  const file = fileAt(
    path,
    plannedStart(async () => {
      seen.push(readdirSync(folderOf(path)));
      return { id: 'x' };
    }),
  );
  const names = new Set<string>();
  mkdirSync(folderOf(path), { recursive: true });
  const rename = posix.rename;
  // The moment before it gets its name.
  const spy = vi.spyOn(posix, 'rename').mockImplementation(async (from, to) => {
    readdirSync(folderOf(path)).forEach((name) => names.add(name));
    expect(readFileSync(from, 'utf8').split('\n').length).toBe(4);
    await rename(from, to);
  });
  onTestFinished(() => spy.mockRestore());
  await file.append(cuts(1, 2));
  expect(seen).toEqual([[]]);
  expect([...names].map((name) => parseRolloutFileName(name))).toEqual([undefined]);
  expect(numbersIn(path)).toEqual([1, 2]);
});

it('WRITE-17 files are for their owner alone, whatever the umask', async () => {
  const before = process.umask(0);
  onTestFinished(() => {
    process.umask(before);
  });
  const path = plannedPath();
  await fileAt(path).append(cuts(1));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(folderOf(path)).mode & 0o777).toBe(0o700);
  expect(statSync(folderOf(folderOf(path))).mode & 0o777).toBe(0o700);
});

it('WRITE-18 history that is taken over is copied byte for byte, and ends with a line', async () => {
  const source = join(tempFolder(), 'source.jsonl');
  const oddities =
    '{"timestamp":"","type":"x","payload":{"b":1.0,"a":1e3,"a":12345678901234567890,"e":"\\u00e9\\/"}, "more" : [ ]}\r\n' +
    '{"torn\n\n\0\0\n{"timestamp":"","type":"y","payload":{}}';
  writeFileSync(source, `${oddities}\n{"behind":"the cut"}\n`);
  const path = plannedPath();
  const endOffset = Buffer.byteLength(oddities);
  const file = fileAt(path, {
    kind: 'new',
    header: async () => ({ id: 'x' }),
    nextOrdinal: null,
    inherited: [{ path: source, endOffset }],
  });
  await file.append(cuts(1));
  const text = readFileSync(path, 'utf8');
  const [header, ...rest] = text.split('\n');
  expect(header).toBe(`{"timestamp":"${new Date(T0).toISOString()}","type":"session_meta","payload":{"id":"x"}}`);
  expect(rest.join('\n').startsWith(`${oddities}\n{"timestamp"`)).toBe(true);
  expect(file.size).toBe(Buffer.byteLength(text));
});

it('WRITE-18 history that has got shorter than what was to be taken over is refused, and leaves nothing', async () => {
  const source = join(tempFolder(), 'source.jsonl');
  writeFileSync(source, 'short');
  const path = plannedPath();
  const inherited = [{ path: source, endOffset: 6 }];
  const file = fileAt(path, { kind: 'new', header: async () => ({}), nextOrdinal: null, inherited });
  await expect(file.append([])).rejects.toMatchObject({ code: 'internal' });
  await file.recover();
  expect(readdirSync(folderOf(path))).toEqual([]);
});

it('WRITE-19 without ordinals left nothing is written', async () => {
  const path = plannedPath();
  mkdirSync(folderOf(path), { recursive: true });
  const last = Number.MAX_SAFE_INTEGER - 2;
  writeFileSync(path, `{"timestamp":"","ordinal":${last},"type":"x","payload":{}}\n`);
  const before = readFileSync(path);
  const start = { kind: 'existing', size: before.length, nextOrdinal: last + 1, isUnterminated: false } as const;
  const file = fileAt(path, start);
  await expect(file.append(cuts(1, 2))).rejects.toThrow('no ordinals left');
  expect(readFileSync(path).equals(before)).toBe(true);
  await file.append(cuts(1));
  await expect(file.append(cuts(2))).rejects.toThrow('no ordinals left');
  expect(readFileSync(path, 'utf8').trim().split('\n').length).toBe(2);
});

/**
 * No file system at hand fails to sync at will, so the call is stood in for: it fails, as it does when a disk breaks,
 * and what was not synced is lost from the file, as the kernel may lose it then.
 */
function failNextSync(path: string, lostFrom: number): void {
  const spy = vi.spyOn(posix, 'fdatasync').mockImplementationOnce(async () => {
    const fd = openSync(path, 'r+');
    writeSync(fd, Buffer.alloc(statSync(path).size - lostFrom), 0, undefined, lostFrom);
    closeSync(fd);
    throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
  });
  onTestFinished(() => spy.mockRestore());
}

it('WRITE-20 what a failed sync may have lost is written again before the next', async () => {
  const path = plannedPath();
  const file = fileAt(path);
  await file.append(cuts(1));
  await file.sync();
  const synced = file.size;
  await file.append(cuts(2));
  await file.append(cuts(3));
  failNextSync(path, synced);
  await expect(file.sync()).rejects.toThrow('EIO');
  await file.recover();
  await file.append(cuts(4));
  expect(numbersIn(path)).toEqual([1, 2, 3, 4]);
  await file.sync();
  expect(file.unsyncedBytes).toBe(0);
  expect(numbersIn(path)).toEqual([1, 2, 3, 4]);
});

it('WRITE-20 a new rollout whose content cannot be synced is none, and is made anew', async () => {
  const path = plannedPath();
  const file = fileAt(path);
  failNextSync(unfinishedPath(path), 0);
  await expect(file.append(cuts(1))).rejects.toThrow('EIO');
  await file.recover();
  expect([file.isStored, readdirSync(folderOf(path))]).toEqual([false, []]);
  await file.append(cuts(1, 2));
  await file.sync();
  expect(numbersIn(path)).toEqual([1, 2]);
});

it('WRITE-21 behind a torn tail a record begins on a line of its own, even if the first try fails', async () => {
  const path = plannedPath();
  mkdirSync(folderOf(path), { recursive: true });
  writeFileSync(path, '{"torn');
  const file = fileAt(path, { kind: 'existing', size: 6, nextOrdinal: null, isUnterminated: true });
  limitFileSize(9);
  await expect(file.append(cuts(1))).rejects.toMatchObject({ code: 'EFBIG' });
  await file.recover();
  expect(readFileSync(path, 'utf8')).toBe('{"torn');
  limitFileSize(null);
  await file.append(cuts(1));
  await file.append(cuts(2));
  expect(
    readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => line.slice(0, 6)),
  ).toEqual(['{"torn', '{"time', '{"time', '']);
});
