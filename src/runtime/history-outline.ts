import { invalidRequest } from '../domain/errors.ts';
import type { RolloutLine } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import { emptyHistory, foldLine, type HistoryChange } from '../domain/turn-history.ts';
import type { ForkBoundary } from '../store/thread-store.ts';

/** Where turns and messages are in a history, counted in records: for forks that no store makes. */
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
  let fold = emptyHistory(mode);
  let length = 0;
  /** Where what the model reads of a user's message begins; what people see of it follows at once. */
  let messageAt: number | undefined;
  let turns: OutlinedTurn[] = [];
  for await (const line of history) {
    const step = foldLine(fold, line);
    ({ fold } = step);
    for (const change of step.changes) turns = withChange(turns, length, messageAt ?? length, change);
    messageAt = isForModel(line) ? (messageAt ?? length) : undefined;
    length += 1;
  }
  return { length, turns };
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
