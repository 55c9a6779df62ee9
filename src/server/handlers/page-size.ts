/** Page sizes: what a client gets that asks for none, and the most it gets. */
const DEFAULT_PAGE = 25;
const MAX_PAGE = 100;

/** How many elements a page holds: at least one, whatever is asked for. */
export const pageSize = (limit: number | null | undefined): number =>
  Math.min(MAX_PAGE, Math.max(1, limit ?? DEFAULT_PAGE));
