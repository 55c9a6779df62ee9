import type { Statement } from 'better-sqlite3';
import type { HistoryMode } from '../../../domain/session-meta.ts';
import { itemOfCompleted, itemOfLegacyEvents } from '../../../domain/thread-item.ts';
import type { HistoryPosition, Placed } from '../../../domain/history-cursor.ts';
import type { SortDirection } from '../../../domain/page.ts';
import type { ThreadItem, ThreadItemEntry, Turn, TurnError, TurnItemsView, TurnStatus } from '../../../domain/turn.ts';
import type { ReadMeter } from './read-meter.ts';
import { storedJson, type IndexDatabase } from './database.ts';
import type { Segment } from './lineage.ts';
import { OpenRollouts } from './open-rollouts.ts';
import type { RolloutRow } from './rollout-row.ts';

/** Part of a history, and whether there is more behind it. */
export interface HistorySlice<T> {
  readonly elements: readonly Placed<T>[];
  readonly hasMore: boolean;
}

export interface HistoryWindow {
  /** Newest first, as `lineageOf` gives them. */
  readonly segments: readonly Segment[];
  readonly mode: HistoryMode;
  readonly from: HistoryPosition | null;
  readonly direction: SortDirection;
  readonly limit: number;
}

interface TurnRow {
  readonly rollout: number;
  readonly pos: number;
  readonly turn_id: string;
  readonly root_turn_id: string | null;
  readonly status: TurnStatus;
  readonly start_offset: number;
  readonly end_pos: number | null;
  readonly end_offset: number | null;
  readonly started_at: number | null;
  readonly completed_at: number | null;
  readonly duration_ms: number | null;
  readonly error: string | null;
}

interface ItemRow {
  readonly rollout: number;
  readonly pos: number;
  readonly turn_pos: number;
  readonly item_id: string;
  readonly role: number;
  readonly offset: number;
  readonly length: number;
  readonly parts: string | null;
  readonly started_ms: number | null;
  readonly completed_ms: number | null;
}

/** Rows of messages held at once while they are looked through. */
const MESSAGES_AT_ONCE = 200;

/** Larger than any position. */
const BEYOND = Number.MAX_SAFE_INTEGER;

/** Pages of turns and items: rows say where the records stand, and only those bytes are read (D7). */
export class HistoryPages {
  readonly #meter: ReadMeter;
  readonly #pathOf: (row: RolloutRow) => string;
  readonly #turns: Readonly<Record<SortDirection, Statement>>;
  readonly #items: Readonly<Record<SortDirection, Statement>>;
  readonly #itemsOfTurnPage: Readonly<Record<SortDirection, Statement>>;
  readonly #itemsOfTurn: Statement;
  readonly #firstUser: Statement;
  readonly #lastAgent: Statement;
  readonly #turnById: Statement;
  readonly #turnAt: Statement;
  readonly #itemById: Statement;
  readonly #userItems: Statement;
  readonly #messageItems: Statement;

  /** @param pathOf where the plain text of a rollout can be read now */
  constructor(database: IndexDatabase, meter: ReadMeter, pathOf: (row: RolloutRow) => string) {
    this.#meter = meter;
    this.#pathOf = pathOf;
    const prepare = (sql: string): Statement => database.prepare(sql);
    const range = 'rollout = :rollout AND pos >= :low AND pos < :high';
    this.#turns = {
      asc: prepare(`SELECT * FROM turns WHERE ${range} ORDER BY pos ASC LIMIT :limit`),
      desc: prepare(`SELECT * FROM turns WHERE ${range} ORDER BY pos DESC LIMIT :limit`),
    };
    this.#items = {
      asc: prepare(`SELECT * FROM items WHERE ${range} ORDER BY pos ASC LIMIT :limit`),
      desc: prepare(`SELECT * FROM items WHERE ${range} ORDER BY pos DESC LIMIT :limit`),
    };
    this.#itemsOfTurnPage = {
      asc: prepare(`SELECT * FROM items WHERE ${range} AND turn_pos = :turnPos ORDER BY pos ASC LIMIT :limit`),
      desc: prepare(`SELECT * FROM items WHERE ${range} AND turn_pos = :turnPos ORDER BY pos DESC LIMIT :limit`),
    };
    const ofTurn = 'rollout = :rollout AND turn_pos = :turnPos AND pos < :high';
    this.#itemsOfTurn = prepare(`SELECT * FROM items WHERE ${ofTurn} ORDER BY pos`);
    this.#firstUser = prepare(`SELECT * FROM items WHERE ${ofTurn} AND role = 1 AND role <> 0 ORDER BY pos LIMIT 1`);
    this.#lastAgent = prepare(
      `SELECT * FROM items WHERE ${ofTurn} AND role = 2 AND role <> 0 ORDER BY pos DESC LIMIT 1`,
    );
    this.#turnById = prepare(
      'SELECT * FROM turns WHERE rollout = ? AND turn_id = ? AND pos < ? ORDER BY pos DESC LIMIT 1',
    );
    this.#turnAt = prepare('SELECT * FROM turns WHERE rollout = ? AND pos = ?');
    this.#itemById = prepare(
      'SELECT * FROM items WHERE rollout = ? AND item_id = ? AND turn_pos = ? AND pos < ? LIMIT 1',
    );
    this.#messageItems = prepare(`SELECT * FROM items WHERE ${range} AND role <> 0 ORDER BY pos LIMIT :limit`);
    this.#userItems = prepare(`SELECT * FROM items WHERE ${range} AND role <> 0 AND role = 1 ORDER BY pos`);
  }

  /** Turns from a position on. */
  turns(window: HistoryWindow, view: TurnItemsView): HistorySlice<Turn> {
    const files = new OpenRollouts(this.#meter, this.#pathOf);
    try {
      const { rows, hasMore } = this.#walk<TurnRow>(window, this.#turns);
      const elements = rows.map(({ row, segment }) => ({
        at: row.pos,
        value: this.#turnView(row, segment, window.mode, view, files),
      }));
      return { elements, hasMore };
    } finally {
      files.close();
    }
  }

  /** Items from a position on; those of a kind that clients cannot see are left out, and others take their place. */
  items(window: HistoryWindow, turnId: string | null): HistorySlice<ThreadItemEntry> {
    const files = new OpenRollouts(this.#meter, this.#pathOf);
    try {
      const turn = turnId === null ? null : this.findTurn(window.segments, turnId);
      if (turn === undefined) return { elements: [], hasMore: false };
      const statements = turn === null ? this.#items : this.#itemsOfTurnPage;
      const elements: Placed<ThreadItemEntry>[] = [];
      let scope = turn === null ? window : { ...window, segments: [turn.segment] };
      for (;;) {
        const { rows, hasMore } = this.#walk<ItemRow>(scope, statements, turn?.pos);
        for (const { row, segment } of rows) {
          const entry = this.#entry(row, segment, window.mode, files);
          if (entry !== undefined) elements.push({ at: row.pos, value: entry });
        }
        const last = rows.at(-1);
        const missing = window.limit - elements.length;
        if (missing === 0 || !hasMore || last === undefined) return { elements, hasMore };
        scope = { ...scope, from: { at: last.row.pos, isIncluded: false }, limit: missing };
      }
    } finally {
      files.close();
    }
  }

  #entry(row: ItemRow, segment: Segment, mode: HistoryMode, files: OpenRollouts): ThreadItemEntry | undefined {
    const owner = this.#turnAt.get(row.rollout, row.turn_pos) as TurnRow | undefined;
    const item = owner === undefined ? undefined : itemView(row, segment, mode, files);
    if (owner === undefined || item === undefined) return undefined;
    return { turnId: owner.turn_id, item, startedAtMs: row.started_ms, completedAtMs: row.completed_ms };
  }

  /** A turn that the thread shows; undefined if it has none of that id. */
  findTurn(segments: readonly Segment[], turnId: string): TurnPlace | undefined {
    for (const segment of segments) {
      const row = this.#turnById.get(segment.rollout.id, turnId, segment.endPosition ?? BEYOND) as TurnRow | undefined;
      if (row !== undefined) return placeOf(row, segment);
    }
    return undefined;
  }

  /** The last turn of a thread, if it has any. */
  lastTurn(segments: readonly Segment[]): TurnPlace | undefined {
    return this.#oneTurn(segments, null, 'desc');
  }

  /** The turn behind another one. */
  turnAfter(segments: readonly Segment[], turn: TurnPlace): TurnPlace | undefined {
    return this.#oneTurn(segments, { at: turn.pos, isIncluded: false }, 'asc');
  }

  #oneTurn(
    segments: readonly Segment[],
    from: HistoryPosition | null,
    direction: SortDirection,
  ): TurnPlace | undefined {
    const window: HistoryWindow = { segments, mode: 'paginated', from, direction, limit: 1 };
    const [found] = this.#walk<TurnRow>(window, this.#turns).rows;
    return found === undefined ? undefined : placeOf(found.row, found.segment);
  }

  /** Where an item of a turn stands; undefined if the turn shows no such item. */
  findItem(segments: readonly Segment[], turnId: string, itemId: string): number | undefined {
    const turn = this.findTurn(segments, turnId);
    if (turn === undefined) return undefined;
    const { segment, pos } = turn;
    const row = this.#itemById.get(segment.rollout.id, itemId, pos, segment.endPosition ?? BEYOND) as
      | ItemRow
      | undefined;
    return row?.pos;
  }

  /** What was said in a thread, by the user and by the agent, oldest first. Reads as far as it is consumed. */
  *messages(segments: readonly Segment[], mode: HistoryMode): Generator<ThreadItem> {
    const files = new OpenRollouts(this.#meter, this.#pathOf);
    try {
      for (const segment of segments.toReversed()) {
        const { id } = segment.rollout;
        let low = 0;
        for (;;) {
          const bounds = { rollout: id, low, high: segment.endPosition ?? BEYOND, limit: MESSAGES_AT_ONCE };
          const rows = this.#messageItems.all(bounds) as ItemRow[];
          for (const row of rows) {
            const item = itemView(row, segment, mode, files);
            if (item !== undefined) yield item;
          }
          const last = rows.at(-1);
          if (last === undefined || rows.length < MESSAGES_AT_ONCE) break;
          low = last.pos + 1;
        }
      }
    } finally {
      files.close();
    }
  }

  /** The user messages of a thread, oldest first. */
  *userMessages(segments: readonly Segment[]): Generator<UserMessagePlace> {
    for (const segment of segments.toReversed()) {
      const rows = this.#userItems.all({
        rollout: segment.rollout.id,
        low: 0,
        high: segment.endPosition ?? BEYOND,
      }) as ItemRow[];
      for (const row of rows) {
        const turn = this.#turnAt.get(row.rollout, row.turn_pos) as TurnRow | undefined;
        if (turn === undefined) continue;
        yield {
          segment,
          pos: row.pos,
          offset: row.offset,
          turnId: turn.turn_id,
          turnPos: turn.pos,
          turnOffset: turn.start_offset,
        };
      }
    }
  }

  #walk<R extends { readonly rollout: number }>(
    window: HistoryWindow,
    statements: Readonly<Record<SortDirection, Statement>>,
    turnPos?: number,
  ): { readonly rows: readonly { readonly row: R; readonly segment: Segment }[]; readonly hasMore: boolean } {
    const { from, direction, limit } = window;
    const found: { row: R; segment: Segment }[] = [];
    const segments = direction === 'desc' ? window.segments : window.segments.toReversed();
    for (const segment of segments) {
      const missing = limit + 1 - found.length;
      if (missing <= 0) break;
      const bounds = boundsOf(segment, from, direction);
      const params = { rollout: segment.rollout.id, ...bounds, limit: missing };
      const rows = statements[direction].all(turnPos === undefined ? params : { ...params, turnPos }) as R[];
      found.push(...rows.map((row) => ({ row, segment })));
    }
    return { rows: found.slice(0, limit), hasMore: found.length > limit };
  }

  #turnView(row: TurnRow, segment: Segment, mode: HistoryMode, view: TurnItemsView, files: OpenRollouts): Turn {
    const isCut = segment.endPosition !== null && (row.end_pos === null || row.end_pos >= segment.endPosition);
    // A turn that the thread left before it had ended reads as interrupted there, whatever became of it.
    const ended = isCut && !(row.end_pos === null && row.status === 'completed');
    return {
      id: row.turn_id,
      rootTurnId: row.root_turn_id,
      items: this.#itemRows(row, segment, view)
        .map((item) => itemView(item, segment, mode, files))
        .filter((item) => item !== undefined),
      itemsView: view,
      status: ended ? 'interrupted' : row.status,
      error: ended || row.error === null ? null : storedJson<TurnError>(row.error),
      startedAt: row.started_at,
      completedAt: ended ? null : row.completed_at,
      durationMs: ended ? null : row.duration_ms,
    };
  }

  #itemRows(turn: TurnRow, segment: Segment, view: TurnItemsView): readonly ItemRow[] {
    const params = { rollout: turn.rollout, turnPos: turn.pos, high: segment.endPosition ?? BEYOND };
    switch (view) {
      case 'notLoaded':
        return [];
      case 'full':
        return this.#itemsOfTurn.all(params) as ItemRow[];
      case 'summary': {
        const first = this.#firstUser.get(params) as ItemRow | undefined;
        const last = this.#lastAgent.get(params) as ItemRow | undefined;
        return [first, last].filter((row) => row !== undefined);
      }
    }
  }
}

/** A turn in a history, and where its records stand. */
export interface TurnPlace {
  readonly segment: Segment;
  readonly turnId: string;
  readonly pos: number;
  /** Of the record that opens it. */
  readonly startOffset: number;
  /** The record that closes it and the byte behind that; null if the thread's history has none. */
  readonly end: { readonly pos: number; readonly offset: number } | null;
  /** It was begun by a marker and has no end. */
  readonly isOpen: boolean;
}

/** A user message in a history, and the turn it belongs to. */
export interface UserMessagePlace {
  readonly segment: Segment;
  readonly pos: number;
  readonly offset: number;
  readonly turnId: string;
  readonly turnPos: number;
  readonly turnOffset: number;
}

function placeOf(row: TurnRow, segment: Segment): TurnPlace {
  const isEnded = row.end_pos !== null && row.end_pos < (segment.endPosition ?? BEYOND);
  return {
    segment,
    turnId: row.turn_id,
    pos: row.pos,
    startOffset: row.start_offset,
    end: isEnded && row.end_offset !== null ? { pos: row.end_pos ?? 0, offset: row.end_offset } : null,
    // What another thread's rollout holds of a turn does not go on in this one.
    isOpen: row.status === 'inProgress' && !isEnded && segment.endPosition === null,
  };
}

function boundsOf(
  segment: Segment,
  from: HistoryPosition | null,
  direction: SortDirection,
): { readonly low: number; readonly high: number } {
  const high = segment.endPosition ?? BEYOND;
  if (from === null) return { low: 0, high };
  return direction === 'asc'
    ? { low: from.isIncluded ? from.at : from.at + 1, high }
    : { low: 0, high: Math.min(high, from.isIncluded ? from.at + 1 : from.at) };
}

function itemView(row: ItemRow, segment: Segment, mode: HistoryMode, files: OpenRollouts): ThreadItem | undefined {
  const places: readonly (readonly [number, number])[] = [
    [row.offset, row.length],
    ...(row.parts === null ? [] : storedJson<[number, number][]>(row.parts)),
  ];
  const payloads = places
    .map(([offset, length]) => files.payload(segment, offset, length))
    .filter((payload) => payload !== undefined);
  const [first] = payloads;
  if (first === undefined) return undefined;
  return mode === 'legacy' ? itemOfLegacyEvents(payloads, row.item_id) : itemOfCompleted(first);
}
