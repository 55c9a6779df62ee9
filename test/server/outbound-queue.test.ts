import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { array, assert, constant, constantFrom, nat, oneof, property, record } from 'fast-check';
import { expect, it } from 'vitest';
import { OutboundQueue, type Outbound, type OutboundSink } from '../../src/server/outbound-queue.ts';

/** A socket whose bytes leave when the test says so. */
class HandDrivenSink implements OutboundSink {
  readonly sent: string[] = [];
  readonly #inFlight: { readonly bytes: number; readonly done: () => void }[] = [];

  get bufferedAmount(): number {
    return this.#inFlight.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  send(text: string, done: () => void): void {
    this.sent.push(text);
    this.#inFlight.push({ bytes: Buffer.byteLength(text), done });
  }

  /** Lets the oldest message leave. @returns whether there was one */
  leave(): boolean {
    const next = this.#inFlight.shift();
    next?.done();
    return next !== undefined;
  }

  leaveAll(): void {
    while (this.leave());
  }
}

const LIMITS = { inFlightBytes: 1, queuedBytes: 100 };

const must = (text: string): Outbound => ({ kind: 'must', text });
const news = (text: string, threadId: string | null = 't'): Outbound => ({ kind: 'news', text, threadId });
const delta = (text: string, key = 'item', threadId = 't'): Outbound => ({
  kind: 'delta',
  threadId,
  key,
  delta: text,
  text: `${key}:${text}`,
  render: (whole) => `${key}:${whole}`,
});

const notice = (threadId: string | null, dropped: number): string => `missed ${dropped} of ${threadId}`;

/** A queue whose sink is busy with a first message. */
function busyQueue(limits = LIMITS): { readonly sink: HandDrivenSink; readonly queue: OutboundQueue } {
  const sink = new HandDrivenSink();
  const queue = new OutboundQueue({ sink, resync: notice, now: () => 0, limits });
  queue.push(must('first'));
  return { sink, queue };
}

it('OUT-1 messages keep their order, whether they wait or pass straight through', () => {
  const { sink, queue } = busyQueue();
  for (const message of [news('1'), must('2'), delta('3'), news('4', null)]) queue.push(message);
  expect(sink.sent).toEqual(['first']);
  sink.leaveAll();
  queue.push(news('5'));
  expect(sink.sent).toEqual(['first', '1', '2', 'item:3', '4', '5']);
});

it('OUT-2 answers are never dropped, and fill the queue so that nothing more is taken from the client', () => {
  const { sink, queue } = busyQueue();
  for (let index = 0; index < 10; index += 1) queue.push(must(`${index}`.repeat(30)));
  expect(queue.isFull).toBe(true);
  expect(queue.dropped).toBe(0);
  sink.leaveAll();
  expect(sink.sent).toHaveLength(11);
  expect(queue.isFull).toBe(false);
});

it('OUT-3 waiting deltas of one message in a row become one', () => {
  const { sink, queue } = busyQueue();
  for (const message of [
    delta('a'),
    delta('b'),
    delta('c', 'other'),
    delta('d'),
    news('n'),
    delta('e'),
    delta('"f"'),
  ]) {
    queue.push(message);
  }
  sink.leaveAll();
  expect(sink.sent).toEqual(['first', 'item:ab', 'other:c', 'item:d', 'n', 'item:e"f"']);
});

it('OUT-4 beyond its bound the news of a thread are dropped from there on, until its client is told', () => {
  const { sink, queue } = busyQueue();
  queue.push(news('a'.repeat(60)));
  queue.push(news('b'.repeat(60)));
  queue.push(news('small, and later'));
  queue.push(delta('later still'));
  queue.push(news('of another thread', 'u'));
  queue.push(must('answer'));
  expect(queue.dropped).toBe(3);
  sink.leave();
  expect(sink.sent).toEqual(['first', 'a'.repeat(60)]);
  sink.leaveAll();
  queue.push(news('after the notice'));
  expect(sink.sent.slice(2)).toEqual(['missed 3 of t', 'of another thread', 'answer', 'after the notice']);
});

it('OUT-5 a client is told at the place of the first loss, thread by thread, and again if it happens again', () => {
  const { sink, queue } = busyQueue();
  const tooMuch = 'x'.repeat(101);
  for (const threadId of ['t', 't', null]) queue.push(news(tooMuch, threadId));
  queue.push(must('answer'));
  queue.push(news('fits', 'u'));
  queue.push(news(tooMuch, 'u'));
  queue.push(news(tooMuch, 't'));
  sink.leaveAll();
  expect(sink.sent).toEqual(['first', 'missed 3 of t', 'missed 1 of null', 'answer', 'fits', 'missed 1 of u']);
  queue.push(must('busy'));
  queue.push(must('busy again'));
  queue.push(news(tooMuch, 'u'));
  sink.leaveAll();
  expect(sink.sent.slice(6)).toEqual(['busy', 'busy again', 'missed 1 of u']);
  expect(queue.dropped).toBe(6);
});

it('OUT-6 what waits never takes more than its bound, and of each thread a client gets all, or learns that it does not', () => {
  const message = oneof(
    record({ kind: constant('news'), thread: constantFrom('t', 'u'), size: nat(60) }),
    record({ kind: constant('delta'), thread: constantFrom('t', 'u'), size: nat(20) }),
    record({ kind: constant('leave'), thread: constant(''), size: nat(1) }),
  );
  assert(
    property(array(message, { minLength: 20, maxLength: 80 }), (steps) => {
      const { sink, queue } = busyQueue();
      const said: Record<string, string> = { t: '', u: '' };
      for (const [index, { kind, thread, size }] of steps.entries()) {
        if (kind === 'leave') for (let count = 0; count < size; count += 1) sink.leave();
        const text = String.fromCharCode(97 + (index % 26)).repeat(size);
        if (kind === 'news') queue.push(news(`${thread}:${text}`, thread));
        if (kind === 'delta') queue.push(delta(text, thread, thread));
        if (kind !== 'leave') said[thread] += text;
        expect(queue.bytes - sink.bufferedAmount).toBeLessThanOrEqual(LIMITS.queuedBytes);
        expect(queue.bytes - sink.bufferedAmount).toBeGreaterThanOrEqual(0);
      }
      sink.leaveAll();
      expect(queue.bytes).toBe(0);
      for (const thread of ['t', 'u']) {
        // What was got of a thread, cut where the client was told of a loss.
        const pieces = [''];
        for (const text of sink.sent) {
          if (text.startsWith('missed') && text.endsWith(` of ${thread}`)) pieces.push('');
          if (text.startsWith(`${thread}:`)) pieces[pieces.length - 1] += text.slice(2);
        }
        // Each piece is a whole part of what was said, and without a loss the one piece is all of it.
        let from = 0;
        for (const piece of pieces) {
          const at = said[thread]?.indexOf(piece, from) ?? -1;
          expect(at).toBeGreaterThanOrEqual(from);
          from = at + piece.length;
        }
        expect(pieces.length > 1 ? said[thread] : pieces[0]).toBe(said[thread]);
      }
    }),
    { numRuns: 500 },
  );
});

it('OUT-7 whoever waits for the end of a queue is told when the socket has all of it, or the client is gone', async () => {
  const { sink, queue } = busyQueue();
  await new OutboundQueue({ sink, resync: notice, now: () => 0 }).whenEmpty();
  queue.push(news('1'));
  let isEmpty = false;
  const emptied = queue.whenEmpty().then(() => (isEmpty = true));
  await Promise.resolve();
  expect(isEmpty).toBe(false);
  sink.leave();
  await emptied;
  queue.push(news('2'));
  const cleared = queue.whenEmpty();
  queue.clear();
  await cleared;
  queue.push(must('too late'));
  expect(queue.bytes).toBe(sink.bufferedAmount);
  sink.leaveAll();
  expect(sink.sent).toEqual(['first', '1']);
});

it('OUT-8 catching up costs each message once, however many wait and however long they have grown', () => {
  const limits = { inFlightBytes: 1, queuedBytes: 1e9 };
  const { sink, queue } = busyQueue(limits);
  let rendered = 0;
  const count = 200_000;
  for (let index = 0; index < count; index += 1) queue.push(news('n', `${index}`));
  const grown = {
    ...delta('word '),
    render: (whole: string) => {
      rendered += whole.length;
      return whole;
    },
  };
  for (let index = 0; index < count; index += 1) queue.push(grown);
  sink.leaveAll();
  expect(sink.sent).toHaveLength(1 + count + Math.ceil((count * 'word '.length) / (256 * 1024)));
  expect(rendered).toBe(count * 'word '.length);
});

it('OUT-11 a message larger than the bound passes if nothing is before it; else an answer waits, news are dropped with notice', () => {
  const sink = new HandDrivenSink();
  const queue = new OutboundQueue({ sink, resync: notice, now: () => 0, limits: LIMITS });
  const [first, second] = ['a', 'b'].map((letter) => letter.repeat(1_000)) as [string, string];
  queue.push(news(first));
  expect(sink.sent).toEqual([first]);
  queue.push(news(second));
  queue.push(must(second));
  expect(queue.dropped).toBe(1);
  sink.leaveAll();
  expect(sink.sent).toEqual([first, 'missed 1 of t', second]);
  queue.push(news(second));
  expect(sink.sent.at(-1)).toBe(second);
});

it('OUT-13 a growing message costs its length while it waits, in however short parts it grows', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const { sink, queue } = busyQueue({ inFlightBytes: 1, queuedBytes: 1e9 });
  const heap = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = heap();
  // Words that are not one another's: the engine keeps equal ones once.
  for (let index = 100_000; index < 600_000; index += 1) queue.push(delta(`${index}`));
  const bytes = queue.bytes - sink.bufferedAmount;
  expect(bytes).toBeGreaterThan(500_000 * 6);
  expect(heap() - before).toBeLessThan(2 * bytes);
  sink.leaveAll();
  expect(
    sink.sent
      .slice(1)
      .map((text) => text.slice('item:'.length))
      .join(''),
  ).toBe(Array.from({ length: 500_000 }, (_, index) => index + 100_000).join(''));
});
