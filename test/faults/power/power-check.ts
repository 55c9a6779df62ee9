import { join } from 'node:path';
import type { LocalThreadStore } from '../../../src/store/local/local-thread-store.ts';
import { OrganizationFile } from '../../../src/store/local/organization-file.ts';
import { listed, say, wordsIn } from '../../support/local-threads.ts';
import { isSame, type PowerWork } from './power-work.ts';
import type { PromisedThread } from './promised-thread.ts';

/** Compares what a store finds in a home after a loss of power with what was promised until then. @returns what is wrong */
export async function brokenPromises(
  store: LocalThreadStore,
  home: string,
  work: PowerWork,
  moment: number,
  hasHoles: boolean,
): Promise<readonly string[]> {
  const broken: string[] = [];
  const isKnown = new Set(work.threads.map(({ id }) => id));
  for (const isArchived of [false, true]) {
    const unknown = (await listed(store, isArchived)).filter((id) => !isKnown.has(id));
    broken.push(...unknown.map((id) => `thread ${id} is listed, and was never made`));
  }
  const found = new Map<PromisedThread, readonly string[]>();
  for (const thread of work.threads) {
    const { words, defects } = await look(store, thread, moment, hasHoles);
    broken.push(...defects.map((defect) => `${thread.mode} thread ${thread.id} ${defect}`));
    if (words !== undefined) found.set(thread, words);
  }
  // Whatever is there can be gone on with, and that changes nothing of another.
  for (const thread of [...found.keys()].slice(0, 2)) {
    try {
      await store.resumeThread({ threadId: thread.id, includeArchived: true });
      await say(store, thread.id, thread.mode, 'goes on');
      await store.shutdownThread(thread.id);
      found.set(thread, [...(found.get(thread) ?? []), 'goes on', 're: goes on']);
    } catch (error) {
      broken.push(`thread ${thread.id} cannot be gone on with: ${String(error)}`);
    }
  }
  for (const [thread, words] of found) {
    const now = await wordsIn(store, thread.id).catch((error: unknown) => [String(error)]);
    if (!isSame(now, words))
      broken.push(`thread ${thread.id} says ${shown(now)} after others went on, not ${shown(words)}`);
  }
  const organization = await OrganizationFile.open(join(home, 'skein_threads.jsonl'));
  const values = new Map([...organization.entries].map(({ key, value }) => [key, value as string]));
  for (const [key, promised] of work.marks) {
    const value = values.get(key) ?? null;
    if (!promised.possibleAt(moment).includes(value)) broken.push(`mark ${key} is ${value?.slice(0, 12) ?? 'gone'}`);
  }
  return broken;
}

async function look(
  store: LocalThreadStore,
  thread: PromisedThread,
  moment: number,
  hasHoles: boolean,
): Promise<{ readonly words?: readonly string[]; readonly defects: readonly string[] }> {
  const presence = thread.isThere.possibleAt(moment);
  const stored = await store.readThread(thread.id, { includeArchived: true }).catch((error: unknown) => String(error));
  if (typeof stored === 'string') {
    if (!stored.includes('no rollout found')) return { defects: [`cannot be read: ${stored}`] };
    return { defects: presence.includes(false) ? [] : ['is gone'] };
  }
  if (!presence.includes(true)) return { defects: ['is there again'] };
  const words = await wordsIn(store, thread.id).catch((error: unknown) => String(error));
  if (typeof words === 'string') return { defects: [`cannot be read: ${words}`] };
  const defects: string[] = [];
  const possible = thread.words.possibleAt(moment);
  if (!isAllowed(words, possible, hasHoles))
    defects.push(`says ${shown(words)}, not ${possible.map(shown).join(' or ')}`);
  if (!thread.name.possibleAt(moment).includes(stored.name)) defects.push(`is called ${stored.name}`);
  // A thread that was never certain may have lost all that came behind its header.
  const memories = thread.memory.possibleAt(moment);
  if (!memories.includes(stored.memoryMode)) defects.push(`has memory mode ${stored.memoryMode}`);
  if (!thread.isArchived.possibleAt(moment).includes(stored.archivedAtMs !== null))
    defects.push('is in the wrong collection');
  return { words, defects };
}

/**
 * True if there are the certain words, unless a version without them was begun, and of the others of a version the first ones:
 * none without those that were handed over before. Where pages are missing in the middle it may be any of them, in their
 * order and once.
 */
function isAllowed(words: readonly string[], versions: readonly (readonly string[])[], hasHoles: boolean): boolean {
  let common = versions[0] ?? [];
  return versions.some((version) => {
    common = common.filter((word, at) => version[at] === word);
    const rest = version.slice(common.length);
    const others = words.slice(common.length);
    let at = 0;
    return (
      isSame(words.slice(0, common.length), common) &&
      (hasHoles
        ? others.every((word) => {
            at = rest.indexOf(word, at) + 1;
            return at > 0;
          })
        : isSame(others, rest.slice(0, others.length)))
    );
  });
}

const shown = (words: readonly string[]): string => `[${words.map((word) => word.slice(0, 12)).join(', ')}]`;
