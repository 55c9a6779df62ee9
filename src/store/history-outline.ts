import { invalidRequest } from '../domain/errors.ts';
import type { RolloutLine } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import { emptyHistory, foldLine, type HistoryChange, type HistoryFold } from '../domain/turn-history.ts';
import type { ForkBoundary } from './thread-store.ts';

/** Where turns and messages are in a history, counted in records: for forks that are cut in memory. */
export interface Outline {
  readonly length: number;
  readonly turns: readonly OutlinedTurn[];
}

export interface OutlinedTurn {
  readonly turnId: string;
  readonly rootTurnId?: string;
  readonly at: number;
  /** Its user messages, with what the model reads of them. The first one stands for the turn. */
  readonly messagesAt: readonly number[];
  /** Behind its end; undefined while it has none. */
  readonly endAt: number | undefined;
  readonly goesOn: boolean;
}

/** Reads a history once and keeps no record of it. */
export async function outlineOf(history: AsyncIterable<RolloutLine>, mode: HistoryMode): Promise<Outline> {
  const outliner = new Outliner(mode);
  for await (const line of history) outliner.take(line);
  return outliner.outline;
}

/** As {@link outlineOf}, of records that are at hand. */
export function outlineOfLines(lines: readonly RolloutLine[], mode: HistoryMode): Outline {
  const outliner = new Outliner(mode);
  for (const line of lines) outliner.take(line);
  return outliner.outline;
}

class Outliner {
  #fold: HistoryFold;
  #length = 0;
  /** Where what the model reads of a user's message begins; what people see of it follows at once. */
  #messageAt: number | undefined;
  #turns: OutlinedTurn[] = [];

  constructor(mode: HistoryMode) {
    this.#fold = emptyHistory(mode);
  }

  get outline(): Outline {
    return { length: this.#length, turns: this.#turns };
  }

  take(line: RolloutLine): void {
    const step = foldLine(this.#fold, line);
    this.#fold = step.fold;
    for (const change of step.changes) {
      this.#turns = withChange(this.#turns, this.#length, this.#messageAt ?? this.#length, change);
    }
    this.#messageAt = isForModel(line) ? (this.#messageAt ?? this.#length) : undefined;
    this.#length += 1;
  }
}

const isForModel = ({ item: { type, payload } }: RolloutLine): boolean =>
  type === 'response_item' && payload['type'] === 'message' && payload['role'] === 'user';

function withChange(turns: OutlinedTurn[], at: number, messageAt: number, change: HistoryChange): OutlinedTurn[] {
  if (change.type === 'turnsRolledBack') return turns.slice(0, Math.max(0, turns.length - change.count));
  const { turnId } = change;
  const index = turns.findLastIndex((turn) => turn.turnId === turnId);
  const known = turns[index];
  if (change.type === 'turnOpened') {
    if (known !== undefined) return turns;
    const root = change.rootTurnId === null ? {} : { rootTurnId: change.rootTurnId };
    const goesOn = change.status === 'inProgress';
    turns.push({ turnId, ...root, at, messagesAt: [], endAt: undefined, goesOn });
  } else if (known !== undefined && change.type === 'turnClosed') {
    turns[index] = { ...known, endAt: known.endAt ?? at + 1, goesOn: false };
  } else if (known !== undefined && change.type === 'itemRecorded') {
    const isImplicit = turnId.startsWith('rollout-') && known.endAt === undefined;
    const messagesAt = change.role === 'user' ? [...known.messagesAt, messageAt] : known.messagesAt;
    turns[index] = { ...known, messagesAt, goesOn: isImplicit ? change.role === 'user' : known.goesOn };
  }
  return turns;
}

/** How many records a fork keeps, by the rules that stores cut by. @throws invalidRequest for an unknown turn */
export function cutOf({ turns, length }: Outline, boundary: ForkBoundary): number {
  switch (boundary.kind) {
    case 'latest':
      return length;
    case 'throughTurn':
    case 'beforeTurn': {
      const index = turns.findIndex((turn) => turn.turnId === boundary.turnId);
      const turn = turns[index];
      if (turn === undefined) throw invalidRequest(`turn not found: ${boundary.turnId}`);
      if (boundary.kind === 'beforeTurn') return turn.at;
      return turn.endAt ?? turns[index + 1]?.at ?? length;
    }
    case 'beforeUserMessage': {
      const starts = turns.flatMap((turn) => turn.messagesAt.map((at, nth) => (nth === 0 ? turn.at : at)));
      const last = turns.at(-1);
      return starts[boundary.index] ?? (last?.goesOn === true ? last.at : length);
    }
  }
}
