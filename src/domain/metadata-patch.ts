import { invalidRequest } from './errors.ts';
import type { GitInfo, MemoryMode } from './session-meta.ts';

/** Git members to change: absent leaves, null clears, text sets. */
export interface GitInfoPatch {
  readonly sha?: string | null;
  readonly branch?: string | null;
  readonly originUrl?: string | null;
}

/** What a person may change about a thread. Absent members stay; all present ones change together or not at all. */
export interface ThreadMetadataPatch {
  readonly name?: string;
  readonly memoryMode?: MemoryMode;
  readonly gitInfo?: GitInfoPatch;
}

/** True if applying the patch is a pure read. */
export const isEmptyPatch = (patch: ThreadMetadataPatch): boolean =>
  patch.name === undefined &&
  patch.memoryMode === undefined &&
  (patch.gitInfo === undefined || isEmptyGitPatch(patch.gitInfo));

const isEmptyGitPatch = (patch: GitInfoPatch): boolean =>
  patch.sha === undefined && patch.branch === undefined && patch.originUrl === undefined;

/** Git facts after a patch; null when nothing is left. */
export function patchedGit(git: GitInfo | null, patch: GitInfoPatch): GitInfo | null {
  const after: GitInfo = {
    sha: patch.sha === undefined ? (git?.sha ?? null) : patch.sha,
    branch: patch.branch === undefined ? (git?.branch ?? null) : patch.branch,
    originUrl: patch.originUrl === undefined ? (git?.originUrl ?? null) : patch.originUrl,
  };
  return after.sha === null && after.branch === null && after.originUrl === null ? null : after;
}

/**
 * Refuses a patch that no store could apply.
 * @throws invalidRequest naming the member
 */
export function assertValidPatch(patch: ThreadMetadataPatch): void {
  if (patch.name !== undefined && patch.name.trim() === '') {
    throw invalidRequest('thread name must not be empty');
  }
  for (const [member, value] of Object.entries(patch.gitInfo ?? {})) {
    if (typeof value === 'string' && value.trim() === '') {
      throw invalidRequest(`gitInfo.${member} must not be empty`);
    }
  }
}
