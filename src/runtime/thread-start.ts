import { resolve } from 'node:path';
import { invalidRequest } from '../domain/errors.ts';
import type { ThreadId } from '../domain/ids.ts';
import type { JsonObject, JsonValue } from '../domain/json.ts';
import { readSessionMeta, renderGit, type HistoryMode } from '../domain/session-meta.ts';
import { storedThread, type StoredThread } from '../domain/stored-thread.ts';
import { NO_FACTS } from '../domain/thread-facts.ts';
import { sandboxPolicyOf, type SandboxMode } from '../domain/sandbox-policy.ts';
import { type ApprovalPolicy, type ThreadSettings } from '../domain/thread-settings.ts';
import { formatTimestamp } from '../domain/timestamps.ts';
import { collectGitInfo } from '../live/git-info.ts';
import type { HeaderSource } from '../store/thread-store.ts';

/** What a client may say about how a thread is run. Absent: as it was, or the daemon's default. */
export interface SettingsOverrides {
  readonly model?: string;
  readonly modelProvider?: string;
  readonly reasoningEffort?: string;
  readonly serviceTier?: string | null;
  /** Relative paths are below the daemon's default folder. */
  readonly cwd?: string;
  readonly approvalPolicy?: ApprovalPolicy;
  readonly approvalsReviewer?: string;
  readonly sandbox?: SandboxMode;
}

/** What a client may say about a thread as it is made. */
export interface NewThreadParams {
  readonly overrides: SettingsOverrides;
  /** Name of the client that makes it. */
  readonly originator: string;
  readonly isEphemeral: boolean;
  readonly threadSource: string | null;
  readonly baseInstructions: string | null;
  readonly dynamicTools: readonly JsonValue[];
}

/** What the daemon knows about every thread it makes. */
export interface ThreadDefaults {
  readonly settings: ThreadSettings;
  /** Providers that new threads may name. */
  readonly modelProviders: readonly string[];
  /** Model names that clients are shown to choose from, the one of new threads among them. */
  readonly models: readonly string[];
  /** Reasoning efforts that clients are shown to choose from, least first. */
  readonly reasoningEfforts: readonly string[];
  /** Written into headers as `cli_version`. */
  readonly version: string;
}

/** Settings after a client's word. @throws invalidRequest for a provider that is not configured */
export function overriddenSettings(
  base: ThreadSettings,
  overrides: SettingsOverrides,
  defaults: ThreadDefaults,
): ThreadSettings {
  const { sandbox, cwd, reasoningEffort, modelProvider, ...rest } = overrides;
  const isKnown =
    modelProvider === undefined || [...defaults.modelProviders, base.modelProvider].includes(modelProvider);
  if (!isKnown) throw invalidRequest(`failed to load configuration: Model provider \`${modelProvider}\` not found`);
  return {
    ...base,
    ...rest,
    modelProvider: modelProvider ?? base.modelProvider,
    reasoningEffort: reasoningEffort ?? base.reasoningEffort,
    cwd: cwd === undefined ? base.cwd : resolve(defaults.settings.cwd, cwd),
    ...(sandbox === undefined ? {} : { sandboxPolicy: sandboxPolicyOf(sandbox), permissionProfile: null }),
  };
}

/** A header in the making: what is known at once, and git facts when it is written. */
export interface PlannedHeader {
  readonly payload: JsonObject;
  readonly source: HeaderSource;
}

/** The header of a new thread (upstream-behaviour 2.3). */
export function planHeader(
  threadId: ThreadId,
  historyMode: HistoryMode,
  settings: ThreadSettings,
  params: NewThreadParams,
  version: string,
  createdAtMs: number,
): PlannedHeader {
  const payload: JsonObject = {
    session_id: threadId,
    id: threadId,
    timestamp: formatTimestamp(createdAtMs),
    cwd: settings.cwd,
    originator: params.originator,
    cli_version: version,
    // What the app-server of Codex writes, whoever its client is: lists of interactive threads look for it.
    source: 'vscode',
    ...(params.threadSource === null ? {} : { thread_source: params.threadSource }),
    model_provider: settings.modelProvider,
    ...(params.baseInstructions === null ? {} : { base_instructions: { text: params.baseInstructions } }),
    ...(params.dynamicTools.length === 0 ? {} : { dynamic_tools: params.dynamicTools }),
    history_mode: historyMode,
  };
  const source = async (): Promise<JsonObject> => {
    const git = await collectGitInfo(settings.cwd);
    return git === null ? payload : { ...payload, git: renderGit(git) };
  };
  return { payload, source };
}

/** A thread that no store has yet, as it will be described. */
export function describePlanned(
  header: PlannedHeader,
  path: string | null,
  settings: ThreadSettings,
  createdAtMs: number,
): StoredThread {
  const meta = readSessionMeta(header.payload);
  if (typeof meta === 'string') throw invalidRequest(`cannot make a thread: ${meta}`);
  const facts = { ...NO_FACTS, cwd: settings.cwd, modelProvider: settings.modelProvider, model: settings.model };
  return storedThread(meta, facts, {
    path,
    name: null,
    updatedAtMs: createdAtMs,
    archivedAtMs: null,
    defaultModelProvider: settings.modelProvider,
  });
}
