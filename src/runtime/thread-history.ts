import type { RolloutItem, RolloutLine } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import { settingsNews, type ThreadSettings } from '../domain/thread-settings.ts';
import { formatTimestamp } from '../domain/timestamps.ts';
import type { TurnHistory } from '../engine/turn-setup.ts';
import type { AppendOptions, LiveThread } from '../live/live-thread.ts';

/** The history of a thread that is kept: in its store. */
export class StoredHistory implements TurnHistory {
  readonly #live: LiveThread;

  constructor(live: LiveThread) {
    this.#live = live;
  }

  get historyMode(): HistoryMode {
    return this.#live.historyMode;
  }

  append(items: readonly RolloutItem[], options?: AppendOptions): Promise<void> {
    return this.#live.append(items, options);
  }

  settingsNews(settings: ThreadSettings, before?: readonly RolloutItem[]): readonly RolloutItem[] {
    return settingsNews(this.#live.threadId, this.#live.facts, settings, before);
  }

  records(): AsyncIterable<RolloutLine> {
    return this.#live.loadHistory();
  }
}

/** An ephemeral thread remembers this much for its model, and forgets the oldest beyond it. */
const MAX_REMEMBERED_BYTES = 16 * 1024 * 1024;

/** The history of an ephemeral thread: no store, no path, gone with the thread. */
export class EphemeralHistory implements TurnHistory {
  readonly historyMode: HistoryMode;
  readonly #now: () => number;
  #lines: { readonly line: RolloutLine; readonly bytes: number }[] = [];
  #bytes = 0;

  constructor(historyMode: HistoryMode, now: () => number) {
    this.historyMode = historyMode;
    this.#now = now;
  }

  append(items: readonly RolloutItem[]): Promise<void> {
    for (const item of items) this.remember({ timestamp: formatTimestamp(this.#now()), item });
    return Promise.resolve();
  }

  /** Nobody restores them from here. */
  settingsNews(): readonly RolloutItem[] {
    return [];
  }

  /** Takes in a record of another thread: what an ephemeral fork begins with. */
  remember(line: RolloutLine): void {
    const bytes = JSON.stringify(line.item.payload).length;
    this.#lines.push({ line, bytes });
    this.#bytes += bytes;
    while (this.#bytes > MAX_REMEMBERED_BYTES && this.#lines.length > 1) {
      this.#bytes -= this.#lines.shift()?.bytes ?? 0;
    }
  }

  async *records(): AsyncGenerator<RolloutLine> {
    for (const { line } of this.#lines) yield line;
  }
}
