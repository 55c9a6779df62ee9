import type { Parameters } from 'fast-check';

const SHORT_MS = 30_000;

const asked = process.env['SKEIN_FUZZ_RUNS'];

/**
 * How long a property is tried: so often, or as often as `SKEIN_FUZZ_RUNS` says. What fast-check prints of a failure
 * (`seed`, `path`) repeats it as `SKEIN_FUZZ_SEED` and `SKEIN_FUZZ_PATH`.
 */
export function runs(short: number): Parameters<unknown> {
  const { SKEIN_FUZZ_SEED: seed, SKEIN_FUZZ_PATH: path } = process.env;
  return {
    numRuns: asked === undefined ? short : Number(asked),
    // Not even a case that shrinks slowly keeps a test from its end.
    ...(asked === undefined ? { interruptAfterTimeLimit: SHORT_MS } : {}),
    ...(seed === undefined ? {} : { seed: Number(seed) }),
    ...(path === undefined ? {} : { path }),
  };
}

/** Of a test, ms: shrinking takes time, and long runs take what they take. */
export const FUZZ_TIMEOUT_MS = asked === undefined ? 60_000 : 24 * 3_600_000;
