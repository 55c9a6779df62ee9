import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { SkeinError } from '../../src/domain/errors.ts';
import { newThreadId, type ThreadId } from '../../src/domain/ids.ts';
import { PINNED_SECTION } from '../../src/domain/organization.ts';
import { Sections } from '../../src/runtime/sections.ts';
import { MemoryOrganizationStore } from '../../src/store/memory/memory-organization-store.ts';

it('SECT-3 whatever is moved in whatever order, a section is ordered as a list would be', async () => {
  const ids = Array.from({ length: 6 }, () => newThreadId());
  const index = fc.nat(ids.length - 1);
  const move = fc.record({
    moved: index,
    before: fc.option(index),
    isOut: fc.nat(3).map((n) => n === 0),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(move, { maxLength: 80 }), async (moves) => {
      const store = new MemoryOrganizationStore();
      const sections = new Sections({ store, now: () => 1 });
      let list: readonly ThreadId[] = [];
      for (const { moved, before, isOut } of moves) {
        const id = ids[moved] as ThreadId;
        const other = before === null || isOut ? undefined : ids[before];
        const isRefused = other !== undefined && (other === id || !list.includes(other));
        const sectionId = isOut ? null : PINNED_SECTION.id;
        const refusal = await sections.move(id, sectionId, other).catch((error: unknown) => error);
        expect(refusal instanceof SkeinError).toBe(isRefused);
        const rest = list.filter((one) => one !== id);
        const at = other === undefined ? rest.length : rest.indexOf(other);
        if (!isRefused) list = isOut ? rest : rest.toSpliced(at, 0, id);
        expect(sections.threadsIn(PINNED_SECTION.id).map(({ threadId }) => threadId)).toEqual(list);
      }
      // As the next process finds it.
      const next = new Sections({ store, now: () => 2 });
      expect(next.threadsIn(PINNED_SECTION.id)).toEqual(sections.threadsIn(PINNED_SECTION.id));
      expect(next.placed.toSorted()).toEqual(list.toSorted());
    }),
    { numRuns: 50 },
  );
});

it('SECT-3 a thread can be put between two others again and again, long after the room between them is used up', async () => {
  const sections = new Sections({ store: new MemoryOrganizationStore(), now: () => 1 });
  const [first, last] = [newThreadId(), newThreadId()];
  for (const id of [first, last]) await sections.move(id, PINNED_SECTION.id, undefined);
  const between: string[] = [];
  for (let n = 0; n < 60; n += 1) {
    const id = newThreadId();
    await sections.move(id, PINNED_SECTION.id, last);
    between.push(id);
  }
  const order = sections.threadsIn(PINNED_SECTION.id);
  expect(order.map(({ threadId }) => threadId)).toEqual([first, ...between, last]);
  expect(new Set(order.map(({ position }) => position)).size).toBe(order.length);
});
