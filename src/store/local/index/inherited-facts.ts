import type { ThreadId } from '../../../domain/ids.ts';
import type { CountedTokens, ThreadFacts } from '../../../domain/thread-facts.ts';
import { storedJson } from './database.ts';
import type { RolloutBase, RolloutRow } from './rollout-row.ts';
import type { RolloutTable } from './rollout-table.ts';

/** A rollout that has been read, as far as it went. */
interface ReadRollout {
  readonly row: RolloutRow;
  readonly facts: ThreadFacts;
}

/** What is known of a thread before the first record of a rollout that continues another one. */
export class InheritedFacts {
  readonly #rollouts: RolloutTable;

  constructor(rollouts: RolloutTable) {
    this.#rollouts = rollouts;
  }

  /**
   * What a rollout takes over from the one it continues: the first words, if they lie in the part it continues; the last
   * count of tokens in it. If a revert made it, also all that is set for the whole thread, from the rollout before it: which
   * is another than it continues, if a fork was taken back to what it began with.
   */
  of(base: RolloutBase, row: RolloutRow): Partial<ThreadFacts> | 'notReady' {
    const continued = this.#factsOf(this.#rollouts.byRolloutId(base.rolloutId));
    const before = this.#factsOf(this.rolloutBefore(row));
    if (continued === 'notReady' || before === 'notReady') return 'notReady';
    return {
      ...(continued === undefined ? {} : this.#continuedFacts(continued, base)),
      ...(before === undefined ? {} : lastingFacts(before.facts)),
    };
  }

  /** The rollout that a revert has replaced by this one. */
  rolloutBefore({ threadId, rolloutId }: RolloutRow): RolloutRow | undefined {
    return this.#rollouts.ofThread(threadId).find((other) => other.rolloutId < rolloutId);
  }

  #continuedFacts({ row, facts }: ReadRollout, { endOffset }: RolloutBase): Partial<ThreadFacts> {
    const { firstUserMessage, preview } = facts;
    const isInherited = row.firstUserOffset === null || row.firstUserOffset < endOffset;
    return { ...(isInherited ? { firstUserMessage, preview } : {}), ...this.#countedBefore(row, endOffset) };
  }

  /** Undefined if nothing can be known of it. */
  #factsOf(row: RolloutRow | undefined): ReadRollout | 'notReady' | undefined {
    if (row === undefined || row.state === 'unreadable' || row.state === 'missing') return undefined;
    if (row.state === 'pending' || row.facts === null) return 'notReady';
    return { row, facts: storedJson<ThreadFacts>(row.facts) };
  }

  /** The last count of tokens before a place, in the rollout or in what it continues; nothing if there is none. */
  #countedBefore(rollout: RolloutRow, endOffset: number): Partial<CountedTokens> {
    const seen = new Set<ThreadId>();
    let [row, end]: [RolloutRow | undefined, number] = [rollout, endOffset];
    while (row !== undefined && !seen.has(row.rolloutId)) {
      const counted = this.#rollouts.countedBefore(row.id, end);
      if (counted !== undefined) return counted;
      seen.add(row.rolloutId);
      end = row.base?.endOffset ?? 0;
      row = row.base === null ? undefined : this.#rollouts.byRolloutId(row.base.rolloutId);
    }
    return {};
  }
}

/** What a revert does not take back. */
function lastingFacts({
  header,
  preview,
  cwd,
  modelProvider,
  git,
  memoryMode,
  namedInHistory,
  recencyAtMs,
}: ThreadFacts): Partial<ThreadFacts> {
  return { header, preview, cwd, modelProvider, git, memoryMode, namedInHistory, recencyAtMs };
}
