import { isJsonObject, stringMember, type JsonObject, type JsonValue } from './json.ts';

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

/** The policy that a short form stands for. */
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

/** Rollouts spell the policy in kebab-case and snake_case, older ones as a bare word. */
export function renderSandboxPolicy(policy: SandboxPolicy): JsonObject {
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

/** A policy as rollouts have it; undefined if it is none. */
export function readSandboxPolicy(value: JsonValue): SandboxPolicy | undefined {
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

/**
 * A sandbox policy in the terms of the peer's permission profiles, which its records of settings must carry (observed
 * with 0.169.0): what may be read and written, place by place.
 * @param cwd absolute; what a workspace is
 */
export function renderPermissionProfile(policy: SandboxPolicy, cwd: string): JsonObject {
  switch (policy.type) {
    case 'dangerFullAccess':
      return { type: 'disabled' };
    case 'externalSandbox':
      return { type: 'external', network: policy.networkAccess };
    case 'readOnly':
      return managed([READ_ALL], policy.networkAccess);
    case 'workspaceWrite': {
      const places = [
        { type: 'path', path: cwd },
        ...(policy.excludeSlashTmp ? [] : [special('slash_tmp')]),
        ...(policy.excludeTmpdirEnvVar ? [] : [special('tmpdir')]),
        ...policy.writableRoots.map((path) => ({ type: 'path', path })),
      ];
      return managed([READ_ALL, ...places.map((path) => ({ path, access: 'write' }))], policy.networkAccess);
    }
  }
}

const special = (kind: string): JsonObject => ({ type: 'special', value: { kind } });

const READ_ALL: JsonObject = { path: special('root'), access: 'read' };

const managed = (entries: readonly JsonObject[], hasNetwork: boolean): JsonObject => ({
  type: 'managed',
  file_system: { type: 'restricted', entries },
  network: hasNetwork ? 'enabled' : 'restricted',
});
