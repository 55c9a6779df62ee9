export type SortDirection = 'asc' | 'desc';

/** One page of a longer list. Cursors are opaque to whoever asked. */
export interface Page<T> {
  readonly data: readonly T[];
  /** Goes on after the last element; null at the end. */
  readonly nextCursor: string | null;
  /** Re-reads this page in the other direction, first element included; null for an empty page. */
  readonly backwardsCursor: string | null;
}

export const EMPTY_PAGE: Page<never> = { data: [], nextCursor: null, backwardsCursor: null };
