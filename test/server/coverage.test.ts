import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { METHODS } from '../../src/server/methods.ts';
import { ask, bothServers, differences, type Question } from '../support/both-servers.ts';
import { codexBinary } from '../support/codex-binary.ts';
import { startDaemon } from '../support/daemon.ts';
import { leastParams, methodsOf, misfit } from '../support/protocol-schemas.ts';
import type { Json, RpcClient } from '../support/rpc-client.ts';
import { startServer } from '../support/server.ts';
import { tempFolder } from '../support/temp-home.ts';

/** Every method of the peer's schema: none crashes a client, hangs, or is not known. */

/** No path of anything, and no id. */
const NOWHERE = '/dev/null/nowhere';

const ALL = methodsOf('ClientRequest');
const isOf = (support: string) => (method: string) => METHODS[method]?.support === support;
const UNSUPPORTED = ALL.filter(isOf('unsupported'));

const both = bothServers(async () => {});

/** Sends all at once. @returns what came for each, by its id */
async function answersTo(client: RpcClient, asked: readonly (readonly [string, unknown])[]): Promise<Json[][]> {
  for (const [id, [method, params]] of asked.entries()) {
    client.send({ id: `a${id}`, method, ...(params === undefined ? {} : { params }) });
    // Fewer than a connection may have under way.
    if (id % 100 === 99) await client.frame(`answer ${id}`, (frame) => frame.id === `a${id}`);
  }
  for (const id of asked.keys()) await client.frame(`answer ${id}`, (frame) => frame.id === `a${id}`);
  await client.answer('thread/loaded/list', {});
  return Array.from(asked.keys(), (id) => client.frames.filter((frame) => frame.id === `a${id}`));
}

it('COVER-1 each gets exactly one answer that is of the protocol, from anyone, while others are served', async () => {
  const daemon = await startDaemon(tempFolder());
  const other = await daemon.connect();
  const { thread } = await other.call('thread/start', { ephemeral: true });
  const others = (async () => {
    for (let turn = 0; turn < 20; turn += 1) await other.turn(thread.id, `words ${turn}`);
  })();
  const ways = ALL.filter((method) => method !== 'initialize').flatMap((method) =>
    [{}, leastParams(method, NOWHERE), null, undefined, 5].map((params) => [method, params] as const),
  );
  expect(ways.length).toBeGreaterThan(900);
  for (const options of [{ isInitialized: false }, { isExperimental: false }, {}]) {
    const client = await daemon.connect(options);
    const answers = await answersTo(client, ways);
    const wrong = answers.flatMap((frames, index) => {
      const [method = '', params] = ways[index] ?? [];
      const [answer, ...more] = frames;
      const fault = more.length > 0 ? `${frames.length} answers` : misfit(answer, method);
      return fault === undefined ? [] : [`${method} ${JSON.stringify(params)}: ${fault} ${JSON.stringify(answer)}`];
    });
    expect(wrong).toEqual([]);
    // Nothing that nobody has foreseen.
    const failed = answers.flat().filter(({ error }) => error?.data?.kind === 'internal');
    expect(failed).toEqual([]);
    // Before an introduction nothing is answered well.
    const good = answers.flat().filter(({ error }) => error === undefined);
    expect(good.length > 0).toBe(options.isInitialized !== false);
  }
  await others;
  expect(await daemon.stop()).toBe(0);
}, 90_000);

it('COVER-2 each asks for what it asks for at the peer: parameters, an introduction, the experimental protocol', async () => {
  const named = ALL.filter((method) => method !== 'initialize');
  expect(named.filter((method) => METHODS[method] === undefined)).toEqual([]);
  const questions = named.flatMap((method): readonly Question[] => {
    const least = leastParams(method, NOWHERE);
    return [
      // What takes none is asked below alone: these would be good questions.
      ...(least === null ? [] : [ask(method, undefined, { on: 'new' }), ask(method, null, { on: 'new' })]),
      ask(method, 5),
      ask(method, 'x', { on: 'new' }),
      ask(method, least, { on: 'new' }),
      ...(METHODS[method]?.experimental === 'method' ? [ask(method, least, { on: 'plain' })] : []),
    ];
  });
  expect(await differences(both(), questions)).toEqual([]);
  const folder = tempFolder();
  execFileSync(codexBinary(), ['app-server', 'generate-json-schema', '--out', folder], { stdio: 'ignore' });
  const { oneOf } = JSON.parse(readFileSync(join(folder, 'ClientRequest.json'), 'utf8'));
  const stable = new Set(oneOf.map(({ properties }: Json) => properties.method.enum[0]));
  expect(named.filter((method) => METHODS[method]?.experimental === 'method')).toEqual(
    named.filter((method) => !stable.has(method)),
  );
}, 90_000);

it('COVER-3 those that Skein does not have are refused by name and kind, whatever they are asked', async () => {
  const server = await startServer();
  const client = await server.connect();
  expect(UNSUPPORTED.length).toBeGreaterThan(80);
  for (const method of UNSUPPORTED) {
    for (const params of [{}, leastParams(method, NOWHERE) ?? {}]) {
      expect(await client.refusal(method, params)).toEqual({
        code: -32601,
        message: `${method} is not supported by Skein`,
        data: { kind: 'unsupported' },
      });
    }
  }
  expect(server.logged).toEqual([]);
});

it('COVER-4 what is refused does nothing: no file is read, written or removed, and no program started', async () => {
  const folder = tempFolder();
  const [kept, made] = [join(folder, 'kept'), join(folder, 'made')];
  writeFileSync(kept, 'words');
  const server = await startServer();
  const client = await server.connect();
  const dangerous: Readonly<Record<string, object>> = {
    'fs/readFile': { path: kept },
    'fs/readDirectory': { path: folder },
    'fs/writeFile': { path: made, dataBase64: '' },
    'fs/createDirectory': { path: made },
    'fs/copy': { sourcePath: kept, destinationPath: made },
    'fs/remove': { path: kept },
    'command/exec': { command: ['touch', made] },
    'process/spawn': { command: ['touch', made], processHandle: 'x', cwd: folder },
    'feedback/save': { savePath: made, classification: 'bug', includeLogs: true },
  };
  for (const [method, params] of Object.entries(dangerous)) {
    expect((await client.refusal(method, params)).data).toEqual({ kind: 'unsupported' });
  }
  expect(readdirSync(folder)).toEqual(['kept']);
  expect(readFileSync(kept, 'utf8')).toBe('words');
});
