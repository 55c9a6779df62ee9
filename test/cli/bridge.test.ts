import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createRawServer } from 'node:net';
import { dirname, join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { expect, it, onTestFinished } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { Bridge, type BridgeEnd } from '../../src/cli/bridge.ts';
import { openDaemonSocket } from '../../src/cli/daemon-socket.ts';
import { eventually } from '../support/eventually.ts';
import { tempFolder } from '../support/temp-home.ts';
import { until } from '../support/until.ts';

/** A bridge in this process, between a server that does as it is told and a client that reads when it is told. */
interface Bridged<Output extends Writable = PassThrough> {
  readonly server: WebSocket;
  readonly input: PassThrough;
  readonly output: Output;
  readonly stop: AbortController;
  readonly end: Promise<BridgeEnd>;
}

const daemonAt = (socket: string) => ({ socket, pid: process.pid, home: dirname(socket) });

async function bridged(signOfLifeMs?: number): Promise<Bridged> {
  return bridgedTo(new PassThrough(), signOfLifeMs);
}

async function bridgedTo<Output extends Writable>(output: Output, signOfLifeMs?: number): Promise<Bridged<Output>> {
  const path = join(tempFolder(), 'socket');
  const http: Server = createServer();
  const websockets = new WebSocketServer({ server: http, perMessageDeflate: false });
  await new Promise<void>((resolve) => http.listen(path, resolve));
  const [socket, [server]] = await Promise.all([
    openDaemonSocket(daemonAt(path)),
    once(websockets, 'connection') as Promise<[WebSocket]>,
  ]);
  if (socket === undefined) throw new Error('nobody answers');
  server.on('error', () => {});
  const [input, stop] = [new PassThrough(), new AbortController()];
  const end = Bridge.run({
    input,
    output,
    socket,
    signal: stop.signal,
    endTimeoutMs: 500,
    ...(signOfLifeMs === undefined ? {} : { signOfLifeMs }),
  });
  onTestFinished(async () => {
    server.terminate();
    await end;
    await new Promise((resolve) => http.close(resolve));
  });
  return { server, input, output, stop, end };
}

/** More than sockets and streams hold by themselves. */
const MUCH = 400;
const LINE = 'y'.repeat(64 * 1024);

it('STDIO-8 from a daemon whose client does not read no more is read, and then the client has everything', async () => {
  const { server, output, input } = await bridged();
  for (let count = 0; count < MUCH; count += 1) server.send(LINE);
  let last = -1;
  // What is on its way stops becoming less.
  await eventually(() => {
    const stood = server.bufferedAmount === last;
    last = server.bufferedAmount;
    expect(stood).toBe(true);
  });
  expect(server.bufferedAmount).toBeGreaterThan((MUCH * LINE.length) / 2);
  expect(output.writableLength + output.readableLength).toBeLessThan(4 * LINE.length);
  let bytes = 0;
  output.on('data', (chunk: Buffer) => (bytes += chunk.length));
  await until(() => bytes === MUCH * (LINE.length + 1));
  input.end();
});

it('STDIO-9 from a client whose daemon does not read no more is read, and then the daemon has everything', async () => {
  const { server, input } = await bridged();
  server.pause();
  let written = 0;
  const write = async (): Promise<void> => {
    for (; written < MUCH; written += 1) if (!input.write(`${LINE}\n`)) await once(input, 'drain');
  };
  const writing = write();
  let last = -1;
  await eventually(() => {
    const stood = written === last;
    last = written;
    expect(stood).toBe(true);
  });
  expect(written).toBeLessThan(MUCH / 2);
  let count = 0;
  server.on('message', (data: Buffer) => (count += data.length === LINE.length ? 1 : 0));
  server.resume();
  await writing;
  await until(() => count === MUCH);
  input.end();
});

it('STDIO-10 a daemon whose client does not read hears that the bridge is there', async () => {
  const { server, output, input } = await bridged(5);
  let pongs = 0;
  server.on('pong', () => (pongs += 1));
  for (let count = 0; count < MUCH; count += 1) server.send(LINE);
  await until(() => pongs >= 3);
  output.resume();
  await until(() => server.bufferedAmount === 0);
  // Then it answers pings as any client.
  let answered = '';
  server.on('pong', (payload: Buffer) => (answered ||= payload.toString('utf8')));
  server.ping('are you there?');
  await until(() => answered !== '');
  expect(answered).toBe('are you there?');
  input.end();
});

it('STDIO-6 the client leaves by the end of its input, a signal, or by reading no more; the daemon sees a good end', async () => {
  const leave: Record<string, (one: Bridged) => void> = {
    end: ({ input }) => input.end('{"last":"line"}'),
    gone: ({ input }) => input.destroy(),
    signal: ({ stop }) => stop.abort(),
    'reads no more': ({ output, server }) => {
      output.destroy(new Error('EPIPE'));
      server.send('to nobody');
    },
  };
  for (const [how, go] of Object.entries(leave)) {
    const one = await bridged();
    const messages: string[] = [];
    one.server.on('message', (data: Buffer) => messages.push(data.toString('utf8')));
    const closed = once(one.server, 'close');
    go(one);
    const [code] = (await closed) as [number];
    expect([how, code, await one.end]).toEqual([how, 1000, { by: 'client' }]);
    expect(messages).toEqual(how === 'end' ? ['{"last":"line"}'] : []);
  }
});

it('STDIO-6 a client that leaves and does not read what is on its way is not waited for long', async () => {
  const { server, input, end } = await bridged();
  for (let count = 0; count < MUCH; count += 1) server.send(LINE);
  input.end();
  expect(await end).toEqual({ by: 'client' });
});

it('STDIO-11 when the daemon ends the client has what was sent, and learns why', async () => {
  const { server, output, end } = await bridged();
  server.send('{"last":1}');
  server.close(1001, 'the daemon has stopped');
  expect(await end).toEqual({ by: 'daemon', code: 1001, reason: 'the daemon has stopped' });
  expect(String(output.read())).toBe('{"last":1}\n');
  const lost = await bridged();
  lost.server.send('{"last":2}');
  lost.server.terminate();
  expect(await lost.end).toEqual({ by: 'daemon', code: null, reason: '' });
});

it('STDIO-11 a bridge whose daemon has gone ends when its client has taken the rest', async () => {
  let take: () => void = () => {};
  const slow = new Writable({ highWaterMark: 1024 * 1024, write: (_chunk, _encoding, done) => void (take = done) });
  const { server, end } = await bridgedTo(slow);
  let isEnded = false;
  void end.then(() => (isEnded = true));
  const closed = once(server, 'close');
  server.send('{}');
  server.close();
  await closed;
  for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(isEnded).toBe(false);
  await until(() => {
    const taken = take;
    take = () => {};
    taken();
    return isEnded;
  });
  expect(slow.writableLength).toBe(0);
});

it('STDIO-15 what answers on the socket and is no daemon is refused', async () => {
  const [path, folder] = [join(tempFolder(), 'socket'), tempFolder()];
  const answers = ['HTTP/1.1 403 Forbidden\r\n\r\n', 'SSH-2.0-OpenSSH\r\n\r\n', ''];
  const server = createRawServer((socket) => {
    socket.on('error', () => {});
    socket.resume();
    socket.end(answers[0] ?? '');
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
  for (const message of ['is no daemon: HTTP/1.1 403 Forbidden', 'is no daemon: SSH-2.0', 'before it was open']) {
    await expect(openDaemonSocket(daemonAt(path))).rejects.toThrow(message);
    answers.shift();
  }
  expect(await openDaemonSocket(daemonAt(join(folder, 'nobody')))).toBeUndefined();
});
