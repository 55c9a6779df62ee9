import type { JsonObject } from './json.ts';

/** One item of a turn as clients see it: flat, camelCase, told apart by `type` (app-server-protocol). */
export interface ThreadItem extends JsonObject {
  readonly type: string;
  readonly id: string;
}

/** How much of a turn's items a view holds: none, the first user and last agent message, or all. */
export type TurnItemsView = 'notLoaded' | 'summary' | 'full';

export type TurnStatus = 'inProgress' | 'completed' | 'interrupted' | 'failed';

export interface TurnError extends JsonObject {
  readonly message: string;
  readonly codexErrorInfo: string | JsonObject | null;
  readonly additionalDetails: string | null;
  readonly misalignment: JsonObject | null;
}

/** One exchange, from the user's input to the end of the agent's work. */
export interface Turn {
  readonly id: string;
  readonly rootTurnId: string | null;
  readonly items: readonly ThreadItem[];
  readonly itemsView: TurnItemsView;
  /** A stored turn without an end is `inProgress`; whoever knows that nobody runs it shows `interrupted`. */
  readonly status: TurnStatus;
  readonly error: TurnError | null;
  /** Unix seconds. */
  readonly startedAt: number | null;
  /** Unix seconds. */
  readonly completedAt: number | null;
  readonly durationMs: number | null;
}

/** An item with the turn it belongs to, as item pages list it. */
export interface ThreadItemEntry {
  readonly turnId: string;
  readonly item: ThreadItem;
  /** Unix ms, if recorded. */
  readonly startedAtMs: number | null;
  /** Unix ms, if recorded. */
  readonly completedAtMs: number | null;
}

/** A turn error with only a message. */
export const turnError = (message: string, codexErrorInfo: TurnError['codexErrorInfo'] = 'other'): TurnError => ({
  message,
  codexErrorInfo,
  additionalDetails: null,
  misalignment: null,
});
