import type { Entry } from './expectation.ts';

/** All that clients were told, by thread. */
export class Ledger {
  readonly entries = new Map<string, Entry>();
  /** Threads of this home may be taken back to earlier turns. */
  readonly isRevertible: boolean;
  /** How many daemons have lived. */
  round = 0;
  /** Names of sections that are there. */
  readonly sections: string[] = [];
  /** The model that is chosen for new threads, and the one that was asked for and not answered; undefined: none. */
  chosen: { certain: string | undefined; pending: string | undefined } = { certain: undefined, pending: undefined };
  /** How often what was acknowledged. */
  readonly acknowledged: Record<string, number> = {};
  /** What was refused, by method and reason, and how it came to that first. */
  readonly refusals = new Map<string, string>();

  constructor(isRevertible: boolean) {
    this.isRevertible = isRevertible;
  }

  /** What is known of a thread; nothing of a new one. */
  entry(threadId: string): Entry {
    const known = this.entries.get(threadId);
    if (known !== undefined) return known;
    const entry: Entry = {
      certain: null,
      pending: undefined,
      isReverted: false,
      hasMoreThanWords: false,
      mayAnswerTwice: false,
      trail: [],
    };
    this.entries.set(threadId, entry);
    return entry;
  }

  count(kind: string): void {
    this.acknowledged[kind] = (this.acknowledged[kind] ?? 0) + 1;
  }

  refuse(method: string, message: string, { trail }: Entry): void {
    const key = `${method}: ${message.replaceAll(/[0-9a-f-]{36}/g, 'ID')}`;
    if (!this.refusals.has(key)) this.refusals.set(key, trail.join(', '));
  }
}
