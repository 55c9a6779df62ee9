import { isUtf8 } from 'node:buffer';
import { isJsonObject, type JsonObject } from './json.ts';

/**
 * One record of a thread's history. `type` is one of the kinds of
 * upstream-behaviour section 3.1 or any later one: unknown kinds and members are carried, never dropped.
 */
export interface RolloutItem {
  readonly type: string;
  readonly payload: JsonObject;
}

/**
 * A record as it stands on its line. `ordinal` exists in paginated rollouts only. Nothing that JSON means is lost by
 * reading; how it was spelled is (`1.0`, escapes, doubled members). So stored lines are never written anew from this: what
 * is copied is copied as bytes.
 */
export interface RolloutLine {
  /** UTC, ISO 8601 with milliseconds. */
  readonly timestamp: string;
  readonly ordinal?: number;
  readonly item: RolloutItem;
  /** Members beside the known four (Codex adds some), as they stand there. */
  readonly extra?: JsonObject;
}

/** Why a line is not a record. A bad line costs itself and a counted warning, never the thread (D5). */
export type LineDefect = 'notUtf8' | 'notJson' | 'notARecord' | 'tooLong';

export type DecodedLine =
  | { readonly ok: true; readonly line: RolloutLine }
  | { readonly ok: false; readonly defect: LineDefect };

/** True for a line of nothing but white space: skipped without a warning. */
export function isBlankLine(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);
}

/** Reads one line, without its newline. Total: any bytes give an answer. */
export function decodeLine(bytes: Buffer): DecodedLine {
  if (!isUtf8(bytes)) return { ok: false, defect: 'notUtf8' };
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return { ok: false, defect: 'notJson' };
  }
  const line = lineOf(value);
  return line === undefined ? { ok: false, defect: 'notARecord' } : { ok: true, line };
}

function lineOf(value: unknown): RolloutLine | undefined {
  if (!isJsonObject(value)) return undefined;
  const { timestamp, ordinal, type, payload, ...extra } = value;
  if (typeof type !== 'string' || !isJsonObject(payload)) return undefined;
  return {
    timestamp: typeof timestamp === 'string' ? timestamp : '',
    ...(typeof ordinal === 'number' && Number.isSafeInteger(ordinal) ? { ordinal } : {}),
    item: { type, payload },
    ...(Object.keys(extra).length > 0 ? { extra } : {}),
  };
}
