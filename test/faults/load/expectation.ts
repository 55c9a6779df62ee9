/** What a user has put into a thread. Texts are as `printOf` has them. */
export interface Said {
  /** Words, a raw item for the model, or a command that was run. */
  readonly kind: 'words' | 'item' | 'command';
  readonly text: string;
  /** Told to be over: a whole answer stands behind the words, the whole output behind the command. Items have none. */
  readonly isAnswered: boolean;
  /** Of a command, the turn that it runs in, or that ran when it was asked for; undefined: one of its own, not told yet. */
  readonly turnId?: string | undefined;
}

/** A thread as its owner knows it. */
export interface Thread {
  /** In the order in which it was acknowledged. */
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
  /** Items or commands were once put into it, so its rollouts are looked into. */
  hasMoreThanWords: boolean;
  /** Words were once refused: they may have cut off the turn that they were to join, which answers again then. */
  mayAnswerTwice: boolean;
  /** What was asked for and answered, to tell how it came to a defect. */
  readonly trail: string[];
}

/** Those of one kind, in order. */
export const ofKind = ({ said }: Pick<Thread, 'said'>, kind: Said['kind']): readonly Said[] =>
  said.filter((one) => one.kind === kind);

/** How many facts of a thread a crash must not take: its being there, words, whole answers, items, its name, and so on. */
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
  /** What can be no answer to what was said, or no output of what was run. */
  readonly wrong: readonly string[];
  /** Answers that stand there more than once. */
  readonly repeated: readonly string[];
}

/** What is wrong with a thread. @returns null if it is what it must be */
export function difference(expected: Fate, found: Found | null): string | null {
  if (expected === null || found === null) {
    if (expected === found) return null;
    return expected === null ? 'is there, though it was deleted' : 'is gone';
  }
  if (found.wrong[0] !== undefined) return found.wrong[0];
  if (found.running > 0) return `${found.running} turns read as running`;
  const wrong =
    differentWords(expected, found) ?? differentItems(expected, found) ?? differentCommands(expected, found);
  if (wrong !== null) return wrong;
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

function differentWords(expected: Thread, found: Thread): string | null {
  const [words, others] = [ofKind(expected, 'words'), ofKind(found, 'words')];
  const [texts, otherTexts] = [
    [...textsOf(words), ...expected.queued],
    [...textsOf(others), ...found.queued],
  ];
  // What waited may have been said since; what was said does not wait again.
  if (!areSame(texts, otherTexts) || others.length < words.length)
    return `says [${textsIn(found)}], and [${found.queued.join(' | ')}] wait, instead of [${textsIn(expected)}] and [${expected.queued.join(' | ')}]`;
  const unanswered = words.find(({ isAnswered }, at) => isAnswered && others[at]?.isAnswered !== true);
  return unanswered === undefined ? null : `has lost the answer to ${unanswered.text}`;
}

function differentItems(expected: Thread, found: Thread): string | null {
  const [texts, others] = [textsOf(ofKind(expected, 'item')), textsOf(ofKind(found, 'item'))];
  return areSame(texts, others) ? null : `has items [${others.join(' | ')}] instead of [${texts.join(' | ')}]`;
}

function differentCommands(expected: Thread, found: Thread): string | null {
  const [commands, others] = [ofKind(expected, 'command'), ofKind(found, 'command')];
  const [texts, otherTexts] = [textsOf(commands), textsOf(others)];
  if (!areSame(texts, otherTexts)) return `has run [${otherTexts.join(' | ')}] instead of [${texts.join(' | ')}]`;
  const lost = commands.find(({ isAnswered }, at) => isAnswered && others[at]?.isAnswered !== true);
  return lost === undefined ? null : `has lost the output of ${lost.text}`;
}

/** The words that were said, for comparing and for showing. */
export const textsIn = (thread: Pick<Thread, 'said'>): string => textsOf(ofKind(thread, 'words')).join(' | ');

const textsOf = (said: readonly Said[]): readonly string[] => said.map(({ text }) => text);

const areSame = (texts: readonly string[], others: readonly string[]): boolean =>
  texts.length === others.length && texts.every((text, at) => text === others[at]);
