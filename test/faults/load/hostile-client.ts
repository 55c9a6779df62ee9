import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { Random } from '../random.ts';

/**
 * A process of clients that do what no client should, so many times, chosen by a seed. Run as
 * `hostile-client.ts '{"socket":…,"port":…,"token":…,"threadId":…,"outside":…,"seed":…,"times":…,"cuts":…}'`; says `ready`
 * when the first are connected, and ends with the count of each kind as JSON.
 */
interface Orders {
  readonly socket: string;
  readonly port: number;
  readonly token: string;
  /** A thread that they may do anything to. */
  readonly threadId: string;
  /** A folder beside the home, which no path may lead to. */
  readonly outside: string;
  readonly seed: number;
  readonly times: number;
  /** How often to connect and break off besides. */
  readonly cuts: number;
}

const orders = JSON.parse(process.argv[2] ?? '{}') as Orders;

const AT_ONCE = 12;

/** Longer than any of them needs. */
const PATIENCE_MS = 3_000;

const MIB = 1024 * 1024;

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function connect(random: Random, isIntroduced = true): Promise<WebSocket> {
  const address = random.chance(0.5) ? `ws+unix://${orders.socket}:/` : `ws://127.0.0.1:${orders.port}/`;
  const headers = { authorization: `Bearer ${orders.token}` };
  const socket = new WebSocket(address, { headers, perMessageDeflate: false });
  socket.on('error', () => {});
  await once(socket, 'open');
  if (isIntroduced) {
    socket.send('{"id":0,"method":"initialize","params":{"clientInfo":{"name":"hostile","version":"1"}}}');
    await once(socket, 'message');
  }
  return socket;
}

async function raw(random: Random): Promise<Socket> {
  const socket = random.chance(0.5) ? createConnection(orders.socket) : createConnection(orders.port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

const ask = (socket: WebSocket, method: string, params: unknown, id: unknown = 1): void =>
  socket.send(JSON.stringify({ id, method, params }));

const TRICKS = [
  '../../../../etc/passwd',
  '..',
  '/',
  '/proc/self/environ',
  `${orders.outside}/rollout-2026-01-01T00-00-00-0198f1c4-0000-7000-8000-000000000000.jsonl`,
  'nul\0byte',
  'line\nfeed',
  'x'.repeat(5_000),
  `/${'a/'.repeat(3_000)}`,
  '__proto__',
  'constructor',
  '',
  ' ',
  '%2e%2e%2f',
  'rollout-*.jsonl',
  '\u{1f4a5}',
];

const METHODS = ['read', 'resume', 'fork', 'archive', 'unarchive', 'delete', 'turns/list', 'name/set', 'unsubscribe'];

/** What they do, each over a connection of its own, which is then cut off. */
const DEEDS: Readonly<Record<string, (random: Random) => Promise<{ destroy(): void } | { terminate(): void }>>> = {
  'garbage for frames': async (random) => {
    const websocket = await connect(random, random.chance(0.5));
    const { _socket: socket } = websocket as unknown as { readonly _socket: Socket };
    socket.write(randomBytes(1 + random.below(5_000)));
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
    ask(socket, 'thread/name/set', { threadId: orders.threadId, name: 'x'.repeat(MIB + random.below(3 * MIB)) });
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
    await Promise.race([once(socket, 'close'), later(PATIENCE_MS)]);
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
    for (let number = 1; number <= 10; number += 1) {
      const trick = random.pick(TRICKS);
      const params = { threadId: trick, path: trick, cwd: trick, name: trick };
      ask(socket, `thread/${random.pick(METHODS)}`, params, number);
      if (random.chance(0.2)) ask(socket, 'thread/start', { cwd: trick, ephemeral: true }, number);
      if (random.chance(0.2)) ask(socket, 'thread/resume', { threadId: orders.threadId, path: trick }, number);
    }
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
async function beyondAllBounds(random: Random): Promise<WebSocket> {
  const socket = await connect(random);
  socket.send('x'.repeat(64 * MIB + 1));
  await Promise.race([once(socket, 'close'), later(PATIENCE_MS)]);
  return socket;
}

/** Connects and breaks off at any point: how long it has to live is left to chance. */
async function cutOff(random: Random): Promise<void> {
  const headers = { authorization: `Bearer ${orders.token}` };
  const way = random.below(3);
  if (way === 0) {
    const socket = await raw(random);
    socket.write('GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n'.slice(0, random.below(70)));
    socket.destroy();
  } else if (way === 1) {
    const socket = new WebSocket(`ws+unix://${orders.socket}:/`, { headers });
    socket.on('error', () => {});
    await later(random.below(5));
    socket.terminate();
  } else {
    const socket = await connect(random, random.chance(0.5));
    ask(socket, 'thread/resume', { threadId: orders.threadId });
    if (random.chance(0.5)) ask(socket, 'thread/turns/list', { threadId: orders.threadId });
    socket.terminate();
  }
}

const random = new Random(orders.seed);
const counts: Record<string, number> = {};
let left = orders.times;
let cutsLeft = orders.cuts;

async function work(own: Random): Promise<void> {
  while (left > 0) {
    left -= 1;
    const name = own.pick(Object.keys(DEEDS));
    counts[name] = (counts[name] ?? 0) + 1;
    const done = DEEDS[name]?.(own).then(async (connection) => {
      await later(own.below(20));
      if ('terminate' in connection) connection.terminate();
      else connection.destroy();
    });
    await Promise.race([done, later(PATIENCE_MS)]).catch(() => {});
  }
}

async function cut(own: Random): Promise<void> {
  while (cutsLeft > 0) {
    cutsLeft -= 1;
    await Promise.race([cutOff(own), later(PATIENCE_MS)]).catch(() => {});
  }
}

// These stay to the end, and whoever stops this process makes them half-open.
const kept = [await connect(random), await connect(random), await raw(random)] as const;
ask(kept[0], 'thread/resume', { threadId: orders.threadId });
process.stdout.write('ready\n');
(await beyondAllBounds(random)).terminate();
counts['more than 64 MiB'] = 1;
await Promise.all(Array.from({ length: AT_ONCE }, () => work(random.fork())));
await Promise.all(Array.from({ length: AT_ONCE }, () => cut(random.fork())));
counts['connects and goes'] = orders.cuts;
process.stdout.write(`${JSON.stringify(counts)}\n`);
process.exit(0);
