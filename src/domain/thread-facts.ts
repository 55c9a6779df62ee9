import { numberMember, objectMember, stringMember, type JsonValue } from './json.ts';
import type { ThreadId } from './ids.ts';
import type { RolloutLine } from './rollout-line.ts';
import { sessionMetaOf, type GitInfo, type MemoryMode, type SessionMeta } from './session-meta.ts';
import { beginning } from './short-text.ts';
import { parseTimestamp } from './timestamps.ts';
import { userTextOf } from './user-message.ts';

/**
 * What a thread's records say about it: the part of its metadata that is derived, never set by hand.
 * One fold serves live threads, the index and every store, so that they cannot disagree (D3).
 * Small and JSON-able: the index keeps it to go on where it stopped.
 */
export interface ThreadFacts {
  /** The first usable `session_meta`: identity, fork source, history mode. Null until it was seen. */
  readonly header: SessionMeta | null;
  /** First user message, or its placeholder; empty until there is one. */
  readonly firstUserMessage: string;
  /** What lists show: the first user message, or a goal's objective if that came first. */
  readonly preview: string;
  readonly model: string | null;
  /** Provider of the last applied settings, else of the header. */
  readonly modelProvider: string | null;
  readonly reasoningEffort: string | null;
  readonly cwd: string;
  readonly serviceTier: string | null;
  readonly approvalPolicy: JsonValue;
  readonly approvalsReviewer: string | null;
  readonly sandboxPolicy: JsonValue;
  readonly git: GitInfo | null;
  readonly memoryMode: MemoryMode;
  /** Total tokens of the last `token_count`, all calls of the thread. */
  readonly tokenUsage: JsonValue;
  /** The last `token_count`, with the turn that it belongs to. */
  readonly lastCount: StoredCount | null;
  /** The last turn that began. */
  readonly lastTurnId: string | null;
  /** Of the last record of settings; null before the first. */
  readonly applied: AppliedSettings | null;
  /** Start of the last turn, Unix ms; null before the first. */
  readonly recencyAtMs: number | null;
  /** Name set together with other metadata, and when; see SPEC META-4. */
  readonly namedInHistory: { readonly name: string; readonly atMs: number } | null;
}

/** Tokens of one call of a model, as records count them. */
export interface StoredCount {
  readonly turnId: string | null;
  readonly last: JsonValue;
  readonly contextWindow: number | null;
}

/** What is known of the tokens of a thread. */
export type CountedTokens = Pick<ThreadFacts, 'tokenUsage' | 'lastCount'>;

export const countedTokens = ({ tokenUsage, lastCount }: CountedTokens): CountedTokens => ({ tokenUsage, lastCount });

/** What only a record of settings says. */
export interface AppliedSettings {
  readonly permissionProfile: string | null;
  readonly collaborationMode: JsonValue;
}

export const NO_FACTS: ThreadFacts = {
  header: null,
  firstUserMessage: '',
  preview: '',
  model: null,
  modelProvider: null,
  reasoningEffort: null,
  cwd: '',
  serviceTier: null,
  approvalPolicy: null,
  approvalsReviewer: null,
  sandboxPolicy: null,
  git: null,
  memoryMode: 'enabled',
  tokenUsage: null,
  lastCount: null,
  lastTurnId: null,
  applied: null,
  recencyAtMs: null,
  namedInHistory: null,
};

/** The facts after one more record. Returns the same object when the record says nothing about the thread. */
export function withLine(facts: ThreadFacts, line: RolloutLine): ThreadFacts {
  const { item } = line;
  switch (item.type) {
    case 'session_meta':
      return withSessionMeta(facts, line);
    case 'turn_context':
      return {
        ...facts,
        model: stringMember(item.payload, 'model') ?? facts.model,
        reasoningEffort: stringMember(item.payload, 'effort') ?? facts.reasoningEffort,
        cwd: facts.cwd === '' ? (stringMember(item.payload, 'cwd') ?? '') : facts.cwd,
        approvalPolicy: item.payload['approval_policy'] ?? facts.approvalPolicy,
        sandboxPolicy: item.payload['sandbox_policy'] ?? facts.sandboxPolicy,
      };
    case 'event_msg':
      return withEvent(facts, line);
    default:
      return facts;
  }
}

function withSessionMeta(facts: ThreadFacts, line: RolloutLine): ThreadFacts {
  const meta = sessionMetaOf(line.item);
  if (meta === undefined) return facts;
  if (facts.header === null) {
    return {
      ...facts,
      header: meta,
      modelProvider: meta.modelProvider,
      cwd: meta.cwd,
      git: visibleGit(meta.git),
      memoryMode: meta.memoryMode ?? 'enabled',
    };
  }
  // A copied fork carries its source's headers in the middle: they speak of another thread.
  if (!isOwn(facts.header.threadId, meta)) return facts;
  return {
    ...facts,
    git: meta.git === null ? facts.git : visibleGit(meta.git),
    memoryMode: meta.memoryMode ?? facts.memoryMode,
    namedInHistory:
      meta.threadName === null
        ? facts.namedInHistory
        : { name: meta.threadName, atMs: parseTimestamp(line.timestamp) ?? 0 },
  };
}

const isOwn = (threadId: ThreadId, meta: SessionMeta): boolean => meta.threadId === threadId;

function visibleGit(git: GitInfo | null): GitInfo | null {
  const isEmpty = git === null || (git.sha === null && git.branch === null && git.originUrl === null);
  return isEmpty ? null : git;
}

function withEvent(facts: ThreadFacts, line: RolloutLine): ThreadFacts {
  const { payload } = line.item;
  switch (payload['type']) {
    case 'user_message':
    case 'item_completed':
      return withUserMessage(facts, line);
    case 'token_count': {
      const info = objectMember(payload, 'info') ?? {};
      const total = objectMember(info, 'total_token_usage');
      if (total === undefined) return facts;
      const last = info['last_token_usage'] ?? null;
      const contextWindow = numberMember(info, 'model_context_window') ?? null;
      return { ...facts, tokenUsage: total, lastCount: { turnId: facts.lastTurnId, last, contextWindow } };
    }
    case 'task_started':
    case 'turn_started':
      return {
        ...facts,
        lastTurnId: stringMember(payload, 'turn_id') ?? null,
        recencyAtMs: turnStartMs(line) ?? facts.recencyAtMs,
      };
    case 'thread_goal_updated': {
      const goal = objectMember(payload, 'goal') ?? payload;
      const objective = (stringMember(goal, 'objective') ?? '').trim();
      return facts.preview !== '' || objective === '' ? facts : { ...facts, preview: beginning(objective) };
    }
    case 'thread_settings_applied':
      return withSettings(facts, line);
    default:
      return facts;
  }
}

/** The line's own stamp is finer than `started_at`, which counts seconds. */
function turnStartMs(line: RolloutLine): number | undefined {
  const startedAt = numberMember(line.item.payload, 'started_at');
  return parseTimestamp(line.timestamp) ?? (startedAt === undefined ? undefined : startedAt * 1_000);
}

function withUserMessage(facts: ThreadFacts, line: RolloutLine): ThreadFacts {
  if (facts.firstUserMessage !== '') return facts;
  const said = userTextOf(line.item);
  const message = said === undefined ? '' : said.text || said.placeholder;
  if (message === '') return facts;
  const shown = beginning(message);
  return { ...facts, firstUserMessage: shown, preview: facts.preview === '' ? shown : facts.preview };
}

function withSettings(facts: ThreadFacts, line: RolloutLine): ThreadFacts {
  const settings = objectMember(line.item.payload, 'thread_settings');
  if (settings === undefined) return facts;
  // A copied fork carries its source's settings; only the thread's own speak of its provider and folder.
  const speaksOf = stringMember(line.item.payload, 'thread_id');
  if (speaksOf !== undefined && facts.header !== null && speaksOf !== facts.header.threadId) {
    return facts;
  }
  return {
    ...facts,
    model: stringMember(settings, 'model') ?? facts.model,
    modelProvider: stringMember(settings, 'model_provider_id') ?? facts.modelProvider,
    reasoningEffort: stringMember(settings, 'effort') ?? stringMember(settings, 'reasoning_effort') ?? null,
    cwd: stringMember(settings, 'cwd') ?? facts.cwd,
    serviceTier: stringMember(settings, 'service_tier') ?? null,
    approvalPolicy: settings['approval_policy'] ?? facts.approvalPolicy,
    approvalsReviewer: stringMember(settings, 'approvals_reviewer') ?? facts.approvalsReviewer,
    sandboxPolicy: settings['sandbox_policy'] ?? facts.sandboxPolicy,
    applied: {
      permissionProfile: stringMember(objectMember(settings, 'active_permission_profile') ?? {}, 'id') ?? null,
      collaborationMode: settings['collaboration_mode'] ?? null,
    },
  };
}
