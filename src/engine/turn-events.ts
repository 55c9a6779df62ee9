import type { JsonObject } from '../domain/json.ts';
import type { ThreadItem, Turn, TurnError } from '../domain/turn.ts';

/** Tokens, in the protocol's names. */
export interface TokenUsage extends JsonObject {
  readonly totalTokens: number;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly cacheWriteInputTokens: number;
  readonly outputTokens: number;
  readonly reasoningOutputTokens: number;
}

export const NO_TOKENS: TokenUsage = {
  totalTokens: 0,
  inputTokens: 0,
  cachedInputTokens: 0,
  cacheWriteInputTokens: 0,
  outputTokens: 0,
  reasoningOutputTokens: 0,
};

/** Tokens after a call of a model. */
export interface TokenCount {
  /** The turn of the call, or the one that it was told in again. */
  readonly turnId: string;
  /** Of the call. */
  readonly last: TokenUsage;
  /** Of the thread. */
  readonly total: TokenUsage;
  readonly modelContextWindow: number | null;
}

export const addTokens = (one: TokenUsage, other: TokenUsage): TokenUsage => ({
  totalTokens: one.totalTokens + other.totalTokens,
  inputTokens: one.inputTokens + other.inputTokens,
  cachedInputTokens: one.cachedInputTokens + other.cachedInputTokens,
  cacheWriteInputTokens: one.cacheWriteInputTokens + other.cacheWriteInputTokens,
  outputTokens: one.outputTokens + other.outputTokens,
  reasoningOutputTokens: one.reasoningOutputTokens + other.reasoningOutputTokens,
});

/** What a running turn tells, in the order it happens. What is told as completed has reached the store before. */
export type TurnEvent =
  | { readonly type: 'turnStarted'; readonly turn: Turn }
  | { readonly type: 'itemStarted'; readonly turnId: string; readonly item: ThreadItem; readonly startedAtMs: number }
  | { readonly type: 'agentMessageDelta'; readonly turnId: string; readonly itemId: string; readonly delta: string }
  | { readonly type: 'commandOutputDelta'; readonly turnId: string; readonly itemId: string; readonly delta: string }
  | {
      readonly type: 'itemCompleted';
      readonly turnId: string;
      readonly item: ThreadItem;
      readonly completedAtMs: number;
    }
  | ({ readonly type: 'tokensUsed' } & TokenCount)
  /** Something a user should know that does not end the turn: mostly that saving failed and is being retried. */
  | { readonly type: 'warning'; readonly message: string };

/** How a turn ended; its records are in the store. */
export type TurnOutcome =
  | { readonly status: 'completed'; readonly turn: Turn }
  | { readonly status: 'interrupted'; readonly turn: Turn }
  | { readonly status: 'failed'; readonly turn: Turn; readonly error: TurnError };
