import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { GitInfo } from '../domain/session-meta.ts';

const run = promisify(execFile);

/** A repository that answers more slowly than this is described without git facts. */
const TIMEOUT_MS = 1_000;

/**
 * Commit, branch and origin of the repository that a folder lies in; null outside one, or without git. Never fails:
 * a thread is worth more than the facts about where it began.
 */
export async function collectGitInfo(cwd: string): Promise<GitInfo | null> {
  if (!(await isInsideRepository(cwd))) return null;
  const [sha, branch, originUrl] = await Promise.all([
    git(cwd, ['rev-parse', 'HEAD']),
    git(cwd, ['symbolic-ref', '--short', '-q', 'HEAD']),
    git(cwd, ['config', '--get', 'remote.origin.url']),
  ]);
  if (sha === null && branch === null && originUrl === null) return null;
  return { sha, branch, originUrl: originUrl === null ? null : withoutCredentials(originUrl) };
}

async function isInsideRepository(cwd: string): Promise<boolean> {
  for (let folder = cwd; ; folder = dirname(folder)) {
    const isThere = await stat(join(folder, '.git')).then(
      () => true,
      () => false,
    );
    if (isThere) return true;
    if (dirname(folder) === folder) return false;
  }
}

async function git(cwd: string, args: readonly string[]): Promise<string | null> {
  try {
    const { stdout } = await run('git', [...args], {
      cwd,
      timeout: TIMEOUT_MS,
      // What hangs may not listen to a politer signal either.
      killSignal: 'SIGKILL',
      env: environment(),
    });
    return stdout.trim() || null;
  } catch {
    return null;
  }
}

/** Asks nothing of a person, touches no lock, and takes no repository or setting from the daemon's own environment. */
function environment(): NodeJS.ProcessEnv {
  const foreign = Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_') || name === 'GIT_EXEC_PATH');
  return { ...Object.fromEntries(foreign), GIT_TERMINAL_PROMPT: '0', GIT_OPTIONAL_LOCKS: '0' };
}

/** A password in a remote's address must not get into histories, not even the rest of one with an `@` in it. */
function withoutCredentials(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1');
}
