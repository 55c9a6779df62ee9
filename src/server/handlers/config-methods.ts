import { anything, configRead, nothing, paged } from '../../protocol/params/host-params.ts';
import { method, type Method } from '../request.ts';

const read = method(configRead, ({ includeLayers = false }, request, { manager }) => {
  const { model, modelProvider, approvalPolicy } = manager.defaults.settings;
  request.answer({
    config: { model, model_provider: modelProvider, approval_policy: approvalPolicy, sandbox_mode: null },
    origins: {},
    ...(includeLayers ? { layers: [] } : {}),
  });
});

/**
 * What clients ask about configuration. Skein's own is the operator's, in `daemon.config.json`; it is not written over
 * the wire, and shows clients no more than what threads begin with.
 */
export const configMethods: Readonly<Record<string, Method>> = {
  'config/read': read,
  'configRequirements/read': method(nothing, (_params, request) => {
    request.answer({ supportsIndependentSpeedModes: false, requirements: null });
  }),
  'experimentalFeature/list': method(paged('ExperimentalFeatureListParams'), (_params, request) => {
    request.answer({ data: [], nextCursor: null });
  }),
  'remoteControl/status/read': method(anything, (_params, request, { server }) => {
    request.answer({
      status: 'disabled',
      serverName: server.hostName,
      installationId: server.installationId,
      environmentId: null,
    });
  }),
};
