import type { Json } from '../../support/rpc-client.ts';

/** Words of a user, and whether their turn is known to have ended. */
export interface Said {
  readonly text: string;
  readonly isAnswered: boolean;
}

/** A thread as its owner knows it. */
export interface Thread {
  readonly said: readonly Said[];
  readonly name: string | null;
  readonly isArchived: boolean;
  /** Words that wait, in order: each becomes a turn once, behind what was said. */
  readonly queued: readonly string[];
  /** The name of the section it is in. */
  readonly section: string | null;
  /** Whether it is marked as unread from its start; null: nobody has said. */
  readonly isUnread: boolean | null;
  /** How its next turn is run; null: nobody has said. */
  readonly model: string | null;
}

/** A thread of which nothing is known but that it is there. */
export const NEW_THREAD: Thread = {
  said: [],
  name: null,
  isArchived: false,
  queued: [],
  section: null,
  isUnread: null,
  model: null,
};

/** What there is of a thread; null: nothing, it is deleted or was never stored. */
export type Fate = Thread | null;

/**
 * What a thread must be after a crash: what its owner was told last, or, if the daemon died before it answered, what was
 * asked for. An owner asks one thing at a time of a thread, so there is no third possibility.
 */
export interface Entry {
  certain: Fate;
  /** Undefined: nothing is under way. */
  pending: Fate | undefined;
  /** It was once taken back to an earlier turn. */
  isReverted: boolean;
  /** What was asked for and answered, to tell how it came to a defect. */
  readonly trail: string[];
}

/** How many facts of a thread a crash must not take: its being there, words, ends of turns, its name, and so on. */
export const factsIn = (fate: Fate): number =>
  fate === null
    ? 1
    : 1 +
      fate.said.length +
      fate.said.filter(({ isAnswered }) => isAnswered).length +
      fate.queued.length +
      [fate.name, fate.section, fate.isUnread, fate.model].filter((fact) => fact !== null).length +
      (fate.isArchived ? 1 : 0);

/** What the daemon shows of a thread. */
export interface Found extends Thread {
  /** Turns that read as if they still ran. */
  readonly running: number;
}

/** Reads the words, and which of them were answered, from turns in wire form. */
export function foundIn(thread: Json, around: Partial<Thread> = {}): Found {
  const said: Said[] = [];
  let running = 0;
  for (const turn of thread.turns) {
    if (turn.status === 'inProgress') running += 1;
    const answer = turn.items
      .filter(({ type }: Json) => type === 'agentMessage')
      .map(({ text }: Json) => text)
      .join('\n');
    for (const item of turn.items) {
      if (item.type !== 'userMessage') continue;
      const text = item.content.map((part: Json) => part.text).join('');
      said.push({ text, isAnswered: turn.status === 'completed' && answer !== '' });
    }
  }
  return { ...NEW_THREAD, ...around, said, name: thread.name ?? null, section: thread.section?.name ?? null, running };
}

/** Says in what a thread is not what it must be; null if it is. */
export function difference(expected: Fate, found: Found | null): string | null {
  if (expected === null || found === null) {
    if (expected === found) return null;
    return expected === null ? 'is there, though it was deleted' : 'is gone';
  }
  if (found.running > 0) return `${found.running} turns read as running`;
  const [texts, others] = [allTextsIn(expected), allTextsIn(found)];
  // What waited may have been said since; what was said does not wait again.
  if (texts !== others || found.said.length < expected.said.length)
    return `says [${textsIn(found)}], and [${found.queued.join(' | ')}] wait, instead of [${textsIn(expected)}] and [${expected.queued.join(' | ')}]`;
  const unanswered = expected.said.find(({ isAnswered }, at) => isAnswered && found.said[at]?.isAnswered !== true);
  if (unanswered !== undefined) return `has lost the answer to ${short(unanswered.text)}`;
  if (expected.name !== found.name) return `is called ${found.name} instead of ${expected.name}`;
  if (expected.isArchived !== found.isArchived) {
    return found.isArchived ? 'is archived' : 'is not archived any more';
  }
  if (expected.section !== found.section) return `is in section ${found.section} instead of ${expected.section}`;
  if (expected.isUnread !== null && expected.isUnread !== found.isUnread)
    return found.isUnread === true ? 'is unread from its start' : 'is not unread any more';
  if (expected.model !== null && expected.model !== found.model)
    return `is run with ${found.model} instead of ${expected.model}`;
  return null;
}

/** What was said, shortened: for comparing and for showing. */
export const textsIn = ({ said }: Thread): string => said.map(({ text }) => short(text)).join(' | ');

const allTextsIn = ({ said, queued }: Thread): string =>
  [...said.map(({ text }) => text), ...queued].map(short).join(' | ');

const short = (text: string): string => (text.length > 40 ? `${text.slice(0, 40)}…` : text);
