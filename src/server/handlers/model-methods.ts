import type { JsonObject } from '../../domain/json.ts';
import { anything, modelList, paged } from '../../protocol/params/host-params.ts';
import { method, type Method, type Services } from '../request.ts';
import { pageOf } from './page-of.ts';

/** The model that the daemon runs turns against, under one of the names that it may be chosen by. */
function modelView(model: string, { manager }: Services): JsonObject {
  const { reasoningEfforts, settings } = manager.defaults;
  return {
    id: model,
    model,
    upgrade: null,
    upgradeInfo: null,
    availabilityNux: null,
    displayName: model,
    description: manager.model.description,
    modelSpecialty: null,
    hidden: false,
    // Clients show efforts as a choice: with none supported there is none to make.
    supportedReasoningEfforts: reasoningEfforts.map((reasoningEffort) => ({ reasoningEffort, description: '' })),
    defaultReasoningEffort: settings.reasoningEffort ?? reasoningEfforts[0] ?? 'none',
    inputModalities: ['text', 'image'],
    supportsPersonality: false,
    multiAgentVersion: null,
    additionalSpeedTiers: [],
    serviceTiers: [],
    defaultServiceTier: null,
    availableAccessPrograms: null,
    isDefault: model === settings.model,
  };
}

/** No model is hidden, so that `includeHidden` changes nothing. */
const list = method(modelList, (params, request, services) => {
  const { models } = services.manager.defaults;
  request.answer(
    pageOf(
      models.map((name) => modelView(name, services)),
      params,
      'models',
    ),
  );
});

const providers = method(anything('ModelProviderListParams'), (_params, request, { manager }) => {
  const { modelProvider } = manager.defaults.settings;
  request.answer({
    data: manager.defaults.modelProviders.map((id) => ({
      id,
      name: id,
      canEdit: false,
      baseUrl: null,
      settings: { type: 'customGateway', auth: { mode: 'none' } },
    })),
    defaultProviderId: modelProvider,
    canChangeDefault: false,
  });
});

const PERMISSION_PROFILES = [':read-only', ':workspace', ':danger-full-access'].map((id) => ({
  id,
  description: null,
  allowed: true,
}));

/** Methods about models and how they may be used. */
export const modelMethods: Readonly<Record<string, Method>> = {
  'model/list': list,
  'modelProvider/list': providers,
  'modelProvider/capabilities/read': method(anything('ModelProviderCapabilitiesReadParams'), (_params, request) => {
    request.answer({ imageGeneration: false, webSearch: false });
  }),
  'collaborationMode/list': method(
    anything('CollaborationModeListParams'),
    (_params, request) => {
      request.answer({ data: [{ name: 'Default', mode: 'default', model: null, reasoning_effort: null }] });
    },
    'method',
  ),
  'permissionProfile/list': method(paged('PermissionProfileListParams'), (params, request) => {
    request.answer(pageOf(PERMISSION_PROFILES, params, 'permission profiles'));
  }),
};
