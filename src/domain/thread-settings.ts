import { isJsonObject, objectMember, stringMember, type JsonObject, type JsonValue } from './json.ts';
import type { RolloutItem } from './rollout-line.ts';
import {
  permissionProfileOf,
  readSandboxPolicy,
  renderPermissionProfile,
  renderSandboxPolicy,
  type SandboxPolicy,
} from './sandbox-policy.ts';
import { withLine, type AppliedSettings, type ThreadFacts } from './thread-facts.ts';

/** What may be done without asking; the protocol's `AskForApproval`. */
export type ApprovalPolicy = 'untrusted' | 'on-request' | 'never' | { readonly granular: JsonObject };

/** How turns of a thread are run. Given at start or resume, changed by turns, recorded with each turn. */
export interface ThreadSettings {
  readonly model: string;
  readonly modelProvider: string;
  readonly reasoningEffort: string | null;
  readonly serviceTier: string | null;
  /** Absolute. */
  readonly cwd: string;
  readonly approvalPolicy: ApprovalPolicy;
  readonly approvalsReviewer: string;
  readonly sandboxPolicy: SandboxPolicy;
  /** The profile that the policy was named by; null if the policy itself was said. */
  readonly permissionProfile: string | null;
  readonly collaboration: Collaboration;
}

/** A way in which user and model work together. */
export interface Collaboration {
  readonly mode: CollaborationMode;
  /** For the model, beside its own; null leaves them to whoever runs it. */
  readonly developerInstructions: string | null;
}

export type CollaborationMode = 'plan' | 'default';

export const DEFAULT_COLLABORATION: Collaboration = { mode: 'default', developerInstructions: null };

/** The protocol's and the records' `CollaborationMode`. */
export const collaborationModeOf = ({ model, reasoningEffort, collaboration }: ThreadSettings): JsonObject => ({
  mode: collaboration.mode,
  settings: {
    model,
    reasoning_effort: reasoningEffort,
    developer_instructions: collaboration.developerInstructions,
  },
});

/** The record that says how a turn was run: what a later resume restores (upstream-behaviour 8.2). */
export function turnContextItem(turnId: string, settings: ThreadSettings): RolloutItem {
  return {
    type: 'turn_context',
    payload: {
      turn_id: turnId,
      cwd: settings.cwd,
      approval_policy: settings.approvalPolicy,
      sandbox_policy: renderSandboxPolicy(settings.sandboxPolicy),
      model: settings.model,
      ...(settings.reasoningEffort === null ? {} : { effort: settings.reasoningEffort }),
      summary: 'auto',
    },
  };
}

/**
 * The record that says how a thread is run from now on. Turns bring one when something has changed; forks that refer to
 * the history of another thread begin with one, because its records speak of that thread.
 */
export function settingsAppliedItem(threadId: string, settings: ThreadSettings): RolloutItem {
  const { cwd, sandboxPolicy, reasoningEffort, serviceTier, permissionProfile: profile } = settings;
  return {
    type: 'event_msg',
    payload: {
      type: 'thread_settings_applied',
      thread_id: threadId,
      thread_settings: {
        model: settings.model,
        model_provider_id: settings.modelProvider,
        ...(serviceTier === null ? {} : { service_tier: serviceTier }),
        approval_policy: settings.approvalPolicy,
        approvals_reviewer: settings.approvalsReviewer,
        requested_approvals_reviewer: settings.approvalsReviewer,
        permission_profile: renderPermissionProfile(sandboxPolicy, cwd),
        ...(profile === null ? {} : { active_permission_profile: { id: profile } }),
        sandbox_policy: renderSandboxPolicy(sandboxPolicy),
        cwd,
        runtime_workspace_roots: [cwd],
        ...(reasoningEffort === null ? {} : { reasoning_effort: reasoningEffort }),
        collaboration_mode: collaborationModeOf(settings),
        disabled_plugin_ids: [],
      },
    },
  };
}

/** What a history says about how its thread is run. */
type SettingsFacts = Pick<
  ThreadFacts,
  | 'model'
  | 'modelProvider'
  | 'reasoningEffort'
  | 'serviceTier'
  | 'approvalsReviewer'
  | 'cwd'
  | 'approvalPolicy'
  | 'sandboxPolicy'
  | 'applied'
>;

/** The settings that a thread was last run with, where its history says; the others from `defaults`. */
export function restoredSettings(facts: SettingsFacts, defaults: ThreadSettings): ThreadSettings {
  const sandboxPolicy = readSandboxPolicy(facts.sandboxPolicy);
  return {
    model: facts.model ?? defaults.model,
    modelProvider: facts.modelProvider ?? defaults.modelProvider,
    reasoningEffort: facts.reasoningEffort,
    serviceTier: facts.serviceTier ?? defaults.serviceTier,
    approvalsReviewer: facts.approvalsReviewer ?? defaults.approvalsReviewer,
    cwd: facts.cwd === '' ? defaults.cwd : facts.cwd,
    approvalPolicy: readApprovalPolicy(facts.approvalPolicy) ?? defaults.approvalPolicy,
    sandboxPolicy: sandboxPolicy ?? defaults.sandboxPolicy,
    permissionProfile: sandboxPolicy === undefined ? defaults.permissionProfile : profileIn(facts, sandboxPolicy),
    collaboration: facts.applied === null ? defaults.collaboration : collaborationIn(facts.applied),
  };
}

/**
 * The record of how a thread is run, unless its history says it already, and goes on saying it behind what comes before this
 * record: then there is nothing to record.
 */
export function settingsNews(
  threadId: string,
  facts: ThreadFacts,
  settings: ThreadSettings,
  before: readonly RolloutItem[] = [],
): readonly RolloutItem[] {
  const item = settingsAppliedItem(threadId, settings);
  const timestamp = '';
  const behind = before.reduce((sum, one) => withLine(sum, { timestamp, item: one }), facts);
  const isSaid = (by: ThreadFacts): boolean => said(by) === said(withLine(by, { timestamp, item }));
  return isSaid(facts) && isSaid(behind) ? [] : [item];
}

/** However either of Codex and Skein has spelled it. */
function said(facts: SettingsFacts): string {
  const sandboxPolicy = readSandboxPolicy(facts.sandboxPolicy);
  return JSON.stringify([
    facts.model,
    facts.modelProvider,
    facts.reasoningEffort,
    facts.serviceTier,
    facts.approvalsReviewer,
    facts.cwd,
    readApprovalPolicy(facts.approvalPolicy),
    sandboxPolicy,
    sandboxPolicy === undefined ? null : profileIn(facts, sandboxPolicy),
    facts.applied === null ? DEFAULT_COLLABORATION : collaborationIn(facts.applied),
  ]);
}

/** Records of turns say no name: then it is that of the profile which amounts to the policy. */
const profileIn = ({ applied }: SettingsFacts, policy: SandboxPolicy): string | null =>
  applied === null ? permissionProfileOf(policy) : applied.permissionProfile;

function collaborationIn({ collaborationMode: value }: AppliedSettings): Collaboration {
  if (!isJsonObject(value)) return DEFAULT_COLLABORATION;
  const developerInstructions = stringMember(objectMember(value, 'settings') ?? {}, 'developer_instructions') ?? null;
  return { mode: value['mode'] === 'plan' ? 'plan' : 'default', developerInstructions };
}

function readApprovalPolicy(value: JsonValue): ApprovalPolicy | undefined {
  if (value === 'untrusted' || value === 'on-request' || value === 'never') return value;
  if (!isJsonObject(value)) return undefined;
  const granular = value['granular'];
  return isJsonObject(granular) ? { granular } : undefined;
}
