import { invalidRequest, messageOf, notFound, SkeinError } from '../../domain/errors.ts';
import { parseThreadId, type ThreadId } from '../../domain/ids.ts';
import { RPC_CODES, RpcError } from '../../protocol/errors.ts';
import { readStateUpdate } from '../../protocol/params/organization-params.ts';
import { method, type Method } from '../request.ts';

const update = method(
  readStateUpdate,
  async ({ threadId, operation, expectedRevision }, request, { manager }) => {
    const id = idOf(threadId);
    const loaded = manager.find(id);
    if (loaded === undefined) {
      await manager.readThread(id).catch((error: unknown) => {
        throw error instanceof SkeinError && error.code === 'notFound' ? notFound(`thread not loaded: ${id}`) : error;
      });
    } else if (!loaded.isStored) throw invalidRequest('thread read state unavailable');
    const readState = await manager.organization.readMarks.mark(id, operation.type, expectedRevision);
    request.answer({ readState });
  },
  'method',
);

/** @throws RpcError for what is no id */
function idOf(text: string): ThreadId {
  try {
    return parseThreadId(text);
  } catch (error) {
    throw new RpcError(RPC_CODES.invalidParams, messageOf(error));
  }
}

/** How far threads were read. */
export const readStateMethods: Readonly<Record<string, Method>> = { 'thread/readState/update': update };
