import type { WebSocket } from 'ws';
import type { Socket } from 'node:net';
import { Random } from '../random.ts';
import { beyondAllBounds, DEEDS, told } from './hostile/deeds.ts';
import { LOOKS } from './hostile/looks.ts';
import { ask, breakOff, connect, debug, later, orders, raw } from './hostile/ways-in.ts';

/**
 * A process of clients that do what no client should, so many times, chosen by a seed. Run as `hostile-client.ts ORDERS`;
 * says `ready` when the first are connected, and ends with the count of each kind, and what it should not have been told, as JSON.
 */

const AT_ONCE = 12;

/** Longer than any of them needs. */
const PATIENCE_MS = 3_000;

/** What they were about when they break off. */
const CUTS = { request: 3, handshake: 3, session: 3, health: 2, debug: 1 } as const;

const UPGRADE = [
  'GET / HTTP/1.1',
  'host: localhost',
  `authorization: Bearer ${orders.token}`,
  'connection: Upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
  '',
  '',
].join('\r\n');

/** Connects, and comes to any point: how long it has to live is left to chance. */
async function toBeCutOff(random: Random): Promise<WebSocket | Socket> {
  const about = random.weighted(CUTS);
  if (about === 'session') {
    const socket = await connect(random, random.chance(0.5));
    ask(socket, 'thread/resume', { threadId: orders.threadId });
    if (random.chance(0.5)) ask(socket, 'thread/turns/list', { threadId: orders.threadId });
    return socket;
  }
  const socket = await (about === 'debug' ? debug() : raw(random));
  if (about === 'request') socket.write(UPGRADE.slice(0, random.below(UPGRADE.length)));
  else if (about === 'handshake') socket.write(UPGRADE);
  else if (about === 'health') socket.write('GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n');
  else socket.write(random.pick(['{"id":1,', '{"id":1,"method":"snapshot"}\n', '{"id":1,"method":"tail"}\n']));
  await later(random.below(5));
  return socket;
}

const random = new Random(orders.seed);
const counts: Record<string, number> = {};
let left = orders.times;
let cutsLeft = orders.cuts;

const count = (name: string): number => (counts[name] = (counts[name] ?? 0) + 1);

const ALL = { ...DEEDS, ...LOOKS };
let deck: string[] = [];

/** Dealt like cards: none comes again before all others have been. */
function nextDeed(own: Random): string {
  if (deck.length === 0) deck = Object.keys(ALL);
  return deck.splice(own.below(deck.length), 1)[0] ?? '';
}

async function work(own: Random): Promise<void> {
  while (left > 0) {
    left -= 1;
    const name = nextDeed(own);
    count(name);
    const done = ALL[name]?.(own).then(async (connection) => {
      await later(own.below(20));
      count(await breakOff(own, connection));
    });
    await Promise.race([done, later(PATIENCE_MS)]).catch(() => {});
  }
}

async function cut(own: Random): Promise<void> {
  while (cutsLeft > 0) {
    cutsLeft -= 1;
    const done = toBeCutOff(own).then(async (connection) => count(await breakOff(own, connection)));
    await Promise.race([done, later(PATIENCE_MS)]).catch(() => {});
  }
}

// These stay to the end, and whoever stops this process makes them half-open: as many as the debug socket takes, too.
const kept = [await connect(random), await connect(random), await raw(random), await raw(random)] as const;
ask(kept[0], 'thread/resume', { threadId: orders.threadId });
kept[3].write('GET /readyz HTTP/1.1\r\nhost: loc');
const [follower] = await Promise.all(Array.from({ length: 16 }, debug));
follower?.write('{"id":1,"method":"tail"}\n');
process.stdout.write('ready\n');
(await beyondAllBounds(random)).terminate();
counts['more than 64 MiB'] = 1;
await Promise.all(Array.from({ length: AT_ONCE }, () => work(random.fork())));
await Promise.all(Array.from({ length: AT_ONCE }, () => cut(random.fork())));
counts['connects and goes'] = orders.cuts;
process.stdout.write(`${JSON.stringify({ counts, told })}\n`);
process.exit(0);
