import type { ThreadId } from '../../../src/domain/ids.ts';
import type { HistoryMode, MemoryMode } from '../../../src/domain/session-meta.ts';
import { Promised } from './promises.ts';

/** What one writer of a thread has been asked for. */
interface Writing {
  /** It has written something: what others have written it promises with its own words only. */
  isWritten: boolean;
  /** Appends under way. */
  appending: number;
}

/** What was promised of a thread. */
export class PromisedThread {
  readonly id: ThreadId;
  readonly mode: HistoryMode;
  /** Of the turns at its end that are whole, or are being written, in their order, and how many words go before them. */
  readonly turnIds: string[] = [];
  wordsBefore = 0;
  readonly words = new Promised<readonly string[]>([]);
  readonly isThere = new Promised(false);
  readonly name = new Promised<string | null>(null);
  readonly memory = new Promised<MemoryMode>('enabled');
  readonly isArchived = new Promised(false);
  isLive = true;
  /** Its writer is being ended, and nothing that comes after that is begun: it takes what comes, or refuses it. */
  isEnding = false;
  /** The disk refuses some of what is written to it. */
  isFailing = false;
  /** Its name is being set. */
  isRenaming = false;
  /** Something is under way beside which nothing else is done with it. */
  isHeld = false;
  /** Steps that were begun with it and have not ended. */
  underWay = 0;
  /** It is being made from another, and how much of that is not known. */
  forkedFrom: { readonly source: PromisedThread; readonly at: number } | undefined;
  writing: Writing = { isWritten: false, appending: 0 };
  #writtenTurns = 0;

  constructor(id: ThreadId, mode: HistoryMode) {
    this.id = id;
    this.mode = mode;
  }

  /** How many of the turns are whole for certain. */
  get writtenTurns(): number {
    return this.#writtenTurns;
  }

  /** So many turns are whole: what stands before one that is written is written too. */
  areWritten(count: number): void {
    this.#writtenTurns = Math.max(this.#writtenTurns, count);
  }

  /** Turns from there on are gone, or will be. */
  cutTurns(count: number): void {
    this.turnIds.length = count;
    this.#writtenTurns = Math.min(this.#writtenTurns, count);
  }

  /** A turn was written: so is what stands before it. */
  isWritten(turnId: string): void {
    this.areWritten(this.turnIds.indexOf(turnId) + 1);
  }

  /** A turn that is not written yet never will be. */
  withdraw(turnId: string): void {
    this.turnIds.splice(this.turnIds.indexOf(turnId), 1);
  }

  /** Which turns there are is not known any more. */
  forgetTurns(wordsBefore: number): void {
    this.cutTurns(0);
    this.wordsBefore = wordsBefore;
  }

  /** By another process. */
  isOpenedAnew(): void {
    [this.isLive, this.isEnding, this.isHeld, this.isFailing, this.isRenaming] = [false, false, false, false, false];
    this.writing = { isWritten: false, appending: 0 };
    this.underWay = 0;
  }

  /** With a writer of its own. */
  goesOn(): void {
    this.isLive = true;
    this.writing = { isWritten: false, appending: 0 };
  }

  /** Does something beside which nothing else is done with it. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    this.isHeld = true;
    try {
      return await work();
    } finally {
      this.isHeld = false;
    }
  }
}
