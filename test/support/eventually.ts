import { vi } from 'vitest';

/** As long as it may take on a machine that has much else to do. */
const PATIENCE_MS = 20_000;

/** Waits until what is expected has come about, where nothing tells when it has. */
export const eventually = <T>(expectation: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(expectation, { timeout: PATIENCE_MS });
