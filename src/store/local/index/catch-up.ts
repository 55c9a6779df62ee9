import type { Statement } from 'better-sqlite3';
import { errnoOf, messageOf } from '../../../domain/errors.ts';
import type { RolloutLine } from '../../../domain/rollout-line.ts';
import { readSessionMeta, type HistoryMode, type SessionMeta } from '../../../domain/session-meta.ts';
import { countedTokens, NO_FACTS, withLine, type ThreadFacts } from '../../../domain/thread-facts.ts';
import {
  emptyHistory,
  foldLine,
  type HistoryChange,
  type HistoryFold,
  type ItemRole,
} from '../../../domain/turn-history.ts';
import { readRollout, type PlacedRecord } from '../rollout-reader.ts';
import { remedyFor, storedJson, type IndexDatabase } from './database.ts';
import { markBefore } from './file-mark.ts';
import type { ReadMeter } from './read-meter.ts';
import { isReadToEnd, type RolloutBase, type RolloutRow } from './rollout-row.ts';
import type { RolloutTable } from './rollout-table.ts';

const ROLES: Readonly<Record<ItemRole, number>> = { other: 0, user: 1, agent: 2 };

/** A slice of indexing keeps the thread that does it busy for about this long, then lets requests in. */
export const SLICE_MS = 8;

/** Records between looks at the clock. */
const RECORDS_PER_LOOK = 64;

/** Facts that a rollout takes over from the one it continues; `notReady` if that must be read first. */
export type InheritFacts = (base: RolloutBase) => Partial<ThreadFacts> | 'notReady';

/** How reading a rollout ended: at its end, or at its header, because what it continues must be read first. */
export type CatchUpResult = 'done' | 'needsBase';

/**
 * Brings the rows of one rollout up to its end: reads what was added since last time, and only that. The same
 * way serves a first build, Skein's own appends and what other processes wrote.
 */
export class CatchUp {
  readonly #database: IndexDatabase;
  readonly #rollouts: RolloutTable;
  readonly #meter: ReadMeter;
  readonly #openTurn: Statement;
  readonly #closeTurn: Statement;
  readonly #countInTurn: Statement;
  readonly #turnByName: Statement;
  readonly #itemOfTurn: Statement;
  readonly #insertItem: Statement;
  readonly #replaceItem: Statement;
  readonly #extendItem: Statement;
  readonly #lastTurns: Statement;
  readonly #deleteTurn: Statement;
  readonly #deleteItemsOfTurn: Statement;

  constructor(database: IndexDatabase, rollouts: RolloutTable, meter: ReadMeter) {
    this.#database = database;
    this.#rollouts = rollouts;
    this.#meter = meter;
    const prepare = (sql: string): Statement => database.prepare(sql);
    this.#openTurn = prepare(`
      INSERT OR IGNORE INTO turns (rollout, pos, start_offset, turn_id, root_turn_id, status, started_at)
      VALUES (:rollout, :pos, :offset, :turnId, :rootTurnId, :status, :startedAt)`);
    // A turn that has ended stays as it ended, whatever comes later.
    this.#closeTurn = prepare(`
      UPDATE turns SET status = :status, end_pos = :pos, end_offset = :endOffset, completed_at = :completedAt,
                       duration_ms = :durationMs, error = :error, started_at = coalesce(:startedAt, started_at)
      WHERE rollout = :rollout AND turn_id = :turnId AND end_pos IS NULL`);
    this.#countInTurn = prepare(
      'UPDATE turns SET count_offset = :offset, counted = :counted WHERE rollout = :rollout AND turn_id = :turnId',
    );
    this.#turnByName = prepare(
      'SELECT pos FROM turns WHERE rollout = ? AND turn_id = ? ORDER BY pos DESC LIMIT 1',
    ).pluck();
    this.#itemOfTurn = prepare(
      'SELECT pos, parts FROM items WHERE rollout = ? AND item_id = ? AND turn_pos = ? LIMIT 1',
    );
    this.#insertItem = prepare(`
      INSERT OR IGNORE INTO items (rollout, pos, turn_pos, item_id, role, offset, length, started_ms, completed_ms)
      VALUES (:rollout, :pos, :turnPos, :itemId, :role, :offset, :length, :startedAtMs, :completedAtMs)`);
    this.#replaceItem = prepare(`
      UPDATE items SET offset = :offset, length = :length, role = :role, parts = NULL,
                       completed_ms = coalesce(:completedAtMs, completed_ms)
      WHERE rollout = :rollout AND pos = :pos`);
    this.#extendItem = prepare('UPDATE items SET parts = :parts WHERE rollout = :rollout AND pos = :pos');
    this.#lastTurns = prepare('SELECT pos FROM turns WHERE rollout = ? ORDER BY pos DESC LIMIT ?').pluck();
    this.#deleteTurn = prepare('DELETE FROM turns WHERE rollout = ? AND pos = ?');
    this.#deleteItemsOfTurn = prepare('DELETE FROM items WHERE rollout = ? AND turn_pos = ?');
  }

  /**
   * Indexes up to the end of the file, slice by slice. Yields between slices, outside any transaction, so that
   * the caller can let other work in. A file that cannot be read as a rollout is marked so, with the reason.
   *
   * @param path absolute path of the rollout's file
   * @param settle called in the same transaction that says how reading ended
   */
  *run(row: RolloutRow, path: string, inherit: InheritFacts, settle: () => void): Generator<void, CatchUpResult> {
    if (isReadToEnd(row)) return 'done';
    const isRewritten = this.isRewritten(row, path);
    if (isRewritten) this.#rollouts.reset(row.id);
    let progress: Progress = isRewritten ? BEGINNING : startOf(row);
    const reader = readRollout(path, progress.offset);
    try {
      for (;;) {
        const slice = this.#rollouts.atomically(() => {
          const done = this.#slice(row, path, reader, progress, inherit);
          if (!done.isDone) return done;
          if (row.compressedSize !== null) this.#rollouts.setFile(row.id, { ...row, size: done.size });
          settle();
          return done;
        });
        progress = slice.progress;
        if (slice.isDone) return 'done';
        yield;
      }
    } catch (error) {
      if (error instanceof BaseNotReady) return 'needsBase';
      const errno = errnoOf(error);
      if (errno === undefined && (remedyFor(error) !== 'none' || !this.#database.open)) throw error;
      this.#rollouts.atomically(() => {
        if (errno === 'ENOENT') this.#rollouts.setMissing(row.id);
        else if (errno === undefined) this.#rollouts.setUnreadable(row.id, messageOf(error));
        else this.#rollouts.setFailed(row.id, messageOf(error));
        settle();
      });
      return 'done';
    } finally {
      // A reading that is given up half-way has its file still open.
      reader.return({ offset: progress.offset, tornBytes: 0 });
    }
  }

  /** True if a file was not only added to since it was read: what was read then does not stand there any more. */
  isRewritten(row: RolloutRow, path: string): boolean {
    // Of a compressed file others keep the time, and its length is checked when it is unpacked.
    if (row.mark === null || row.compressedSize !== null) return false;
    try {
      return markBefore(path, row.indexedSize, this.#meter) !== row.mark;
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return false;
    }
  }

  #slice(
    row: RolloutRow,
    path: string,
    reader: ReturnType<typeof readRollout>,
    before: Progress,
    inherit: InheritFacts,
  ): { readonly progress: Progress } & ({ readonly isDone: false } | { readonly isDone: true; readonly size: number }) {
    const deadline = Date.now() + SLICE_MS;
    let progress = before;
    for (let count = 1; ; count += 1) {
      const next = reader.next();
      if (next.done === true) {
        const { offset, tornBytes } = next.value;
        this.#meter.bytesRead += offset + tornBytes - before.offset;
        this.#save(row, path, { ...progress, offset }, tornBytes, true);
        return { progress, isDone: true, size: offset + tornBytes };
      }
      const event = next.value;
      if (event.type === 'defect') progress = { ...progress, defects: progress.defects + 1 };
      else progress = this.#record(row.id, progress, event.record, inherit);
      if (count % RECORDS_PER_LOOK === 0 && Date.now() > deadline) {
        this.#meter.bytesRead += progress.offset - before.offset;
        this.#save(row, path, progress, 0, false);
        return { progress, isDone: false };
      }
    }
  }

  #record(rollout: number, progress: Progress, record: PlacedRecord, inherit: InheritFacts): Progress {
    const { line, offset, length } = record;
    const header = progress.facts.header ?? headerOf(line);
    // What stands before the header belongs to no thread.
    if (header === null) return { ...progress, offset: offset + length + 1 };
    const isHeader = progress.facts.header === null;
    const facts = withLine(isHeader ? firstFacts(header, inherit) : progress.facts, line);
    const step = foldLine(progress.fold ?? emptyHistory(header.historyMode), line);
    const pos = positionOf(header.historyMode, record);
    for (const change of step.changes) this.#apply(rollout, pos, record, change);
    if (facts.lastCount !== null && facts.lastCount !== progress.facts.lastCount) {
      const counted = JSON.stringify(countedTokens(facts));
      this.#countInTurn.run({ rollout, offset, turnId: facts.lastCount.turnId, counted });
    }
    return {
      offset: offset + length + 1,
      defects: progress.defects,
      facts,
      fold: step.fold,
      firstUserOffset:
        progress.firstUserOffset ??
        (facts.firstUserMessage !== '' && progress.facts.firstUserMessage === '' && !isHeader ? offset : null),
    };
  }

  #apply(rollout: number, pos: number, record: PlacedRecord, change: HistoryChange): void {
    const { offset, length } = record;
    switch (change.type) {
      case 'turnOpened': {
        const { turnId, rootTurnId, status, startedAt } = change;
        if (this.#turnByName.get(rollout, turnId) !== undefined) return;
        this.#openTurn.run({ rollout, pos, offset, turnId, rootTurnId, status, startedAt });
        return;
      }
      case 'turnClosed': {
        const { turnId, status, startedAt, completedAt, durationMs, error } = change;
        const endOffset = offset + length + 1;
        this.#closeTurn.run({
          rollout,
          pos,
          endOffset,
          turnId,
          status,
          startedAt,
          completedAt,
          durationMs,
          error: error === null ? null : JSON.stringify(error),
        });
        return;
      }
      case 'itemRecorded':
        this.#applyItem(rollout, pos, record, change);
        return;
      case 'turnsRolledBack':
        for (const turnPos of this.#lastTurns.all(rollout, change.count)) {
          this.#deleteItemsOfTurn.run(rollout, turnPos);
          this.#deleteTurn.run(rollout, turnPos);
        }
    }
  }

  #applyItem(
    rollout: number,
    pos: number,
    record: PlacedRecord,
    change: Extract<HistoryChange, { type: 'itemRecorded' }>,
  ): void {
    const turnPos = this.#turnByName.get(rollout, change.turnId);
    if (turnPos === undefined) return;
    const { offset, length } = record;
    const { itemId, startedAtMs, completedAtMs } = change;
    const role = ROLES[change.role];
    const known = this.#itemOfTurn.get(rollout, itemId, turnPos) as { pos: number; parts: string | null } | undefined;
    if (known === undefined) {
      this.#insertItem.run({ rollout, pos, turnPos, itemId, role, offset, length, startedAtMs, completedAtMs });
    } else if (change.isPart) {
      const parts = [...storedJson<[number, number][]>(known.parts ?? '[]'), [offset, length]];
      this.#extendItem.run({ rollout, pos: known.pos, parts: JSON.stringify(parts) });
    } else {
      this.#replaceItem.run({ rollout, pos: known.pos, role, offset, length, completedAtMs });
    }
  }

  #save(row: RolloutRow, path: string, progress: Progress, tornBytes: number, isWhole: boolean): void {
    const { facts, fold, defects, firstUserOffset, offset } = progress;
    if (facts.header === null || fold === null) {
      this.#rollouts.setUnreadable(row.id, 'it has no session metadata');
      return;
    }
    this.#rollouts.setContent(row.id, {
      indexedSize: offset,
      isWhole,
      mark: row.compressedSize === null ? markBefore(path, offset, this.#meter) : null,
      defects,
      tornBytes,
      firstUserOffset,
      base: baseOf(facts.header),
      fold: JSON.stringify(fold),
      facts: JSON.stringify(facts),
    });
  }
}

/** Leaves a slice, and its transaction, at a header whose base is not read yet. */
class BaseNotReady extends Error {}

/** How far a rollout is read, and what was learnt up to there. */
interface Progress {
  readonly offset: number;
  readonly defects: number;
  readonly facts: ThreadFacts;
  /** Null until the header was seen. */
  readonly fold: HistoryFold | null;
  readonly firstUserOffset: number | null;
}

const BEGINNING: Progress = { offset: 0, defects: 0, facts: NO_FACTS, fold: null, firstUserOffset: null };

const startOf = (row: RolloutRow): Progress => ({
  offset: row.indexedSize,
  defects: row.defects,
  facts: row.facts === null ? NO_FACTS : storedJson<ThreadFacts>(row.facts),
  fold: row.fold === null ? null : storedJson<HistoryFold>(row.fold),
  firstUserOffset: row.firstUserOffset,
});

function firstFacts(header: SessionMeta, inherit: InheritFacts): ThreadFacts {
  const base = baseOf(header);
  if (base === null) return NO_FACTS;
  const inherited = inherit(base);
  if (inherited === 'notReady') throw new BaseNotReady();
  // The header of a file that a revert made is one more of the same thread's, whose first one says who it is.
  const first = inherited.header ?? null;
  return { ...NO_FACTS, ...inherited, header: first === null ? null : { ...first, historyBase: header.historyBase } };
}

function headerOf(line: RolloutLine): SessionMeta | null {
  if (line.item.type !== 'session_meta') return null;
  const meta = readSessionMeta(line.item.payload);
  return typeof meta === 'string' ? null : meta;
}

function baseOf(header: SessionMeta): RolloutBase | null {
  const base = header.historyBase;
  return base === null
    ? null
    : { rolloutId: base.rolloutId, endOrdinal: base.endOrdinalExclusive, endOffset: base.endByteOffset };
}

/** A paginated record without ordinal has no place of its own; its byte offset at least is unique. */
const positionOf = (mode: HistoryMode, record: PlacedRecord): number =>
  mode === 'paginated' ? (record.line.ordinal ?? record.offset) : record.offset;
