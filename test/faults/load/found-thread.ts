import type { Json } from '../../support/rpc-client.ts';
import { NEW_THREAD, ofKind, type Entry, type Found, type Said, type Thread } from './expectation.ts';
import type { RawHistory } from './raw-history.ts';
import { echoOf, outputOf, printOf } from './texts.ts';

/**
 * Reads the words, and which of them have a whole answer behind them, from turns in wire form. An answer is that to the
 * words before it in its turn, from its first character to its last: what is cut off is nobody's (SPEC TURN-5, TURN-6).
 */
export function foundIn(thread: Json, around: Partial<Thread> = {}): Found {
  const said: Said[] = [];
  const wrong: string[] = [];
  const repeated: string[] = [];
  let running = 0;
  for (const turn of thread.turns) {
    if (turn.status === 'inProgress') running += 1;
    const inTurn: Said[] = [];
    let words: string | undefined;
    for (const item of turn.items) {
      if (item.type === 'userMessage') {
        words = wordsIn(item);
        inTurn.push({ kind: 'words', text: printOf(words), isAnswered: false });
      } else if (item.type === 'agentMessage') {
        if (words === undefined || item.text !== echoOf(words))
          wrong.push(`answers ${printOf(words ?? 'nothing')} with ${printOf(item.text)}`);
        else if (inTurn.at(-1)?.isAnswered === true) repeated.push(`answers ${printOf(words)} twice`);
        else for (const [at, one] of inTurn.entries()) inTurn[at] = { ...one, isAnswered: true };
      } else if (item.type === 'commandExecution') {
        const command = commandIn(item);
        if (item.exitCode === 0 && item.aggregatedOutput !== outputOf(command))
          wrong.push(`shows ${printOf(String(item.aggregatedOutput))} as the output of ${command}`);
      }
    }
    said.push(...inTurn);
  }
  const named = { name: thread.name ?? null, section: thread.section?.name ?? null };
  return { ...NEW_THREAD, ...around, ...named, said, running, wrong, repeated };
}

/**
 * Adds the items and commands of a thread, which clients are not shown in all history modes.
 * @param thread as `thread/read` shows it
 * @param raw what its rollouts say
 */
export function withRaw(found: Found, thread: Json, raw: RawHistory, { certain, pending }: Entry): Found {
  const items: Said[] = raw.items.map((text) => ({ kind: 'item', text, isAnswered: false }));
  const asked = new Map<string, Said>();
  for (const fate of [certain, pending]) {
    for (const one of fate ? ofKind(fate, 'command') : []) if (!asked.has(one.text)) asked.set(one.text, one);
  }
  const commands = commandsIn(thread, raw, asked);
  return { ...found, said: [...found.said, ...items, ...commands], wrong: [...found.wrong, ...raw.wrong] };
}

/** Commands that have left something, in the order in which they were asked for; behind them those that nobody asked for. */
function commandsIn(
  { turns, historyMode }: Json,
  { commands }: RawHistory,
  asked: ReadonlyMap<string, Said>,
): readonly Said[] {
  const left = [...commands];
  const shown: readonly string[] = turns.flatMap(({ items }: Json) =>
    items.filter(({ type }: Json) => type === 'commandExecution').map(commandIn),
  );
  const timesShown = (text: string): number => shown.filter((one) => one === text).length;
  const found: Said[] = [];
  for (const one of asked.values()) {
    const at = left.indexOf(one.text);
    if (at !== -1) left.splice(at, 1);
    // Legacy history shows people none.
    const isAnswered = at !== -1 && timesShown(one.text) === (historyMode === 'legacy' ? 0 : 1);
    const turnId = turnOf(one, turns, asked);
    if (isAnswered || turnId !== undefined) found.push({ ...one, isAnswered, turnId });
  }
  return [...found, ...left.map((text): Said => ({ kind: 'command', text, isAnswered: true }))];
}

/** Its turn, as far as it is there. One that nobody was told of is the last one of the thread, and has no words. */
function turnOf({ turnId }: Said, turns: readonly Json[], asked: ReadonlyMap<string, Said>): string | undefined {
  if (turnId !== undefined) return turns.some(({ id }) => id === turnId) ? turnId : undefined;
  const last = turns.at(-1);
  const isKnown = [...asked.values()].some((other) => other.turnId === last?.id);
  const hasWords = last?.items.some(({ type }: Json) => type === 'userMessage') === true;
  return isKnown || hasWords ? undefined : last?.id;
}

const wordsIn = ({ content }: Json): string => content.map((part: Json) => part.text).join('');

/** The command that an item shows. */
export const commandIn = ({ commandActions }: Json): string => commandActions[0].command;
