import { isAbsolute } from 'node:path';
import * as z from 'zod';
import { isJsonObject, type JsonObject, type JsonValue } from '../../domain/json.ts';
import { MOST_SHOWN_CHARACTERS } from '../../domain/short-text.ts';
import { excerpt, RPC_CODES, RpcError } from '../errors.ts';

/**
 * Schemas whose refusals read as clients of the protocol know them (app-server-protocol section 4): one sentence about
 * the first thing that is wrong, in the order of the text. The texts are serde's; these helpers say what was expected
 * in its terms.
 */

/** Of a value that is quoted in a refusal. */
const MAX_QUOTED_CHARACTERS = 1_000;

/** Marks of expectations inside zod messages; never shown. */
const EXPECTED = 'expected:';
const VERBATIM = 'verbatim:';

/** What a refinement says of what it does not let through. */
export const verbatim = (sentence: string): string => `${VERBATIM}${sentence}`;

/** An object of a named type; members that it does not know are ignored. */
export const struct = <S extends z.ZodRawShape>(name: string, shape: S): z.ZodObject<S> =>
  z.object(shape, { error: `${EXPECTED}struct ${name}` });

/** An object of a named type whose members are looked at by nobody. */
export const anyStruct = (name: string): z.ZodObject => z.looseObject({}, { error: `${EXPECTED}struct ${name}` });

/** One of several shapes told apart by `type`, looked at by nobody. */
export const anyTagged = (name: string): z.ZodObject =>
  z.looseObject({}, { error: `${EXPECTED}internally tagged enum ${name}` });

/** No parameters at all. An object is fine, too. */
export const unit = (): z.ZodOptional<z.ZodObject> => z.looseObject({}, { error: `${EXPECTED}unit` }).optional();
/** As {@link struct}, but a member that it does not know is refused by name. */
export const closedStruct = <S extends z.ZodRawShape>(name: string, shape: S): z.ZodType<z.output<z.ZodObject<S>>> => {
  const known = Object.keys(shape);
  const open = struct(name, shape);
  return z.unknown().transform((value, context) => {
    const unknown = isJsonObject(value) ? Object.keys(value).find((key) => !known.includes(key)) : undefined;
    const words = known.map((key) => `\`${key}\``).join(', ');
    const result = open.safeParse(value);
    // Whichever stands first in the text is named.
    const isFirst = unknown !== undefined && isJsonObject(value) && comesFirst(unknown, result, value);
    if (isFirst) return fail(context, new Wrong(`unknown field \`${unknown}\`, expected one of ${words}`), value);
    if (result.success) return result.data;
    for (const issue of result.error.issues) context.issues.push({ ...issue, input: value } as z.core.$ZodRawIssue);
    return z.NEVER;
  });
};

const comesFirst = (key: string, result: z.ZodSafeParseResult<unknown>, value: JsonObject): boolean =>
  result.success || !result.error.issues.some(({ path }) => comesBefore(path, [key], value));

export const text = (): z.ZodString => z.string({ error: `${EXPECTED}a string` });

/** A text of so many UTF-16 units at most. */
export const boundedText = (most: number): z.ZodString =>
  text().max(most, { error: `${EXPECTED}a string of at most ${most} characters` });

/** A text that is shown with each thread, or is looked for in a list of names. */
export const shortText = (): z.ZodString => boundedText(MOST_SHOWN_CHARACTERS);

/** Short, and not empty, or the sentence says so. */
export const nonEmptyText = (sentence: string): z.ZodString => shortText().min(1, { error: `${VERBATIM}${sentence}` });

export const flag = (): z.ZodBoolean => z.boolean({ error: `${EXPECTED}a boolean` });

const NUL = '\0';

/** Linux takes no longer ones. */
const PATH_MAX = 4_096;

/** A folder, which the protocol takes as any text. */
export const folderText = (): z.ZodString =>
  text().max(PATH_MAX, { error: `${EXPECTED}a path of at most ${PATH_MAX} characters` });

/** A path, absolute or not. */
export const pathText = (): z.ZodType<string> =>
  readBy((value) => {
    if (typeof value !== 'string') return wrongType(value, 'path string');
    if (value.length > PATH_MAX) return new Wrong(`invalid value: a path has at most ${PATH_MAX} characters`);
    return value.includes(NUL) ? new Wrong('invalid value: a path cannot hold a NUL character') : value;
  });

export const absolutePath = (): z.ZodType<string> =>
  pathText().refine(isAbsolute, {
    error: ({ input }) => `${VERBATIM}invalid value: ${named(input)}, expected an absolute path`,
  });

/** Any JSON value: what was parsed is nothing else. */
export const json = (): z.ZodType<JsonValue> => z.unknown() as unknown as z.ZodType<JsonValue>;

const integer = (name: string, max: number): z.ZodInt =>
  z
    .int({ error: `${EXPECTED}${name}` })
    .min(0, { error: `${EXPECTED}${name}` })
    .max(max, { error: `${EXPECTED}${name}` });

export const u32 = (): z.ZodInt => integer('u32', 0xffff_ffff);

/** A 64-bit number; what JavaScript cannot hold exactly is refused. */
export const i64 = (): z.ZodInt => z.int({ error: `${EXPECTED}i64` });

export const usize = (): z.ZodInt => integer('usize', Number.MAX_SAFE_INTEGER);

/** Stops at the first element that is wrong: a frame can hold millions of them. */
export const list = <T extends z.ZodType>(element: T): z.ZodType<z.output<T>[]> =>
  z.unknown().transform((value, context) => {
    if (!Array.isArray(value)) return fail(context, wrongType(value, 'a sequence'), value);
    const elements: z.output<T>[] = [];
    for (const [index, raw] of value.entries()) {
      const result = element.safeParse(raw);
      if (!result.success) return passOn(context, result.error, index, raw);
      elements.push(result.data);
    }
    return elements;
  });

/** An object of any member names. Stops at the first member that is wrong. */
export const map = <T extends z.ZodType>(member: T): z.ZodType<{ readonly [key: string]: z.output<T> }> =>
  z.unknown().transform((value, context) => {
    if (!isJsonObject(value)) return fail(context, wrongType(value, 'a map'), value);
    const members: [string, z.output<T>][] = [];
    for (const [key, raw] of Object.entries(value)) {
      const result = member.safeParse(raw);
      if (!result.success) return passOn(context, result.error, key, raw);
      members.push([key, result.data]);
    }
    return Object.fromEntries(members);
  });

/** One of some words. */
export const choice = <const T extends readonly [string, ...string[]]>(words: T): z.ZodType<T[number]> =>
  readBy((value) => word(value, words));

/** One of some words, of which one stands for an object: it is then the only member of one. */
export const wordOrMap = <const W extends readonly [string, ...string[]], const T extends W[number]>(
  words: W,
  tag: T,
  shape: z.ZodType<JsonObject>,
): z.ZodType<Exclude<W[number], T> | { readonly [K in T]: JsonObject }> =>
  z.unknown().transform((value, context) => {
    type Result = Exclude<W[number], T> | { readonly [K in T]: JsonObject };
    const found = word(value, words);
    if (found instanceof Wrong && !(isJsonObject(value) && isOnlyMember(value, tag))) {
      return fail(context, found, value);
    }
    if (!isJsonObject(value)) {
      if (found !== tag) return found as Result;
      return fail(context, new Wrong('invalid type: unit variant, expected struct variant'), value);
    }
    if (!isOnlyMember(value, tag)) return found as Result;
    if (!isJsonObject(value[tag])) return fail(context, wrongType(value[tag], 'struct variant'), value);
    const result = shape.safeParse(value[tag]);
    return result.success ? ({ [tag]: result.data } as Result) : passOn(context, result.error, tag, value[tag]);
  });

const isOnlyMember = (object: JsonObject, key: string): boolean =>
  Object.keys(object).length === 1 && Object.hasOwn(object, key);

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

/** An object told apart by `type`, of which only some kinds are known well enough to be checked. */
export const openTagged = (name: string, kinds: Readonly<Record<string, z.ZodType>>): z.ZodType<JsonObject> =>
  z.unknown().transform((value, context) => {
    if (!isJsonObject(value)) return fail(context, wrongType(value, `internally tagged enum ${name}`), value);
    const type = value['type'];
    if (type === undefined) return fail(context, new Wrong('missing field `type`'), value);
    if (typeof type !== 'string') {
      const kind = typeof type === 'number' ? 'number' : named(type);
      return fail(context, new Wrong(`invalid type: ${kind}, expected variant identifier`), value);
    }
    const kind = Object.hasOwn(kinds, type) ? kinds[type] : undefined;
    const result = kind?.safeParse(value);
    if (result?.success !== false) return value;
    return fail(context, new Wrong(sentenceOf(result.error, value)), value);
  });

/**
 * The parameters of a request, validated once, here.
 * @throws RpcError -32600 that says what is wrong with them
 */
export function parseParams<S extends z.ZodType>(schema: S, params: unknown): z.infer<S> {
  if (params === undefined || params === null) {
    const absent = schema.safeParse(undefined);
    if (absent.success) return absent.data;
    throw invalid('missing field `params`');
  }
  const result = schema.safeParse(params);
  if (result.success) return result.data;
  throw invalid(sentenceOf(result.error, params));
}

const invalid = (what: string): RpcError => new RpcError(RPC_CODES.invalidRequest, `Invalid request: ${what}`);

/** What is wrong with a value, in one sentence: the first thing in the order of its text; what is missing comes last. */
export function sentenceOf({ issues }: z.ZodError, value: unknown): string {
  const [first, ...others] = issues;
  if (first === undefined) return 'invalid params';
  const issue = others.reduce((best, other) => (comesBefore(other.path, best.path, value) ? other : best), first);
  return describe(issue, value);
}

function comesBefore(path: readonly PropertyKey[], other: readonly PropertyKey[], root: unknown): boolean {
  let holder: unknown = root;
  for (const [index, key] of path.entries()) {
    const otherKey = other[index];
    if (otherKey === undefined) return false;
    if (key !== otherKey) return rankOf(key, holder) < rankOf(otherKey, holder);
    holder = memberOf(holder, key);
  }
  return false;
}

function rankOf(key: PropertyKey, holder: unknown): number {
  if (typeof key === 'number') return key;
  const position = isJsonObject(holder) ? Object.keys(holder).indexOf(String(key)) : -1;
  return position === -1 ? Infinity : position;
}

const memberOf = (holder: unknown, key: PropertyKey): unknown =>
  typeof holder === 'object' && holder !== null && Object.hasOwn(holder, key)
    ? (holder as { readonly [key: PropertyKey]: unknown })[key]
    : undefined;

function describe(issue: z.core.$ZodIssue, params: unknown): string {
  const { value, isMissing, field } = at(params, issue.path);
  if (isMissing) return `missing field \`${field}\``;
  if (issue.message.startsWith(VERBATIM)) return issue.message.slice(VERBATIM.length);
  const expected = issue.message.startsWith(EXPECTED) ? issue.message.slice(EXPECTED.length) : issue.message;
  if (issue.code === 'invalid_union' && typeof value === 'string') return unknownVariant(value, tagsOf(issue));
  const isOutOfRange = issue.code === 'too_small' || issue.code === 'too_big';
  return `invalid ${isOutOfRange ? 'value' : 'type'}: ${named(value)}, expected ${expected}`;
}

/** The tags that a union told apart by `type` knows. */
const tagsOf = (issue: z.core.$ZodIssue): readonly string[] =>
  'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];

function unknownVariant(found: string, known: readonly string[]): string {
  const quoted = known.map((variant) => `\`${variant}\``);
  const expected = quoted.length <= 2 ? `expected ${quoted.join(' or ')}` : `expected one of ${quoted.join(', ')}`;
  return `unknown variant \`${excerpt(found, MAX_QUOTED_CHARACTERS)}\`, ${expected}`;
}

/** The value at a path, and whether it is the last member of the path that is not there. */
function at(
  root: unknown,
  path: readonly PropertyKey[],
): { readonly value: unknown; readonly isMissing: boolean; readonly field: string } {
  let value: unknown = root;
  let isMissing = false;
  for (const key of path) {
    isMissing = typeof value !== 'object' || value === null || !Object.hasOwn(value, key);
    value = memberOf(value, key);
  }
  return { value, isMissing, field: String(path.at(-1) ?? '') };
}

/** Why a value is not what it should be. */
class Wrong {
  readonly sentence: string;

  constructor(sentence: string) {
    this.sentence = sentence;
  }
}

const wrongType = (value: unknown, expected: string): Wrong =>
  new Wrong(`invalid type: ${named(value)}, expected ${expected}`);

/** A word of a list. JSON has a second spelling for it that serde reads, too: a map of the word to null. */
function word<const T extends readonly string[]>(value: unknown, words: T): T[number] | Wrong {
  if (typeof value === 'string') return words.includes(value) ? value : new Wrong(unknownVariant(value, words));
  if (!isJsonObject(value)) return wrongType(value, 'string or map');
  const [only, ...others] = Object.keys(value);
  if (only === undefined || others.length > 0) return new Wrong('invalid value: map, expected map with a single key');
  if (!words.includes(only)) return new Wrong(unknownVariant(only, words));
  return value[only] === null ? only : wrongType(value[only], 'unit');
}

/** A value read by hand. */
const readBy = <T>(read: (value: unknown) => T | Wrong): z.ZodType<T> =>
  z.unknown().transform((value, context) => {
    const result = read(value);
    return result instanceof Wrong ? fail(context, result, value) : result;
  });

type Context = z.core.ParsePayload;

function fail({ issues }: Context, { sentence }: Wrong, input: unknown): never {
  issues.push({ code: 'custom', input, message: `${VERBATIM}${sentence}` });
  return z.NEVER;
}

/** What is wrong inside an element is wrong there. */
function passOn({ issues }: Context, error: z.ZodError, key: PropertyKey, input: unknown): never {
  for (const issue of error.issues) {
    // Made whole already; it only moves.
    issues.push({ ...issue, input, path: [key, ...issue.path] } as z.core.$ZodRawIssue);
  }
  return z.NEVER;
}

/** A JSON value in a sentence: integer `5`, string "x", a map. */
function named(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `string ${JSON.stringify(excerpt(value, MAX_QUOTED_CHARACTERS))}`;
    case 'number':
      return Number.isInteger(value) ? `integer \`${value}\`` : `floating point \`${value}\``;
    case 'boolean':
      return `boolean \`${value}\``;
    default:
      return value === null ? 'null' : Array.isArray(value) ? 'sequence' : 'map';
  }
}
