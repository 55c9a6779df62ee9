import type { LiveThread } from './live-thread.ts';

/**
 * Runs what must happen between opening a thread's writer and having the thread. If it fails, or the caller has given
 * up meanwhile, the writer is discarded: nothing was stored that was not before, and the id can be used again. After
 * success the writer is the caller's, exactly once.
 *
 * @param signal aborted when the caller gives up
 * @throws what `init` threw, or the abort reason
 */
export async function guardedInit<T>(live: LiveThread, init: () => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    signal.throwIfAborted();
    const result = await init();
    signal.throwIfAborted();
    return result;
  } catch (error) {
    // What went wrong first is what the caller needs to hear.
    await live.discard().catch(() => {});
    throw error;
  }
}
