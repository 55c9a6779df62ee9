import { isJsonObject, type JsonObject, type JsonValue } from '../domain/json.ts';

/** Ids of requests: whatever the client chose, string or integer of 64 bits. Those that no number holds are bigints. */
export type RequestId = string | number | bigint;

/** What a text frame of a client holds (app-server-protocol section 0). */
export type ClientMessage =
  | {
      readonly kind: 'request';
      readonly id: RequestId;
      readonly method: string;
      readonly params: JsonValue | undefined;
    }
  /** A request that could be read but not be passed on: what is wrong with it, for the refusal. */
  | { readonly kind: 'unusable'; readonly id: RequestId; readonly problem: string }
  | { readonly kind: 'notification'; readonly method: string; readonly params: JsonValue | undefined }
  /** An answer to a request of ours. */
  | {
      readonly kind: 'response';
      readonly id: RequestId;
      readonly result: JsonValue | undefined;
      readonly error: JsonObject | undefined;
      /** Why what it says must not be passed on, if so. */
      readonly problem: string | undefined;
    }
  /** Nothing that can be answered: garbage, batches, ids of other types. Met with silence, as by the peer. */
  | { readonly kind: 'ignored' };

const IGNORED: ClientMessage = { kind: 'ignored' };

/** Objects and arrays inside each other, the message itself included: what other readers of rollouts take. */
const MAX_DEPTH = 127;

/** Reads a frame. Total. */
export function parseClientMessage(text: string): ClientMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return IGNORED;
  }
  if (!isJsonObject(value)) return IGNORED;
  const { method, params, result, error } = value;
  if (value['id'] === undefined) return typeof method === 'string' ? { kind: 'notification', method, params } : IGNORED;
  const id = requestId(value['id'], text);
  if (id === undefined) return IGNORED;
  if (typeof method === 'string') {
    const problem = problemOf(value, 1);
    return problem === undefined ? { kind: 'request', id, method, params } : { kind: 'unusable', id, problem };
  }
  if (result === undefined && !isJsonObject(error)) return IGNORED;
  const problem = problemOf(value, 1);
  return { kind: 'response', id, result, error: isJsonObject(error) ? error : undefined, problem };
}

const MAX_I64 = 2n ** 63n;

/** The id as the client wrote it; undefined for what is no id. */
function requestId(id: JsonValue, text: string): RequestId | undefined {
  if (typeof id === 'string') return id;
  if (typeof id !== 'number' || !Number.isInteger(id)) return undefined;
  if (Number.isSafeInteger(id)) return id;
  // Rounded when it was parsed: its digits stand in the text alone, and must not be taken from an id further in.
  const written = new Set(Array.from(text.matchAll(/"id"\s*:\s*(-?\d+)\s*[,}]/g), ([, digits = '']) => digits));
  const exact = [...written].filter((digits) => Number(digits) === id).map(BigInt);
  const [only, ...others] = exact;
  return only === undefined || others.length > 0 || only >= MAX_I64 || only < -MAX_I64 ? undefined : only;
}

/** Why a value must not go on to rollouts, which others read too; undefined if it may. */
function problemOf(value: JsonValue | undefined, depth: number): string | undefined {
  if (typeof value === 'string') return isWellFormed(value) ? undefined : 'a text holds half of a surrogate pair';
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth > MAX_DEPTH) return `nested deeper than ${MAX_DEPTH} levels`;
  if (isJsonObject(value)) {
    for (const key of Object.keys(value)) {
      const problem = problemOf(key, depth) ?? problemOf(value[key], depth + 1);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }
  for (const element of value) {
    const problem = problemOf(element, depth + 1);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Node 20 has it; the library that types are from does not know it yet. */
const isWellFormed = (text: string): boolean => (text as unknown as { isWellFormed(): boolean }).isWellFormed();

/** An error as clients get it. */
export interface ErrorBody {
  readonly code: number;
  readonly message: string;
  readonly data?: JsonValue;
}

export const encodeResult = (id: RequestId, result: unknown): string =>
  `{"id":${encodeId(id)},"result":${JSON.stringify(result)}}`;

export const encodeError = (id: RequestId, error: ErrorBody): string =>
  `{"error":${JSON.stringify(error)},"id":${encodeId(id)}}`;

const encodeId = (id: RequestId): string => (typeof id === 'bigint' ? String(id) : JSON.stringify(id));

/** A notification; `emittedAtMs` stands beside its members, as the peer has it. */
export const encodeNotification = (method: string, params: unknown, emittedAtMs: number): string =>
  JSON.stringify({ method, params, emittedAtMs });

export const encodeRequest = (id: string | number, method: string, params: unknown): string =>
  JSON.stringify({ id, method, params });
