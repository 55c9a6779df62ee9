import type { JsonObject } from '../../domain/json.ts';
import type { SandboxMode, SandboxPolicy } from '../../domain/sandbox-policy.ts';
import { anything, configRead, paged } from '../../protocol/params/host-params.ts';
import { unit } from '../../protocol/params/serde.ts';
import { empty, method, type Method } from '../request.ts';
import { settingsFile } from './config-write-methods.ts';
import { pageOf } from './page-of.ts';

/** The short form of a policy; null if it has none. */
function sandboxModeOf({ type }: SandboxPolicy): SandboxMode | null {
  switch (type) {
    case 'readOnly':
      return 'read-only';
    case 'workspaceWrite':
      return 'workspace-write';
    case 'dangerFullAccess':
      return 'danger-full-access';
    case 'externalSandbox':
      return null;
  }
}

/** What the protocol's configuration has and Skein's has not. Clients may expect each of them to be there. */
const NOT_SET: JsonObject = Object.fromEntries(
  [
    'review_model',
    'model_context_window',
    'model_auto_compact_token_limit',
    'model_auto_compact_token_limit_scope',
    'sandbox_workspace_write',
    'forced_chatgpt_workspace_id',
    'forced_login_method',
    'web_search',
    'client_search_provider',
    'tools',
    'instructions',
    'developer_instructions',
    'compact_prompt',
    'model_reasoning_summary',
    'model_verbosity',
    'analytics',
    'apps',
    'browser_use',
    'computer_use',
    'desktop',
  ].map((name) => [name, null]),
);

const read = method(configRead, ({ includeLayers = false, cwd }, request, services) => {
  const { settings } = services.manager.defaults;
  const { chosen, version } = services.manager.organization.chosenDefaults;
  const layer = { name: { type: 'user', file: settingsFile(services), profile: null }, version };
  request.answer({
    config: {
      ...NOT_SET,
      model: settings.model,
      model_provider: settings.modelProvider,
      model_reasoning_effort: settings.reasoningEffort,
      service_tier: settings.serviceTier,
      approval_policy: settings.approvalPolicy,
      approvals_reviewer: settings.approvalsReviewer,
      sandbox_mode: sandboxModeOf(settings.sandboxPolicy),
      // Nothing that lies in a folder is read as settings or run: clients need not ask whether it may be.
      ...(typeof cwd === 'string' ? { projects: { [cwd]: { trust_level: 'trusted' } } } : {}),
    },
    origins: Object.fromEntries(Object.keys(chosen).map((key) => [key, layer])),
    ...(includeLayers ? { layers: [{ ...layer, config: chosen }] } : {}),
  });
});

/**
 * What clients ask about configuration. Skein's own is the operator's, in `daemon.config.json`, and shows clients no
 * more than what threads begin with; what clients have chosen for them is a layer over it. Of extensions that would be configured there are
 * none to reload, and no configurations of other agents are looked for.
 */
export const configMethods: Readonly<Record<string, Method>> = {
  'config/read': read,
  'configRequirements/read': empty(
    method(unit(), (_params, request) => {
      request.answer({ supportsIndependentSpeedModes: false, requirements: null });
    }),
  ),
  'config/mcpServer/reload': empty(method(unit(), (_params, request) => request.answer({}))),
  'experimentalFeature/list': empty(
    method(paged('ExperimentalFeatureListParams'), (params, request) => {
      request.answer(pageOf([], params, 'feature flags'));
    }),
  ),
  'externalAgentConfig/detect': empty(
    method(anything('ExternalAgentConfigDetectParams'), (_params, request) => {
      request.answer({ items: [], connectors: [] });
    }),
  ),
  'externalAgentConfig/import/readHistories': empty(
    method(unit(), (_params, request) => request.answer({ data: [], connectors: [] })),
  ),
  'remoteControl/status/read': empty(
    method(
      unit(),
      (_params, request, { server }) => {
        request.answer({
          status: 'disabled',
          serverName: server.hostName,
          installationId: server.installationId,
          environmentId: null,
        });
      },
      'method',
    ),
  ),
  'windowsSandbox/readiness': empty(method(unit(), (_params, request) => request.answer({ status: 'notConfigured' }))),
};
