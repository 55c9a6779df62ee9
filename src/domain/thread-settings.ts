import { isJsonObject, stringMember, type JsonObject, type JsonValue } from './json.ts';
import type { RolloutItem } from './rollout-line.ts';
import type { StoredThread } from './stored-thread.ts';

/** What may be done without asking; the protocol's `AskForApproval`. */
export type ApprovalPolicy = 'untrusted' | 'on-request' | 'never' | { readonly granular: JsonObject };

/** What commands of a turn may touch; the protocol's `SandboxPolicy`. */
export type SandboxPolicy =
  | { readonly type: 'dangerFullAccess' }
  | { readonly type: 'readOnly'; readonly networkAccess: boolean }
  | { readonly type: 'externalSandbox'; readonly networkAccess: 'restricted' | 'enabled' }
  | {
      readonly type: 'workspaceWrite';
      readonly writableRoots: readonly string[];
      readonly networkAccess: boolean;
      readonly excludeTmpdirEnvVar: boolean;
      readonly excludeSlashTmp: boolean;
    };

/** The protocol's short form of a sandbox policy. */
export type SandboxMode = 'read-only' | 'workspace-write' | 'danger-full-access';

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

export function sandboxPolicyOf(mode: SandboxMode): SandboxPolicy {
  switch (mode) {
    case 'read-only':
      return { type: 'readOnly', networkAccess: false };
    case 'workspace-write':
      return {
        type: 'workspaceWrite',
        writableRoots: [],
        networkAccess: false,
        excludeTmpdirEnvVar: false,
        excludeSlashTmp: false,
      };
    case 'danger-full-access':
      return { type: 'dangerFullAccess' };
  }
}

/** Name of the built-in permission profile that a policy amounts to; null if there is none. */
export function permissionProfileOf(policy: SandboxPolicy): string | null {
  switch (policy.type) {
    case 'readOnly':
      return ':read-only';
    case 'workspaceWrite':
      return ':workspace';
    case 'dangerFullAccess':
      return ':danger-full-access';
    case 'externalSandbox':
      return null;
  }
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

/** The settings that a stored thread was last run with, where it says; the others from `defaults`. */
export function restoredSettings(thread: StoredThread, defaults: ThreadSettings): ThreadSettings {
  return {
    ...defaults,
    model: thread.model ?? defaults.model,
    modelProvider: thread.modelProvider,
    reasoningEffort: thread.reasoningEffort,
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

/** Rollouts spell the policy in kebab-case and snake_case, older ones as a bare word. */
function renderSandboxPolicy(policy: SandboxPolicy): JsonObject {
  switch (policy.type) {
    case 'dangerFullAccess':
      return { type: 'danger-full-access' };
    case 'readOnly':
      return policy.networkAccess ? { type: 'read-only', network_access: true } : { type: 'read-only' };
    case 'externalSandbox':
      return { type: 'external-sandbox', network_access: policy.networkAccess };
    case 'workspaceWrite':
      return {
        type: 'workspace-write',
        writable_roots: policy.writableRoots,
        network_access: policy.networkAccess,
        exclude_tmpdir_env_var: policy.excludeTmpdirEnvVar,
        exclude_slash_tmp: policy.excludeSlashTmp,
      };
  }
}

function readSandboxPolicy(value: JsonValue): SandboxPolicy | undefined {
  const policy: JsonObject = isJsonObject(value) ? value : { type: value };
  const isOn = (key: string): boolean => policy[key] === true;
  switch (stringMember(policy, 'type')) {
    case 'danger-full-access':
      return { type: 'dangerFullAccess' };
    case 'read-only':
      return { type: 'readOnly', networkAccess: isOn('network_access') };
    case 'external-sandbox':
      return {
        type: 'externalSandbox',
        networkAccess: policy['network_access'] === 'enabled' ? 'enabled' : 'restricted',
      };
    case 'workspace-write': {
      const roots = policy['writable_roots'];
      return {
        type: 'workspaceWrite',
        writableRoots: Array.isArray(roots) ? roots.filter((root): root is string => typeof root === 'string') : [],
        networkAccess: isOn('network_access'),
        excludeTmpdirEnvVar: isOn('exclude_tmpdir_env_var'),
        excludeSlashTmp: isOn('exclude_slash_tmp'),
      };
    }
    default:
      return undefined;
  }
}
