import { messageOf } from '../../domain/errors.ts';
import { parseThreadId } from '../../domain/ids.ts';
import { RPC_CODES, RpcError } from '../../protocol/errors.ts';
import {
  anything,
  attachmentList,
  attachmentOwnerList,
  projectList,
  projectRead,
} from '../../protocol/params/host-params.ts';
import { threadOnly } from '../../protocol/params/thread-params.ts';
import { empty, method, type Method } from '../request.ts';

const invalidParams = (message: string, kind: string): RpcError =>
  new RpcError(RPC_CODES.invalidParams, message, { kind });

/** @throws RpcError invalid params, as the peer has it for attachments */
function assertThreadId(threadId: string): void {
  try {
    parseThreadId(threadId);
  } catch (error) {
    throw invalidParams(messageOf(error), 'invalidRequest');
  }
}

const emptyPage = { data: [], nextCursor: null };

/** What threads may be gathered in, or hold beside their history: Skein keeps none of it. */
export const collectionMethods: Readonly<Record<string, Method>> = {
  'project/list': empty(
    method(
      projectList,
      ({ cursor }, request) => {
        // None was ever given out.
        if (typeof cursor === 'string') {
          throw invalidParams('invalid project cursor: malformed or mismatched sort anchor', 'invalidRequest');
        }
        request.answer(emptyPage);
      },
      'method',
    ),
  ),
  'project/read': empty(
    method(
      projectRead,
      ({ projectId }) => {
        throw invalidParams(`project not found: ${projectId}`, 'notFound');
      },
      'method',
    ),
  ),
  'thread/attachment/list': empty(
    method(attachmentList, ({ threadId }, request) => {
      assertThreadId(threadId);
      request.answer(emptyPage);
    }),
  ),
  'thread/attachmentOwner/list': empty(method(attachmentOwnerList, (_params, request) => request.answer(emptyPage))),
  'thread/memory/read': empty(
    method(
      threadOnly('ThreadMemoryReadParams'),
      ({ threadId }, request) => {
        parseThreadId(threadId);
        request.answer({ summary: null });
      },
      'method',
    ),
  ),
  'memory/status': empty(
    method(
      anything('MemoryStatusParams'),
      (_params, request) => request.answer({ v2ConsolidatedThreads: 0, v2Ready: false }),
      'method',
    ),
  ),
};
