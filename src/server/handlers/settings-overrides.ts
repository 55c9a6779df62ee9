import { resolve } from 'node:path';
import type * as z from 'zod';
import { invalidRequest } from '../../domain/errors.ts';
import { sandboxPolicyOf, type SandboxMode, type SandboxPolicy } from '../../domain/sandbox-policy.ts';
import type { CollaborationMode, ThreadSettings } from '../../domain/thread-settings.ts';
import type { threadSettingsUpdate } from '../../protocol/params/thread-params.ts';
import type { ThreadManager } from '../../runtime/thread-manager.ts';

type SettingsParams = Omit<z.infer<typeof threadSettingsUpdate>, 'threadId'>;

/**
 * What a turn, or a change without one, says about how its thread is run from then on. Null and absent alike leave
 * things as they are, except the service tier, which null takes back.
 * @throws invalidRequest if what may be touched is said in two ways, or by a name that nobody has given
 */
export function settingsOverrides(params: SettingsParams, manager: ThreadManager): Partial<ThreadSettings> {
  const { cwd, approvalPolicy, approvalsReviewer, serviceTier, model, effort, collaborationMode } = params;
  return {
    ...(model ? { model } : {}),
    ...(effort ? { reasoningEffort: effort } : {}),
    // A way of working together says model and effort, whatever is said beside it.
    ...(collaborationMode ? collaborationOverrides(collaborationMode) : {}),
    ...(typeof cwd === 'string' ? { cwd: resolve(manager.defaults.settings.cwd, cwd) } : {}),
    ...(approvalPolicy ? { approvalPolicy } : {}),
    ...(approvalsReviewer ? { approvalsReviewer } : {}),
    ...policyOverrides(params),
    ...(serviceTier === undefined ? {} : { serviceTier: tierOf(serviceTier) }),
  };
}

function policyOverrides({ permissions, sandboxPolicy }: SettingsParams): Partial<ThreadSettings> {
  if (permissions && sandboxPolicy) throw invalidRequest('`permissions` cannot be combined with `sandboxPolicy`');
  if (permissions) return { sandboxPolicy: profilePolicy(permissions), permissionProfile: permissions };
  return sandboxPolicy ? { sandboxPolicy, permissionProfile: null } : {};
}

/** The built-in permission profiles. */
const PROFILES: ReadonlyMap<string, SandboxMode> = new Map([
  [':read-only', 'read-only'],
  [':workspace', 'workspace-write'],
  [':danger-full-access', 'danger-full-access'],
]);

function profilePolicy(profile: string): SandboxPolicy {
  const mode = PROFILES.get(profile);
  if (mode !== undefined) return sandboxPolicyOf(mode);
  throw invalidRequest('failed to load configuration: default_permissions requires a `[permissions]` table');
}

function collaborationOverrides({
  mode,
  settings,
}: NonNullable<SettingsParams['collaborationMode']>): Partial<ThreadSettings> {
  return {
    model: settings.model,
    reasoningEffort: settings.reasoning_effort ?? null,
    collaboration: { mode: modeOf(mode), developerInstructions: settings.developer_instructions ?? null },
  };
}

/** Modes that there were before mean the default one. */
const modeOf = (mode: string): CollaborationMode => (mode === 'plan' ? 'plan' : 'default');

/** As the peer keeps them: `fast` has another name there, and none is one of its own. */
const tierOf = (tier: string | null): string => (tier === 'fast' ? 'priority' : (tier ?? 'default'));
