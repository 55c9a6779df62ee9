import type { JsonObject, JsonValue } from '../domain/json.ts';
import type { Section } from '../domain/organization.ts';
import type { StoredThread } from '../domain/stored-thread.ts';
import { isJsonObject } from '../domain/json.ts';
import { collaborationModeOf, type ThreadSettings } from '../domain/thread-settings.ts';
import type { Turn } from '../domain/turn.ts';

/** What the daemon knows of a thread beyond its store. */
export interface RuntimeView {
  readonly status: JsonObject;
  readonly isLoaded: boolean;
  readonly isEphemeral: boolean;
  /** Whether input can be sent to it; null where that is not asked. */
  readonly acceptsInput: boolean | null;
  /** The section it is in, and since when. */
  readonly place: { readonly section: Section; readonly enteredAtMs: number } | null;
}

export const NOT_LOADED: RuntimeView = {
  status: { type: 'notLoaded' },
  isLoaded: false,
  isEphemeral: false,
  acceptsInput: null,
  place: null,
};

export const sectionView = ({ id, name, appearance }: Section): JsonObject => ({
  id,
  name,
  appearance: appearance === null ? null : { icon: appearance.icon, color: appearance.color },
});

const seconds = (epochMs: number): number => Math.floor(epochMs / 1_000);

/** A thread as clients see it: the protocol's `Thread`, all members present. */
export function threadView(thread: StoredThread, runtime: RuntimeView, turns: readonly Turn[] = []): JsonObject {
  return {
    id: thread.id,
    environments: runtime.isLoaded ? [environmentOf(thread.cwd)] : null,
    extra: null,
    sessionId: thread.sessionId,
    forkedFromId: thread.forkedFromId,
    attachedToThreadId: null,
    parentThreadId: thread.parentThreadId,
    preview: thread.preview,
    ephemeral: runtime.isEphemeral,
    section: runtime.place === null ? null : sectionView(runtime.place.section),
    sectionEnteredAt: runtime.place === null ? null : seconds(runtime.place.enteredAtMs),
    projectId: null,
    historyMode: thread.historyMode,
    modelProvider: thread.modelProvider,
    model: thread.model,
    reasoningEffort: thread.reasoningEffort,
    createdAt: seconds(thread.createdAtMs),
    updatedAt: seconds(thread.updatedAtMs),
    recencyAt: seconds(thread.recencyAtMs),
    status: runtime.status,
    path: thread.path,
    cwd: thread.cwd,
    cliVersion: thread.cliVersion,
    originator: thread.originator,
    source: sourceView(thread.source),
    canAcceptDirectInput: runtime.acceptsInput,
    threadSource: thread.threadSource,
    agentNickname: thread.agentNickname,
    agentRole: thread.agentRole,
    gitInfo: thread.git === null ? null : { ...thread.git },
    name: thread.name,
    daybreakEnabled: null,
    turns: turns as unknown as JsonValue,
  };
}

/** Loaded threads run where their folder is: on this machine. */
const environmentOf = (cwd: string): JsonObject => ({ environmentId: 'local', cwd, runtimeWorkspaceRoots: [cwd] });

/** Rollouts and the wire spell two origins differently. */
function sourceView(source: JsonValue): JsonValue {
  if (source === 'mcp') return 'appServer';
  if (isJsonObject(source) && source['subagent'] !== undefined) return { subAgent: source['subagent'] };
  return source;
}

/** What start, resume and fork say beside the thread: how it is run. */
export function settingsView(settings: ThreadSettings): JsonObject {
  const { permissionProfile: profile } = settings;
  return {
    model: settings.model,
    modelProvider: settings.modelProvider,
    serviceTier: settings.serviceTier,
    disabledPluginIds: [],
    cwd: settings.cwd,
    runtimeWorkspaceRoots: [settings.cwd],
    instructionSources: [],
    approvalPolicy: settings.approvalPolicy,
    approvalsReviewer: settings.approvalsReviewer,
    sandbox: settings.sandboxPolicy,
    activePermissionProfile: profile === null ? null : { id: profile, extends: null },
    reasoningEffort: settings.reasoningEffort,
    multiAgentMode: 'explicitRequestOnly',
  };
}

/** The protocol's `ThreadSettings`, as `thread/settings/updated` carries them. */
export function threadSettingsView(settings: ThreadSettings): JsonObject {
  const {
    sandbox,
    reasoningEffort,
    runtimeWorkspaceRoots: _roots,
    instructionSources: _sources,
    ...rest
  } = settingsView(settings);
  return {
    ...rest,
    environments: [environmentOf(settings.cwd)],
    sandboxPolicy: sandbox,
    effort: reasoningEffort,
    summary: null,
    collaborationMode: collaborationModeOf(settings),
    personality: null,
  };
}

/** The last count of tokens, as `thread/tokenUsage/updated` carries it beside the id of the thread. */
export const tokenUsageView = (count: {
  readonly turnId: string;
  readonly total: JsonObject;
  readonly last: JsonObject;
  readonly modelContextWindow: number | null;
}): JsonObject => ({
  turnId: count.turnId,
  tokenUsage: { total: count.total, last: count.last, modelContextWindow: count.modelContextWindow },
});
