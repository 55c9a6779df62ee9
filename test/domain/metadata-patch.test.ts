import { describe, expect, it } from 'vitest';
import {
  assertValidPatch,
  isEmptyPatch,
  patchedGit,
  type ThreadMetadataPatch,
} from '../../src/domain/metadata-patch.ts';

describe('metadata patch', () => {
  it('LIVE-40 keeps null apart from absent through JSON', () => {
    const patch: ThreadMetadataPatch = { name: 'a', gitInfo: { sha: null, branch: 'topic' } };
    const read = JSON.parse(JSON.stringify({ ...patch, memoryMode: undefined })) as ThreadMetadataPatch;
    expect(read).toEqual(patch);
    expect(Object.keys(read.gitInfo ?? {})).toEqual(['sha', 'branch']);
    expect(isEmptyPatch(JSON.parse('{}') as ThreadMetadataPatch)).toBe(true);
    expect(isEmptyPatch({ gitInfo: {} })).toBe(true);
    expect(isEmptyPatch({ gitInfo: { sha: null } })).toBe(false);
  });

  it('LIVE-41 changes git facts member by member, and nothing is left when all are null', () => {
    const git = { sha: '1', branch: 'main', originUrl: 'o' };
    expect(patchedGit(git, { branch: 'topic', sha: null })).toEqual({ sha: null, branch: 'topic', originUrl: 'o' });
    expect(patchedGit(git, {})).toEqual(git);
    expect(patchedGit(git, { sha: null, branch: null, originUrl: null })).toBeNull();
    expect(patchedGit(null, { sha: '2' })).toEqual({ sha: '2', branch: null, originUrl: null });
  });

  it('LIVE-42 is refused by the member that makes no sense', () => {
    expect(() => assertValidPatch({ name: ' \n' })).toThrow('thread name must not be empty');
    expect(() => assertValidPatch({ gitInfo: { branch: ' ' } })).toThrow('gitInfo.branch must not be empty');
    assertValidPatch({ name: 'two\nlines', gitInfo: { branch: null } });
  });
});
