import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { TRICKS } from '../../../support/path-tricks.ts';
import type { Random } from '../../random.ts';
import { debug, later, orders, raw } from './ways-in.ts';

/** What is done to the ways in that only look: the debug socket, and the health paths. */

const MIB = 1024 * 1024;

/** Longer than a request to the debug socket may be. */
const LONG_LINE_CHARACTERS = 70_000;

const QUESTIONS = ['snapshot', 'tail', 'thread', 'nothing'];

/** Lets others do what they do between the parts. */
async function slowly(random: Random, socket: Socket, parts: readonly string[]): Promise<Socket> {
  for (const part of parts) {
    socket.write(part);
    await later(random.below(30));
  }
  return socket;
}

const question = (method: string, threadId: string = orders.threadId): string =>
  `${JSON.stringify({ id: 1, method, params: { threadId } })}\n`;

const asked = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`;

/** Each over a connection of its own, which is then cut off. */
export const LOOKS: Readonly<Record<string, (random: Random) => Promise<Socket>>> = {
  'debug: garbage': async (random) => {
    const socket = await debug();
    for (let line = 0; line < 20; line += 1) socket.write(Buffer.concat([randomBytes(random.below(2_000)), NEWLINE]));
    return socket;
  },
  'debug: deep JSON': async () => {
    const socket = await debug();
    const deep = `${'['.repeat(30_000)}${']'.repeat(30_000)}`;
    socket.write(`{"id":1,"method":"thread","params":{"threadId":${deep}}}\n${deep}\n${'{"a":'.repeat(12_000)}\n`);
    return socket;
  },
  'debug: tricks': async () => {
    const socket = await debug();
    for (const trick of TRICKS)
      socket.write(`${question('thread', trick)}${question('tail', trick)}${question(trick)}`);
    socket.write('{"__proto__":{"id":1},"id":"__proto__","method":"snapshot","params":{"__proto__":{"threadId":1}}}\n');
    return socket;
  },
  'debug: a flood': async (random) => {
    const socket = (await debug()).resume();
    socket.write(Array.from({ length: 1_000 }, () => question(random.pick(QUESTIONS))).join(''));
    socket.write('\n'.repeat(10_000));
    await later(random.below(100));
    return socket;
  },
  'debug: does not read': async (random) => {
    const socket = await debug();
    socket.write(`${question('tail')}${question('snapshot').repeat(1_000)}`);
    await later(random.below(100));
    return socket;
  },
  'debug: a slow line': async (random) =>
    slowly(random, await debug(), ['{"id":1,', '"method":', '"snap', 'shot', '"']),
  'debug: an endless line': async () => {
    const socket = (await debug()).resume();
    for (let sent = 0; sent < LONG_LINE_CHARACTERS; sent += 1_000) socket.write('x'.repeat(1_000));
    await once(socket, 'close');
    return socket;
  },
  'debug: a crowd': async () => {
    const [first, ...others] = await Promise.all([debug(), ...Array.from({ length: 19 }, debug)]);
    // Those that had to go know it soon, the others when their process ends.
    for (const other of others) other.unref();
    return first;
  },
  'health: a flood': async (random) => {
    const socket = (await raw(random)).resume();
    socket.write(asked(random.pick(['/readyz', '/healthz', '/'])).repeat(2_000));
    return socket;
  },
  'health: does not read': async (random) => {
    const socket = await raw(random);
    socket.write(asked('/healthz').repeat(500));
    await later(random.below(100));
    return socket;
  },
  'health: a slow request': async (random) =>
    slowly(random, await raw(random), ['GET /rea', 'dyz HTTP', '/1.1\r\nhost: loc', 'alhost\r\nx-', 'slow: 1']),
  'health: an endless body': async (random) => {
    const socket = await raw(random);
    socket.write(`POST /readyz HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${2 ** 40}\r\n\r\n`);
    socket.write('x'.repeat(MIB));
    return socket;
  },
  'health: endless headers': async (random) => {
    const socket = await raw(random);
    socket.write(`GET /readyz HTTP/1.1\r\n${'x-more: and more\r\n'.repeat(10_000)}`);
    return socket;
  },
  'health: tricks': async (random) => {
    const socket = await raw(random);
    socket.write(asked(`/readyz/../${random.pick(TRICKS)}`));
    return socket;
  },
};

const NEWLINE = Buffer.from('\n');
