import { setTimeout as delay } from 'node:timers/promises';

/** As long as it may take on a machine that has much else to do; longer than a thread waits before it tries to write again. */
export const PATIENCE_MS = 20_000;

const POLL_MS = 10;

/**
 * Asks a daemon again and again, where nothing tells when it is so far.
 * @param whyNot what is still in the way, or undefined
 * @throws Error with what was in the way last
 */
export async function polling(whyNot: () => Promise<string | undefined>): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; ; await delay(POLL_MS)) {
    const reason = await whyNot();
    if (reason === undefined) return;
    if (Date.now() > deadline) throw new Error(reason);
  }
}
