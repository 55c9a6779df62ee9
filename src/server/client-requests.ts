import type { ClientReply, ClientRequest, ClientRequestMethod } from '../domain/client-request.ts';
import type { ThreadId } from '../domain/ids.ts';
import type { JsonObject } from '../domain/json.ts';
import { readAnswer, type RawAnswer } from '../protocol/client-answers.ts';
import type { RequestId } from '../protocol/envelope.ts';
import { toSubscribers, type Notification } from '../protocol/notifications.ts';
import type { ClientAsked, ClientQuestionClosed } from '../runtime/thread-events.ts';
import type { Connection } from './connection.ts';
import type { Subscriptions } from './subscriptions.ts';

/** A question that clients have before them. */
export interface PendingRequest {
  /** The same for all clients, also for those that come later. */
  readonly requestId: number;
  readonly threadId: ThreadId;
  readonly turnId: string;
  readonly questionId: string;
  readonly request: ClientRequest;
  /** Unix ms. */
  readonly askedAtMs: number;
}

export interface ClientRequestsOptions {
  readonly subscriptions: Pick<Subscriptions, 'watchersOf'>;
  /** Unix ms. */
  readonly now: () => number;
  /** Gives a thread the answer to one of its questions. */
  readonly pass: (pending: PendingRequest, reply: ClientReply, cause: string) => void;
  /** An answer that is not taken, with the reason. */
  readonly onRefused: (reason: string) => void;
}

/** Parameters that only clients with the experimental protocol are shown. */
const EXPERIMENTAL: Readonly<Partial<Record<ClientRequestMethod, readonly string[]>>> = {
  'item/commandExecution/requestApproval': ['additionalPermissions'],
};

/** Of a tool that one client runs the others learn by its item. */
const isAnnounced = (method: ClientRequestMethod): boolean => method !== 'item/tool/call';

/**
 * Requests of the server to its clients (F9): everyone who watches a thread gets each of its questions, with one id,
 * at once or when it begins to watch. The first answer of one who watches counts; ids are easy to guess, so nobody
 * else is listened to. A question stays until it is answered or its turn asks no more, whoever comes and goes.
 */
export class ClientRequests {
  readonly #options: ClientRequestsOptions;
  readonly #pending = new Map<number, PendingRequest>();
  readonly #byQuestion = new Map<string, number>();
  #nextId = 0;

  constructor(options: ClientRequestsOptions) {
    this.#options = options;
  }

  /** Questions of a thread, oldest first. */
  of(threadId: ThreadId): readonly PendingRequest[] {
    return [...this.#pending.values()].filter((pending) => pending.threadId === threadId);
  }

  /** Asks everyone who watches the thread. */
  asked(threadId: ThreadId, { questionId, turnId, request }: ClientAsked): void {
    const requestId = this.#nextId;
    this.#nextId += 1;
    const pending = { requestId, threadId, turnId, questionId, request, askedAtMs: this.#options.now() };
    this.#pending.set(requestId, pending);
    this.#byQuestion.set(questionId, requestId);
    for (const connection of this.#options.subscriptions.watchersOf(threadId)) send(connection, pending);
  }

  /** Asks a client that has begun to watch a thread what was asked before. */
  resend(threadId: ThreadId, connection: Connection): void {
    for (const pending of this.of(threadId)) send(connection, pending);
  }

  /** A question is asked no more. @returns what those who watch are told */
  closed(threadId: ThreadId, { questionId, method }: ClientQuestionClosed): Notification | undefined {
    const requestId = this.#byQuestion.get(questionId);
    if (requestId === undefined) return undefined;
    this.#byQuestion.delete(questionId);
    this.#pending.delete(requestId);
    for (const connection of this.#options.subscriptions.watchersOf(threadId)) connection.askNoMore(requestId);
    return isAnnounced(method) ? toSubscribers('serverRequest/resolved', threadId, { requestId }) : undefined;
  }

  /** A client has answered. What is answered already, or was never asked, is passed over. */
  answered(connection: Connection, requestId: RequestId, answer: RawAnswer): void {
    const pending = typeof requestId === 'number' ? this.#pending.get(requestId) : undefined;
    if (pending === undefined) return;
    const { threadId, request } = pending;
    const { pass, subscriptions, onRefused } = this.#options;
    if (!subscriptions.watchersOf(threadId).has(connection)) {
      onRefused(`${connection.id} has answered request ${requestId} of thread ${threadId}, which it does not watch`);
      return;
    }
    pass(pending, readAnswer(request.method, answer), `answer of ${connection.id}`);
  }
}

function send(connection: Connection, { requestId, threadId, turnId, request }: PendingRequest): void {
  const { method } = request;
  const isExperimental = connection.phase.phase === 'initialized' && connection.phase.client.isExperimental;
  const hidden = isExperimental ? [] : (EXPERIMENTAL[method] ?? []);
  const shown = Object.entries(request.params as JsonObject).filter(([name]) => !hidden.includes(name));
  connection.ask(requestId, method, { threadId, turnId, ...Object.fromEntries(shown) });
}
