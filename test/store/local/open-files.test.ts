import { expect, it } from 'vitest';
import { OpenFiles, type HandleHolder } from '../../../src/store/local/open-files.ts';

interface Holder extends HandleHolder {
  isBusy: boolean;
  isOpen: boolean;
}

const holder = (): Holder => ({
  isBusy: false,
  isOpen: true,
  releaseHandle() {
    this.isOpen = false;
    return Promise.reject(new Error('a close that fails'));
  },
});

it('WRITE-22 closes what was idle for longest, never what is in use', () => {
  const files = new OpenFiles(2);
  const [a, b, c, d] = [holder(), holder(), holder(), holder()];
  a.isBusy = true;
  for (const each of [a, b, a, c]) files.touch(each);
  expect([a, b, c].map(({ isOpen }) => isOpen)).toEqual([true, false, true]);
  c.isBusy = true;
  files.touch(d);
  // All others are in use: there are more than the limit for a while.
  expect([a, c, d].map(({ isOpen }) => isOpen)).toEqual([true, true, true]);
  expect(files.count).toBe(3);
  [a.isBusy, c.isBusy] = [false, false];
  files.touch(d);
  expect([a, c, d].map(({ isOpen }) => isOpen)).toEqual([false, true, true]);
  files.forget(c);
  files.forget(d);
  expect(files.count).toBe(0);
});
