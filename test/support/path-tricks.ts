/** What is put where an id, a cursor, a path or any other text belongs, by those who want to be elsewhere. */
export const TRICKS: readonly string[] = [
  '..',
  '../../../../etc/passwd',
  '../skein-was-here',
  'sessions/../../skein-was-here',
  '..\\..\\skein-was-here',
  '%2e%2e%2f%2e%2e%2fskein-was-here',
  '/',
  '/etc/passwd',
  '/proc/self/environ',
  'file:///etc/passwd',
  'nul\0byte',
  '/tmp/nul\0byte',
  'line\nfeed',
  'rollout-*.jsonl',
  'x'.repeat(5_000),
  `/${'a/'.repeat(3_000)}`,
  '__proto__',
  'constructor',
  '\ud800',
  '\u{1f4a5}',
  '',
  ' ',
];

/** Stands for a trick, and for the id of a thread that is there. */
export const [TRICK, THREAD] = ['<trick>', '<thread>'];

/** A request with a trick in one member of its parameters, and in all others what it needs at least. */
export interface TrickRequest {
  readonly method: string;
  readonly params: string;
}

/** The parameters, as text. */
export const tricked = ({ params }: TrickRequest, trick: string, threadId: string): string =>
  params.replaceAll(JSON.stringify(TRICK), () => JSON.stringify(trick)).replaceAll(THREAD, threadId);

/** What no answer may have in it: where the daemon's code lies, what of it was under way, what stands in files that tricks name. */
export const TELLS_TOO_MUCH = /\\n +at |\/src\/[\w/-]+\.[jt]s|node_modules|node:internal|root:x:|\bPATH=/;
