import { readFileSync } from 'node:fs';
import { queuedWords } from '../../support/organized.ts';
import { RpcRefusal, type Json, type RpcClient } from '../../support/rpc-client.ts';
import { difference, factsIn, type Entry, type Found, type Thread } from './expectation.ts';
import { foundIn, withRaw } from './found-thread.ts';
import type { Ledger } from './ledger.ts';
import { rawHistory } from './raw-history.ts';
import { rolloutsOf } from './rollouts.ts';
import { printOf } from './texts.ts';

/** What a look at a home after a crash has brought. */
export interface Findings {
  /** Facts that had been acknowledged, and how many of them are there. */
  readonly expected: number;
  readonly found: number;
  /** Changes that were asked for and not answered: how many are there, and how many are not. */
  readonly done: number;
  readonly undone: number;
  readonly defects: readonly string[];
}

/**
 * Holds everything that was acknowledged against what a daemon shows, and goes on from what it shows.
 * @param home where the daemon has its rollouts: in these stands what no client is shown
 */
export async function verify(client: RpcClient, ledger: Ledger, home: string): Promise<Findings> {
  const places = await listedThreads(client);
  const defects: string[] = [];
  let [expected, found, done, undone] = [0, 0, 0, 0];
  for (const [id, entry] of ledger.entries) {
    const facts = factsIn(entry.certain);
    expected += facts;
    const seen = await look(client, home, id, places.get(id) ?? [], entry);
    const wrong = typeof seen === 'string' ? seen : judge(entry, seen);
    if (wrong === null) found += facts;
    else defects.push(`round ${ledger.round}: ${id} ${wrong}; ${entry.trail.slice(-12).join(', ')}`);
    entry.trail.push(`round ${ledger.round}`);
    if (typeof seen === 'string') continue;
    if (entry.pending !== undefined) {
      if (difference(entry.pending, seen) === null) done += 1;
      else undone += 1;
    }
    if (seen === null) ledger.entries.delete(id);
    else ledger.entries.set(id, { ...entry, certain: seen, pending: undefined });
  }
  const sections = await sectionNames(client);
  const lost = ledger.sections.filter((name) => !sections.includes(name));
  expected += ledger.sections.length;
  found += ledger.sections.length - lost.length;
  defects.push(...lost.map((name) => `round ${ledger.round}: section ${name} is gone`));
  const { chosen } = ledger;
  if (chosen.certain !== undefined) {
    expected += 1;
    const { model } = (await client.call('config/read', {})).config;
    if ([chosen.certain, chosen.pending].includes(model)) found += 1;
    else defects.push(`round ${ledger.round}: ${model} is chosen instead of ${chosen.certain}`);
    ledger.chosen = { certain: model, pending: undefined };
  }
  return { expected, found, done, undone, defects };
}

async function sectionNames(client: RpcClient): Promise<readonly string[]> {
  const names: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Json = await client.call('threadSection/list', { cursor, limit: 100 });
    for (const { name } of page.data) names.push(name);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return names;
}

/** Null: it is as it was left, or as it was asked to be. */
function judge({ certain, pending }: Entry, seen: Found | null): string | null {
  const wrong = difference(certain, seen);
  if (wrong === null || pending === undefined) return wrong;
  const alsoWrong = difference(pending, seen);
  return alsoWrong === null ? null : `${wrong}; as asked it would be another: ${alsoWrong}`;
}

/** Threads of the lists, with what each list says about them. */
async function listedThreads(client: RpcClient): Promise<ReadonlyMap<string, readonly boolean[]>> {
  const places = new Map<string, boolean[]>();
  for (const archived of [false, true]) {
    let cursor: string | null = null;
    do {
      const page: Json = await client.call('thread/list', { archived, cursor, limit: 100 });
      for (const { id } of page.data) places.set(id, [...(places.get(id) ?? []), archived]);
      cursor = page.nextCursor;
    } while (cursor !== null);
  }
  return places;
}

/** @returns the thread, null if there is none, or what is wrong with it */
async function look(
  client: RpcClient,
  home: string,
  id: string,
  places: readonly boolean[],
  entry: Entry,
): Promise<Found | null | string> {
  const [isArchived, ...more] = places;
  if (more.length > 0) return `is listed ${places.length} times`;
  try {
    const { thread, readState } = await client.call('thread/read', { threadId: id, includeTurns: true });
    if (isArchived === undefined) return 'can be read, and is in no list';
    const shown = foundIn(thread, { isArchived, ...(await around(client, id, isArchived, readState, entry)) });
    const found = entry.mayAnswerTwice ? shown : { ...shown, wrong: [...shown.wrong, ...shown.repeated] };
    return entry.hasMoreThanWords ? withRaw(found, thread, rawHistory(home, thread.path), entry) : found;
  } catch (error) {
    if (!(error instanceof RpcRefusal)) throw error;
    if (error.body.data?.kind !== 'notFound') return `cannot be read: ${error.message}`;
    return isArchived === undefined ? null : `is listed, and not found: ${error.message}`;
  }
}

/** What is set around a thread, as far as somebody has asked for it. */
async function around(
  client: RpcClient,
  threadId: string,
  isArchived: boolean,
  readState: Json,
  { certain, pending }: Entry,
): Promise<Partial<Thread>> {
  const isAsked = (of: (thread: Thread) => unknown): boolean =>
    [certain, pending].some((fate) => fate !== null && fate !== undefined && of(fate) !== null);
  // Nothing can be asked about the queue of an archived thread, nor can it be loaded.
  const queued = isArchived ? [] : (await queuedWords(client, threadId)).map(printOf);
  const isUnread = isAsked(({ isUnread: said }) => said) ? readState?.firstUnread?.type === 'threadStart' : null;
  if (!isAsked(({ model }) => model)) return { queued, isUnread };
  if (isArchived) return { queued, isUnread, model: certain?.model ?? null };
  const { model } = await client.call('thread/resume', { threadId, excludeTurns: true });
  return { queued, isUnread, model };
}

/** Lines of all rollouts that are no JSON. Behind the last line feed nothing is counted: a write may be cut off there. */
export function brokenLines(home: string): number {
  let broken = 0;
  for (const path of rolloutsOf(home)) {
    for (const line of readFileSync(path, 'utf8').split('\n').slice(0, -1)) if (!isJson(line)) broken += 1;
  }
  return broken;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
