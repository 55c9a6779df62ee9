import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { JsonObject } from '../../../src/domain/json.ts';
import { readTail } from '../../../src/store/local/rollout-tail.ts';
import { tempFolder } from '../../support/temp-home.ts';

const line = (ordinal: number | undefined, type = 'event_msg', payload: JsonObject = {}): string =>
  JSON.stringify({ timestamp: '', ...(ordinal === undefined ? {} : { ordinal }), type, payload });

function fileWith(content: string): string {
  const path = join(tempFolder(), 'rollout.jsonl');
  writeFileSync(path, content);
  return path;
}

it.each([
  { end: 'a whole record', content: `${line(0)}\n${line(1)}\n`, nextOrdinal: 2, isUnterminated: false },
  { end: 'a whole record without newline', content: `${line(0)}\n${line(1)}`, nextOrdinal: 2, isUnterminated: true },
  { end: 'a torn record', content: `${line(0)}\n${line(1).slice(0, -1)}`, nextOrdinal: 1, isUnterminated: true },
  { end: 'a bad line', content: `${line(0)}\n${line(1).slice(0, -1)}\n`, nextOrdinal: 1, isUnterminated: false },
  { end: 'a gap', content: `${line(0)}\n${line(41)}\n`, nextOrdinal: 42, isUnterminated: false },
  { end: 'blank lines', content: `${line(3)}\n\n \r\n`, nextOrdinal: 4, isUnterminated: false },
  {
    end: 'much that is no record',
    content: `${line(3)}\n${'{"x":1}\n'.repeat(30_000)}\0\0`,
    nextOrdinal: 4,
    isUnterminated: true,
  },
  { end: 'nothing', content: '', nextOrdinal: 0, isUnterminated: false },
])('READ-13 a writer goes on behind $end', async ({ content, nextOrdinal, isUnterminated }) => {
  const path = fileWith(content);
  const size = Buffer.byteLength(content);
  expect(await readTail(path, 'paginated')).toEqual({ size, nextOrdinal, isUnterminated });
  expect(await readTail(path, 'legacy')).toEqual({ size, nextOrdinal: null, isUnterminated });
});

it.each([
  ['none', line(undefined)],
  ['one beyond what is exact', line(7).replace('7', '18446744073709551615')],
  ['one that is no number', line(7).replace('7', '"7"')],
])('READ-14 goes on behind no paginated record with %s for an ordinal', async (_what, last) => {
  const path = fileWith(`${line(0)}\n${last}\n`);
  await expect(readTail(path, 'paginated')).rejects.toMatchObject({
    code: 'internal',
    message: `final paginated rollout record at ${path} is missing an ordinal`,
  });
});

it('READ-15 a sub-agent is not resumed within the context that it was to inherit', async () => {
  const header = line(0, 'session_meta', { subagent_history_start_ordinal: 3 });
  const inherited = [line(1), line(2)];
  await expect(readTail(fileWith(`${header}\n${inherited[0]}\n`), 'paginated')).rejects.toMatchObject({
    code: 'internal',
    message: expect.stringContaining('ends at ordinal 2'),
  });
  expect(await readTail(fileWith([header, ...inherited].join('\n')), 'paginated')).toMatchObject({ nextOrdinal: 3 });
});
