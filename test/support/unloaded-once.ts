/** What a test calls a change of status, whichever words it uses. */
const isStatus = (name: string): boolean => /^(?:thread\/status\/changed|status)\s/.test(name);

/**
 * The names of what a client was told, without those by which Codex now and then says again that a thread is not loaded:
 * where it unloads one, two of its tasks notice, and what comes of the race stands beside or behind the next message.
 * That Skein says it once is shown where it is not compared (MGR-8, SUB-2).
 */
export function unloadedOnce(told: readonly string[]): readonly string[] {
  let last: string | undefined;
  return told.filter((name) => {
    if (!isStatus(name)) return true;
    const isAgain = name === last && name.includes('notLoaded');
    last = name;
    return !isAgain;
  });
}
