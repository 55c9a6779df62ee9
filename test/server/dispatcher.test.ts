import { once } from 'node:events';
import { WebSocket } from 'ws';
import { describe, expect, it } from 'vitest';
import { ask, bothServers, differences, startNamed, UNKNOWN_ID, type Side } from '../support/both-servers.ts';
import { RpcClient } from '../support/rpc-client.ts';

/** Frames, and what becomes of them, with the real Codex sent the same. */

const both = bothServers(async (side, cwd) => {
  await startNamed(side, 'thread', { cwd }, 1);
});

/** Frames as they come, of a client that has been initialized unless it sends that itself. */
async function exchange(side: Side, frames: readonly (string | Buffer)[], answers: number): Promise<readonly string[]> {
  const client = await RpcClient.connect(side.url);
  const texts: string[] = [];
  const allCame = new Promise<void>((resolve) => {
    client.socket.on('message', (data: Buffer) => {
      const text = data.toString('utf8');
      if (!text.includes('"emittedAtMs"')) texts.push(text);
      if (texts.length === answers) resolve();
    });
  });
  for (const frame of frames) client.socket.send(frame, { binary: typeof frame !== 'string' });
  await allCame;
  await client.close();
  return texts;
}

const READ = `"method":"thread/read","params":{"threadId":"${UNKNOWN_ID}"}`;
const NOT_LOADED = `{"code":-32600,"message":"thread not loaded: ${UNKNOWN_ID}"`;

describe('requests', () => {
  it('RPC-1 carry texts and integers of 64 bits as ids, and get them back as they were', async () => {
    const ids = [
      '"a"',
      '""',
      '"ü\\u0000\\""',
      '0',
      '-7',
      '9007199254740991',
      '9007199254740993',
      '9223372036854775807',
      '-9223372036854775808',
    ];
    const frames = ids.map((id) => `{"id":${id},${READ}}`);
    for (const side of [both().codex, both().skein]) {
      const texts = await exchange(side, frames, ids.length);
      const errors = texts.filter((text) => text.startsWith(`{"error":${NOT_LOADED}`));
      expect(errors).toHaveLength(ids.length);
      const given = texts.map((text) => text.slice(text.lastIndexOf(',"id":') + 6, -1));
      expect(given.toSorted()).toEqual(ids.map((id) => (id.startsWith('"ü') ? '"ü\\u0000\\""' : id)).toSorted());
    }
    // The digits of the request's own id, not of one further in.
    const nested =
      '{"params":{"threadId":"zz","x":{"id":9007199254740994}},"id":9007199254740993,"method":"thread/read"}';
    expect((await exchange(both().skein, [nested], 1))[0]).toMatch(/,"id":9007199254740993\}$/);
  });

  it('RPC-2 that are none are met with silence, and what comes after them is served', async () => {
    const silent = [
      '',
      'x',
      '[]',
      '"x"',
      '5',
      'null',
      '{}',
      '{"id":99}',
      '{"id":null,',
      '{"id":1,"method":5,"params":{}}',
      ...['null', '{}', '[]', '1.5', 'true', '9223372036854775808', '1e30'].map((id) => `{"id":${id},${READ}}`),
      '{"method":"zzz"}',
      '{"method":"initialized"}',
      '{"method":"thread/read","params":5}',

      '{"id":7,"result":{}}',
      '{"id":7,"error":{"code":1,"message":"x"}}',
      `{"id":7,${READ}} x`,
      `[{"id":7,${READ}}]`,
      Buffer.from(`{"id":7,${READ}}`),
    ];
    const last = ` {"jsonrpc":"2.0","zzz":[1],"id":"last",${READ}}\n`;
    for (const side of [both().codex, both().skein]) {
      const texts = await exchange(side, [...silent, last], 1);
      expect(texts).toHaveLength(1);
      expect(texts[0]).toMatch(/^\{"error":.*,"id":"last"\}$/);
    }
  });

  it('RPC-3 of methods that nobody knows are told which there are, whoever asks', async () => {
    const unknown = [
      '',
      'nope',
      'thread/rollback',
      ' thread/read',
      'Thread/Read',
      '__proto__',
      'constructor',
      'toString',
    ];
    const questions = unknown.flatMap((method) => [
      ask(method, {}),
      ask(method, {}, { on: 'new' }),
      ask(method),
      ask(method, 5, { on: 'plain' }),
    ]);
    expect(await differences(both(), questions)).toEqual([]);
    expect((await both().skein.client.refusal('nope', {})).message).toMatch(
      /^Invalid request: unknown variant `nope`, expected one of `initialize`, `thread\/start`, /,
    );
  });

  it('RPC-4 are checked in one order: method, parameters, introduction, experimental protocol', async () => {
    expect(
      await differences(both(), [
        ...['thread/read', 'thread/search', 'thread/start', 'thread/loaded/list', 'turn/start'].flatMap((method) => [
          ask(method, undefined, { on: 'new' }),
          ask(method, {}, { on: 'new' }),
          ask(method, { threadId: 5, searchTerm: 5, model: 5, limit: 'x' }, { on: 'new' }),
          ask(method, { threadId: 'zz', searchTerm: 'x', input: [], historyMode: 'legacy' }, { on: 'new' }),
        ]),
        ask('thread/search', { searchTerm: 5 }, { on: 'plain' }),
      ]),
    ).toEqual([]);
  });

  it('RPC-5 begin with an introduction, once, by a name that goes into a header', async () => {
    const clientInfo = { name: 'a client', version: '1' };
    const given = [
      undefined,
      null,
      'x',
      {},
      { clientInfo: null },
      { clientInfo: {} },
      { clientInfo: { name: 'x' } },
      { clientInfo: { version: 'x' } },
      { clientInfo: { name: 5, version: 'x' } },
      { clientInfo: { ...clientInfo, title: 5 } },
      { clientInfo: { name: 'ü', version: 'x' } },
      { clientInfo: { name: 'x\ny', version: 'x' } },
      { clientInfo: { name: '', version: '' } },
      ...[5, null, {}, { experimentalApi: 5 }, { experimentalApi: null }, { optOutNotificationMethods: 5 }].map(
        (capabilities) => ({ clientInfo, capabilities }),
      ),
      ...[{ optOutNotificationMethods: [5] }, { optOutNotificationMethods: ['nothing that there is'] }].map(
        (capabilities) => ({ clientInfo, capabilities }),
      ),
      ...[{ requestAttestation: 5 }, { explicitGatewayOauth: 5 }, { extensions: 5 }, { extensions: { x: 1 } }].map(
        (capabilities) => ({ clientInfo, capabilities }),
      ),
    ];
    const seen = (result: object): unknown => Object.keys(result);
    expect(
      await differences(both(), [
        ...given.map((params) => ask('initialize', params, { on: 'new', seen })),
        ask('initialize', { clientInfo }),
        ask('initialize', { clientInfo: { name: 'ü', version: '1' } }),
        ask('initialize', {}),
        ask('initialize'),
      ]),
    ).toEqual([]);
    const unwanted = 'remoteControl/status/changed';
    for (const side of [both().codex, both().skein]) {
      const silent = await RpcClient.connect(side.url, { optOut: [unwanted] });
      const told = await RpcClient.connect(side.url, { optOut: [unwanted.toUpperCase()] });
      await told.notification(unwanted);
      await silent.call('thread/loaded/list', {});
      expect(silent.methods()).not.toContain(unwanted);
      await Promise.all([silent.close(), told.close()]);
    }
  });

  it('RPC-6 nested deeper than 127 levels, or with half of a surrogate pair in them, are refused', async () => {
    const nested = (levels: number): string => `${'['.repeat(levels - 2)}${']'.repeat(levels - 2)}`;
    const deep = (levels: number): string =>
      `{"id":1,"method":"thread/read","params":{"threadId":"zz","x":${nested(levels)}}}`;
    const { skein } = both();
    for (const frame of [deep(128), deep(5_000), deep(100_000)]) {
      const [text = ''] = await exchange(skein, [frame], 1);
      expect(JSON.parse(text)).toEqual({
        id: 1,
        error: { code: -32600, message: 'Invalid request: nested deeper than 127 levels' },
      });
    }
    for (const side of [both().codex, skein]) {
      expect((await exchange(side, [deep(127)], 1))[0]).toContain('invalid thread id');
    }
    for (const half of ['"\\ud83d"', '"\\udd25x"', '{"\\ud83d":1}', '["\\ude00\\ud83d"]']) {
      const frame = `{"id":1,"method":"thread/read","params":{"threadId":"zz","x":${half}}}`;
      const [text = ''] = await exchange(skein, [frame], 1);
      expect(JSON.parse(text).error.message).toBe('Invalid request: a text holds half of a surrogate pair');
    }
    const whole = '{"id":1,"method":"thread/read","params":{"threadId":"zz","x":"\\ud83d\\udd25 \\\\ud83d"}}';
    expect((await exchange(skein, [whole], 1))[0]).toContain('invalid thread id');
  });

  it('RPC-7 of one connection run side by side, and each is answered once; more than 256 at once are refused', async () => {
    const { skein } = both();
    const socket = new WebSocket(`ws+unix://${skein.url.slice('unix://'.length)}:/`);
    await once(socket, 'open');
    const answered: number[] = [];
    const refused = new Set<number>();
    let enough = (): void => {};
    const whenAnswered = (count: number): Promise<void> =>
      new Promise((resolve) => {
        enough = () => {
          if (answered.length >= count) resolve();
        };
      });
    socket.on('message', (data: Buffer) => {
      const { id, error } = JSON.parse(data.toString('utf8'));
      if (typeof id !== 'number') return;
      answered.push(id);
      if (error !== undefined) refused.add(error.code);
      enough();
    });
    const ask600 = Array.from({ length: 600 }, (_, index) => index + 1);
    const all = whenAnswered(601);
    const clientInfo = { name: 'x', version: '1' };
    socket.send(JSON.stringify({ id: 0, method: 'initialize', params: { clientInfo } }));
    for (const id of ask600) socket.send(JSON.stringify({ id, method: 'thread/list', params: {} }));
    await all;
    expect(refused).toEqual(new Set([-32001]));
    // One more, answered after everything that was still to come for the others.
    const last = whenAnswered(602);
    socket.send(JSON.stringify({ id: 601, method: 'thread/list', params: {} }));
    await last;
    expect(answered.toSorted((a, b) => a - b)).toEqual([0, ...ask600, 601]);
    socket.close();
    await once(socket, 'close');
  });
});
