import { once } from 'node:events';
import { get, type IncomingMessage, type RequestOptions } from 'node:http';
import { expect, it } from 'vitest';
import { identityHeaders, identityIn } from '../../src/protocol/daemon-identity.ts';
import { startServer } from '../support/server.ts';

async function answerTo(options: RequestOptions): Promise<IncomingMessage> {
  const [response] = (await once(get({ ...options, agent: false }), 'response')) as [IncomingMessage];
  response.resume();
  return response;
}

it('CONN-26 on a Unix socket health answers tell which daemon it is, on a port they tell nothing', async () => {
  const { socket, port } = await startServer();
  for (const path of ['/healthz', '/readyz']) {
    const onSocket = await answerTo({ socketPath: socket, path });
    expect([onSocket.statusCode, identityIn(onSocket.headers)]).toEqual([200, { pid: 7, nonce: 'run', home: '/tmp' }]);
    const onPort = await answerTo({ port, host: '127.0.0.1', path });
    expect([onPort.statusCode, identityIn(onPort.headers)]).toEqual([200, undefined]);
    expect(Object.keys(onPort.headers).filter((name) => name.startsWith('skein'))).toEqual([]);
  }
});

it('CONN-26 a home of any name is told, and what is no identity is none', () => {
  const identity = { pid: 4_194_304, nonce: 'n', home: '/home/ünï cödé/%41\n' };
  const headers = identityHeaders(identity);
  expect(identityIn(headers)).toEqual(identity);
  for (const pid of ['', '0', '-1', '1.5', '1e3', ['1', '2'], undefined]) {
    expect(identityIn({ ...headers, 'skein-pid': pid })).toBeUndefined();
  }
  expect(identityIn({ ...headers, 'skein-home': '%zz' })).toBeUndefined();
});
