import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { decodeLine, isBlankLine } from '../../src/domain/rollout-line.ts';

const decode = (text: string): ReturnType<typeof decodeLine> => decodeLine(Buffer.from(text));

it('LINE-1 a decoded line has everything that stands on it, known or not', () => {
  const text =
    '{"trace_id":"t","timestamp":"2026-03-04T05:06:07.000Z","ordinal":3,"type":"brand_new",' +
    '"payload":{"z":1,"a":{"deep":[null,{"x":"\\ud83d\\ude00"}]},"__proto__":{"y":2},"constructor":3},"later":{"b":[1]}}';
  const decoded = decode(text);
  expect(decoded).toEqual({
    ok: true,
    line: {
      timestamp: '2026-03-04T05:06:07.000Z',
      ordinal: 3,
      item: { type: 'brand_new', payload: expect.anything() },
      extra: { trace_id: 't', later: { b: [1] } },
    },
  });
  if (!decoded.ok) return;
  expect(JSON.stringify(decoded.line.item.payload)).toBe(
    '{"z":1,"a":{"deep":[null,{"x":"😀"}]},"__proto__":{"y":2},"constructor":3}',
  );
});

it.each([
  [
    'notJson',
    ['{"type":"x","payload":{}', '\0\0\0', '{"type":"x","payload":{}}{}', 'NaN', '\ufeff{"type":"x","payload":{}}'],
  ],
  [
    'notARecord',
    [
      '[]',
      '1',
      'null',
      '"x"',
      '{}',
      '{"type":"x"}',
      '{"payload":{}}',
      '{"type":"x","payload":[]}',
      '{"type":1,"payload":{}}',
    ],
  ],
])('LINE-2 says %s of what is no record', (defect, texts) => {
  for (const text of texts) expect(decode(text)).toEqual({ ok: false, defect });
});

it('LINE-2 says notUtf8 of text in another encoding', () => {
  for (const bad of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80]]) {
    const bytes = Buffer.concat([Buffer.from('{"type":"x","payload":{"a":"'), Buffer.from(bad), Buffer.from('"}}')]);
    expect(decodeLine(bytes)).toEqual({ ok: false, defect: 'notUtf8' });
  }
});

it('LINE-2 any bytes give an answer', () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => typeof decodeLine(Buffer.from(bytes)).ok === 'boolean'));
  const depth = 2_000_000;
  expect(decode('['.repeat(depth))).toEqual({ ok: false, defect: 'notJson' });
  expect(decode('['.repeat(depth) + ']'.repeat(depth))).toEqual({ ok: false, defect: 'notARecord' });
});

it('LINE-3 only white space is blank, and odd known members are left out', () => {
  expect(['', ' ', '\t\r', '\r'].map((text) => isBlankLine(Buffer.from(text)))).toEqual([true, true, true, true]);
  expect(['\0', '\u2028', 'x'].map((text) => isBlankLine(Buffer.from(text)))).toEqual([false, false, false]);
  for (const ordinal of ['1.5', '"1"', 'null', '18446744073709551615']) {
    expect(decode(`{"timestamp":7,"ordinal":${ordinal},"type":"x","payload":{}}`)).toEqual({
      ok: true,
      line: { timestamp: '', item: { type: 'x', payload: {} } },
    });
  }
});
