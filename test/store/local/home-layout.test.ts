import { join, relative, resolve } from 'node:path';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { HomeLayout, isInside } from '../../../src/store/local/home-layout.ts';

it('PLACE-15 what lies in a folder is told by the way to it, however its path is spelled', () => {
  const part = fc.constantFrom('', '.', '..', '.codex', '...', 'a', 'sessions', 'sessions.old', 'archived_sessions');
  const path = fc.array(part, { maxLength: 7 }).map((parts) => `/${parts.join('/')}`);
  fc.assert(
    fc.property(path, path, (folder, other) => {
      const way = relative(resolve(folder), resolve(other));
      const isBelow = way !== '' && way !== '..' && !way.startsWith('../');
      expect(isInside(folder, other)).toBe(isBelow);
      const home = new HomeLayout(folder);
      expect(home.toStored(other)).toBe(isBelow ? way : other);
      expect(home.isCollected(other)).toBe(/^(archived_)?sessions\/./.test(way));
      expect(home.fromStored(home.toStored(other))).toBe(isBelow ? join(resolve(folder), way) : other);
    }),
    { numRuns: 1_000 },
  );
});
