import { expect, it } from 'vitest';
import { startCodex } from '../support/codex.ts';
import { openLocalStore } from '../support/local-store.ts';
import { ModelGate, playSession, scriptOf, SessionModel, type Played, type Told } from '../support/peer-session.ts';
import { startScriptedModel } from '../support/responses-api.ts';
import type { Json } from '../support/rpc-client.ts';
import { startServer } from '../support/server.ts';
import { tempFolder } from '../support/temp-home.ts';
import { unloadedOnce } from '../support/unloaded-once.ts';

/** The same session played to the real Codex and to Skein. */

/** What only Codex tells. */
const NOT_OURS: Readonly<Record<string, string>> = {
  configWarning: 'about its own configuration',
  warning: 'the metadata of its models do not know the scripted one',
  'account/rateLimits/updated': 'Skein has no account',
};

/** What Skein tells in a step and Codex does not. */
const MORE: Readonly<Record<string, { readonly name: string; readonly reason: string }>> = {
  'cold resume': {
    name: 'thread/tokenUsage/updated',
    reason:
      'how full the context is stands in what the thread refers to, a fork that was reverted; Codex looks in its file',
  },
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

const isDelta = (name: string): boolean => name === 'item/agentMessage/delta';

/** However many pieces an answer comes in. */
const withoutRepeats = (told: readonly string[]): readonly string[] =>
  unloadedOnce(told.filter((name, index) => !isDelta(name) || told[index - 1] !== name));

const ofSteps = (
  { steps }: Played,
  compared: (told: readonly string[], step: string) => readonly string[],
): Readonly<Record<string, Told>> =>
  Object.fromEntries(
    Array.from(steps, ([name, { actor, watcher, bystander }]: [string, Told]) => [
      name,
      {
        actor: compared(actor, name),
        watcher: compared(watcher, name),
        bystander: compared(bystander, name),
      },
    ]),
  );

const ofSkeinToo = (told: readonly string[]): readonly string[] => told.filter((name) => NOT_OURS[name] === undefined);

it('NOTE-3 the same session brings every client the same notifications in the same order as from Codex', async () => {
  const [codex, skein] = await bothPlayed();
  const withoutMore = (told: readonly string[], step: string): readonly string[] =>
    withoutRepeats(told.filter((name) => name !== MORE[step]?.name));
  expect(ofSteps(skein, withoutMore)).toEqual(ofSteps(codex, (told) => withoutRepeats(ofSkeinToo(told))));
  for (const [step, { name }] of Object.entries(MORE)) expect(skein.steps.get(step)?.actor).toContain(name);
  const methods = ({ notifications }: Played): readonly string[] => notifications.map(({ method }) => method);
  const ofSkein = new Set(methods(skein));
  const ofCodexAlone = methods(codex).filter((method) => !ofSkein.has(method));
  expect(new Set(ofCodexAlone)).toEqual(new Set(Object.keys(NOT_OURS)));
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
