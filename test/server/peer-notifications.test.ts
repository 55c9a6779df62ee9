import { expect, it } from 'vitest';
import { startCodex } from '../support/codex.ts';
import { openLocalStore } from '../support/local-store.ts';
import { ModelGate, playSession, scriptOf, SessionModel, type Played, type Told } from '../support/peer-session.ts';
import { startScriptedModel } from '../support/responses-api.ts';
import type { Json } from '../support/rpc-client.ts';
import { startServer } from '../support/server.ts';
import { tempFolder } from '../support/temp-home.ts';

/** The same session played to the real Codex and to Skein. */

/** What only Codex tells. */
const NOT_OURS: Readonly<Record<string, string>> = {
  configWarning: 'about its own configuration',
  warning: 'the metadata of its models do not know the scripted one',
  'account/rateLimits/updated': 'Skein has no account',
};

/** What Skein tells fewer clients, or less often. */
const LESS: Readonly<Record<string, string>> = {
  'thread/goal/cleared': 'there are no goals: Codex tells everyone at each resume, Skein whoever resumes',
  'thread/tokenUsage/updated':
    'Codex repeats its last count when an answer is cut off, and with a history that is given out whole',
};

let played: Promise<readonly [Played, Played]> | undefined;

/** What came of it, with Codex first. Played once, by the first test that asks. */
function bothPlayed(): Promise<readonly [Played, Played]> {
  played ??= Promise.all([playedToCodex(), playedToSkein()]);
  return played;
}

async function playedToCodex(): Promise<Played> {
  const gate = new ModelGate();
  const model = await startScriptedModel(scriptOf(gate));
  const codex = await startCodex(tempFolder(), model, { settings: ['thread_unload_delay_secs = 1'] });
  return playSession((options) => codex.connect(options), gate);
}

async function playedToSkein(): Promise<Played> {
  const gate = new ModelGate();
  const store = await openLocalStore(tempFolder());
  const server = await startServer({ model: new SessionModel(gate), store, unloadDelayMs: 50 });
  return playSession((options) => server.connect(options), gate);
}

/** Said again at once: deltas; and Codex, now and then, that a thread is not loaded. */
const REPEATABLE = new Set(['item/agentMessage/delta', 'thread/status/changed notLoaded']);

/** Such in a row are one; a count of tokens is that of the answer before it, or says nothing new. */
function comparable(told: readonly string[]): readonly string[] {
  const kept = told.filter((name) => NOT_OURS[name] === undefined && name !== 'thread/goal/cleared');
  return kept
    .filter((name, index) => name !== 'thread/tokenUsage/updated' || kept[index - 1] === 'item/completed agentMessage')
    .filter((name, index, names) => !REPEATABLE.has(name) || names[index - 1] !== name);
}

const comparableSteps = ({ steps }: Played): object =>
  Object.fromEntries(
    Array.from(steps, ([name, { actor, watcher, bystander }]: [string, Told]) => [
      name,
      { actor: comparable(actor), watcher: comparable(watcher), bystander: comparable(bystander) },
    ]),
  );

it('NOTE-3 the same session brings every client the same notifications in the same order as from Codex', async () => {
  const [theirs, ours] = await bothPlayed();
  expect(comparableSteps(ours)).toEqual(comparableSteps(theirs));
  const methods = ({ notifications }: Played): readonly string[] => notifications.map(({ method }) => method);
  const without = (some: Played, others: Played): Set<string> =>
    new Set(methods(some).filter((method) => !methods(others).includes(method)));
  expect([...without(theirs, ours)].filter((method) => NOT_OURS[method] === undefined)).toEqual([]);
  expect(without(ours, theirs)).toEqual(new Set());
  // Where Skein tells less it tells nothing that Codex does not.
  for (const method of Object.keys(LESS)) {
    for (const [name, told] of ours.steps) {
      const count = (names: readonly string[] | undefined): number =>
        names?.filter((one) => one === method).length ?? 0;
      const all = ({ actor, watcher, bystander }: Told): readonly string[] => [...actor, ...watcher, ...bystander];
      const them = theirs.steps.get(name);
      expect(count(all(told))).toBeLessThanOrEqual(them === undefined ? 0 : count(all(them)));
    }
  }
});

it('NOTE-4 the members of every notification have the names and the JSON types that they have from Codex', async () => {
  const [theirs, ours] = await bothPlayed();
  const shared = new Set(ours.notifications.map(({ method }) => method));
  const common = { ...theirs, notifications: theirs.notifications.filter(({ method }) => shared.has(method)) };
  expect(shapesIn(ours)).toEqual(shapesIn(common));
});

it('NOTE-5 every notification says when it was sent', async () => {
  const [, ours] = await bothPlayed();
  for (const { emittedAtMs } of ours.notifications) expect(Math.abs(emittedAtMs - Date.now())).toBeLessThan(600_000);
});

/** Every path to a value in the frames of each method (and kind of item), with the JSON types found there. */
function shapesIn({ notifications }: Played): Readonly<Record<string, string>> {
  const types = new Map<string, Set<string>>();
  const look = (path: string, value: Json): void => {
    const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
    types.set(path, (types.get(path) ?? new Set()).add(type));
    if (type === 'array') for (const element of value) look(`${path}[]`, element);
    if (type === 'object') for (const [name, member] of Object.entries(value)) look(`${path}.${name}`, member);
  };
  for (const frame of notifications) look(`${frame.method} ${frame.params.item?.type ?? ''}`.trim(), frame);
  const text = (found: Set<string>): string =>
    [...found].toSorted((one, other) => one.localeCompare(other)).join(' or ');
  return Object.fromEntries(Array.from(types, ([path, found]) => [path, text(found)]));
}
