import { z } from 'zod';
import { isJsonObject, type JsonObject } from '../../domain/json.ts';
import { RPC_CODES, RpcError } from '../errors.ts';

/**
 * Schemas whose refusals read as clients of the protocol know them (app-server-protocol section 4): one sentence about
 * the first thing that is wrong. The texts are serde's; these helpers say what was expected in its terms.
 */

/** Marks of expectations inside zod messages; never shown. */
const EXPECTED = 'expected:';
const VERBATIM = 'verbatim:';

/** An object of a named type; members that it does not know are ignored. */
export const struct = <S extends z.ZodRawShape>(name: string, shape: S): z.ZodObject<S> =>
  z.object(shape, { error: `${EXPECTED}struct ${name}` });

export const text = (): z.ZodString => z.string({ error: `${EXPECTED}a string` });

export const flag = (): z.ZodBoolean => z.boolean({ error: `${EXPECTED}a boolean` });

export const u32 = (): z.ZodInt =>
  z
    .int({ error: `${EXPECTED}u32` })
    .min(0, { error: `${EXPECTED}u32` })
    .max(0xffff_ffff, { error: `${EXPECTED}u32` });

export const list = <T extends z.ZodType>(element: T): z.ZodArray<T> =>
  z.array(element, { error: `${EXPECTED}a sequence` });

export const map = <T extends z.ZodType>(value: T): z.ZodRecord<z.ZodString, T> =>
  z.record(z.string(), value, { error: `${EXPECTED}a map` });

export const choice = <const T extends readonly [string, ...string[]]>(values: T): z.ZodEnum<{ [K in T[number]]: K }> =>
  z.enum(values, { error: `${EXPECTED}string or map` });

/** One of some words, of which one stands for an object with that word as its only member. */
export const wordOrMap = <const W extends readonly [string, ...string[]], const T extends W[number]>(
  words: W,
  tag: T,
): z.ZodType<Exclude<W[number], T> | { readonly [K in T]: JsonObject }> =>
  z.unknown().transform((value, context) => {
    if (typeof value === 'string' && value !== tag && words.includes(value)) return value as Exclude<W[number], T>;
    if (isJsonObject(value) && isJsonObject(value[tag]))
      return { [tag]: value[tag] } as { readonly [K in T]: JsonObject };
    context.issues.push({
      code: 'invalid_value',
      values: [...words],
      input: value,
      message: `${EXPECTED}string or map`,
    });
    return z.NEVER;
  });

/** One of several shapes without a mark that tells them apart. */
export const untagged = <const T extends readonly [z.ZodType, ...z.ZodType[]]>(
  name: string,
  shapes: T,
): z.ZodUnion<T> => z.union(shapes, { error: `${VERBATIM}data did not match any variant of untagged enum ${name}` });

/** One of several shapes told apart by `type`. */
export const tagged = <const T extends readonly [z.ZodObject, ...z.ZodObject[]]>(
  name: string,
  shapes: T,
): z.ZodDiscriminatedUnion<T> =>
  z.discriminatedUnion('type', shapes, { error: `${EXPECTED}internally tagged enum ${name}` });

/**
 * The parameters of a request, validated once, here.
 * @throws RpcError -32600 that says what is wrong with them
 */
export function parseParams<S extends z.ZodType>(schema: S, params: unknown): z.infer<S> {
  if (params === undefined || params === null) throw invalid('missing field `params`');
  const result = schema.safeParse(params);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw invalid(issue === undefined ? 'invalid params' : describe(issue, params));
}

const invalid = (what: string): RpcError => new RpcError(RPC_CODES.invalidRequest, `Invalid request: ${what}`);

function describe(issue: z.core.$ZodIssue, params: unknown): string {
  if (issue.message.startsWith(VERBATIM)) return issue.message.slice(VERBATIM.length);
  const { value, isMissing, field } = at(params, issue.path);
  if (isMissing) return `missing field \`${field}\``;
  const expected = issue.message.startsWith(EXPECTED) ? issue.message.slice(EXPECTED.length) : issue.message;
  if (issue.code === 'invalid_value' && typeof value === 'string')
    return unknownVariant(value, issue.values.map(String));
  if (issue.code === 'invalid_union' && typeof value === 'string') return unknownVariant(value, tagsOf(issue));
  const isOutOfRange = issue.code === 'too_small' || issue.code === 'too_big';
  return `invalid ${isOutOfRange ? 'value' : 'type'}: ${named(value)}, expected ${expected}`;
}

/** The tags that a union told apart by `type` knows. */
const tagsOf = (issue: z.core.$ZodIssue): readonly string[] =>
  'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];

function unknownVariant(found: string, known: readonly string[]): string {
  const quoted = known.map((variant) => `\`${variant}\``);
  const expected = quoted.length === 2 ? `expected ${quoted.join(' or ')}` : `expected one of ${quoted.join(', ')}`;
  return `unknown variant \`${found}\`, ${expected}`;
}

/** The value at a path, and whether it is the last member of the path that is not there. */
function at(
  root: unknown,
  path: readonly PropertyKey[],
): { readonly value: unknown; readonly isMissing: boolean; readonly field: string } {
  let value: unknown = root;
  let isMissing = false;
  for (const key of path) {
    const holder = value as { readonly [key: PropertyKey]: unknown } | null | undefined;
    isMissing = holder === null || holder === undefined || !Object.hasOwn(holder, key);
    value = isMissing ? undefined : holder?.[key];
  }
  return { value, isMissing, field: String(path.at(-1) ?? '') };
}

/** A JSON value in a sentence: integer `5`, string "x", a map. */
function named(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `string ${JSON.stringify(value)}`;
    case 'number':
      return Number.isInteger(value) ? `integer \`${value}\`` : `floating point \`${value}\``;
    case 'boolean':
      return `boolean \`${value}\``;
    default:
      return value === null ? 'null' : Array.isArray(value) ? 'sequence' : 'map';
  }
}
