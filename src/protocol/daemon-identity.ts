/** Which daemon answers: in its own words, where a file could be wrong. */
export interface DaemonIdentity {
  readonly pid: number;
  /** Tells this run of the daemon from any other. */
  readonly nonce: string;
  /** Absolute. */
  readonly home: string;
}

const PID = 'skein-pid';
const NONCE = 'skein-nonce';
const HOME = 'skein-home';

/** What health answers carry on sockets that are the owner's alone. */
export const identityHeaders = ({ pid, nonce, home }: DaemonIdentity): Readonly<Record<string, string>> => ({
  [PID]: String(pid),
  [NONCE]: nonce,
  [HOME]: encodeURIComponent(home),
});

/** @returns undefined if these are not the headers of a daemon */
export function identityIn(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): DaemonIdentity | undefined {
  const { [PID]: pid, [NONCE]: nonce, [HOME]: home } = headers;
  if (typeof pid !== 'string' || !/^[1-9]\d{0,9}$/.test(pid)) return undefined;
  if (typeof nonce !== 'string' || typeof home !== 'string') return undefined;
  try {
    return { pid: Number(pid), nonce, home: decodeURIComponent(home) };
  } catch {
    return undefined;
  }
}
