/** What comes of it, or undefined as soon as the signal is aborted: nobody is waited for then. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  let abort: () => void = () => {};
  const aborted = new Promise<undefined>((resolve) => (abort = () => resolve(undefined)));
  signal.addEventListener('abort', abort);
  if (signal.aborted) abort();
  // What it throws after that is nobody's.
  work.catch(() => {});
  try {
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/**
 * What a model streams, until the signal is aborted: a model that does not listen to it is left alone then, not waited
 * for, and what it does later is nobody's.
 */
export async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const events = source[Symbol.asyncIterator]();
  let wake: () => void = () => {};
  const abort = (): void => wake();
  signal.addEventListener('abort', abort);
  try {
    while (!signal.aborted) {
      const step = await new Promise<IteratorResult<T, unknown> | undefined>((resolve, reject) => {
        wake = () => resolve(undefined);
        events.next().then(resolve, reject);
      });
      if (step === undefined || step.done === true || signal.aborted) return;
      yield step.value;
    }
  } finally {
    signal.removeEventListener('abort', abort);
    Promise.resolve()
      .then(() => events.return?.())
      .catch(() => {});
  }
}
