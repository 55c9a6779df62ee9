import type { JsonObject } from './json.ts';

/** What went wrong, as a client or an operator needs to tell it apart. */
export type ErrorCode =
  /** The thread (or turn, or writer) named does not exist here. */
  | 'notFound'
  /** The caller asked for something that makes no sense; asking again will not help. */
  | 'invalidRequest'
  /** Someone else holds what is needed; `holder` names them. */
  | 'conflict'
  /** This store or thread cannot do that, and says so before it does any work. */
  | 'unsupported'
  /** A bounded queue is full; try again later. */
  | 'overloaded'
  /** The environment failed (disk, database, bug); `errno` when the system gave one. What was asked for is not done. */
  | 'internal'
  /** As `internal`, but whoever asks again must look first: it may be done, or turn up as done after a crash. */
  | 'uncertain';

/** Facts beside the message. Nothing secret: these reach logs and clients. */
export interface ErrorDetail {
  /** Who holds the thing, for `conflict`: product, pid, as far as it can be known. */
  readonly holder?: string;
  /** The system's error name, such as `ENOSPC`. */
  readonly errno?: string;
  /** The operation that is not supported, for `unsupported`. */
  readonly operation?: string;
  /** What the caller did not know, in members of their own. */
  readonly data?: JsonObject;
}

/** The only error type that crosses a module border on purpose. Anything else thrown is a bug. */
export class SkeinError extends Error {
  readonly code: ErrorCode;
  readonly detail: ErrorDetail;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'SkeinError';
    this.code = code;
    this.detail = detail;
  }
}

export const notFound = (message: string): SkeinError => new SkeinError('notFound', message);

export const invalidRequest = (message: string): SkeinError => new SkeinError('invalidRequest', message);

export const conflict = (message: string, holder?: string): SkeinError =>
  new SkeinError('conflict', message, holder === undefined ? {} : { holder });

export const unsupported = (operation: string): SkeinError =>
  new SkeinError('unsupported', `${operation} is not supported yet`, { operation });

export const overloaded = (message: string): SkeinError => new SkeinError('overloaded', message);

/** Wraps what the environment threw: keeps the system's error name, drops the stack. */
export function internal(message: string, cause?: unknown): SkeinError {
  const errno = errnoOf(cause);
  const text = cause === undefined ? message : `${message}: ${messageOf(cause)}`;
  return new SkeinError('internal', text, errno === undefined ? {} : { errno }, cause);
}

/** What failed, and could not be taken back either. */
export const uncertain = ({ message, detail, cause }: SkeinError): SkeinError =>
  new SkeinError('uncertain', `${message}; it may have been done all the same`, detail, cause);

/** A thrown value as a `SkeinError`: unchanged if it is one, else internal. Total. */
export function toSkeinError(thrown: unknown, context = 'unexpected failure'): SkeinError {
  return thrown instanceof SkeinError ? thrown : internal(context, thrown);
}

/** The system's error name (`ENOENT`, `ENOSPC` ...) of a thrown value, if it has one. */
export function errnoOf(thrown: unknown): string | undefined {
  if (thrown instanceof SkeinError) return thrown.detail.errno;
  const code = (thrown as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** Text of a thrown value; total. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
