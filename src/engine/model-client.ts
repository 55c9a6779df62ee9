import type { RolloutLine } from '../domain/rollout-line.ts';
import type { ThreadSettings } from '../domain/thread-settings.ts';
import type { UserMessage } from '../domain/user-input.ts';
import type { ClientQuestions } from './client-questions.ts';
import type { TokenUsage } from './turn-events.ts';

/** One call of a model: answer what the user has said in this turn, with the thread's history at hand. */
export interface ModelRequest {
  readonly threadId: string;
  readonly turnId: string;
  readonly settings: ThreadSettings;
  /** What the user said in this turn, oldest first; the last one is what is answered. */
  readonly messages: readonly UserMessage[];
  /** The thread's records, for models that need more than this turn. Read as it is consumed. */
  readonly history: () => AsyncIterable<RolloutLine>;
  /** Asks whoever watches the thread: approvals, tools of clients, questions to the user. */
  readonly clients: ClientQuestions;
}

/** As {@link ModelRequest}, for a summary: nobody is asked anything then. */
export type CompactRequest = Omit<ModelRequest, 'clients'>;

/** What a model streams back. A message is started, grows by deltas, and is completed with its whole text. */
export type ModelEvent =
  | { readonly type: 'messageStarted'; readonly itemId: string }
  | { readonly type: 'messageDelta'; readonly itemId: string; readonly delta: string }
  | { readonly type: 'messageCompleted'; readonly itemId: string; readonly text: string }
  | { readonly type: 'completed'; readonly usage: TokenUsage };

/** What a model made of a history. */
export interface Summary {
  readonly text: string;
  readonly usage: TokenUsage;
}

/**
 * A model that turns can be run against. Streaming ends by itself, by a throw (the turn fails with its message), or
 * when the signal is aborted; it must then stop soon and hold nothing.
 */
export interface ModelClient {
  /** Shown in model lists, logs and `status`. */
  readonly name: string;
  /** One line for people who choose a model. */
  readonly description: string;
  readonly contextWindow: number | null;
  stream(request: ModelRequest, signal: AbortSignal): AsyncIterable<ModelEvent>;
  /**
   * Summarises the thread's history, so that later requests can go on from less; the request has no messages. A throw
   * fails the turn with its message. A model without it understands nothing that it could summarise: its histories stay
   * as they are.
   */
  compact?(request: CompactRequest, signal: AbortSignal): Promise<Summary>;
}
