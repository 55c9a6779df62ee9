import { expect, it } from 'vitest';
import type * as z from 'zod';
import { conflict, internal, overloaded, unsupported } from '../../src/domain/errors.ts';
import { errorBodyOf, RpcError } from '../../src/protocol/errors.ts';
import { choice, parseParams, struct, u32 } from '../../src/protocol/params/serde.ts';

it('ERR-7 of failures that nobody foresaw tell none of their text, and where to look; those of the system tell their name', () => {
  const secret = 'Bearer abc at /src/secret.ts:1:2';
  const full = Object.assign(new Error(secret), { code: 'ENOSPC' });
  const thrown = [new TypeError(secret), full, secret, undefined, null, { toString: () => secret }, Symbol(secret)];
  for (const body of thrown.map(errorBodyOf)) {
    expect(body).toMatchObject({ code: -32603, data: { kind: 'internal' } });
    expect(body.message).toContain('skein logs');
    expect(JSON.stringify(body)).not.toContain('secret');
  }
  expect(errorBodyOf(full).data).toEqual({ kind: 'internal', errno: 'ENOSPC' });
  expect(errorBodyOf(internal('cannot write', full)).data).toEqual({ kind: 'internal', errno: 'ENOSPC' });

  expect(errorBodyOf(conflict('taken', 'pid 7'))).toEqual({
    code: -32600,
    message: 'taken',
    data: { kind: 'conflict', holder: 'pid 7' },
  });
  expect(errorBodyOf(unsupported('that')).code).toBe(-32601);
  expect(errorBodyOf(overloaded('full')).code).toBe(-32001);
  expect(errorBodyOf(new RpcError(-32602, 'too long', { most: 1 }))).toEqual({
    code: -32602,
    message: 'too long',
    data: { most: 1 },
  });
});

it('ERR-11 of values that are too long to quote show the beginning, and no half of a character', () => {
  const refusal = (schema: z.ZodType, params: unknown): string => {
    try {
      return String(parseParams(schema, params));
    } catch (error) {
      return errorBodyOf(error).message;
    }
  };
  const long = `${'x'.repeat(999)}${'\u{1f4a5}'.repeat(100_000)}`;
  const shown = `${'x'.repeat(999)}…`;
  expect([
    refusal(struct('S', { count: u32() }), { count: long }),
    refusal(struct('S', { word: choice(['a', 'b']) }), { word: long }),
    errorBodyOf(conflict(`${'y'.repeat(16_384)}z`)).message,
    errorBodyOf(new RpcError(-32600, `${'y'.repeat(16_383)}\u{1f4a5}`)).message,
  ]).toEqual([
    `Invalid request: invalid type: string "${shown}", expected u32`,
    `Invalid request: unknown variant \`${shown}\`, expected \`a\` or \`b\``,
    `${'y'.repeat(16_384)}…`,
    `${'y'.repeat(16_383)}…`,
  ]);
});
