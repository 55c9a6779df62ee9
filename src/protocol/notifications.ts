import type { ThreadId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';

/** Who is told (app-server-protocol section 3): those who watch the thread, or every initialized connection. */
export type Audience = 'subscribers' | 'everyone';

export interface Notification {
  readonly method: string;
  readonly params: JsonObject;
  readonly audience: Audience;
  /** Not for connections that have not asked for the experimental protocol. */
  readonly isExperimental?: boolean;
}

/** A thread's notification to those who watch it. */
export const toSubscribers = (method: string, threadId: ThreadId, params: JsonObject = {}): Notification => ({
  method,
  params: { threadId, ...params },
  audience: 'subscribers',
});

/** A thread's notification to everyone. */
export const toEveryone = (method: string, threadId: ThreadId, params: JsonObject = {}): Notification => ({
  method,
  params: { threadId, ...params },
  audience: 'everyone',
});
