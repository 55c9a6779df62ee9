import { describe, expect, it } from 'vitest';
import { formatHistoryCursor, parseHistoryCursor } from '../../src/domain/history-cursor.ts';
import { newThreadId, parseThreadId, tryParseThreadId, type ThreadId } from '../../src/domain/ids.ts';
import { formatThreadCursor, parseThreadCursor } from '../../src/domain/thread-cursor.ts';

const ID = '01a2032f-9163-78b3-82e3-2413f4d097e2' as ThreadId;

describe('ids', () => {
  it('LINE-9 thread ids are read in every form that clients write, and made in order', () => {
    const bare = ID.replaceAll('-', '');
    for (const text of [ID, ID.toUpperCase(), bare, bare.toUpperCase(), `{${ID}}`, `urn:uuid:${ID}`]) {
      expect(parseThreadId(text)).toBe(ID);
    }
    const made = Array.from({ length: 1_000 }, () => newThreadId());
    expect(made.toSorted()).toEqual(made);
    expect(new Set(made.map((id) => tryParseThreadId(id))).size).toBe(made.length);
  });

  it.each([
    ['', 'invalid length: expected length 32 for simple format, found 0'],
    [
      'not-a-uuid',
      'invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `n` at 1',
    ],
    [ID.slice(0, -1), 'invalid group length in group 4: expected 12, found 11'],
    [`${ID}-`, 'invalid group count: expected 5, found 6'],
    [
      '../../etc/passwd',
      'invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `.` at 1',
    ],
    [
      `{${ID}`,
      'invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `{` at 1',
    ],
  ])('LINE-9 of %j says what is wrong', (text, problem) => {
    expect(() => parseThreadId(text)).toThrow(`invalid thread id: ${problem}`);
    expect(() => parseThreadId(text, 'session')).toThrow(`invalid session id: ${problem}`);
    expect(tryParseThreadId(text)).toBeUndefined();
  });
});

describe('cursors', () => {
  it('LINE-10 cursors are read as they were given out, an old bare timestamp too', () => {
    for (const scope of ['turns', 'itemsByCreatedAtOrdinal'] as const) {
      const position = { at: 12, isIncluded: true };
      expect(parseHistoryCursor(formatHistoryCursor(ID, position, scope), ID, scope)).toEqual(position);
    }
    const position = { keyMs: Date.parse('2026-03-04T05:06:07.089Z'), id: ID };
    expect(parseThreadCursor(formatThreadCursor(position))).toEqual(position);
    expect(parseThreadCursor('2026-03-04T05-06-07')).toEqual({ keyMs: Date.parse('2026-03-04T05:06:07Z'), id: null });
  });

  it('LINE-10 what is no cursor is refused with its text', () => {
    const whole = formatHistoryCursor(ID, { at: 12, isIncluded: true }, 'turns');
    const history = [
      '',
      'null',
      '7',
      '[]',
      '{}',
      '"x"',
      '{',
      whole.slice(1),
      whole.replace('12', '-1'),
      whole.replace('12', '1.5'),
    ];
    const others = [whole.replace('12', '1e300'), whole.replace('true', '1'), whole.replace('{"kind":"turns"}', '5')];
    for (const text of [...history, ...others]) {
      expect(() => parseHistoryCursor(text, ID, 'turns')).toThrow(`invalid cursor: ${text}`);
    }
    expect(() => parseHistoryCursor(whole, ID, 'itemsByCreatedAtOrdinal')).toThrow('invalid cursor');
    expect(() => parseHistoryCursor(whole, newThreadId(), 'turns')).toThrow('invalid cursor');
    const instant = '2026-03-04T05:06:07.089Z';
    for (const text of [
      '',
      '|',
      'x',
      `${instant}|`,
      `${instant}|x`,
      `${instant}|${ID}|`,
      `|${ID}`,
      instant.slice(0, -1),
    ]) {
      expect(() => parseThreadCursor(text)).toThrow(`invalid cursor: ${text}`);
    }
  });
});
