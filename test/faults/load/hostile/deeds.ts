import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { TELLS_TOO_MUCH, tricked, TRICKS, type TrickRequest } from '../../../support/path-tricks.ts';
import type { Random } from '../../random.ts';
import { ask, connect, later, orders, raw, socketOf } from './ways-in.ts';

/** What is done to the ways in that threads are spoken with. */

const MIB = 1024 * 1024;

/** For an answer, or for being let go. */
const MOST_WAIT_MS = 2_000;

const tricks = [...TRICKS, orders.outside];
let requests: readonly TrickRequest[] | undefined;

/** Answers that say more than they should. */
export const told: string[] = [];

/** Each over a connection of its own, which is then cut off. */
export const DEEDS: Readonly<Record<string, (random: Random) => Promise<WebSocket | Socket>>> = {
  'garbage for frames': async (random) => {
    const websocket = await connect(random, random.chance(0.5));
    socketOf(websocket).write(randomBytes(1 + random.below(5_000)));
    return websocket;
  },
  'no JSON': async (random) => {
    const socket = await connect(random);
    for (const text of [
      '',
      '{',
      'null',
      '[]',
      '"x"',
      '{"id":',
      '\0',
      'NaN',
      '{"id":1}{"id":2}',
      '[{"id":1}]',
      '{"method":7}',
    ]) {
      socket.send(text);
    }
    return socket;
  },
  'binary frames': async (random) => {
    const socket = await connect(random, false);
    socket.send(randomBytes(random.below(100_000)));
    socket.send(Buffer.from('{"id":1,"method":"thread/list","params":{}}'));
    return socket;
  },
  'more than 1 MiB': async (random) => {
    const socket = await connect(random, random.chance(0.7));
    const [{ threadId }, long] = [orders, 'x'.repeat(MIB + 1 + random.below(3 * MIB))];
    const input = [{ type: 'text', text: long }];
    const [method, params] = random.pick<[string, object]>([
      ['thread/name/set', { threadId, name: long }],
      ['turn/start', { threadId, input }],
      ['thread/start', { cwd: long }],
    ]);
    ask(socket, method, params);
    return socket;
  },
  'deep JSON': async (random) => {
    const socket = await connect(random);
    const deep = `${'['.repeat(10_000)}${']'.repeat(10_000)}`;
    socket.send(`{"id":1,"method":"thread/start","params":{"config":${deep}}}`);
    socket.send(`{"id":2,"method":"turn/start","params":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`);
    return socket;
  },
  'too many values': async (random) => {
    const socket = await connect(random);
    const value = random.pick(['[', '[],', '{},', '1,', '"a":1,']);
    socket.send(`{"id":1,"method":"thread/loaded/list","params":{"a":[${value.repeat((4 * MIB) / value.length)}`);
    await Promise.race([once(socket, 'close'), later(MOST_WAIT_MS)]);
    return socket;
  },
  'prototype keys': async (random) => {
    const socket = await connect(random);
    for (const method of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'thread/list']) {
      socket.send(
        `{"id":1,"method":"${method}","params":{"__proto__":{"limit":1},"constructor":{"prototype":{"x":1}}}}`,
      );
    }
    socket.send('{"__proto__":{"id":1,"method":"thread/list"},"id":"__proto__","method":"thread/loaded/list"}');
    return socket;
  },
  'path tricks': async (random) => {
    const socket = await connect(random);
    requests ??= JSON.parse(readFileSync(orders.tricks, 'utf8')) as readonly TrickRequest[];
    let left = 100;
    const answered = new Promise<void>((resolve) =>
      socket.on('message', (data: Buffer) => {
        const text = data.toString('utf8');
        if (TELLS_TOO_MUCH.test(text)) told.push(text.slice(0, 1_000));
        if (!text.includes('"method"') && (left -= 1) === 0) resolve();
      }),
    );
    for (let id = left; id > 0; id -= 1) {
      const request = random.pick(requests);
      const params = tricked(request, random.pick(tricks), orders.threadId);
      socket.send(`{"id":${id},"method":"${request.method}","params":${params}}`);
    }
    await Promise.race([answered, once(socket, 'close'), later(MOST_WAIT_MS)]);
    return socket;
  },
  'one id for all': async (random) => {
    const socket = await connect(random);
    const id = random.pick<unknown>([1, 'same', null, 1.5, {}, -1, 2 ** 60]);
    for (let times = 0; times < 50; times += 1) ask(socket, 'thread/loaded/list', {}, id);
    return socket;
  },
  'a flood': async (random) => {
    const socket = await connect(random);
    const method = random.pick(['thread/list', 'thread/turns/list', 'thread/read']);
    for (let id = 1; id <= 1_000; id += 1) ask(socket, method, { threadId: orders.threadId, includeTurns: true }, id);
    return socket;
  },
  'a slow handshake': async (random) => {
    const socket = await raw(random);
    for (const part of ['GET / HT', 'TP/1.1\r\nho', 'st: localhost\r\n', 'x-slow: 1']) {
      socket.write(part);
      await later(random.below(50));
    }
    return socket;
  },
  'does not read': async (random) => {
    const socket = await connect(random);
    socket.pause();
    for (let id = 1; id <= 200; id += 1)
      ask(socket, 'thread/read', { threadId: orders.threadId, includeTurns: true }, id);
    await later(random.below(100));
    return socket;
  },
  'half a message': async (random) => {
    const socket = await connect(random);
    socket.send('{"id":1,"method":"thread/start",', { fin: false });
    for (let times = 0; times < 100; times += 1) socket.ping();
    return socket;
  },
};

/** Too large to be done often. */
export async function beyondAllBounds(random: Random): Promise<WebSocket> {
  const socket = await connect(random);
  socket.send('x'.repeat(64 * MIB + 1));
  await Promise.race([once(socket, 'close'), later(MOST_WAIT_MS)]);
  return socket;
}
