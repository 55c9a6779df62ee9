import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { JsonObject } from '../../../src/domain/json.ts';
import { decodeLine } from '../../../src/domain/rollout-line.ts';
import { cutRecord, encodeRecords } from '../../../src/store/local/record-encoder.ts';

const record = fc.record({
  timestamp: fc.date({ noInvalidDate: true }).map((date) => date.toISOString()),
  item: fc.record({
    type: fc.string(),
    payload: fc.dictionary(
      fc.string({ unit: 'binary' }),
      fc.jsonValue({ stringUnit: 'binary' }),
    ) as fc.Arbitrary<JsonObject>,
  }),
});

it('LINE-4 records come back from their lines as they were given, members in order, numbered one by one', () => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 5 }), fc.option(fc.nat(1_000_000)), (records, first) => {
      const bytes = encodeRecords(records.map(cutRecord), first);
      const lines = bytes.toString('latin1').split('\n');
      expect(lines.pop()).toBe('');
      const decoded = lines.map((line) => decodeLine(Buffer.from(line, 'latin1')));
      expect(decoded.map((each) => JSON.stringify(each))).toEqual(
        records.map(({ timestamp, item }, index) =>
          JSON.stringify({
            ok: true,
            line: { timestamp, ...(first === null ? {} : { ordinal: first + index }), item },
          }),
        ),
      );
    }),
  );
});

it('LINE-5 a line has its members in the order of the peer', () => {
  const cut = cutRecord({ timestamp: '2026-03-04T05:06:07.000Z', item: { type: 'x', payload: { b: 1, a: '\u2028' } } });
  expect(encodeRecords([cut], 7).toString()).toBe(
    '{"timestamp":"2026-03-04T05:06:07.000Z","ordinal":7,"type":"x","payload":{"b":1,"a":"\u2028"}}\n',
  );
  expect(encodeRecords([cut], null).toString()).toBe(
    '{"timestamp":"2026-03-04T05:06:07.000Z","type":"x","payload":{"b":1,"a":"\u2028"}}\n',
  );
});
