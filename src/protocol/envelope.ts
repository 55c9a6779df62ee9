import { isJsonObject, type JsonObject, type JsonValue } from '../domain/json.ts';

/** Ids of requests: whatever the client chose, string or integer. */
export type RequestId = string | number;

/** What a text frame of a client holds (app-server-protocol section 0). */
export type ClientMessage =
  | {
      readonly kind: 'request';
      readonly id: RequestId;
      readonly method: string;
      readonly params: JsonValue | undefined;
    }
  | { readonly kind: 'notification'; readonly method: string; readonly params: JsonValue | undefined }
  /** An answer to a request of ours. */
  | {
      readonly kind: 'response';
      readonly id: RequestId;
      readonly result: JsonValue | undefined;
      readonly error: JsonObject | undefined;
    }
  /** Nothing that can be answered: garbage, batches, ids of other types. Met with silence, as by the peer. */
  | { readonly kind: 'ignored' };

const IGNORED: ClientMessage = { kind: 'ignored' };

/** Reads a frame. Total. */
export function parseClientMessage(text: string): ClientMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return IGNORED;
  }
  if (!isJsonObject(value)) return IGNORED;
  const { id, method, params, result, error } = value;
  if (id === undefined) return typeof method === 'string' ? { kind: 'notification', method, params } : IGNORED;
  if (!isRequestId(id)) return IGNORED;
  if (typeof method === 'string') return { kind: 'request', id, method, params };
  if (result === undefined && !isJsonObject(error)) return IGNORED;
  return { kind: 'response', id, result, error: isJsonObject(error) ? error : undefined };
}

const isRequestId = (id: JsonValue): id is RequestId =>
  typeof id === 'string' || (typeof id === 'number' && Number.isSafeInteger(id));

/** An error as clients get it. */
export interface ErrorBody {
  readonly code: number;
  readonly message: string;
  readonly data?: JsonValue;
}

export const encodeResult = (id: RequestId, result: unknown): string => JSON.stringify({ id, result });

export const encodeError = (id: RequestId, error: ErrorBody): string => JSON.stringify({ error, id });

/** A notification; `emittedAtMs` stands beside its members, as the peer has it. */
export const encodeNotification = (method: string, params: unknown, emittedAtMs: number): string =>
  JSON.stringify({ method, params, emittedAtMs });

export const encodeRequest = (id: RequestId, method: string, params: unknown): string =>
  JSON.stringify({ id, method, params });
