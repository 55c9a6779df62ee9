import * as fc from 'fast-check';
import { assert, asyncProperty } from 'fast-check';
import { expect, it } from 'vitest';
import { METHODS } from '../../src/server/methods.ts';
import { TRICKS } from '../support/path-tricks.ts';
import { leastParams, methodsOf, misfit } from '../support/protocol-schemas.ts';
import type { Json } from '../support/rpc-client.ts';
import { startServer } from '../support/server.ts';
import { FUZZ_TIMEOUT_MS, runs } from './runs.ts';

/** Parameters that no client would send, to every method that does anything. */

const NOWHERE = '/dev/null/nowhere';

/** What runs a program if it is well asked is not asked at random. */
const SERVED = methodsOf('ClientRequest').filter(
  (method) => METHODS[method]?.support !== 'unsupported' && !['initialize', 'thread/shellCommand'].includes(method),
);

const KEYS = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'threadId',
  'cwd',
  'cursor',
  'limit',
  'input',
  'text',
  'type',
  '',
];

/** JSON as text: with members that no object literal can have, and doubled ones. */
const { anything } = fc.letrec<{ anything: string }>((tie) => ({
  anything: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom(
      'null',
      'true',
      '0',
      '-1',
      '1e999',
      '1.5',
      '9007199254740993',
      '""',
      '"\\ud800"',
      '"\\u0000"',
      '[]',
      '{}',
    ),
    fc.string({ unit: 'binary', maxLength: 20 }).map((text) => JSON.stringify(text)),
    fc.constantFrom(...TRICKS).map((trick) => JSON.stringify(trick)),
    fc.constant(JSON.stringify('x'.repeat(300_000))),
    fc.constant(`${'['.repeat(5_000)}${']'.repeat(5_000)}`),
    fc.array(tie('anything'), { maxLength: 3 }).map((elements) => `[${elements.join()}]`),
    fc
      .array(fc.tuple(fc.constantFrom(...KEYS), tie('anything')), { maxLength: 4 })
      .map((members) => `{${members.map(([key, value]) => `${JSON.stringify(key)}:${value}`).join()}}`),
  ),
}));

interface Asked {
  readonly method: string;
  /** What the method needs at least, with another value in one place; or anything at all. */
  readonly place: number | null;
  readonly value: string;
  readonly key: string;
}

const asked: fc.Arbitrary<Asked> = fc.record({
  method: fc.constantFrom(...SERVED),
  place: fc.option(fc.nat(8), { freq: 4 }),
  value: anything,
  key: fc.constantFrom(...KEYS),
});

/** Members are written anew, so that a value can be put into one of them as text. */
function paramsOf({ method, place, value, key }: Asked, threadId: string): string {
  if (place === null) return value;
  const known = Object.entries<unknown>({ ...(leastParams(method, NOWHERE) as object), threadId }).map(
    ([name, member]): readonly [string, string] => [name, JSON.stringify(member)],
  );
  const changed = known.toSpliced(place, place < known.length ? 1 : 0, [known[place]?.[0] ?? key, value]);
  return `{${changed.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join()}}`;
}

const CODES = new Set([-32_600, -32_601, -32_602, -32_603, -32_001]);

const wrongWith = ({ method, place, value }: Asked, frames: readonly Json[]): string[] => {
  const [answer] = frames;
  const fault =
    frames.length === 1
      ? (misfit(answer, method) ??
        (answer.error === undefined || (CODES.has(answer.error.code) && answer.error.data?.kind !== 'internal')
          ? undefined
          : 'unforeseen'))
      : `${frames.length} answers`;
  return fault === undefined
    ? []
    : [`${method} ${place} ${value.slice(0, 200)}: ${fault} ${JSON.stringify(answer)?.slice(0, 300)}`];
};

it(
  'FUZZ-4 whatever its parameters are, a request gets one answer of the protocol, and no name in them reaches beyond it',
  async () => {
    const server = await startServer();
    const client = await server.connect();
    const inherited = (): readonly string[] =>
      [Object.prototype, Array.prototype, Function.prototype].flatMap((each) => Reflect.ownKeys(each).map(String));
    const before = inherited();
    let round = 0;
    const holds = asyncProperty(fc.array(asked, { minLength: 1, maxLength: 40 }), async (requests) => {
      const { thread } = await client.call('thread/start', {});
      const from = client.frames.length;
      round += 1;
      const ids = requests.map((_, index) => `${round}-${index}`);
      for (const [index, request] of requests.entries()) {
        const params = paramsOf(request, thread.id);
        client.send(`{"id":"${ids[index]}","method":"${request.method}","params":${params}}`);
      }
      for (const id of ids) await client.frame(`answer ${id}`, (frame) => frame.id === id, from);
      await client.answer('thread/loaded/list', {});
      const wrong = requests.flatMap((request, index) =>
        wrongWith(
          request,
          client.frames.slice(from).filter((frame) => frame.id === ids[index]),
        ),
      );
      expect(wrong).toEqual([]);
      expect(inherited()).toEqual(before);
    });
    await assert(holds, runs(15));
    expect(server.logged.filter((line) => /internal|unexpected/i.test(line))).toEqual([]);
  },
  FUZZ_TIMEOUT_MS,
);
