import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { KeyedMutex } from '../../src/store/mutex.ts';

it('LOCAL-1 whoever holds several keys holds them alone, in the order of coming for each, and all come to their end', async () => {
  const keys = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1 });
  const works = fc.array(fc.record({ keys, fails: fc.boolean() }), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), works, async (scheduler, wanted) => {
      const mutex = new KeyedMutex<string>();
      const held = new Set<string>();
      const order: string[] = [];
      const running = wanted.map((work, index) =>
        mutex.runAll([...work.keys, ...work.keys], async () => {
          for (const key of work.keys) {
            expect(held.has(key)).toBe(false);
            held.add(key);
          }
          if (work.keys.length === 1) order.push(`${work.keys[0]}${String(index).padStart(2, '0')}`);
          await scheduler.schedule(Promise.resolve());
          for (const key of work.keys) held.delete(key);
          if (work.fails) throw new Error(`work ${index}`);
        }),
      );
      const results = Promise.allSettled(running);
      await scheduler.waitFor(results);
      expect((await results).map(({ status }) => status === 'rejected')).toEqual(wanted.map(({ fails }) => fails));
      for (const key of ['a', 'b', 'c', 'd']) {
        const ofKey = order.filter((entry) => entry.startsWith(key));
        expect(ofKey).toEqual(ofKey.toSorted());
      }
    }),
    { numRuns: 60 },
  );
});
