import { join } from 'node:path';
import { expect, it } from 'vitest';
import { newThreadId, type ThreadId } from '../../src/domain/ids.ts';
import type { ReadState } from '../../src/domain/organization.ts';
import { ReadMarks } from '../../src/runtime/read-marks.ts';
import { OrganizationFile } from '../../src/store/local/organization-file.ts';
import { failing, once } from '../support/failing-disk.ts';
import { tempFolder } from '../support/temp-home.ts';

interface Marked {
  readonly marks: ReadMarks;
  readonly told: ReadState[];
  readonly threadId: ThreadId;
  /** Resolves when everything that was asked to be written is. */
  readonly written: () => Promise<void>;
  /** As the next process sees the thread. */
  readonly next: () => Promise<ReadState>;
}

async function useMarks(): Promise<Marked> {
  const path = join(tempFolder(), 'skein_threads.jsonl');
  const told: ReadState[] = [];
  const over = (store: OrganizationFile): ReadMarks =>
    new ReadMarks({
      store,
      onChanged: (_, state) => told.push(state),
      onProblem: (message) => expect.unreachable(message),
    });
  const threadId = newThreadId();
  const store = await OrganizationFile.open(path);
  return {
    marks: over(store),
    told,
    threadId,
    written: () => store.close(),
    next: async () => over(await OrganizationFile.open(path)).of(threadId),
  };
}

it('SEEN-6 a mark that the disk refuses changes nothing and is told to nobody', async () => {
  const { marks, told, threadId, next } = await useMarks();
  const before = marks.of(threadId);
  const mark = (): Promise<ReadState> => marks.mark(threadId, 'unread', before.revision);
  await expect(failing('write', 'ENOSPC', mark)).rejects.toMatchObject({ code: 'internal' });
  expect(marks.of(threadId)).toEqual(before);
  expect(told).toEqual([]);
  expect(await next()).toEqual(before);
  // Who was refused may ask again, under the revision that they know.
  expect(await mark()).toMatchObject({ firstUnread: { type: 'threadStart' } });
  expect(told).toEqual([marks.of(threadId)]);
});

it.each([
  ['stored', 'later'],
  ['refused', 'earlier'],
])('SEEN-6 a turn that ends while a mark is being stored counts behind it (%s)', async (outcome, firstUnread) => {
  const { marks, told, threadId, written, next } = await useMarks();
  marks.turnEnded(threadId, 'earlier');
  await written();
  const { revision } = marks.of(threadId);
  const isFirst = once();
  const mark = failing(
    'write',
    'ENOSPC',
    () => marks.mark(threadId, 'read', revision),
    () => {
      if (!isFirst()) return false;
      // The mark is on its way to the disk.
      marks.turnEnded(threadId, 'later');
      return outcome === 'refused';
    },
  );
  await mark.catch(() => {});
  await marks.settled(threadId);
  await written();
  expect(marks.of(threadId).firstUnread).toEqual({ type: 'turn', turnId: firstUnread });
  expect(await next()).toEqual(marks.of(threadId));
  expect(told.at(-1)).toEqual(marks.of(threadId));
});

it('SEEN-6 of two marks at once the second is refused, since the thread is not as it was seen', async () => {
  const { marks, threadId } = await useMarks();
  const { revision } = marks.of(threadId);
  const both = [marks.mark(threadId, 'unread', revision), marks.mark(threadId, 'read', revision)];
  const outcomes = await Promise.allSettled(both);
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  expect(marks.of(threadId).firstUnread).toEqual({ type: 'threadStart' });
});
