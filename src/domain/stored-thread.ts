import type { JsonValue } from './json.ts';
import type { ThreadId } from './ids.ts';
import type { GitInfo, HistoryMode, MemoryMode, SessionMeta } from './session-meta.ts';
import { beginning } from './short-text.ts';
import { NO_FACTS, type AppliedSettings, type StoredCount, type ThreadFacts } from './thread-facts.ts';

/** What a store knows of a thread without reading its history. */
export interface StoredThread {
  readonly id: ThreadId;
  readonly sessionId: string;
  readonly forkedFromId: ThreadId | null;
  readonly parentThreadId: ThreadId | null;
  readonly historyMode: HistoryMode;
  /** Absolute path of the current rollout; null in stores without local files. */
  readonly path: string | null;
  readonly preview: string;
  readonly firstUserMessage: string;
  /** Name set by hand; null if there is none. */
  readonly name: string | null;
  readonly modelProvider: string;
  readonly model: string | null;
  readonly reasoningEffort: string | null;
  /** Unix ms. */
  readonly createdAtMs: number;
  /** Unix ms of the last change to the history. */
  readonly updatedAtMs: number;
  /** Unix ms of the last turn's start, else of creation; never before that, whatever a fork began with. */
  readonly recencyAtMs: number;
  /** Unix ms; null while not archived. */
  readonly archivedAtMs: number | null;
  readonly cwd: string;
  readonly cliVersion: string;
  readonly originator: string | null;
  readonly source: JsonValue;
  readonly threadSource: string | null;
  readonly agentNickname: string | null;
  readonly agentRole: string | null;
  readonly git: GitInfo | null;
  readonly memoryMode: MemoryMode;
  readonly serviceTier: string | null;
  readonly approvalPolicy: JsonValue;
  /** Who is asked; null if the history does not say. */
  readonly approvalsReviewer: string | null;
  readonly sandboxPolicy: JsonValue;
  readonly tokenUsage: JsonValue;
  readonly lastCount: StoredCount | null;
  readonly applied: AppliedSettings | null;
}

/** What a store adds to the facts of a history to make a {@link StoredThread}. */
export interface StoredPlace {
  readonly path: string | null;
  readonly name: string | null;
  readonly updatedAtMs: number;
  readonly archivedAtMs: number | null;
  /** Provider of threads whose header names none. */
  readonly defaultModelProvider: string;
}

/** The stored thread that a header and the facts folded from its history describe. */
export function storedThread(header: SessionMeta, facts: ThreadFacts, place: StoredPlace): StoredThread {
  return {
    id: header.threadId,
    sessionId: header.sessionId,
    forkedFromId: header.forkedFromId,
    parentThreadId: header.parentThreadId,
    historyMode: header.historyMode,
    path: place.path,
    preview: facts.preview,
    firstUserMessage: facts.firstUserMessage,
    name: shownName(place.name, facts.preview),
    modelProvider: facts.modelProvider ?? place.defaultModelProvider,
    model: facts.model,
    reasoningEffort: facts.reasoningEffort,
    createdAtMs: header.createdAtMs,
    updatedAtMs: place.updatedAtMs,
    recencyAtMs: Math.max(facts.recencyAtMs ?? 0, header.createdAtMs),
    archivedAtMs: place.archivedAtMs,
    cwd: facts.cwd,
    cliVersion: header.cliVersion,
    originator: header.originator,
    source: header.source,
    threadSource: header.threadSource,
    agentNickname: header.agentNickname,
    agentRole: header.agentRole,
    git: facts.git,
    memoryMode: facts.memoryMode,
    serviceTier: facts.serviceTier,
    approvalPolicy: facts.approvalPolicy,
    approvalsReviewer: facts.approvalsReviewer,
    sandboxPolicy: facts.sandboxPolicy,
    tokenUsage: facts.tokenUsage,
    lastCount: facts.lastCount,
    applied: facts.applied,
  };
}

/** A name that is blank or says no more than the preview is no name (upstream-behaviour 1.4). A long one is shown cut. */
export function shownName(name: string | null, preview: string): string | null {
  return name === null || name.trim() === '' || name === preview ? null : beginning(name);
}

/** The facts that a stored thread stands for: where folding goes on after a resume. The header is the store's. */
export const factsOfStored = (thread: StoredThread): ThreadFacts => ({
  ...NO_FACTS,
  firstUserMessage: thread.firstUserMessage,
  preview: thread.preview,
  model: thread.model,
  modelProvider: thread.modelProvider,
  reasoningEffort: thread.reasoningEffort,
  cwd: thread.cwd,
  serviceTier: thread.serviceTier,
  approvalPolicy: thread.approvalPolicy,
  approvalsReviewer: thread.approvalsReviewer,
  sandboxPolicy: thread.sandboxPolicy,
  git: thread.git,
  memoryMode: thread.memoryMode,
  tokenUsage: thread.tokenUsage,
  lastCount: thread.lastCount,
  applied: thread.applied,
  recencyAtMs: thread.recencyAtMs,
});
