import { errnoOf, SkeinError, type ErrorCode } from '../domain/errors.ts';
import type { JsonObject, JsonValue } from '../domain/json.ts';
import type { ErrorBody } from './envelope.ts';

/** JSON-RPC codes as the protocol uses them: nearly every refusal is an invalid request (section 4). */
export const RPC_CODES = {
  invalidRequest: -32600,
  unsupported: -32601,
  invalidParams: -32602,
  internal: -32603,
  overloaded: -32001,
} as const;

/** A refusal that knows its own code, for the few that differ from their kind. */
export class RpcError extends Error {
  readonly code: number;
  readonly data: JsonValue | undefined;

  constructor(code: number, message: string, data?: JsonValue) {
    super(message);
    this.name = 'RpcError';
    this.code = code;
    this.data = data;
  }
}

const CODE_OF: Readonly<Record<ErrorCode, number>> = {
  notFound: RPC_CODES.invalidRequest,
  invalidRequest: RPC_CODES.invalidRequest,
  conflict: RPC_CODES.invalidRequest,
  unsupported: RPC_CODES.unsupported,
  overloaded: RPC_CODES.overloaded,
  internal: RPC_CODES.internal,
  uncertain: RPC_CODES.internal,
};

/** Of a message to a client, in characters: what it quotes may be as long as a message of theirs. */
const MAX_MESSAGE_CHARACTERS = 16 * 1024;

/** What clients are told of a failure that nobody has foreseen: its own words may hold anything. */
const UNFORESEEN = 'unexpected failure of the daemon; its log says more (skein logs)';

/**
 * Any thrown value as clients get it. Total; the one place where errors meet the wire. No stack leaves the daemon, and
 * of errors that are not its own none of their text.
 */
export function errorBodyOf(thrown: unknown): ErrorBody {
  if (thrown instanceof RpcError) {
    const { code, data } = thrown;
    const message = excerpt(thrown.message, MAX_MESSAGE_CHARACTERS);
    return data === undefined ? { code, message } : { code, message, data };
  }
  const errno = errnoOf(thrown);
  const error =
    thrown instanceof SkeinError
      ? thrown
      : new SkeinError('internal', UNFORESEEN, errno === undefined ? {} : { errno }, thrown);
  return { code: CODE_OF[error.code], message: excerpt(error.message, MAX_MESSAGE_CHARACTERS), data: dataOf(error) };
}

/** The beginning of a text, marked as such, if it is longer than so many characters. Cuts no pair of surrogates. */
export function excerpt(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most).replace(/[\ud800-\udbff]$/, '')}…`;
}

/** What a program may want to know beyond the text: which kind it is, who holds it, which system error it was. */
function dataOf({ code, detail }: SkeinError): JsonObject {
  const { holder, errno, data } = detail;
  return {
    kind: code,
    ...data,
    ...(holder === undefined ? {} : { holder }),
    ...(errno === undefined ? {} : { errno }),
  };
}
