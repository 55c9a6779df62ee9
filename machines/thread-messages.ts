import type { ErrorCode, ErrorDetail } from '../src/domain/errors.ts';

/** What the machine of a thread hears and tells: names and facts, never the things themselves. */

/** Names one waiting caller; the runtime keeps what is behind it. */
export type Ticket = number;

/** Why something failed: the facts of the error, without the error. */
export interface Failure extends ErrorDetail {
  readonly message: string;
  readonly code?: ErrorCode;
}

/** Where an event comes from, for whoever looks at the thread's last transitions. */
export interface Caused {
  readonly cause?: string;
}

export type ThreadMachineEvent = Caused &
  (
    | { readonly type: 'flush'; readonly ticket: Ticket }
    | { readonly type: 'persist'; readonly ticket: Ticket }
    | { readonly type: 'records.queued' }
    | { readonly type: 'turn.start'; readonly turnId: string }
    | { readonly type: 'turn.interrupt' }
    | { readonly type: 'client.asked'; readonly requestId: string }
    | { readonly type: 'client.answered'; readonly requestId: string }
    | { readonly type: 'shutdown'; readonly ticket: Ticket }
    | { readonly type: 'cancel' }
  );

/** Facts for the runtime, told in the order they come true. */
export type ThreadMachineEmitted =
  | { readonly type: 'thread.opened' }
  | { readonly type: 'thread.openFailed'; readonly failure: Failure }
  | { readonly type: 'tickets.settled'; readonly tickets: readonly Ticket[]; readonly failure: Failure | null }
  /** `attempts`: failures in a row, this one included. */
  | { readonly type: 'persistence.failed'; readonly failure: Failure; readonly attempts: number }
  | { readonly type: 'persistence.healed' }
  | { readonly type: 'turn.ended'; readonly turnId: string | null };

/** What barriers, opening and shutdown report back. */
export interface StoredState {
  readonly isStored: boolean;
}

/** What was thrown, as plain facts; total. */
export function failureOf(thrown: unknown): Failure {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const { code, detail } = (thrown ?? {}) as {
    readonly code?: Failure['code'];
    readonly detail?: ErrorDetail;
  };
  // Only errors of ours carry details; a code without them is a system error's name.
  return detail === undefined || code === undefined ? { message } : { message, code, ...detail };
}
