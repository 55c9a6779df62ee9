import { get } from 'node:http';
import type { DaemonInfo } from '../domain/daemon-files.ts';
import { errnoOf } from '../domain/errors.ts';
import { identityIn, type DaemonIdentity } from '../protocol/daemon-identity.ts';
import { isSame, readInfo } from './daemon-info.ts';
import { CliError, EXIT } from './exit-code.ts';
import { silentDaemon } from './hints.ts';

/** A daemon that says nothing in this time is not well. */
const TIMEOUT_MS = 10_000;

/**
 * The daemon that answers for a home, with the pid that it gives itself: the one in a file may be another process's by
 * now. It is asked in a way that needs no place among its clients.
 * @param home absolute
 * @returns undefined if nobody listens there, or the daemon of another home
 * @throws CliError `failure` if what is there does not answer, or is no daemon
 */
export async function answeringDaemon(home: string): Promise<DaemonInfo | undefined> {
  const info = await readInfo(home);
  const answer = info === undefined ? undefined : await whoAnswers(info);
  if (info === undefined || answer === undefined) return undefined;
  const { pid, nonce } = answer;
  return (await isSame(home, answer.home)) ? { ...info, pid, nonce } : undefined;
}

function whoAnswers(info: DaemonInfo): Promise<DaemonIdentity | undefined> {
  return new Promise((resolve, reject) => {
    const request = get({ socketPath: info.socket, path: '/healthz', timeout: TIMEOUT_MS, agent: false });
    request.on('response', (response) => {
      response.resume();
      const identity = identityIn(response.headers);
      if (identity !== undefined) resolve(identity);
      else reject(noDaemonAt(info));
    });
    request.on('timeout', () => {
      reject(silentDaemon(info, 'it says nothing'));
      request.destroy();
    });
    request.on('error', (error) => {
      const errno = errnoOf(error);
      // The queue of one that listens is full; what is no HTTP; or nobody is there, not any more at least.
      if (errno === 'EAGAIN') reject(silentDaemon(info, error.message));
      else if (errno?.startsWith('HPE_') === true) reject(noDaemonAt(info));
      else resolve(undefined);
    });
  });
}

const noDaemonAt = ({ socket }: DaemonInfo): CliError =>
  new CliError(EXIT.failure, `what answers on ${socket} does not say which daemon it is`);
