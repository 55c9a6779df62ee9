import type { ThreadId } from '../domain/ids.ts';
import type { RolloutItem, RolloutLine } from '../domain/rollout-line.ts';
import type { HistoryMode } from '../domain/session-meta.ts';
import type { ThreadSettings } from '../domain/thread-settings.ts';
import type { AppendOptions } from '../live/live-thread.ts';
import type { Durability } from '../store/thread-store.ts';
import type { AskClients } from './client-questions.ts';
import type { ModelClient } from './model-client.ts';
import type { TokenCount, TokenUsage, TurnEvent } from './turn-events.ts';

/** What a turn writes its records to; an ephemeral thread's goes nowhere. */
export interface TurnHistory {
  readonly historyMode: HistoryMode;
  append(items: readonly RolloutItem[], options?: AppendOptions): Promise<void>;
  /**
   * The record that the thread is run with these, unless one says so already. To be appended in the same breath.
   * @param before what is appended before it
   */
  settingsNews(settings: ThreadSettings, before?: readonly RolloutItem[]): readonly RolloutItem[];
  records(): AsyncIterable<RolloutLine>;
}

/** What a turn is run with. */
export interface TurnSetup {
  readonly threadId: ThreadId;
  readonly turnId: string;
  readonly settings: ThreadSettings;
  /** What the next turn is run with, as far as that is acknowledged. Default: what this one is. */
  readonly nextSettings?: () => ThreadSettings;
  readonly history: TurnHistory;
  readonly model: ModelClient;
  /** Tokens of the thread so far. */
  readonly tokensBefore: TokenUsage;
  /** The count that they come from. Default: none. */
  readonly countBefore?: TokenCount | null;
  /** What the user's words and the end of the turn survive once acknowledged (D6). */
  readonly durability: Durability;
  readonly tell: (event: TurnEvent) => void;
  /** Default: there is nobody to ask. */
  readonly askClients?: AskClients;
  /** Runs work that records something and then tells it, so that nobody looks in between. Default: just runs it. */
  readonly asOne?: (work: () => Promise<void>) => Promise<void>;
  /** Unix ms. */
  readonly now: () => number;
}
