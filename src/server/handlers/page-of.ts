import { invalidRequest } from '../../domain/errors.ts';
import type { JsonValue } from '../../domain/json.ts';

interface Page {
  readonly data: readonly JsonValue[];
  /** Where the next page begins; null after the last. */
  readonly nextCursor: string | null;
}

interface PageParams {
  readonly cursor?: string | null | undefined;
  readonly limit?: number | null | undefined;
}

/**
 * A page of a short list whose cursors are places in it. Without a limit it is all of the rest; a limit of nothing is one.
 * @param what the elements are, in the plural
 * @throws invalidRequest for a cursor that is none, or lies behind the end
 */
export function pageOf(all: readonly JsonValue[], { cursor, limit }: PageParams, what: string): Page {
  const start = cursor === undefined || cursor === null ? 0 : placeOf(cursor);
  if (start > all.length) throw invalidRequest(`cursor ${start} exceeds total ${what} ${all.length}`);
  const end = start + Math.max(1, limit ?? all.length);
  return { data: all.slice(start, end), nextCursor: end < all.length ? String(end) : null };
}

function placeOf(cursor: string): number {
  const place = /^\+?\d+$/.test(cursor) ? Number(cursor) : NaN;
  if (!Number.isSafeInteger(place)) throw invalidRequest(`invalid cursor: ${cursor}`);
  return place;
}
