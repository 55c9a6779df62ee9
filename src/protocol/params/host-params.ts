import { anyStruct, flag, json, list, pathText, struct, text, u32 } from './serde.ts';

/** Parameters of methods that speak of the daemon's host: account, models, configuration, extensions. */

const page = { cursor: text().nullish(), limit: u32().nullish() };

export const accountRead = struct('GetAccountParams', { refreshToken: flag().optional() });

export const loginCancel = struct('CancelLoginAccountParams', { loginId: text() });

export const gatewayOAuthRead = anyStruct('GatewayOAuthReadParams').optional();

export const modelList = struct('ModelListParams', { ...page, includeHidden: flag().nullish() });

export const configRead = struct('ConfigReadParams', { includeLayers: flag().optional(), cwd: text().nullish() });

export const skillsList = struct('SkillsListParams', {
  cwds: list(pathText()).optional(),
  forceReload: flag().optional(),
});

export const hooksList = struct('HooksListParams', { cwds: list(pathText()).optional() });

export const appRead = struct('AppsReadParams', { appIds: list(text()) });

export const pluginSearch = struct('PluginSearchParams', { searchTerm: text(), cursor: text().nullish() });

export const projectList = struct('ProjectListParams', page);

export const projectRead = struct('ProjectReadParams', { projectId: text() });

export const attachmentList = struct('ThreadAttachmentListParams', { threadId: text(), ...page });

export const attachmentOwnerList = struct('ThreadAttachmentOwnerListParams', {
  attachmentType: text(),
  identityKey: text(),
  ...page,
});

export const userVerificationCancel = struct('UserVerificationCancelParams', { requestId: json() });

/** Whatever has pages and no other parameters that matter here. */
export const paged = (name: string) => struct(name, page);

/** A method whose parameters say nothing that changes its answer. */
export const anything = anyStruct;
