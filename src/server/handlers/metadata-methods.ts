import { invalidRequest } from '../../domain/errors.ts';
import { parseThreadId } from '../../domain/ids.ts';
import { threadMemoryModeSet, threadMetadataUpdate, threadNameSet } from '../../protocol/params/thread-params.ts';
import { threadView } from '../../protocol/views.ts';
import { method, type Method } from '../request.ts';
import { listedViewOf } from '../runtime-view.ts';

const nameSet = method(threadNameSet, async ({ threadId, name }, request, { manager }) => {
  await manager.updateMetadata(parseThreadId(threadId), { name: name.trim() }, () => request.answer({}));
});

const metadataUpdate = method(threadMetadataUpdate, async ({ threadId, gitInfo }, request, { manager }) => {
  const id = parseThreadId(threadId);
  if (gitInfo === null || gitInfo === undefined) {
    throw invalidRequest('thread metadata update must include at least one field');
  }
  const patch = Object.fromEntries(Object.entries(gitInfo).filter(([, value]) => value !== undefined));
  if (Object.keys(patch).length === 0) throw invalidRequest('gitInfo must include at least one field');
  await manager.updateMetadata(id, { gitInfo: patch }, (thread) =>
    request.answer({ thread: threadView(thread, listedViewOf(manager.find(id))) }),
  );
});

const memoryModeSet = method(threadMemoryModeSet, async ({ threadId, mode }, request, { manager }) => {
  await manager.updateMetadata(parseThreadId(threadId), { memoryMode: mode }, () => request.answer({}));
});

/** Methods that change what is known about a thread. */
export const metadataMethods: Readonly<Record<string, Method>> = {
  'thread/name/set': nameSet,
  'thread/metadata/update': metadataUpdate,
  'thread/memoryMode/set': memoryModeSet,
};
