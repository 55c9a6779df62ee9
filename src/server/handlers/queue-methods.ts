import { invalidRequest, messageOf, SkeinError } from '../../domain/errors.ts';
import { parseThreadId, type ThreadId } from '../../domain/ids.ts';
import type { JsonObject } from '../../domain/json.ts';
import type { UserInput } from '../../domain/user-input.ts';
import { RPC_CODES, RpcError } from '../../protocol/errors.ts';
import {
  queueAdd,
  queueDelete,
  queueList,
  queueReorder,
  queueStart,
  queueUpdate,
} from '../../protocol/params/organization-params.ts';
import { assertNotTooLong, inputOf } from '../../protocol/params/user-input.ts';
import type { ThreadManager } from '../../runtime/thread-manager.ts';
import { method, type Method } from '../request.ts';
import { asJson } from './history-answers.ts';
import { pageSize } from './page-size.ts';

const add = method(
  queueAdd,
  async (params, request, { manager }) => {
    const input = inputOf(params.input);
    const threadId = await queueOwner(manager, params.threadId);
    assertInput(input);
    const message = {
      input,
      clientUserMessageId: params.clientUserMessageId,
      responsesapiClientMetadata: metadataOf(params.responsesapiClientMetadata) ?? null,
    };
    await manager.enqueue(threadId, message, request.cause, (queuedSubmission) => request.answer({ queuedSubmission }));
  },
  'method',
);

const list = method(
  queueList,
  async (params, request, { manager }) => {
    const threadId = await queueOwner(manager, params.threadId);
    const from = offsetOf(params.cursor);
    const all = await manager.organization.queues.list(threadId);
    // All that can wait fits one page, if somebody wants it so.
    const to = from + pageSize(params.limit);
    request.answer({ data: asJson(all.slice(from, to)), nextCursor: to < all.length ? String(to) : null });
  },
  'method',
);

const update = method(
  queueUpdate,
  async (params, request, { manager }) => {
    const input = inputOf(params.input);
    const threadId = await queueOwner(manager, params.threadId);
    assertInput(input);
    const { queuedSubmissionId: id, responsesapiClientMetadata } = params;
    const { queues } = manager.organization;
    const queuedSubmission = await queues.update(threadId, id, input, metadataOf(responsesapiClientMetadata));
    request.answer({ queuedSubmission });
    manager.tellQueueChanged(threadId);
  },
  'method',
);

const remove = method(
  queueDelete,
  async (params, request, { manager }) => {
    const threadId = await queueOwner(manager, params.threadId);
    const deleted = await manager.organization.queues.delete(threadId, params.queuedSubmissionId);
    request.answer({ deleted });
    if (deleted) manager.tellQueueChanged(threadId);
  },
  'method',
);

const reorder = method(
  queueReorder,
  async (params, request, { manager }) => {
    const threadId = await queueOwner(manager, params.threadId);
    await manager.organization.queues.reorder(threadId, params.queuedSubmissionIds);
    request.answer({});
    manager.tellQueueChanged(threadId);
  },
  'method',
);

const start = method(
  queueStart,
  async (params, request, { manager }) => {
    const threadId = await queueOwner(manager, params.threadId);
    const { queues } = manager.organization;
    await queues.start(threadId, params.queuedSubmissionId ?? undefined, request.cause, (answer) =>
      request.answer(answer),
    );
  },
  'method',
);

/**
 * The thread whose queue is meant.
 * @throws invalidRequest for an ephemeral or archived one; RpcError for one that is not there
 */
async function queueOwner(manager: ThreadManager, text: string): Promise<ThreadId> {
  const threadId = parseThreadId(text);
  const loaded = manager.find(threadId);
  if (loaded?.isEphemeral === true) {
    throw invalidRequest(`ephemeral thread does not support queued submissions: ${threadId}`);
  }
  if (loaded !== undefined) return threadId;
  const thread = await manager.readThread(threadId).catch((error: unknown) => {
    if (!(error instanceof SkeinError) || error.code !== 'notFound') throw error;
    throw new RpcError(RPC_CODES.internal, `failed to read thread: invalid thread-store request: ${messageOf(error)}`);
  });
  if (thread.archivedAtMs === null) return threadId;
  throw invalidRequest(`session ${threadId} is archived. Run \`codex unarchive ${threadId}\` to unarchive it first.`);
}

/** @throws invalidRequest for one without any part; RpcError for one that is too long */
function assertInput(input: readonly UserInput[]): void {
  if (input.length === 0) throw invalidRequest('only user input can be added to the user-message queue');
  assertNotTooLong(input);
}

/** Nothing in it is the same as none. */
const metadataOf = (given: { readonly [key: string]: string } | null | undefined): JsonObject | undefined =>
  given === null || given === undefined || Object.keys(given).length === 0 ? undefined : given;

/** A cursor is how many come before the page. */
function offsetOf(cursor: string | null | undefined): number {
  if (cursor === null || cursor === undefined) return 0;
  const problem =
    cursor === ''
      ? 'cannot parse integer from empty string'
      : !/^\+?\d+$/.test(cursor)
        ? 'invalid digit found in string'
        : BigInt(cursor) >= 1n << 64n
          ? 'number too large to fit in target type'
          : undefined;
  if (problem !== undefined) throw invalidRequest(`invalid queue pagination cursor: ${problem}`);
  return Number(cursor);
}

/** Methods of the messages that wait for a thread. */
export const queueMethods: Readonly<Record<string, Method>> = {
  'thread/queue/add': add,
  'thread/queue/list': list,
  'thread/queue/update': update,
  'thread/queue/delete': remove,
  'thread/queue/reorder': reorder,
  'thread/queue/start': start,
};
