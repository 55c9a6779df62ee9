import { resolve } from 'node:path';
import { invalidRequest } from '../../domain/errors.ts';
import { parseThreadId } from '../../domain/ids.ts';
import { sandboxPolicyOf, type SandboxMode, type SandboxPolicy } from '../../domain/sandbox-policy.ts';
import type { ThreadSettings } from '../../domain/thread-settings.ts';
import { threadSettingsUpdate, turnSettingsUpdate } from '../../protocol/params/thread-params.ts';
import { method, type Method } from '../request.ts';

/** The built-in permission profiles. */
const PROFILES: ReadonlyMap<string, SandboxMode> = new Map([
  [':read-only', 'read-only'],
  [':workspace', 'workspace-write'],
  [':danger-full-access', 'danger-full-access'],
]);

const update = method(
  threadSettingsUpdate,
  async (params, request, { manager }) => {
    const thread = manager.get(parseThreadId(params.threadId));
    const { cwd, approvalPolicy, approvalsReviewer, permissions, serviceTier, collaborationMode } = params;
    if (permissions && params.sandboxPolicy) {
      throw invalidRequest('`permissions` cannot be combined with `sandboxPolicy`');
    }
    const sandboxPolicy = permissions ? profilePolicy(permissions) : params.sandboxPolicy;
    const overrides: Partial<ThreadSettings> = {
      // A way of working together says model and effort, whatever is said beside it.
      ...(collaborationMode
        ? {
            model: collaborationMode.settings.model,
            reasoningEffort: collaborationMode.settings.reasoning_effort ?? null,
          }
        : {
            ...(params.model ? { model: params.model } : {}),
            ...(params.effort ? { reasoningEffort: params.effort } : {}),
          }),
      ...(typeof cwd === 'string' ? { cwd: resolve(manager.defaults.settings.cwd, cwd) } : {}),
      ...(approvalPolicy ? { approvalPolicy } : {}),
      ...(approvalsReviewer ? { approvalsReviewer } : {}),
      ...(sandboxPolicy ? { sandboxPolicy } : {}),
      ...(serviceTier === undefined ? {} : { serviceTier: tierOf(serviceTier) }),
    };
    await thread.updateSettings(overrides, () => request.answer({}));
  },
  'method',
);

function profilePolicy(profile: string): SandboxPolicy {
  const mode = PROFILES.get(profile);
  if (mode !== undefined) return sandboxPolicyOf(mode);
  throw invalidRequest('failed to load configuration: default_permissions requires a `[permissions]` table');
}

/** As the peer keeps them: `fast` has another name there, and none is one of its own. */
const tierOf = (tier: string | null): string => (tier === 'fast' ? 'priority' : (tier ?? 'default'));

/** Changing the turn that runs is switched off in the peer unless its configuration says otherwise. Here it is, too. */
const updateTurn = method(
  turnSettingsUpdate,
  ({ threadId }, _request, { manager }) => {
    manager.get(parseThreadId(threadId));
    throw invalidRequest('turn settings updates require the step_model_switching feature');
  },
  'method',
);

/** Methods that change how a thread is run without asking anything of it. */
export const settingsMethods: Readonly<Record<string, Method>> = {
  'thread/settings/update': update,
  'turn/settings/update': updateTurn,
};
