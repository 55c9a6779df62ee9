import type { NewRecord } from '../thread-store.ts';

/** A record as text, cut where its ordinal goes: that is only known, and only spent, when it is written. */
export type CutRecord = readonly [before: string, after: string];

/** Ordinals are counted one by one and compared as numbers. */
const MAX_ORDINAL = Number.MAX_SAFE_INTEGER;

export function cutRecord(record: NewRecord): CutRecord {
  const { timestamp, item } = record;
  return [
    `{"timestamp":${JSON.stringify(timestamp)}`,
    `,"type":${JSON.stringify(item.type)},"payload":${JSON.stringify(item.payload)}}\n`,
  ];
}

/**
 * The bytes of records, a line each.
 * @param firstOrdinal of the first record; null in legacy history, which has none
 * @throws RangeError if the ordinals do not suffice; nothing may be written then
 */
export function encodeRecords(records: readonly CutRecord[], firstOrdinal: number | null): Buffer {
  if (firstOrdinal !== null && firstOrdinal + records.length > MAX_ORDINAL) {
    throw new RangeError('the rollout has no ordinals left');
  }
  const lines = records.map(([before, after], index) =>
    firstOrdinal === null ? before + after : `${before},"ordinal":${firstOrdinal + index}${after}`,
  );
  return Buffer.from(lines.join(''), 'utf8');
}
