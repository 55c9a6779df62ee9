import { spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { newThreadId } from '../../src/domain/ids.ts';
import {
  dayFoldersOf,
  epochMsOfLocalTime,
  localTimeOf,
  parseRolloutFileName,
  renderRolloutFileName,
} from '../../src/domain/rollout-file-name.ts';
import { COMPILED } from '../support/compiled.ts';
import { formatTimestamp, parseTimestamp } from '../../src/domain/timestamps.ts';

const THREAD = '01a2032f-9163-78b3-82e3-2413f4d097e2';
const ROLLOUT = '01a2032f-9163-776e-81e2-edd1a3139852';

it('LINE-6 names with one id and with two are read and written the same, compressed too', () => {
  for (const name of [
    `rollout-2026-03-04T05-06-07-${THREAD}.jsonl`,
    `rollout-2026-03-04T05-06-07-${THREAD}_${ROLLOUT}.jsonl`,
    `rollout-2026-03-04T05-06-07-${THREAD}.jsonl.zst`,
    `rollout-2026-03-04T05-06-07-${THREAD}_${ROLLOUT}.jsonl.zst`,
  ]) {
    const parsed = parseRolloutFileName(name);
    expect(parsed).toEqual({
      threadId: THREAD,
      rolloutId: name.includes('_') ? ROLLOUT : THREAD,
      localTime: '2026-03-04T05-06-07',
      isCompressed: name.endsWith('.zst'),
    });
    if (parsed === undefined) continue;
    expect(renderRolloutFileName(parsed)).toBe(name);
    expect(dayFoldersOf(parsed)).toEqual(['2026', '03', '04']);
  }
  fc.assert(
    fc.property(
      fc.date({ min: new Date(0), max: new Date('2090-01-01'), noInvalidDate: true }),
      fc.boolean(),
      fc.boolean(),
      (date, isLong, isCompressed) => {
        const threadId = newThreadId();
        const rolloutId = isLong ? newThreadId() : threadId;
        const name = { threadId, rolloutId, localTime: localTimeOf(date.getTime()), isCompressed };
        expect(parseRolloutFileName(renderRolloutFileName(name))).toEqual(name);
      },
    ),
  );
});

it.each([
  `.rollout-2026-03-04T05-06-07-${THREAD}.jsonl.new`,
  `rollout-2026-03-04T05-06-07-${THREAD}.jsonl.zst.tmp`,
  `rollout-2026-03-04T05-06-07-${THREAD}.json`,
  `rollout-2026-03-04T05:06:07-${THREAD}.jsonl`,
  `rollout-2026-03-04-${THREAD}.jsonl`,
  `rollout-2026-03-04T05-06-07-${THREAD.toUpperCase()}.jsonl`,
  `rollout-2026-03-04T05-06-07-${THREAD.slice(1)}-.jsonl`,
  `rollout-2026-03-04T05-06-07-${THREAD}_.jsonl`,
  `rollout-2026-03-04T05-06-07-${THREAD}.jsonl\n`,
  'session_index.jsonl',
  '',
])('LINE-6 %j is no rollout', (name) => {
  expect(parseRolloutFileName(name)).toBeUndefined();
});

it('LINE-7 names carry the time of the place, lines that of UTC', () => {
  const instant = Date.parse('2026-03-04T23:30:00.123Z');
  const script = `
    const { localTimeOf, epochMsOfLocalTime } = await import(${JSON.stringify(COMPILED)});
    console.log(localTimeOf(${instant}), epochMsOfLocalTime(localTimeOf(${instant})));`;
  const inZone = (zone: string): string =>
    spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, TZ: zone },
      encoding: 'utf8',
    }).stdout.trim();
  const seconds = instant - 123;
  expect(inZone('UTC')).toBe(`2026-03-04T23-30-00 ${seconds}`);
  expect(inZone('Asia/Kolkata')).toBe(`2026-03-05T05-00-00 ${seconds}`);
  expect(inZone('America/St_Johns')).toBe(`2026-03-04T20-00-00 ${seconds}`);
  expect(formatTimestamp(instant)).toBe('2026-03-04T23:30:00.123Z');
  expect(epochMsOfLocalTime(localTimeOf(instant))).toBe(seconds);
});

it('LINE-8 instants are read in RFC 3339, or in the form of file names as UTC', () => {
  const instant = Date.parse('2026-03-04T05:06:07.000Z');
  for (const text of [
    '2026-03-04T05:06:07Z',
    '2026-03-04T05:06:07.000Z',
    '2026-03-04T07:06:07+02:00',
    '2026-03-04T05-06-07',
  ]) {
    expect(parseTimestamp(text)).toBe(instant);
  }
  expect(parseTimestamp('2026-03-04T05:06:07.123456Z')).toBe(instant + 123);
  // Without a zone the answer would depend on the machine's.
  for (const text of [
    '',
    'now',
    '2026-03-04',
    '2026-03-04T05:06:07',
    '2026-13-04T05:06:07Z',
    '1772600767000',
    '2026-03-04T05-06-07Z',
  ]) {
    expect(parseTimestamp(text)).toBeUndefined();
  }
});
