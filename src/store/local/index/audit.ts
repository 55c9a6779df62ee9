import { basename, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseRolloutFileName } from '../../../domain/rollout-file-name.ts';
import type { ThreadId } from '../../../domain/ids.ts';
import { auditOf, type AuditFinding, type AuditKind, type StoreAudit } from '../../../domain/store-audit.ts';
import { LOOKS } from '../compressed-rollout.ts';
import { rolloutFolders, rolloutNamesIn, stateOfRollout } from './home-scan.ts';
import type { IndexLife } from './index-life.ts';
import { isSameFile, type RolloutRow } from './rollout-row.ts';

/** Files looked at between turns of the event loop. */
const FILES_PER_SLICE = 100;

/** What one look at a row or a file says of it. */
type Verdict = 'right' | 'pending' | AuditFinding;

/** What is looked at again, if it looks wrong. */
type Subject =
  | { readonly type: 'row'; readonly rowId: number }
  | { readonly type: 'file'; readonly path: string }
  | { readonly type: 'thread'; readonly threadId: ThreadId };

/**
 * Holds an index against the files, and changes neither. Costs a look at every file, in slices. Files change meanwhile, so what
 * looks wrong counts only if it still does when the index has taken in what the system has told of: as a list does.
 */
export async function auditIndex(life: IndexLife): Promise<StoreAudit> {
  await life.scanned;
  await life.refresh(Date.now());
  life.syncNames();
  const audit = new IndexAudit(life);
  await audit.lookAtAll();
  for (let look = 1; look < LOOKS; look += 1) await audit.lookAgain();
  return audit.result;
}

class IndexAudit {
  readonly #life: IndexLife;
  #histories = 0;
  #pending = 0;
  #threads = 0;
  #findings: { readonly subject: Subject; readonly finding: AuditFinding }[] = [];

  constructor(life: IndexLife) {
    this.#life = life;
  }

  get result(): StoreAudit {
    const counts = { histories: this.#histories, threads: this.#threads, pending: this.#pending };
    return auditOf(
      counts,
      this.#findings.map(({ finding }) => finding),
    );
  }

  async lookAtAll(): Promise<void> {
    const rows = this.#life.parts.rollouts.present();
    this.#histories = rows.length;
    for await (const rowId of inSlices(rows)) this.#look({ type: 'row', rowId });
    for (const folder of rolloutFolders(this.#life.home)) {
      if (folder.depth > 0) continue;
      for await (const name of inSlices(rolloutNamesIn(folder.path))) {
        this.#look({ type: 'file', path: join(folder.path, name) });
      }
    }
    this.#threads = this.#life.parts.threads.count();
    for (const threadId of this.#life.parts.threads.withoutFile()) this.#look({ type: 'thread', threadId });
  }

  /** Looks again at what looked wrong. */
  async lookAgain(): Promise<void> {
    if (this.#findings.length === 0) return;
    await this.#life.refresh(Date.now());
    this.#life.syncNames();
    const found = this.#findings;
    this.#findings = [];
    for await (const { subject } of inSlices(found)) this.#look(subject);
  }

  #look(subject: Subject): void {
    const verdict = this.#verdictOn(subject);
    if (verdict === 'pending') this.#pending += 1;
    else if (verdict !== 'right') this.#findings.push({ subject, finding: verdict });
  }

  #verdictOn(subject: Subject): Verdict {
    switch (subject.type) {
      case 'row':
        return this.#verdictOnRow(subject.rowId);
      case 'file':
        return this.#verdictOnFile(subject.path);
      case 'thread':
        return this.#verdictOnThread(subject.threadId);
    }
  }

  #verdictOnRow(rowId: number): Verdict {
    const row = this.#life.parts.rollouts.byId(rowId);
    if (row === undefined || row.state === 'missing') return 'right';
    const place = this.#life.home.fromStored(row.path);
    const wrong = (kind: AuditKind, detail: string): AuditFinding => ({ kind, threadId: row.threadId, place, detail });
    const file = stateOfRollout(place);
    if (file === undefined) return wrong('stale', 'the file is gone');
    if (row.state === 'unreadable') return wrong('unreadable', row.problem ?? 'it cannot be read');
    if (!isSameFile(row, file)) return wrong('stale', 'the file has changed since it was looked at');
    if (row.state === 'pending' || !isCovered(row)) return 'pending';
    if (row.isArchived !== this.#life.home.isArchived(place)) return wrong('stale', 'it counts as lying elsewhere');
    return this.#verdictOnThread(row.threadId, place);
  }

  #verdictOnFile(place: string): Verdict {
    const { rollouts } = this.#life.parts;
    const name = parseRolloutFileName(basename(place));
    const row = rollouts.byPath(this.#life.home.toStored(place));
    const isKnown = row !== undefined && row.state !== 'missing';
    if (isKnown || name === undefined || stateOfRollout(place) === undefined) return 'right';
    const other = rollouts.byRolloutId(name.rolloutId);
    const otherPlace = other === undefined ? undefined : this.#life.home.fromStored(other.path);
    const isThereTwice = otherPlace !== undefined && otherPlace !== place && stateOfRollout(otherPlace) !== undefined;
    const [kind, detail] = isThereTwice
      ? (['duplicate', `the same rollout is also ${otherPlace}, which counts`] as const)
      : (['missing', 'no list knows of it'] as const);
    return { kind, threadId: name.threadId, place, detail };
  }

  #verdictOnThread(threadId: ThreadId, place: string = threadId): Verdict {
    switch (this.#life.parts.threads.compare(threadId)) {
      case 'same':
        return 'right';
      case 'notListed':
        return { kind: 'missing', threadId, place, detail: 'it was read, and its thread is in no list' };
      case 'onlyListed':
        return { kind: 'stale', threadId, place, detail: 'its thread is listed, and has no file' };
      case 'different':
        return { kind: 'stale', threadId, place, detail: 'its thread is listed otherwise than file and name have it' };
    }
  }
}

/** True if all of a file was read, as far as it was seen. */
const isCovered = ({ compressedSize, fileSize, indexedSize, tornBytes }: RolloutRow): boolean =>
  compressedSize === null ? indexedSize + tornBytes >= fileSize : fileSize >= 0;

/** Lets others in after every slice. */
async function* inSlices<T>(all: readonly T[]): AsyncGenerator<T> {
  for (const [index, one] of all.entries()) {
    if (index > 0 && index % FILES_PER_SLICE === 0) await nextTurn();
    yield one;
  }
}
