import { createRequire } from 'node:module';
import { PassThrough, type Duplex, type Writable } from 'node:stream';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { FrameReader, LinesToMessages } from '../../src/cli/websocket-frames.ts';

/** What the library that the daemon uses makes of our frames, and ours of its frames. */

interface FrameOptions {
  readonly binary: boolean;
  readonly mask: boolean;
  readonly compress: boolean;
  readonly fin: boolean;
}

interface FrameSender {
  send(data: Buffer, options: FrameOptions, done: () => void): void;
  ping(data: Buffer, mask: boolean, done: () => void): void;
  close(code: number, reason: string, mask: boolean, done: () => void): void;
}

// Its types do not tell these.
const { Receiver, Sender } = createRequire(import.meta.url)('ws') as {
  readonly Receiver: new (options: { readonly isServer: boolean }) => Writable;
  readonly Sender: new (wire: Duplex) => FrameSender;
};

/** A text cut into pieces, characters too. */
const pieces = (bytes: Buffer, cuts: readonly number[]): readonly Buffer[] => {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted((a, b) => a - b);
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length));
};

const cuts = fc.array(fc.nat(), { maxLength: 12 });
/** Around the lengths at which headers grow, and beyond a fragment. */
const long = fc.constantFrom(0, 125, 126, 127, 16_384, 16_385, 65_535, 65_536, 70_000).map((size) => 'x'.repeat(size));
/** Blanks at the places where a line may be cut. */
const gappy = fc.array(fc.constantFrom(' ', '\t', 'a', '☃')).map((words) => words.join(''));
const text = fc.oneof(fc.string({ unit: 'binary' }), gappy, long).map((words) => words.replaceAll('\n', ' '));

/** Messages that the library's receiver takes, as a server's does. */
async function received(frames: readonly Buffer[]): Promise<readonly string[]> {
  const receiver = new Receiver({ isServer: true });
  const messages: string[] = [];
  receiver.on('message', (data: Buffer) => messages.push(data.toString('utf8')));
  await new Promise<void>((resolve, reject) => {
    receiver.on('error', reject);
    receiver.on('finish', resolve);
    for (const frame of frames) receiver.write(frame);
    receiver.end();
  });
  return messages;
}

it('STDIO-4 a line is one message, in whatever pieces it comes; blank ones are none', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(text, { maxLength: 6 }), cuts, fc.boolean(), async (lines, where, isEnded) => {
      const bytes = Buffer.from(lines.join('\n') + (isEnded ? '\n' : ''), 'utf8');
      const encoder = new LinesToMessages();
      const frames = [...pieces(bytes, where).flatMap((piece) => encoder.push(piece)), ...encoder.end()];
      // What stands before the first word of a line may go.
      const sent = (await received(frames)).map((message) => message.trimStart());
      const wanted = bytes
        .toString('utf8')
        .split('\n')
        .filter((line) => /[^ \t\r]/.test(line));
      expect(sent).toEqual(wanted.map((line) => line.trimStart()));
    }),
    { numRuns: 200 },
  );
});

it('STDIO-4 pieces of a line that come one by one make few fragments, and none is held beyond one', () => {
  const encoder = new LinesToMessages();
  const frames: Buffer[] = [];
  for (let sent = 0; sent < 100_000; sent += 1) frames.push(...encoder.push(Buffer.from('x')));
  const headers = frames.filter(({ length }) => length > 1).length;
  expect(headers).toBe(Math.floor(100_000 / (16 * 1024)));
});

it('STDIO-16 frames are read the same in whatever pieces they come', async () => {
  type Sent = { readonly kind: 'text' | 'ping' | 'binary'; readonly text: string; readonly isSplit: boolean };
  const one = fc.record({ kind: fc.constantFrom('text', 'ping', 'binary'), text, isSplit: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(one, { maxLength: 6 }), cuts, async (messages, where) => {
      const wire = new PassThrough();
      const sender = new Sender(wire);
      const asked: Sent[] = messages.map((message) => ({
        ...message,
        text: message.kind === 'ping' ? message.text.slice(0, 20) : message.text,
      })) as Sent[];
      for (const { kind, text: words, isSplit } of asked) {
        const data = Buffer.from(words);
        const options = { binary: kind === 'binary', mask: false, compress: false };
        if (kind === 'ping') sender.ping(data, false, () => {});
        else if (isSplit) {
          sender.send(data.subarray(0, 3), { ...options, fin: false }, () => {});
          // Control frames may stand between the parts of a message.
          sender.ping(Buffer.from('between'), false, () => {});
          sender.send(data.subarray(3), { ...options, fin: true }, () => {});
        } else sender.send(data, { ...options, fin: true }, () => {});
      }
      sender.close(1001, 'the end', false, () => {});
      wire.end();
      const bytes = Buffer.concat((await wire.toArray()) as Buffer[]);
      const [texts, pings, closes]: [string[], string[], unknown[]] = [[], [], []];
      let partial: Buffer[] = [];
      const reader = new FrameReader({
        onText: (piece, isLast) => {
          partial.push(piece);
          if (!isLast) return;
          texts.push(Buffer.concat(partial).toString('utf8'));
          partial = [];
        },
        onPing: (payload) => pings.push(payload.toString('utf8')),
        onClose: (code, reason) => closes.push([code, reason]),
      });
      for (const piece of pieces(bytes, where)) reader.push(piece);
      const utf8 = (words: string): string => Buffer.from(words).toString('utf8');
      expect(texts).toEqual(asked.filter(({ kind }) => kind === 'text').map((message) => utf8(message.text)));
      expect(pings).toEqual(
        asked.flatMap(({ kind, text: words, isSplit }) =>
          kind === 'ping' ? [utf8(words)] : isSplit ? ['between'] : [],
        ),
      );
      expect(closes).toEqual([[1001, 'the end']]);
    }),
    { numRuns: 200 },
  );
});
