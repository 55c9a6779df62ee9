import { isJsonObject, type JsonObject, type JsonValue } from './json.ts';
import type { RolloutItem } from './rollout-line.ts';
import {
  permissionProfile,
  permissionProfileOf,
  readSandboxPolicy,
  renderSandboxPolicy,
  type SandboxPolicy,
} from './sandbox-policy.ts';
import type { StoredThread } from './stored-thread.ts';

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
}

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
  const { cwd, sandboxPolicy, reasoningEffort, serviceTier } = settings;
  const profile = permissionProfileOf(sandboxPolicy);
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
        permission_profile: permissionProfile(sandboxPolicy, cwd),
        ...(profile === null ? {} : { active_permission_profile: { id: profile } }),
        sandbox_policy: renderSandboxPolicy(sandboxPolicy),
        cwd,
        runtime_workspace_roots: [cwd],
        ...(reasoningEffort === null ? {} : { reasoning_effort: reasoningEffort }),
        collaboration_mode: {
          mode: 'default',
          settings: { model: settings.model, reasoning_effort: reasoningEffort, developer_instructions: null },
        },
        disabled_plugin_ids: [],
      },
    },
  };
}

/** The settings that a stored thread was last run with, where it says; the others from `defaults`. */
export function restoredSettings(thread: StoredThread, defaults: ThreadSettings): ThreadSettings {
  return {
    ...defaults,
    model: thread.model ?? defaults.model,
    modelProvider: thread.modelProvider,
    reasoningEffort: thread.reasoningEffort,
    serviceTier: thread.serviceTier ?? defaults.serviceTier,
    approvalsReviewer: thread.approvalsReviewer ?? defaults.approvalsReviewer,
    cwd: thread.cwd === '' ? defaults.cwd : thread.cwd,
    approvalPolicy: readApprovalPolicy(thread.approvalPolicy) ?? defaults.approvalPolicy,
    sandboxPolicy: readSandboxPolicy(thread.sandboxPolicy) ?? defaults.sandboxPolicy,
  };
}

function readApprovalPolicy(value: JsonValue): ApprovalPolicy | undefined {
  if (value === 'untrusted' || value === 'on-request' || value === 'never') return value;
  if (!isJsonObject(value)) return undefined;
  const granular = value['granular'];
  return isJsonObject(granular) ? { granular } : undefined;
}
