import { fileURLToPath } from 'node:url';
import { isJsonObject, numberMember, stringMember, type JsonObject, type JsonValue } from './json.ts';

/** How members of stored items read: what is missing or of another type is null, or empty. */

export const textOrNull = (stored: JsonObject, key: string): string | null => stringMember(stored, key) ?? null;

/** Paths are stored plain or as `file:` URIs, by version. */
export function pathOf(value: JsonValue | undefined): string {
  if (typeof value !== 'string') return '';
  if (!value.startsWith('file://')) return value;
  try {
    return fileURLToPath(value);
  } catch {
    return value;
  }
}

/** `{secs, nanos}` as stored, in ms. */
export function durationMs(value: JsonValue | undefined): number | null {
  if (!isJsonObject(value)) return null;
  const secs = numberMember(value, 'secs') ?? 0;
  return secs * 1_000 + Math.floor((numberMember(value, 'nanos') ?? 0) / 1_000_000);
}

/** An argument vector as one line that a POSIX shell would split the same way. */
export function commandLine(value: JsonValue | undefined): string {
  if (typeof value === 'string') return value;
  return Array.isArray(value)
    ? value.map((word) => quoted(typeof word === 'string' ? word : JSON.stringify(word))).join(' ')
    : '';
}

const quoted = (word: string): string =>
  /^[A-Za-z0-9_\-.,:/@+=]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** `snake_case` to `camelCase`. */
export const camel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());

export const withCamelKeys = (stored: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(stored).map(([key, value]) => [camel(key), value]));
