import { once } from 'node:events';
import { existsSync, linkSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { text as allOf } from 'node:stream/consumers';
import { expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import type { ClientSocket, Peer } from '../../src/server/client-socket.ts';
import { InboundBudget } from '../../src/server/inbound-budget.ts';
import { Listener, type ListenerOptions } from '../../src/server/listener.ts';
import type { OutboundSink } from '../../src/server/outbound-queue.ts';
import { Turns } from '../../src/server/turns.ts';
import { eventually } from '../support/eventually.ts';
import { start } from '../support/process.ts';
import { rawConnection, rawRequest, UPGRADE, type RawAddress } from '../support/raw-http.ts';
import { noDelayOf } from '../support/socket-options.ts';
import { tempFolder } from '../support/temp-home.ts';

/** A listener with nobody behind it, and what came in. */
interface Opened {
  readonly listener: Listener;
  readonly port: number;
  readonly texts: readonly string[];
  readonly sinks: readonly OutboundSink[];
  /** Connections that were let in and have not ended. */
  readonly open: () => number;
}

async function open(options: Partial<ListenerOptions> = {}, peer: Partial<Peer> = {}): Promise<Opened> {
  const texts: string[] = [];
  const sinks: OutboundSink[] = [];
  let count = 0;
  const listener = await Listener.open({
    address: { kind: 'ws', host: '127.0.0.1', port: 0 },
    access: { token: null, allowedOrigins: [], allowedHosts: [] },
    isReady: () => true,
    whyFull: () => undefined,
    inbound: new InboundBudget(256 * 1024 * 1024),
    turns: new Turns(),
    initializeTimeoutMs: 60_000,
    onRefused: () => {},
    onDismissed: () => {},
    onProblem: () => {},
    onConnect: (sink) => {
      count += 1;
      sinks.push(sink);
      return {
        onText: (text) => texts.push(text),
        canTakeMore: () => true,
        isIntroduced: () => true,
        whenSent: () => Promise.resolve(),
        onClose: () => (count -= 1),
        ...peer,
      };
    },
    ...options,
  });
  onTestFinished(() => listener.close(1001, 'the test ends'));
  const { address } = listener;
  return { listener, port: address.kind === 'ws' ? address.port : 0, texts, sinks, open: () => count };
}

async function client(port: number, path = '/'): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`);
  onTestFinished(async () => {
    if (socket.readyState === WebSocket.CLOSED) return;
    const closed = once(socket, 'close');
    socket.terminate();
    await closed;
  });
  await once(socket, 'open');
  return socket;
}

const closeOf = async (socket: WebSocket): Promise<readonly [number, string]> => {
  const [code, reason] = await once(socket, 'close');
  return [code, String(reason)];
};

/** A handshake by hand, for a client that then does what it likes. */
async function rawClient(address: RawAddress) {
  const socket = await rawConnection(address);
  const lines = Object.entries({ host: 'localhost', ...UPGRADE }).map(([name, value]) => `${name}: ${value}`);
  socket.write(['GET / HTTP/1.1', ...lines, '', ''].join('\r\n'));
  await once(socket, 'readable');
  expect(String(socket.read())).toContain('101 Switching Protocols');
  return socket;
}

it('CONN-1 text messages come in whole on any path, in fragments too; binary ones are no messages', async () => {
  const { port, texts } = await open();
  const socket = await client(port, '/any/path?at=all');
  expect(socket.extensions).toBe('');
  socket.send('{"a":');
  socket.send('fr', { fin: false });
  socket.send('ag', { fin: false });
  socket.send('ments ☃', { fin: true });
  socket.send(Buffer.from('{"id":1,"method":"initialize"}'), { binary: true });
  socket.send('last');
  await eventually(() => expect(texts.at(-1)).toBe('last'));
  expect(texts).toEqual(['{"a":', 'fragments ☃', 'last']);
});

it('CONN-2 a message of more than 64 MiB ends the connection with code 1009, before it has come', async () => {
  const { port, open: count } = await open();
  const socket = await rawClient(port);
  const header = Buffer.alloc(14);
  header[0] = 0x81;
  header[1] = 0x80 | 127;
  header.writeBigUInt64BE(BigInt(64 * 1024 * 1024 + 1), 2);
  socket.write(header);
  const [frame] = await once(socket, 'data');
  expect([frame[0], frame.readUInt16BE(2)]).toEqual([0x88, 1009]);
  socket.destroy();
  await eventually(() => expect(count()).toBe(0));
});

it('CONN-3 a client that answers no pings is let go after two intervals and told why; one that reads nothing is not', async () => {
  vi.useFakeTimers({ toFake: ['setInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  const { port, sinks, open: count } = await open();
  const silent = await rawClient(port);
  const [answering, stalled] = [await client(port), await rawClient(port)];
  stalled.pause();
  // More than the system takes for a client that reads nothing.
  sinks.at(-1)?.send('x'.repeat(32 * 1024 * 1024), () => {});
  expect(sinks.at(-1)?.bufferedAmount).toBeGreaterThan(0);
  const pinged = once(answering, 'ping');
  const frames: Buffer[] = [];
  silent.on('data', (chunk: Buffer) => frames.push(chunk));
  vi.advanceTimersByTime(20_000);
  await pinged;
  // The answer to the ping has come in when what the client says after it has.
  answering.ping();
  await once(answering, 'pong');
  expect(count()).toBe(3);
  const gone = once(silent, 'end');
  vi.advanceTimersByTime(20_000);
  await gone;
  const received = Buffer.concat(frames);
  const close = received.subarray(received.indexOf(0x88));
  expect([close.readUInt16BE(2), close.toString('utf8', 4)]).toEqual([4408, 'no answer to pings']);
  expect(count()).toBe(2);
});

it('CONN-4 a client that says nothing, or half a request, is let go in time', async () => {
  const { port } = await open({ handshakeTimeoutMs: 100 });
  const [nothing, half] = [await rawConnection(port), await rawConnection(port)];
  half.write('GET / HTTP/1.1\r\nhost: loc');
  await Promise.all([nothing, half].map((socket) => once(socket.resume(), 'end')));
  expect((await rawRequest(port, 'GET', '/healthz', { host: 'localhost' })).status).toBe(200);
});

it('CONN-5 a refused client does not keep its connection, nor the listener from closing', async () => {
  const { listener, port } = await open({ access: { token: 'x', allowedOrigins: [], allowedHosts: [] } });
  const refused = await rawConnection(port);
  const lines = Object.entries({ host: 'localhost', ...UPGRADE }).map(([name, value]) => `${name}: ${value}`);
  refused.write(['GET / HTTP/1.1', ...lines, '', ''].join('\r\n'));
  refused.resume();
  await once(refused, 'end');
  // Its own side stays open.
  expect(refused.writable).toBe(true);
  await listener.close(1001, 'gone');
});

it('CONN-6 a refused client that breaks its connection off harms nobody', async () => {
  const { port } = await open({ access: { token: 'x', allowedOrigins: [], allowedHosts: [] } });
  const lines = Object.entries({ host: 'localhost', ...UPGRADE }).map(([name, value]) => `${name}: ${value}`);
  for (let index = 0; index < 50; index += 1) {
    const socket = await rawConnection(port);
    socket.write(['GET / HTTP/1.1', ...lines, '', ''].join('\r\n'));
    socket.resetAndDestroy();
  }
  // An error that nobody hears would have ended this process.
  expect((await rawRequest(port, 'GET', '/healthz', { host: 'localhost' })).status).toBe(200);
});

it('CONN-25 what is asked without an upgrade is answered once, and the connection ends with the answer', async () => {
  const onRefused = vi.fn<() => void>();
  const { port } = await open({ onRefused });
  for (const [path, status] of [
    ['/healthz', 200],
    ['/x', 400],
  ] as const) {
    const socket = await rawConnection(port);
    socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`.repeat(1_000));
    // The headers of more follow, and never end.
    socket.write('GET /healthz HTTP/1.1\r\n');
    const answer = await allOf(socket);
    expect(answer.match(/HTTP\/1.1 \d+/g)).toEqual([`HTTP/1.1 ${status}`]);
  }
  const evil = await rawConnection(port);
  evil.write('GET /healthz HTTP/1.1\r\nhost: evil.example\r\n\r\n'.repeat(1_000));
  await allOf(evil);
  // Nor are more of them looked at.
  expect(onRefused).toHaveBeenCalledTimes(1);
});

it('CONN-7 a Unix socket and the folder made for it are the owner’s alone, whatever the umask', async () => {
  const before = process.umask(0);
  onTestFinished(() => void process.umask(before));
  const path = join(tempFolder(), 'made', 'for', 'it.sock');
  const { listener } = await open({ address: { kind: 'unix', path } });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
  expect(process.umask()).toBe(0);
  await listener.close(1001, 'gone');
  expect(existsSync(path)).toBe(false);
});

it('CONN-8 only the socket of a process that is gone makes way for a new one', async () => {
  const folder = tempFolder();
  const [file, link, directory, taken] = ['file', 'link', 'directory', 'taken'].map((name) => join(folder, name));
  writeFileSync(file ?? '', 'precious');
  symlinkSync(file ?? '', link ?? '');
  mkdirSync(directory ?? '');
  for (const path of [file, link, directory]) {
    await expect(open({ address: { kind: 'unix', path: path ?? '' } })).rejects.toMatchObject({
      code: 'invalidRequest',
      message: expect.stringContaining('something that is no socket lies there'),
    });
  }
  expect(readFileSync(file ?? '', 'utf8')).toBe('precious');
  const first = await open({ address: { kind: 'unix', path: taken ?? '' } });
  await expect(open({ address: { kind: 'unix', path: taken ?? '' } })).rejects.toThrow('another process listens');
  expect((await rawRequest(taken ?? '', 'GET', '/healthz', {})).status).toBe(200);
  await first.listener.close(1001, 'gone');
  await leaveSocketBehind(taken ?? '');
  await open({ address: { kind: 'unix', path: taken ?? '' } });
  expect((await rawRequest(taken ?? '', 'GET', '/healthz', {})).status).toBe(200);
});

it('CONN-8 a listener that has no time for another client stays', async () => {
  const path = join(tempFolder(), 'busy');
  const listen = `require('net').createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => console.log('up'))`;
  const busy = start(process.execPath, ['-e', listen]);
  await busy.said(/up/);
  busy.child.kill('SIGSTOP');
  for (let refusal = ''; refusal !== 'EAGAIN';) {
    const waiting = createConnection(path);
    onTestFinished(() => void waiting.destroy());
    refusal = await new Promise<string>((resolve) => {
      waiting.once('connect', () => resolve(''));
      waiting.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    });
  }
  await expect(open({ address: { kind: 'unix', path } })).rejects.toThrow('another process listens');
  expect(existsSync(path)).toBe(true);
});

it('CONN-9 clients have what was sent to them, and the reason, before the listener is gone', async () => {
  let sent: () => void = () => {};
  const whenSent = new Promise<void>((resolve) => (sent = resolve));
  const { listener, port, sinks } = await open({}, { whenSent: () => whenSent });
  const socket = await client(port);
  const texts: string[] = [];
  socket.on('message', (data: Buffer) => texts.push(data.toString('utf8')));
  const closed = closeOf(socket);
  const gone = listener.close(1001, 'good bye');
  sinks[0]?.send('the last word', sent);
  expect(await closed).toEqual([1001, 'good bye']);
  expect(texts).toEqual(['the last word']);
  await gone;
  await expect(client(port)).rejects.toThrow('ECONNREFUSED');
});

it('CONN-10 a client that does not read holds up the end of the listener for some seconds at most', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const { listener, port, open: count } = await open({}, { whenSent: () => new Promise(() => {}) });
  await client(port);
  const gone = listener.close(1001, 'good bye');
  await vi.advanceTimersByTimeAsync(3_000);
  await gone;
  expect(count()).toBe(0);
});

it('CONN-11 nothing is read from a client while too much is on its way to it', async () => {
  let isFull = true;
  const { port, texts, sinks } = await open({}, { canTakeMore: () => !isFull });
  const socket = await client(port);
  socket.send('one');
  await eventually(() => expect(texts).toHaveLength(1));
  const more = 'x'.repeat(100_000);
  for (let index = 0; index < 100; index += 1) socket.send(more);
  await eventually(() => expect(socket.bufferedAmount).toBeGreaterThan(0));
  const read = texts.length;
  expect(read).toBeLessThan(100);
  isFull = false;
  sinks[0]?.send('some of it has left', () => {});
  await eventually(() => expect(texts).toHaveLength(101));
});

it('CONN-12 connections that come and break off leave nothing behind', async () => {
  const { port, open: count } = await open();
  const handles = (): number => process.getActiveResourcesInfo().length;
  const before = handles();
  for (let round = 0; round < 10; round += 1) {
    const sockets = await Promise.all(Array.from({ length: 50 }, () => client(port)));
    for (const [index, socket] of sockets.entries()) {
      if (index % 2 === 0) socket.terminate();
      else socket.close();
    }
    await eventually(() => expect(count()).toBe(0));
  }
  await eventually(() => expect(handles()).toBeLessThanOrEqual(before));
});

it('CONN-15 a client that has not introduced itself in time is let go and told why; one that has stays', async () => {
  const reasons: string[] = [];
  let isIntroduced = false;
  const { port, open: count } = await open(
    { initializeTimeoutMs: 100, onDismissed: (reason) => reasons.push(reason) },
    { isIntroduced: () => isIntroduced },
  );
  const [silent, raw] = [await client(port), await rawClient(port)];
  const ended = once(raw.resume(), 'end');
  expect(await closeOf(silent)).toEqual([1008, 'no initialize in time']);
  await ended;
  expect(count()).toBe(0);
  expect(reasons).toEqual(
    reasons.map(() => expect.stringMatching(/^no initialize in time, from ws 127\.0\.0\.1:\d+$/)),
  );
  isIntroduced = true;
  const known = await client(port);
  isIntroduced = false;
  const unknown = closeOf(await client(port));
  isIntroduced = true;
  known.ping();
  await once(known, 'pong');
  isIntroduced = false;
  expect(await unknown).toEqual([1008, 'no initialize in time']);
});

it('CONN-17 before it has introduced itself a client sends no long message', async () => {
  let isIntroduced = false;
  const { port, texts } = await open({}, { isIntroduced: () => isIntroduced });
  const socket = await client(port);
  socket.send('x'.repeat(1024 * 1024 - 100));
  await eventually(() => expect(texts).toHaveLength(1));
  const closed = closeOf(socket);
  socket.send('y'.repeat(1024 * 1024 + 1), { fin: false });
  expect(await closed).toEqual([1009, 'a message of more than 1 MiB before initialize']);
  isIntroduced = true;
  const known = await client(port);
  known.send('z'.repeat(2 * 1024 * 1024));
  await eventually(() => expect(texts).toHaveLength(2));
});

it('CONN-18 of messages that do not come whole the longest has to go when they are too much together', async () => {
  const mib = 1024 * 1024;
  const inbound = new InboundBudget<ClientSocket>(8 * mib);
  const [tcp, unix] = [
    await open({ inbound }),
    await open({ inbound, address: { kind: 'unix', path: join(tempFolder(), 'a.sock') } }),
  ];
  const path = unix.listener.address.kind === 'unix' ? unix.listener.address.path : '';
  const [long, other, late] = [await client(tcp.port), await client(tcp.port), new WebSocket(`ws+unix://${path}:/`)];
  await once(late, 'open');
  const part = (socket: WebSocket, size: number): void => socket.send('x'.repeat(size), { fin: false });
  const closed = closeOf(long);
  part(long, 4 * mib);
  part(other, 3 * mib);
  part(late, 2 * mib);
  expect(await closed).toEqual([1013, 'too much is being sent to the daemon']);
  expect(tcp.open()).toBe(1);
  for (const socket of [other, late]) socket.send('the end');
  await eventually(() => expect([tcp, unix].map(({ texts }) => texts[0]?.length)).toEqual([3 * mib + 7, 2 * mib + 7]));
  // What has come whole counts no more.
  for (let time = 0; time < 3; time += 1) other.send('y'.repeat(5 * mib));
  await eventually(() => expect(tcp.texts).toHaveLength(4));
  late.close();
  await once(late, 'close');
});

/** How many messages of others are taken at most between two of a client that asks again when it is answered. */
async function mostBetween(floods: readonly (readonly string[])[]): Promise<number> {
  let [between, most, asked, left] = [0, 0, 0, floods.flat().length];
  const { port, sinks } = await open(
    {},
    {
      onText: (text) => {
        if (text === 'asks') {
          [most, between, asked] = [Math.max(most, between), 0, asked + 1];
          sinks[0]?.send('answer', () => {});
        } else {
          left -= 1;
          between += 1;
        }
      },
    },
  );
  const honest = await client(port);
  const hostile = await Promise.all(floods.map(() => client(port)));
  honest.on('message', () => left > 0 && honest.send('asks'));
  for (const [at, flood] of floods.entries()) for (const text of flood) hostile[at]?.send(text);
  honest.send('asks');
  await eventually(() => expect(left).toBe(0));
  expect(asked).toBeGreaterThan(2);
  return most;
}

it('CONN-22 between two messages of a client all others have their turn, however many it sends', async () => {
  expect(await mostBetween([Array.from({ length: 10_000 }, () => 'noise')])).toBeLessThan(100);
});

it('CONN-23 of long messages one is taken at a time, whoever sends them, and then others have their turn', async () => {
  const long = 'x'.repeat(70_000);
  expect(await mostBetween(Array.from({ length: 30 }, () => [long, long, long, long]))).toBeLessThan(15);
});

it('CONN-23 a message that comes behind a long one of its client is taken after it', async () => {
  const { port, texts } = await open();
  const [one, ...others] = await Promise.all(Array.from({ length: 10 }, () => client(port)));
  const sent = Array.from({ length: 50 }, (_, at) => `${at}`.padEnd(at % 10 === 0 ? 100_000 : 1, '.'));
  for (const text of sent) for (const other of others) other.send(text);
  for (const text of sent) one?.send(`one ${text}`);
  await eventually(() => expect(texts).toHaveLength(sent.length * 10));
  expect(texts.filter((text) => text.startsWith('one'))).toEqual(sent.map((text) => `one ${text}`));
});

it('CONN-24 a message of too many values ends its connection before anybody reads it, a text as long does not', async () => {
  const most = 128 * 1024;
  const { port, texts } = await open();
  const taken = [
    `[${'[],'.repeat(most / 2 - 1)}0]`,
    JSON.stringify({ text: ',:[{\\"'.repeat(most) }),
    '['.repeat(most),
  ];
  const fine = await client(port);
  for (const text of taken) fine.send(text);
  await eventually(() => expect(texts).toHaveLength(taken.length));
  for (const text of [
    '['.repeat(most + 1),
    `{"a":[${'{},'.repeat(2 * most)}]}`,
    `["\\"",${'1,'.repeat(most)}1]`,
    `{${'"a":1,'.repeat(most / 2)}"a":1}`,
  ]) {
    const socket = await client(port);
    const closed = closeOf(socket);
    socket.send(text);
    expect(await closed).toEqual([1009, 'a message of more than 131072 values and names']);
  }
  expect(texts).toHaveLength(taken.length);
  fine.send('still here');
  await eventually(() => expect(texts.at(-1)).toBe('still here'));
});

it('CONN-19 a small message does not wait for the acknowledgement of the one before it', async () => {
  const { port } = await open();
  await Promise.all([client(port), client(port)]);
  expect(noDelayOf(port)).toEqual([true, true]);
});

/** What a killed process leaves: a socket that nobody answers on. */
async function leaveSocketBehind(path: string): Promise<void> {
  const server = createServer();
  server.listen(`${path}.tmp`);
  await once(server, 'listening');
  linkSync(`${path}.tmp`, path);
  server.close();
  await once(server, 'close');
}
