import type { ErrorCode } from '../../src/domain/errors.ts';
import type { ThreadId } from '../../src/domain/ids.ts';
import { patchedGit, type ThreadMetadataPatch } from '../../src/domain/metadata-patch.ts';
import type { GitInfo, HistoryMode, MemoryMode } from '../../src/domain/session-meta.ts';
import type { ForkBoundary } from '../../src/store/thread-store.ts';

/** What a history says, as far as the model tells records apart. Headers are no part of it. */
export type Said =
  | { readonly kind: 'start'; readonly turnId: string; readonly atMs: number }
  | { readonly kind: 'forModel'; readonly text: string }
  | {
      readonly kind: 'words';
      readonly by: 'user' | 'agent';
      readonly id: string;
      readonly text: string;
      readonly turnId: string;
    }
  | { readonly kind: 'end'; readonly turnId: string; readonly status: 'completed' | 'interrupted' | 'failed' }
  | { readonly kind: 'rollback'; readonly count: number };

export interface ModelTurn {
  readonly id: string;
  readonly at: number;
  readonly items: { readonly by: 'user' | 'agent'; readonly text: string }[];
  readonly messagesAt: number[];
  endAt?: number;
  status: 'inProgress' | 'completed' | 'interrupted' | 'failed';
}

/** What a thread is made with. */
export interface Beginning {
  readonly mode: HistoryMode;
  readonly createdAtMs: number;
  readonly cwd: string;
  readonly provider: string | null;
  readonly source: string;
  readonly parent: ThreadId | null;
  readonly sha: string | null;
}

export interface ModelThread extends Beginning {
  readonly forkedFrom: ThreadId | null;
  readonly said: readonly Said[];
  /** Turns that a source of it had not ended when it was forked: they do not go on here (SPEC FORK-11). */
  readonly cutOff: readonly string[];
  readonly preview: string;
  readonly recencyAtMs: number;
  readonly name: string | null;
  readonly memoryMode: MemoryMode;
  readonly git: GitInfo | null;
  readonly isArchived: boolean;
  /** What it was forked from, and what that was forked from, and so on, nearest first. */
  readonly ancestors: readonly ThreadId[];
}

/** What the model says a store must refuse. */
export class Refusal extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode) {
    super(code);
    this.code = code;
  }
}

const firstWords = (said: readonly Said[]): string =>
  said.flatMap((each) => (each.kind === 'words' && each.by === 'user' ? [each.text.trim()] : []))[0] ?? '';

const gitOf = (sha: string | null): GitInfo | null => (sha === null ? null : { sha, branch: null, originUrl: null });

/** A history: what was said, and the turns that ended nowhere but where a fork left its source. */
type History = Pick<ModelThread, 'said' | 'cutOff'>;

export function turnsOf({ said, cutOff }: History): readonly ModelTurn[] {
  const turns: ModelTurn[] = [];
  for (const [at, each] of said.entries()) {
    if (each.kind === 'start') turns.push({ id: each.turnId, at, items: [], messagesAt: [], status: 'inProgress' });
    if (each.kind === 'rollback') turns.splice(Math.max(0, turns.length - each.count));
    const turn = turns.at(-1);
    if (each.kind === 'words' && each.by === 'user') turn?.messagesAt.push(at - 1);
    if (each.kind === 'words') turn?.items.push({ by: each.by, text: each.text });
    if (each.kind === 'end' && turn !== undefined) Object.assign(turn, { status: each.status, endAt: at + 1 });
  }
  for (const turn of turns) if (cutOff.includes(turn.id)) turn.status = 'interrupted';
  return turns;
}

/** A name that is no more than the preview is none (SPEC META-10). */
export const titled = ({ name, preview }: ModelThread): string | null => (name === preview ? null : name);

/** How much of a history a fork keeps (SPEC FORK-1 to FORK-4). */
function keptOf(history: History, boundary: ForkBoundary): number {
  const { said } = history;
  const turns = turnsOf(history);
  if (boundary.kind === 'latest') return said.length;
  if (boundary.kind === 'beforeUserMessage') {
    const starts = turns.flatMap((turn) => turn.messagesAt.map((at, nth) => (nth === 0 ? turn.at : at)));
    const last = turns.at(-1);
    return starts[boundary.index] ?? (last?.status === 'inProgress' ? last.at : said.length);
  }
  const index = turns.findIndex((turn) => turn.id === boundary.turnId);
  const turn = turns[index];
  if (turn === undefined) throw new Refusal('invalidRequest');
  return boundary.kind === 'beforeTurn' ? turn.at : (turn.endAt ?? turns[index + 1]?.at ?? said.length);
}

/** What must be true of a thread store, in maps and arrays. Its methods answer and refuse as a store must. */
export class StoreModel {
  readonly threads = new Map<ThreadId, ModelThread>();
  /** Live threads, with what those that are not stored yet will begin with. */
  readonly live = new Map<ThreadId, Beginning>();

  create(id: ThreadId, beginning: Beginning): void {
    if (this.live.has(id)) throw new Refusal('invalidRequest');
    this.live.set(id, beginning);
  }

  resume(id: ThreadId, includeArchived: boolean): ModelThread {
    if (this.live.has(id)) throw new Refusal('invalidRequest');
    const thread = this.read(id, includeArchived);
    this.live.set(id, thread);
    return thread;
  }

  append(id: ThreadId, more: readonly Said[]): void {
    const thread = this.persist(id);
    const said = [...thread.said, ...more];
    const started = more.findLast((each) => each.kind === 'start');
    const recencyAtMs = started === undefined ? thread.recencyAtMs : Math.max(thread.createdAtMs, started.atMs);
    this.threads.set(id, { ...thread, said, recencyAtMs, preview: thread.preview || firstWords(said) });
  }

  persist(id: ThreadId): ModelThread {
    const beginning = this.assertLive(id);
    const { sha, createdAtMs: recencyAtMs } = beginning;
    const isNew = { forkedFrom: null, said: [], cutOff: [], preview: '', name: null, isArchived: false, ancestors: [] };
    const thread = this.threads.get(id) ?? {
      ...beginning,
      ...isNew,
      recencyAtMs,
      memoryMode: 'enabled',
      git: gitOf(sha),
    };
    this.threads.set(id, thread);
    return thread;
  }

  assertLive(id: ThreadId): Beginning {
    const beginning = this.live.get(id);
    if (beginning === undefined) throw new Refusal('notFound');
    return beginning;
  }

  letGo(id: ThreadId): void {
    this.assertLive(id);
    this.live.delete(id);
  }

  read(id: ThreadId, includeArchived: boolean): ModelThread {
    const thread = this.threads.get(id);
    if (thread === undefined || (thread.isArchived && !includeArchived)) throw new Refusal('notFound');
    return thread;
  }

  patch(id: ThreadId, { name, memoryMode, gitInfo = {} }: ThreadMetadataPatch): ModelThread {
    const texts = [...(name === undefined ? [] : [name]), ...Object.values(gitInfo)];
    if (texts.some((text) => text?.trim() === '')) throw new Refusal('invalidRequest');
    const before = this.live.has(id) ? this.persist(id) : this.read(id, true);
    const git = patchedGit(before.git, gitInfo);
    const after = { ...before, name: name ?? before.name, memoryMode: memoryMode ?? before.memoryMode, git };
    this.threads.set(id, after);
    return after;
  }

  archive(ids: readonly [ThreadId, ...ThreadId[]]): readonly ThreadId[] {
    this.#assertNoneLive(ids);
    this.read(ids[0], false);
    const moved = [...new Set(ids)].filter((id) => this.threads.get(id)?.isArchived === false);
    for (const id of moved) this.threads.set(id, { ...this.read(id, true), isArchived: true });
    return moved;
  }

  unarchive(id: ThreadId): ModelThread {
    this.#assertNoneLive([id]);
    const thread = this.read(id, true);
    if (!thread.isArchived) throw new Refusal('notFound');
    this.threads.set(id, { ...thread, isArchived: false });
    return this.read(id, false);
  }

  delete(ids: readonly [ThreadId, ...ThreadId[]]): readonly ThreadId[] {
    this.#assertNoneLive(ids);
    this.read(ids[0], true);
    return [...new Set(ids)].filter((id) => this.threads.delete(id));
  }

  /** Whether a store that refers may refuse to delete them. */
  mayBeKept(ids: readonly ThreadId[]): boolean {
    return [...this.threads].some(
      ([id, { mode, ancestors }]) =>
        mode === 'paginated' && !ids.includes(id) && ancestors.some((one) => ids.includes(one)),
    );
  }

  fork(id: ThreadId, sourceId: ThreadId, boundary: ForkBoundary, beginning: Beginning): ModelThread {
    const source = this.live.has(sourceId) ? this.persist(sourceId) : this.read(sourceId, true);
    const said = source.said.slice(0, keptOf(source, boundary));
    const last = turnsOf({ said, cutOff: source.cutOff }).at(-1);
    const isCutOff = source.mode === 'paginated' && last?.status === 'inProgress';
    const cutOff = isCutOff ? [...source.cutOff, last.id] : source.cutOff;
    const ancestors = [sourceId, ...source.ancestors];
    const { mode } = source;
    // A source whose turns were all taken back is still about what it was (SPEC REV-6).
    const preview = firstWords(source.said) === '' ? source.preview : firstWords(said);
    const { sha, createdAtMs: recencyAtMs } = beginning;
    const own = { recencyAtMs, memoryMode: 'enabled', git: gitOf(sha), isArchived: false } as const;
    const fork = {
      ...beginning,
      ...own,
      mode,
      name: titled(source),
      said,
      cutOff,
      preview,
      forkedFrom: sourceId,
      ancestors,
    };
    this.threads.set(id, fork);
    this.live.set(id, fork);
    return fork;
  }

  revert(id: ThreadId, turnId: string): ModelThread {
    this.#assertNoneLive([id]);
    const thread = this.read(id, true);
    if (thread.mode === 'legacy') throw new Refusal('invalidRequest');
    const said = thread.said.slice(0, keptOf(thread, { kind: 'beforeTurn', turnId }));
    this.threads.set(id, { ...thread, said });
    return this.read(id, true);
  }

  /** Threads below one, whatever became of those in between. */
  descendantsOf(id: ThreadId): readonly ThreadId[] {
    const found = new Set<ThreadId>([id]);
    for (const parent of found)
      for (const [child, thread] of this.threads) if (thread.parent === parent) found.add(child);
    return [...found].slice(1);
  }

  #assertNoneLive(ids: readonly ThreadId[]): void {
    if (ids.some((id) => this.live.has(id))) throw new Refusal('conflict');
  }
}
