import { spawnSync } from 'node:child_process';
import { ftruncateSync, openSync, closeSync, writeFileSync, writeSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, it, onTestFinished } from 'vitest';
import { isJsonObject } from '../../../src/domain/json.ts';
import { readFirstRecord, readRollout, type ReadEnd, type ReadEvent } from '../../../src/store/local/rollout-reader.ts';
import { COMPILED } from '../../support/compiled.ts';
import { openLocalStore } from '../../support/local-store.ts';
import { headerPayload, someThreadId, turnItems } from '../../support/records.ts';
import { tempFolder } from '../../support/temp-home.ts';

const lineOf = (text: string): string => JSON.stringify({ timestamp: '', type: 't', payload: { text } });

function fileWith(content: string | Buffer): string {
  const path = join(tempFolder(), 'rollout.jsonl');
  writeFileSync(path, content);
  return path;
}

function readAll(path: string, start?: number, end?: number): { events: readonly ReadEvent[]; end: ReadEnd } {
  const reader = readRollout(path, start, end);
  const events: ReadEvent[] = [];
  for (;;) {
    const step = reader.next();
    if (step.done === true) return { events, end: step.value };
    events.push(step.value);
  }
}

const summaryOf = (event: ReadEvent): unknown =>
  event.type === 'defect' ? event.defect : event.record.line.item.payload['text'];

it('READ-3 a bad line costs itself and is counted, a blank one costs nothing', () => {
  const pieces: readonly (string | Buffer)[] = [
    lineOf('first'),
    `${lineOf('crlf')}\r`,
    '',
    ' \t\r',
    '{"timestamp":"","type":"t","payload":{"text":"to',
    Buffer.alloc(300),
    Buffer.concat([
      Buffer.from('{"timestamp":"","type":"t","payload":{"text":"'),
      Buffer.from([0xc3, 0x28]),
      Buffer.from('"}}'),
    ]),
    lineOf('with \u2028 and \u2029'),
    lineOf('twice'),
    lineOf('twice'),
    '[]',
    '17',
    '{"type":"t"}',
    '{"type":7,"payload":{}}',
    lineOf('last'),
    '',
  ];
  const bytes = Buffer.concat(
    pieces.flatMap((piece, index) => (index === 0 ? [Buffer.from(piece)] : [Buffer.from('\n'), Buffer.from(piece)])),
  );
  const { events, end } = readAll(fileWith(bytes));
  expect(events.map(summaryOf)).toEqual([
    'first',
    'crlf',
    'notJson',
    'notJson',
    'notUtf8',
    'with \u2028 and \u2029',
    'twice',
    'twice',
    'notARecord',
    'notARecord',
    'notARecord',
    'notARecord',
    'last',
  ]);
  expect(end).toEqual({ offset: bytes.length, tornBytes: 0 });
  for (const event of events) {
    if (event.type !== 'record') continue;
    const { offset, length, line } = event.record;
    expect(JSON.parse(bytes.subarray(offset, offset + length).toString())).toMatchObject({
      payload: line.item.payload,
    });
  }
});

it('READ-4 a last record that only lacks its newline counts, a torn one does not yet', () => {
  const whole = `${lineOf('a')}\n${lineOf('b')}`;
  expect(readAll(fileWith(whole)).events.map(summaryOf)).toEqual(['a', 'b']);
  const first = Buffer.byteLength(lineOf('a')) + 1;
  for (let length = first + 1; length < whole.length; length += 1) {
    const { events, end } = readAll(fileWith(whole.slice(0, length)));
    expect(events.map(summaryOf)).toEqual(['a']);
    expect(end).toEqual({ offset: first, tornBytes: length - first });
  }
});

it('READ-5 reading goes on where it stopped, whatever was added since', () => {
  const part = fc.oneof(
    fc.constantFrom(lineOf('x'), '{"torn', '', '\n', '\r\n', '\u2028'),
    fc.string({ maxLength: 8 }),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), fc.array(fc.nat(400), { maxLength: 5 }), (parts, stops) => {
      const bytes = Buffer.from(parts.join('\n'));
      const path = fileWith(bytes);
      const atOnce = readAll(path);
      const events: ReadEvent[] = [];
      let offset = 0;
      for (const stop of [
        ...stops.map((each) => Math.min(each, bytes.length)).toSorted((a, b) => a - b),
        bytes.length,
      ]) {
        // What only looks like a whole record there may be one that goes on.
        if (stop < offset || (stop < bytes.length && bytes[stop] !== 0x0a && bytes[stop - 1] !== 0x0a)) continue;
        const read = readAll(path, offset, stop);
        events.push(...read.events);
        ({ offset } = read.end);
      }
      expect(events).toEqual(atOnce.events);
      expect(offset).toBe(atOnce.end.offset);
    }),
    { numRuns: 60 },
  );
});

it('READ-6 the first record is found without reading further than it needs', () => {
  const path = join(tempFolder(), 'rollout.jsonl');
  const fd = openSync(path, 'w');
  writeSync(fd, `\n{"bad\n${lineOf('head')}\n`);
  ftruncateSync(fd, 8 * 1024 ** 4);
  closeSync(fd);
  expect(readFirstRecord(path)?.line.item.payload).toEqual({ text: 'head' });
  expect(readFirstRecord(fileWith(''))).toBeUndefined();
});

it('READ-7 a home with every kind of damage shows all records that are whole, and counts the others', async () => {
  const home = tempFolder();
  const threadId = someThreadId();
  const folder = join(home, 'sessions/2026/03/04');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `rollout-2026-03-04T05-06-07-${threadId}.jsonl`);
  const turns = ['one', 'two', 'three', 'four', 'five'].map((said) =>
    turnItems('legacy', threadId, said, `re: ${said}\u2028`),
  );
  const items = turns.flatMap((turn) => turn.items);
  const lines = [{ type: 'session_meta', payload: headerPayload(threadId, 'legacy') }, ...items].map((item) =>
    JSON.stringify({ timestamp: '2026-03-04T05:06:07.000Z', ...item }),
  );
  const damage: readonly Buffer[] = [
    Buffer.from(`${lines[5]?.slice(0, 40)}\n`),
    Buffer.from(`${'\0'.repeat(4_096)}\n`),
    Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d, 0x0a]),
    Buffer.from('\n   \r\n'),
    Buffer.from(`${lines[12]}\r\n`),
  ];
  const fd = openSync(path, 'w');
  for (const [index, line] of lines.entries()) {
    writeSync(fd, `${line}\n`);
    const bad = damage[index / 6 - 1];
    if (bad !== undefined) writeSync(fd, bad);
  }
  // A line of 100 MB, which takes no space on disk.
  ftruncateSync(fd, statSync(path).size + 100_000_000);
  closeSync(fd);
  const more = openSync(path, 'a');
  writeSync(
    more,
    `\n${JSON.stringify({ timestamp: '', type: 'event_msg', payload: { type: 'user_message', message: 'still here' } })}\n`,
  );
  closeSync(more);

  const store = await openLocalStore(home);
  onTestFinished(() => store.close());
  const shown = await store.listTurns({ threadId, limit: 100, direction: 'asc', itemsView: 'full' });
  const said = shown.data.flatMap((turn) => turn.items.map((item) => item['text'] ?? JSON.stringify(item['content'])));
  for (const words of ['one', 'two', 'three', 'four', 'five']) {
    expect(said).toContain(`re: ${words}\u2028`);
    expect(JSON.stringify(said)).toContain(`\\"${words}\\"`);
  }
  expect(JSON.stringify(said)).toContain('still here');
  const history: unknown[] = [];
  for await (const line of store.loadHistory(threadId)) history.push(line);
  // The duplicate is a record like any other.
  expect(history.length).toBe(lines.length + 2);
  const { index } = await store.inspect();
  expect(isJsonObject(index) && index['defects']).toBe(4);
});

it('READ-8 a line beyond the limit is skipped without being held', () => {
  const path = join(tempFolder(), 'rollout.jsonl');
  const fd = openSync(path, 'w');
  writeSync(fd, `${lineOf('a')}\n`);
  ftruncateSync(fd, 400_000_000);
  closeSync(fd);
  const tail = openSync(path, 'a');
  writeSync(tail, `\n${lineOf('b')}\n`);
  closeSync(tail);
  // In a process of its own: the peak of memory is that of its whole life.
  const script = `
    const { readRollout } = await import(process.argv[1]);
    const before = process.resourceUsage().maxRSS;
    const seen = [...readRollout(process.argv[2])].map((event) => event.defect ?? event.record.line.item.payload.text);
    console.log(JSON.stringify({ seen, grownKiB: process.resourceUsage().maxRSS - before }));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script, COMPILED, path], {
    encoding: 'utf8',
  });
  const { seen, grownKiB } = JSON.parse(stdout) as { seen: readonly string[]; grownKiB: number };
  expect(seen).toEqual(['a', 'tooLong', 'b']);
  expect(grownKiB).toBeLessThan(150 * 1024);
});
