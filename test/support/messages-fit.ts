import { afterEach } from 'vitest';
import { takeMisfits } from './misfits.ts';

/** Whatever Skein sends in any test fits the peer's own schemas. */
afterEach(() => {
  const misfits = takeMisfits();
  if (misfits.length > 0) throw new Error(`${misfits.length} messages do not fit the protocol:\n${misfits.join('\n')}`);
});
