import type { ThreadId } from './ids.ts';

/**
 * How what a store lists can differ from what it holds. `missing`: held, and not listed. `stale`: listed otherwise than
 * it is held now, or not held any more. `duplicate`: held twice, one of them hidden. `unreadable`: held, and of no use;
 * no fault of the list.
 */
export const AUDIT_KINDS = ['missing', 'stale', 'duplicate', 'unreadable'] as const;
export type AuditKind = (typeof AUDIT_KINDS)[number];

export interface AuditFinding {
  readonly kind: AuditKind;
  /** Null where that is not known. */
  readonly threadId: ThreadId | null;
  /** Where it lies, or should: a path, for stores of files. */
  readonly place: string;
  /** What is wrong, for people. */
  readonly detail: string;
}

/** What a store found when it held its list of threads against what it holds. */
export interface StoreAudit extends Readonly<Record<AuditKind, number>> {
  /** Histories that lists are made from: a thread has one, and one more for each revert. */
  readonly histories: number;
  /** Threads that lists know. */
  readonly threads: number;
  /** Histories that have not been read to their end yet. They are being read, and are in no other number. */
  readonly pending: number;
  /** The first {@link MAX_FINDINGS}. */
  readonly findings: readonly AuditFinding[];
}

/** Findings that are told one by one; the others are only counted. */
export const MAX_FINDINGS = 100;

/** Counts findings, and keeps the first of them. */
export function auditOf(
  counts: Pick<StoreAudit, 'histories' | 'threads' | 'pending'>,
  findings: readonly AuditFinding[],
): StoreAudit {
  const countOf = (kind: AuditKind): number => findings.filter((finding) => finding.kind === kind).length;
  return {
    ...counts,
    missing: countOf('missing'),
    stale: countOf('stale'),
    duplicate: countOf('duplicate'),
    unreadable: countOf('unreadable'),
    findings: findings.slice(0, MAX_FINDINGS),
  };
}
