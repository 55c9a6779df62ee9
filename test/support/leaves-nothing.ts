import { readdirSync, watch } from 'node:fs';
import { beforeEach, onTestFinished } from 'vitest';

/** Descriptors of this process, as far as the system tells. */
const openDescriptors = (): number => (process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0);

// The event loop keeps what watching needs once anyone has watched: that belongs to the process, not to a test.
watch(import.meta.dirname, { persistent: false }).close();

/** A test that leaves a file or a socket open has forgotten to close something: so has, likely, the product. */
beforeEach(() => {
  const before = openDescriptors();
  // Registered first, so it runs last: after everything that the test has asked to be closed.
  onTestFinished(async () => {
    for (let turn = 0; turn < 200 && openDescriptors() > before; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    const left = openDescriptors() - before;
    if (left > 0) throw new Error(`the test left ${left} descriptors open`);
  });
});
