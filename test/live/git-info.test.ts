import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { collectGitInfo } from '../../src/live/git-info.ts';
import { tempFolder } from '../support/temp-home.ts';

afterEach(() => vi.unstubAllEnvs());

const git = (cwd: string, ...args: readonly string[]): string =>
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env['PATH'], HOME: cwd, GIT_CONFIG_NOSYSTEM: '1' },
  }).trim();

function repository(branch = 'main'): string {
  const folder = tempFolder();
  git(folder, 'init', '-q', '-b', branch);
  return folder;
}

function withCommit(folder = repository()): { readonly folder: string; readonly sha: string } {
  git(folder, 'commit', '-q', '--allow-empty', '-m', 'begin');
  return { folder, sha: git(folder, 'rev-parse', 'HEAD') };
}

describe('git facts', () => {
  it('LIVE-30 are commit, branch and origin of the repository that a folder lies in', async () => {
    const { folder, sha } = withCommit();
    git(folder, 'remote', 'add', 'origin', 'https://example.com/team/project.git');
    const inside = join(folder, 'a/b');
    mkdirSync(inside, { recursive: true });
    const facts = { sha, branch: 'main', originUrl: 'https://example.com/team/project.git' };
    expect(await collectGitInfo(folder)).toEqual(facts);
    expect(await collectGitInfo(inside)).toEqual(facts);
  });

  it('LIVE-31 are what there is before the first commit, on a detached head and in a worktree', async () => {
    expect(await collectGitInfo(repository('trunk'))).toEqual({ sha: null, branch: 'trunk', originUrl: null });
    const { folder, sha } = withCommit();
    const worktree = join(tempFolder(), 'tree');
    git(folder, 'worktree', 'add', '-q', '-b', 'topic', worktree);
    expect(await collectGitInfo(worktree)).toEqual({ sha, branch: 'topic', originUrl: null });
    git(folder, 'checkout', '-q', '--detach');
    expect(await collectGitInfo(folder)).toEqual({ sha, branch: null, originUrl: null });
  });

  it('LIVE-32 hold no password of a remote', async () => {
    const folder = repository();
    git(folder, 'remote', 'add', 'origin', 'x');
    for (const [url, shown] of [
      ['https://user:secret@example.com/a.git', 'https://example.com/a.git'],
      ['https://token@example.com/a.git', 'https://example.com/a.git'],
      ['https://user:p@ss@example.com/a.git', 'https://example.com/a.git'],
      ['ssh://git@example.com:22/a@b.git', 'ssh://example.com:22/a@b.git'],
      ['git@example.com:team/a.git', 'git@example.com:team/a.git'],
      ['/somewhere/a@b.git', '/somewhere/a@b.git'],
    ] as const) {
      git(folder, 'remote', 'set-url', 'origin', url);
      expect((await collectGitInfo(folder))?.originUrl).toBe(shown);
    }
  });

  it('LIVE-33 are none outside a repository, in a folder that is gone, in a broken one, and without git', async () => {
    const folder = tempFolder();
    expect(await collectGitInfo(folder)).toBeNull();
    writeFileSync(join(folder, '.git'), 'gitdir: /nowhere\n');
    expect(await collectGitInfo(folder)).toBeNull();
    const { folder: real } = withCommit();
    expect(await collectGitInfo(join(real, 'gone'))).toBeNull();
    vi.stubEnv('PATH', tempFolder());
    expect(await collectGitInfo(real)).toBeNull();
    rmSync(real, { recursive: true });
    expect(await collectGitInfo(real)).toBeNull();
  });

  it('LIVE-34 do not come from the environment of the daemon', async () => {
    const { folder, sha } = withCommit();
    const other = withCommit(repository('other'));
    vi.stubEnv('GIT_DIR', join(other.folder, '.git'));
    vi.stubEnv('GIT_COMMON_DIR', join(other.folder, '.git'));
    vi.stubEnv('GIT_CONFIG_COUNT', '1');
    vi.stubEnv('GIT_CONFIG_KEY_0', 'remote.origin.url');
    vi.stubEnv('GIT_CONFIG_VALUE_0', 'https://example.com/foreign.git');
    expect(await collectGitInfo(folder)).toEqual({ sha, branch: 'main', originUrl: null });
  });

  it('LIVE-35 are given up if git hangs, whatever signals it ignores', async () => {
    const { folder } = withCommit();
    const bin = tempFolder();
    // The shell itself hangs: no other process is left behind when it is killed.
    writeFileSync(join(bin, 'git'), `#!/bin/sh\ntrap '' TERM\nwhile :; do read -r line <> ${bin}/pipe; done\n`, {
      mode: 0o755,
    });
    execFileSync('mkfifo', [join(bin, 'pipe')]);
    vi.stubEnv('PATH', `${bin}:${process.env['PATH']}`);
    expect(await collectGitInfo(folder)).toBeNull();
  });
});
