import { uuidv7 } from 'uuidv7';
import { invalidRequest } from './errors.ts';

declare const threadIdBrand: unique symbol;

/** A thread's identity: a UUID in lower-case hyphenated form (UUIDv7 when Skein makes it). */
export type ThreadId = string & { readonly [threadIdBrand]: true };

/** A new thread id; ids made later compare greater as text. */
export const newThreadId = (): ThreadId => uuidv7() as ThreadId;

/** A new UUIDv7 for turns, items, rollouts. */
export const newUuid = (): string => uuidv7();

/** The id next to one, as numbers count. */
export function successorOf(id: ThreadId): ThreadId {
  const digits = ((BigInt(`0x${id.replaceAll('-', '')}`) + 1n) & ((1n << 128n) - 1n)).toString(16).padStart(32, '0');
  return parseThreadId(digits);
}

const CANONICAL = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** True for text that is already a thread id in canonical form. */
export const isThreadId = (text: string): text is ThreadId => CANONICAL.test(text);

/**
 * Reads a thread id as clients write it: hyphenated, also in braces or as a URN, or 32 bare digits; any case.
 *
 * @param noun how the protocol names the id in its refusal (`thread`, `session`, `parent thread` ...)
 * @throws invalidRequest whose text says what is wrong with the id, in the words of app-server-protocol section 4
 */
export function parseThreadId(text: string, noun = 'thread'): ThreadId {
  if (isThreadId(text)) return text;
  const problem = uuidProblem(text);
  if (problem !== undefined) throw invalidRequest(`invalid ${noun} id: ${problem}`);
  const digits = bareBody(text).replaceAll('-', '').toLowerCase();
  return [digits.slice(0, 8), digits.slice(8, 12), digits.slice(12, 16), digits.slice(16, 20), digits.slice(20)].join(
    '-',
  ) as ThreadId;
}

/** Same as {@link parseThreadId} but undefined instead of an error. */
export function tryParseThreadId(text: string): ThreadId | undefined {
  return uuidProblem(text) === undefined ? parseThreadId(text) : undefined;
}

const URN = 'urn:uuid:';
const GROUP_LENGTHS = [8, 4, 4, 4, 12] as const;

function bareBody(text: string): string {
  if (text.startsWith('{') && text.endsWith('}')) return text.slice(1, -1);
  return text.startsWith(URN) ? text.slice(URN.length) : text;
}

/** What is wrong with a UUID, in the words clients of the protocol already know; undefined if it is fine. */
function uuidProblem(text: string): string | undefined {
  const body = bareBody(text);
  const offset = body === text ? 0 : text.startsWith('{') ? 1 : URN.length;
  let position = offset;
  for (const character of body) {
    position += 1;
    if (!/[0-9a-fA-F-]/.test(character)) {
      return `invalid character: expected an optional prefix of \`urn:uuid:\` followed by [0-9a-fA-F-], found \`${character}\` at ${position}`;
    }
  }
  const groups = body.split('-');
  // Only bare digits are a form of their own; braces and the prefix go with groups.
  if (groups.length === 1 && body === text) {
    return body.length === 32
      ? undefined
      : `invalid length: expected length 32 for simple format, found ${body.length}`;
  }
  if (groups.length !== GROUP_LENGTHS.length) {
    return `invalid group count: expected 5, found ${groups.length}`;
  }
  for (const [index, length] of GROUP_LENGTHS.entries()) {
    const found = groups[index]?.length ?? 0;
    if (found !== length) {
      return `invalid group length in group ${index}: expected ${length}, found ${found}`;
    }
  }
  return undefined;
}
