import { invalidRequest } from '../../domain/errors.ts';
import { parseThreadId } from '../../domain/ids.ts';
import { assertValidPatch, isEmptyPatch, type GitInfoPatch } from '../../domain/metadata-patch.ts';
import { threadMemoryModeSet, threadMetadataUpdate, threadNameSet } from '../../protocol/params/thread-params.ts';
import { threadView } from '../../protocol/views.ts';
import { given } from '../experimental.ts';
import { method, type Method } from '../request.ts';
import { listedViewOf } from '../runtime-view.ts';
import { assertNoProject } from './projects.ts';

const nameSet = method(threadNameSet, async ({ threadId, name }, request, { manager }) => {
  const id = parseThreadId(threadId);
  const patch = { name: name.trim() };
  assertValidPatch(patch);
  await manager.updateMetadata(id, patch, () => request.answer({}));
});

const metadataUpdate = method(
  threadMetadataUpdate,
  async ({ threadId, gitInfo, projectId, daybreakEnabled }, request, { manager }) => {
    const id = parseThreadId(threadId);
    assertNoProject(projectId);
    // What is not kept here can be asked for, and changes nothing.
    const isIgnored = (projectId ?? daybreakEnabled ?? null) !== null;
    if (!gitInfo && !isIgnored) throw invalidRequest('thread metadata update must include at least one field');
    const patch = gitInfo ? { gitInfo: trimmed(gitInfo) } : {};
    if (gitInfo && isEmptyPatch(patch)) throw invalidRequest('gitInfo must include at least one field');
    assertValidPatch(patch);
    await manager.updateMetadata(id, patch, (thread) =>
      request.answer({ thread: threadView(thread, listedViewOf(manager, id)) }),
    );
  },
  given('projectId', 'daybreakEnabled'),
);

type GivenGitInfo = { readonly [K in keyof GitInfoPatch]: string | null | undefined };

/** Git facts come from the output of commands, often with a line end. Of several bad ones the first here is named. */
const trimmed = ({ originUrl, sha, branch }: GivenGitInfo): GitInfoPatch => ({
  ...(originUrl === undefined ? {} : { originUrl: originUrl?.trim() ?? null }),
  ...(sha === undefined ? {} : { sha: sha?.trim() ?? null }),
  ...(branch === undefined ? {} : { branch: branch?.trim() ?? null }),
});

const memoryModeSet = method(
  threadMemoryModeSet,
  async ({ threadId, mode }, request, { manager }) => {
    await manager.updateMetadata(parseThreadId(threadId), { memoryMode: mode }, () => request.answer({}));
  },
  'method',
);

/** Methods that change what is known about a thread. */
export const metadataMethods: Readonly<Record<string, Method>> = {
  'thread/name/set': nameSet,
  'thread/metadata/update': metadataUpdate,
  'thread/memoryMode/set': memoryModeSet,
};
