import { closeSync, openSync, readSync } from 'node:fs';
import { invalidRequest } from '../../../domain/errors.ts';
import { decodeLine, type RolloutLine } from '../../../domain/rollout-line.ts';
import type { HistoryMode } from '../../../domain/session-meta.ts';
import type { HistoryFold } from '../../../domain/turn-history.ts';
import type { ForkBoundary } from '../../thread-store.ts';
import { storedJson } from './database.ts';
import type { HistoryPages, UserMessagePlace } from './history-pages.ts';
import type { Segment } from './lineage.ts';

/** Where a prefix of a history ends: in which stretch, at which byte, before which ordinal. */
export interface Cut {
  readonly segment: Segment;
  readonly offset: number;
  readonly ordinal: number | null;
}

/** How far back a message's companions are looked for. */
const LOOK_BACK_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

/**
 * Where a boundary lies in a history.
 * @param segments newest first, never empty
 * @throws invalidRequest for a turn that the history does not show
 */
export function cutAt(
  boundary: ForkBoundary,
  segments: readonly Segment[],
  mode: HistoryMode,
  pages: HistoryPages,
  pathOf: (segment: Segment) => string,
): Cut {
  const before = (segment: Segment, pos: number, offset: number): Cut => ({
    segment,
    offset,
    ordinal: mode === 'paginated' ? pos : null,
  });
  /** A message's own records come in front of the one that shows it. */
  const beforeMessage = (segment: Segment, pos: number, offset: number): Cut => {
    const start = startOfMessage(pathOf(segment), offset);
    return start === undefined ? before(segment, pos, offset) : before(segment, start.ordinal ?? pos, start.offset);
  };
  const beforeTurnAt = (segment: Segment, pos: number, startOffset: number, turnId: string): Cut =>
    turnId.startsWith('rollout-') ? beforeMessage(segment, pos, startOffset) : before(segment, pos, startOffset);

  switch (boundary.kind) {
    case 'latest':
      return endOf(segments, mode);
    case 'throughTurn': {
      const turn = pages.findTurn(segments, boundary.turnId);
      if (turn === undefined) throw invalidRequest(`turn not found: ${boundary.turnId}`);
      if (turn.end !== null) return before(turn.segment, turn.end.pos + 1, turn.end.offset);
      const next = pages.turnAfter(segments, turn);
      return next === undefined
        ? endOf(segments, mode)
        : beforeTurnAt(next.segment, next.pos, next.startOffset, next.turnId);
    }
    case 'beforeTurn': {
      const turn = pages.findTurn(segments, boundary.turnId);
      if (turn === undefined) throw invalidRequest(`turn not found: ${boundary.turnId}`);
      return beforeTurnAt(turn.segment, turn.pos, turn.startOffset, boundary.turnId);
    }
    case 'beforeUserMessage': {
      const messages = [...pages.userMessages(segments)];
      const chosen = messages[boundary.index];
      if (chosen === undefined) return beforeGoingOn(segments, mode, pages, messages, beforeMessage, beforeTurnAt);
      return isFirstOfTurn(messages, boundary.index)
        ? beforeTurnAt(chosen.segment, chosen.turnPos, chosen.turnOffset, chosen.turnId)
        : beforeMessage(chosen.segment, chosen.pos, chosen.offset);
    }
  }
}

/** Past the last message all is kept, except a turn that is still going on (upstream-behaviour 6.5). */
function beforeGoingOn(
  segments: readonly Segment[],
  mode: HistoryMode,
  pages: HistoryPages,
  messages: readonly UserMessagePlace[],
  beforeMessage: (segment: Segment, pos: number, offset: number) => Cut,
  beforeTurnAt: (segment: Segment, pos: number, startOffset: number, turnId: string) => Cut,
): Cut {
  const last = pages.lastTurn(segments);
  if (last === undefined || !last.isOpen) return endOf(segments, mode);
  const message = messages.at(-1);
  return last.turnId.startsWith('rollout-') && message !== undefined
    ? beforeMessage(message.segment, message.pos, message.offset)
    : beforeTurnAt(last.segment, last.pos, last.startOffset, last.turnId);
}

const isFirstOfTurn = (messages: readonly UserMessagePlace[], index: number): boolean => {
  const [previous, chosen] = [messages[index - 1], messages[index]];
  return previous?.turnPos !== chosen?.turnPos || previous?.segment !== chosen?.segment;
};

/** Behind everything that the thread itself has, up to its last whole record. */
function endOf(segments: readonly Segment[], mode: HistoryMode): Cut {
  const [segment] = segments;
  if (segment === undefined) throw invalidRequest('the thread has no history');
  const fold = segment.rollout.fold === null ? null : storedJson<HistoryFold>(segment.rollout.fold);
  return {
    segment,
    offset: segment.rollout.indexedSize,
    ordinal: mode === 'paginated' ? (fold?.nextOrdinal ?? 0) : null,
  };
}

/** The first of the model-side records of a user message right before an offset, if there are any. */
function startOfMessage(
  path: string,
  offset: number,
): { readonly offset: number; readonly ordinal?: number } | undefined {
  const start = Math.max(0, offset - LOOK_BACK_BYTES);
  const text = readBytes(path, start, offset - start);
  let end = text.length - 1;
  let found: { offset: number; ordinal?: number } | undefined;
  while (end > 0) {
    const newline = text.lastIndexOf(NEWLINE, end - 1);
    const decoded = decodeLine(text.subarray(newline + 1, end));
    if (!decoded.ok || !belongsToMessage(decoded.line)) break;
    const { ordinal } = decoded.line;
    found = { offset: start + newline + 1, ...(ordinal === undefined ? {} : { ordinal }) };
    end = newline;
  }
  return found;
}

function belongsToMessage(line: RolloutLine): boolean {
  const { type, payload } = line.item;
  return type === 'response_item' && payload['type'] === 'message' && payload['role'] === 'user';
}

function readBytes(path: string, position: number, length: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(length);
    const count = readSync(fd, buffer, 0, length, position);
    return buffer.subarray(0, count);
  } finally {
    closeSync(fd);
  }
}
