import type { HeaderSource } from '../thread-store.ts';

/** The first bytes of a file. */
export interface FileStretch {
  readonly path: string;
  readonly endOffset: number;
}

/** What a rollout starts from: nothing yet, or a file that is there. */
export type RolloutStart = PlannedRollout | ExistingRollout;

export interface PlannedRollout {
  readonly kind: 'new';
  readonly header: HeaderSource;
  /** Ordinal of the header; null in legacy history. */
  readonly nextOrdinal: number | null;
  /** History of others that stands between the header and the first own record, copied byte for byte. */
  readonly inherited?: readonly FileStretch[];
}

export interface ExistingRollout {
  readonly kind: 'existing';
  readonly size: number;
  /** Ordinal of the next record; null in legacy history. */
  readonly nextOrdinal: number | null;
  /** The last byte is not a newline: one is written before the next record (a torn record must not swallow the next one). */
  readonly isUnterminated: boolean;
}
