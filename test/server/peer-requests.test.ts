import { expect, it } from 'vitest';
import { encodeNotification } from '../../src/protocol/envelope.ts';
import type { ThreadId } from '../../src/domain/ids.ts';
import { AskingModel, askingScript, playAsking, type AskingSteps } from '../support/asking-session.ts';
import { startCodex } from '../support/codex.ts';
import { openLocalStore } from '../support/local-store.ts';
import { startScriptedModel } from '../support/responses-api.ts';
import { startServer, type RunningServer } from '../support/server.ts';
import { tempFolder } from '../support/temp-home.ts';
import { unloadedOnce } from '../support/unloaded-once.ts';

/** The same questions by the real Codex and by Skein. */

/** What does not belong to questions; other tests compare it. */
const ASIDE = new Set([
  'remoteControl/status/changed',
  'configWarning',
  'warning',
  'account/rateLimits/updated',
  'thread/tokenUsage/updated',
  'thread/readState/changed',
  'thread/goal/cleared',
  'thread/settings/updated',
  'item/agentMessage/delta',
  'item/commandExecution/outputDelta',
]);

async function playedToCodex(): Promise<AskingSteps> {
  const model = await startScriptedModel(askingScript);
  const codex = await startCodex(tempFolder(), model);
  return playAsking((options) => codex.connect(options), tempFolder());
}

async function playedToSkein(): Promise<AskingSteps> {
  const store = await openLocalStore(tempFolder());
  const model = new AskingModel((method, threadId, params) => {
    const text = encodeNotification(method, { threadId, ...params }, Date.now());
    for (const watcher of running?.server.subscriptions.watchersOf(threadId as ThreadId) ?? []) {
      watcher.broadcast({ method, threadId: threadId as ThreadId, text });
    }
  });
  const running: RunningServer | undefined = await startServer({ model, store });
  return playAsking((options) => running.connect(options), tempFolder());
}

/**
 * Statuses go their own way in Codex, beside everything else, so they are compared on their own; one that is said again,
 * as it now and then does, is one. What comes of a command that may run is the affair of the shell.
 */
function comparable(told: readonly string[]): readonly string[] {
  const names = unloadedOnce(told.filter((name) => !ASIDE.has(name)));
  const isActive = (name: string): boolean => name.startsWith('status active');
  const statuses = names.filter((name) => name.startsWith('status'));
  return [
    ...names.filter((name) => !isActive(name)),
    ...statuses.filter((name, index) => isActive(name) && statuses[index - 1] !== name),
  ];
}

/** Where the order differs on purpose, by step. */
const OTHER_ORDER: Readonly<Record<string, string>> = {
  steered:
    'Skein stores the words of a steer before it answers it, and shows them at once; Codex when the question is answered',
};

/** Where clients are told more or less of the command on purpose, by step. */
const OTHER_ITEMS: Readonly<Record<string, string>> = {
  'answered by one who comes later': 'Codex tells of a command that did not run those alone who watched when it asked',
  'answered by one who was cut off': 'the same',
  'everyone leaves and one comes': 'the same, also those who have left since',
};

function comparableIn(step: string, told: readonly string[]): readonly string[] {
  const names = comparable(told);
  if (step.startsWith('accepted')) return names.map((name) => name.replace(/(commandExecution) \w+$/, '$1'));
  if (OTHER_ORDER[step] !== undefined) return names.toSorted();
  if (OTHER_ITEMS[step] === undefined) return names;
  return names.filter((name) => !name.startsWith('item/completed commandExecution'));
}

it('ASK-18 the same questions reach every client in the same order as from Codex', async () => {
  const [theirs, ours] = await Promise.all([playedToCodex(), playedToSkein()]);
  const byStep = (steps: AskingSteps, compared: (step: string, told: readonly string[]) => readonly string[]) =>
    Object.fromEntries(
      Array.from(steps, ([step, told]) => [
        step,
        Object.fromEntries(Object.entries(told).map(([who, names]) => [who, compared(step, names)])),
      ]),
    );
  expect(byStep(ours, comparableIn)).toEqual(byStep(theirs, comparableIn));
  // The tables say what is so.
  const plain = (steps: AskingSteps) => byStep(steps, (_, names) => comparable(names));
  const differing = Object.keys(plain(ours)).filter(
    (step) => !step.startsWith('accepted') && JSON.stringify(plain(ours)[step]) !== JSON.stringify(plain(theirs)[step]),
  );
  expect(new Set(differing)).toEqual(new Set([...Object.keys(OTHER_ORDER), ...Object.keys(OTHER_ITEMS)]));
}, 90_000);
