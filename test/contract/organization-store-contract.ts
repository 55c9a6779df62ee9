import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { change, type OrganizationChange } from '../../src/domain/organization.ts';
import type { OrganizationStore } from '../../src/store/organization-store.ts';

/** A place that stores are opened on, one after the other. */
export interface OrganizationPlace {
  open(): Promise<OrganizationStore>;
}

/** What is set in a store, by kind and key. */
export const setIn = (store: OrganizationStore): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Array.from(store.entries, ({ kind, key, value }) => [`${kind} ${key}`, value]));

export const mark = (key: string, revision: string): OrganizationChange =>
  change('readState', key, { firstUnread: null, revision });

/** What every {@link OrganizationStore} keeps. */
export function registerOrganizationStoreContract(name: string, newPlace: () => OrganizationPlace): void {
  describe(`organization store: ${name}`, () => {
    it('ORG-1 what was set is there for the next process, the last value of each; what was removed is not', async () => {
      const place = newPlace();
      const store = await place.open();
      await store.write([mark('a', '1'), mark('b', '1')], 'power');
      await store.write([mark('a', '2'), change('queuePaused', 'a', true)], 'process');
      await store.write([mark('b', '2'), change('readState', 'b', null)], 'power');
      await store.close();
      const next = await place.open();
      expect(setIn(next)).toEqual({ 'readState a': { firstUnread: null, revision: '2' }, 'queuePaused a': true });
      await next.close();
    });

    it('ORG-2 writes keep their order, however many are under way', async () => {
      const place = newPlace();
      const store = await place.open();
      const numbers = Array.from({ length: 200 }, (_, index) => index);
      await Promise.all(
        numbers.map((n) => store.write([mark('a', `${n}`), mark(`${n}`, 'x')], n % 50 === 0 ? 'power' : 'process')),
      );
      await store.close();
      const next = await place.open();
      expect(setIn(next)['readState a']).toEqual({ firstUnread: null, revision: '199' });
      expect(Object.keys(setIn(next))).toHaveLength(201);
      await next.close();
    });

    it('ORG-3 text of any kind comes back as it was', async () => {
      const text = fc.string({ unit: 'binary' });
      await fc.assert(
        fc.asyncProperty(fc.array(fc.tuple(text, text), { maxLength: 5 }), async (pairs) => {
          const place = newPlace();
          const store = await place.open();
          for (const [key, value] of pairs) await store.write([mark(key, value)], 'process');
          await store.close();
          const next = await place.open();
          const expected = new Map(
            pairs.map(([key, value]) => [`readState ${key}`, { firstUnread: null, revision: value }]),
          );
          expect(new Map(Object.entries(setIn(next)))).toEqual(expected);
          await next.close();
        }),
        { numRuns: 20 },
      );
    });
  });
}
