import { basename } from 'node:path';
import { internal, invalidRequest, notFound, type SkeinError } from '../../../domain/errors.ts';
import type { ThreadId } from '../../../domain/ids.ts';
import { parseRolloutFileName } from '../../../domain/rollout-file-name.ts';
import { readSessionMeta } from '../../../domain/session-meta.ts';
import { readFirstRecord } from '../rollout-reader.ts';
import { stateOfRollout } from './home-scan.ts';
import type { LocatedThread, RolloutPlace } from './index-api.ts';
import type { IndexLife } from './index-life.ts';
import { lineageOf, type Segment } from './lineage.ts';
import type { RolloutRow } from './rollout-row.ts';
import type { IndexedThread } from './thread-table.ts';

/** Finds threads and the files that they consist of, read up to what those files hold now. */
export class ThreadLookup {
  readonly #life: IndexLife;

  constructor(life: IndexLife) {
    this.#life = life;
  }

  async existing(threadId: ThreadId): Promise<IndexedThread> {
    const indexed = await this.current(threadId);
    if (indexed === undefined) throw notFound(`no rollout found for thread id ${threadId}`);
    return indexed;
  }

  /** The thread with everything that its current rollout holds now. @throws internal if that is unreadable */
  async current(threadId: ThreadId): Promise<IndexedThread | undefined> {
    await this.#life.scanned;
    this.#life.syncNames();
    // What the index knew may have been moved by someone else meanwhile: then the folders show it.
    return (await this.#readable(threadId)) ?? this.#readable(threadId, { isSecondLook: true });
  }

  async #readable(threadId: ThreadId, { isSecondLook = false } = {}): Promise<IndexedThread | undefined> {
    const { sync, threads, rollouts } = this.#life.parts;
    if (isSecondLook) sync.folders.refresh();
    let problem: SkeinError | undefined;
    for (const row of rollouts.ofThread(threadId)) {
      const read = await sync.bringUp(row);
      if (read?.state === 'indexed') {
        threads.refresh(threadId);
        return threads.get(threadId);
      }
      if (read?.state === 'unreadable') problem ??= unreadable(this.pathOf(read), read.problem ?? '');
    }
    if (problem !== undefined) throw problem;
    return undefined;
  }

  async segments(indexed: IndexedThread): Promise<readonly Segment[]> {
    const { rollouts, sync } = this.#life.parts;
    // Only what is continued is needed whole; the rest of such a file may wait.
    let { base } = indexed.rollout;
    const seen = new Set<ThreadId>();
    while (base !== null && !seen.has(base.rolloutId)) {
      seen.add(base.rolloutId);
      const row = this.#findRollout(base.rolloutId);
      const isCovered = row?.state === 'indexed' && row.indexedSize >= base.endOffset;
      const read = row === undefined || isCovered ? row : await sync.bringUp(row);
      base = read?.base ?? null;
    }
    return lineageOf(indexed.rollout, indexed.thread.id, (rolloutId) => {
      const row = rollouts.byRolloutId(rolloutId);
      return row?.state === 'indexed' ? row : undefined;
    });
  }

  #findRollout(rolloutId: ThreadId): RolloutRow | undefined {
    const { rollouts, sync } = this.#life.parts;
    const row = rollouts.byRolloutId(rolloutId);
    if (row !== undefined && row.state !== 'missing') return row;
    sync.folders.refresh();
    return rollouts.byRolloutId(rolloutId);
  }

  adopt(path: string, isAdopted: boolean): RolloutRow {
    const { home } = this.#life;
    const state = stateOfRollout(path);
    if (state === undefined) throw invalidRequest(`failed to resolve rollout path \`${path}\`: file does not exist`);
    const first = readFirstRecord(path);
    const meta = first?.line.item.type === 'session_meta' ? readSessionMeta(first.line.item.payload) : 'missingId';
    if (typeof meta === 'string') throw unreadable(path, 'it has no session metadata');
    const name = parseRolloutFileName(basename(path));
    const rolloutId = name?.threadId === meta.threadId ? name.rolloutId : meta.threadId;
    const inHome = this.#life.parts.rollouts.byRolloutId(rolloutId);
    if (inHome !== undefined && !isAdopted && stateOfRollout(this.pathOf(inHome)) !== undefined) {
      // The same rollout as one in the home, read from elsewhere: it must not take that one's place.
      throw invalidRequest(`${path} is a copy of ${this.pathOf(inHome)}; read thread ${meta.threadId} by its id`);
    }
    return this.#life.parts.rollouts.see({
      rolloutId,
      threadId: meta.threadId,
      path: home.toStored(path),
      isArchived: home.isArchived(path),
      nameMs: meta.createdAtMs,
      ...state,
    });
  }

  /** Forgets a file outside the home; one of the same rollout inside takes its place again. */
  drop(row: RolloutRow): void {
    const { home } = this.#life;
    if (home.isCollected(home.fromStored(row.path))) return;
    this.#life.parts.rollouts.remove(row.id);
    this.#life.parts.threads.refresh(row.threadId);
    this.#life.parts.sync.folders.forget();
  }

  located(indexed: IndexedThread): LocatedThread {
    const { thread, rollout, header, facts } = indexed;
    const others = this.#life.parts.rollouts.ofThread(thread.id).filter((row) => row.id !== rollout.id);
    const inIndex = this.#life.parts.names.get(thread.id);
    const inHistory = facts.namedInHistory;
    const isNewer = inHistory !== null && (inIndex === undefined || inIndex.updatedAtMs < inHistory.atMs);
    return {
      thread,
      historyMode: header.historyMode,
      rollouts: [this.placeOf(rollout), ...others.map((row) => this.placeOf(row))],
      unindexedName: isNewer ? inHistory.name : null,
    };
  }

  placeOf(row: RolloutRow): RolloutPlace {
    return { rolloutId: row.rolloutId, path: this.pathOf(row), isArchived: row.isArchived };
  }

  pathOf(row: RolloutRow): string {
    return this.#life.home.fromStored(row.path);
  }
}

export function unreadable(path: string, why: string): SkeinError {
  return internal(`failed to read session metadata ${path}: ${why}`);
}
