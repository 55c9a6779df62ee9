import type * as z from 'zod';
import { SkeinError } from '../../domain/errors.ts';
import { anyStruct, anyTagged, unit } from '../../protocol/params/serde.ts';
import type { Experimental } from '../experimental.ts';
import { method, unsupported, type Method } from '../request.ts';

/**
 * Methods of the protocol that Skein knows and refuses, so that clients learn at once that they cannot have them, and
 * from what. They are checked as other methods are: there must be parameters where the protocol wants some, an
 * introduction, and the experimental protocol. What the parameters say is not looked at, and nothing is done.
 *
 * The groups, and why:
 *
 * - Files, searches for files, and programs: Skein keeps conversations. What may be read, written and run on the
 *   machine is decided where a model's tools run, not by whoever can reach the daemon.
 * - Configuration: it is the operator's, in a file. What clients may choose for new threads is served elsewhere.
 * - Accounts, and remote control by means of one: there are none. A model's key is the daemon's own affair.
 * - Extensions: there are none to install, to read from or to call. That there are none is what the lists say.
 * - Feedback: it would send what users said to somebody else.
 * - Models: what asks for one with abilities that Skein's has not: speech, predictions, and so on.
 * - Keeping: projects, attachments and memories are not kept; and what others keep in the home is not removed or
 *   rewritten.
 * - A method of the peer's that is there for its own tests.
 */

interface Refused {
  readonly params: z.ZodType;
  readonly experimental: Experimental;
}

const paramsOf = (params: string | z.ZodType): z.ZodType => (typeof params === 'string' ? anyStruct(params) : params);

const stable = (params: string | z.ZodType): Refused => ({ params: paramsOf(params), experimental: 'no' });

const experimental = (params: string | z.ZodType): Refused => ({ params: paramsOf(params), experimental: 'method' });

const optional = (name: string): z.ZodType => anyStruct(name).optional();

const REFUSED: Readonly<Record<string, Refused>> = {
  // Files.
  'fs/copy': stable('FsCopyParams'),
  'fs/createDirectory': stable('FsCreateDirectoryParams'),
  'fs/getMetadata': stable('FsGetMetadataParams'),
  'fs/readDirectory': stable('FsReadDirectoryParams'),
  'fs/readFile': stable('FsReadFileParams'),
  'fs/remove': stable('FsRemoveParams'),
  'fs/unwatch': stable('FsUnwatchParams'),
  'fs/watch': stable('FsWatchParams'),
  'fs/writeFile': stable('FsWriteFileParams'),
  fuzzyFileSearch: stable('FuzzyFileSearchParams'),
  'fuzzyFileSearch/sessionStart': experimental('FuzzyFileSearchSessionStartParams'),
  'fuzzyFileSearch/sessionStop': experimental('FuzzyFileSearchSessionStopParams'),
  'fuzzyFileSearch/sessionUpdate': experimental('FuzzyFileSearchSessionUpdateParams'),
  // Programs, and where they run.
  'command/exec': stable('CommandExecParams'),
  'command/exec/resize': stable('CommandExecResizeParams'),
  'command/exec/terminate': stable('CommandExecTerminateParams'),
  'command/exec/write': stable('CommandExecWriteParams'),
  'environment/add': experimental('EnvironmentAddParams'),
  'environment/info': experimental('EnvironmentInfoParams'),
  'environment/status': experimental('EnvironmentStatusParams'),
  'process/kill': experimental('ProcessKillParams'),
  'process/resizePty': experimental('ProcessResizePtyParams'),
  'process/spawn': experimental('ProcessSpawnParams'),
  'process/writeStdin': experimental('ProcessWriteStdinParams'),
  'windowsSandbox/setupStart': stable('WindowsSandboxSetupStartParams'),
  // Configuration.
  'experimentalFeature/enablement/set': stable('ExperimentalFeatureEnablementSetParams'),
  'externalAgentConfig/import': stable('ExternalAgentConfigImportParams'),
  'externalAgentConfig/import/recordHistory': stable('ExternalAgentConfigImportHistoryRecordParams'),
  'modelProvider/config/write': stable('ModelProviderConfigWriteParams'),
  'skills/config/write': stable('SkillsConfigWriteParams'),
  'skills/extraRoots/set': stable('SkillsExtraRootsSetParams'),
  // Accounts.
  'account/bedrock/discover': experimental('BedrockDiscoverParams'),
  'account/bedrock/setup': experimental(anyTagged('BedrockSetupParams')),
  'account/gatewayOAuth/login': stable(optional('GatewayOAuthLoginParams')),
  'account/gcp/setup': experimental('GcpSetupParams'),
  'account/login/start': stable(anyTagged('LoginAccountParams')),
  'account/rateLimitResetCredit/consume': stable('ConsumeAccountRateLimitResetCreditParams'),
  'account/rateLimits/read': stable(optional('GetAccountRateLimitsParams')),
  'account/sendAddCreditsNudgeEmail': stable('SendAddCreditsNudgeEmailParams'),
  'account/usage/read': stable(optional('GetAccountTokenUsageParams')),
  'account/workspaceMessages/read': stable(unit()),
  'accountSession/switch': experimental('AccountSessionsSwitchParams'),
  'userVerification/delete': experimental('UserVerificationDeleteParams'),
  'userVerification/enroll': experimental('UserVerificationEnrollParams'),
  'userVerification/verify': experimental('UserVerificationVerifyParams'),
  // Remote control.
  'remoteControl/client/list': experimental('RemoteControlClientsListParams'),
  'remoteControl/client/revoke': experimental('RemoteControlClientsRevokeParams'),
  'remoteControl/disable': experimental(optional('RemoteControlDisableParams')),
  'remoteControl/enable': experimental(optional('RemoteControlEnableParams')),
  'remoteControl/pairing/start': experimental('RemoteControlPairingStartParams'),
  'remoteControl/pairing/status': experimental('RemoteControlPairingStatusParams'),
  // Extensions.
  'marketplace/add': stable('MarketplaceAddParams'),
  'marketplace/remove': stable('MarketplaceRemoveParams'),
  'marketplace/upgrade': stable('MarketplaceUpgradeParams'),
  'mcpServer/event/stream/start': experimental('McpServerEventStreamStartParams'),
  'mcpServer/event/stream/stop': experimental('McpServerEventStreamStopParams'),
  'mcpServer/oauth/login': stable('McpServerOauthLoginParams'),
  'mcpServer/resource/read': stable('McpResourceReadParams'),
  'mcpServer/tool/call': stable('McpServerToolCallParams'),
  'plugin/install': stable('PluginInstallParams'),
  'plugin/read': stable('PluginReadParams'),
  'plugin/share/checkout': stable('PluginShareCheckoutParams'),
  'plugin/share/delete': stable('PluginShareDeleteParams'),
  'plugin/share/save': stable('PluginShareSaveParams'),
  'plugin/share/updateTargets': stable('PluginShareUpdateTargetsParams'),
  'plugin/skill/read': stable('PluginSkillReadParams'),
  'plugin/uninstall': stable('PluginUninstallParams'),
  // Feedback.
  'feedback/save': stable('FeedbackSaveParams'),
  'feedback/upload': stable('FeedbackUploadParams'),
  // Models.
  'thread/approveGuardianDeniedAction': stable('ThreadApproveGuardianDeniedActionParams'),
  'thread/decrement_elicitation': experimental('ThreadDecrementElicitationParams'),
  'thread/guardianReview': experimental('ThreadGuardianReviewParams'),
  'thread/increment_elicitation': experimental('ThreadIncrementElicitationParams'),
  'thread/prediction/request': experimental('ThreadPredictionRequestParams'),
  'thread/prepareApprovedPlan': experimental('ThreadPrepareApprovedPlanParams'),
  'thread/realtime/appendAudio': experimental('ThreadRealtimeAppendAudioParams'),
  'thread/realtime/appendSpeech': experimental('ThreadRealtimeAppendSpeechParams'),
  'thread/realtime/appendText': experimental('ThreadRealtimeAppendTextParams'),
  'thread/realtime/listVoices': experimental('ThreadRealtimeListVoicesParams'),
  'thread/realtime/start': experimental('ThreadRealtimeStartParams'),
  'thread/realtime/stop': experimental('ThreadRealtimeStopParams'),
  'thread/sample': experimental('ThreadSampleParams'),
  'thread/sample/cancel': experimental('ThreadSampleCancelParams'),
  // Keeping.
  'memory/reset': experimental(unit()),
  'project/create': experimental('ProjectCreateParams'),
  'project/delete': experimental('ProjectDeleteParams'),
  'project/import': experimental('ProjectImportParams'),
  'project/move': experimental('ProjectMoveParams'),
  'project/update': experimental('ProjectUpdateParams'),
  'rollout/compress': experimental(unit()),
  'thread/attachment/add': stable('ThreadAttachmentAddParams'),
  'thread/attachment/remove': stable('ThreadAttachmentRemoveParams'),
  // Tests of the peer.
  'mock/experimentalMethod': experimental('MockExperimentalMethodParams'),
  // Reading of threads in ways that are not built yet.
  'thread/items/read': experimental('ThreadItemsReadParams'),
  'thread/searchOccurrences': experimental('ThreadSearchOccurrencesParams'),
  'thread/timeline/list': experimental('ThreadTimelineListParams'),
};

/** About threads and turns: to come. Whoever builds one serves it from a handler of its own, which then counts. */
const TO_COME: Readonly<Record<string, Refused>> = {
  'thread/backgroundTerminals/clean': experimental('ThreadBackgroundTerminalsCleanParams'),
  'thread/backgroundTerminals/list': experimental('ThreadBackgroundTerminalsListParams'),
  'thread/backgroundTerminals/terminate': experimental('ThreadBackgroundTerminalsTerminateParams'),
  'thread/compact/start': stable('ThreadCompactStartParams'),
  'thread/goal/clear': stable('ThreadGoalClearParams'),
  'thread/goal/get': stable('ThreadGoalGetParams'),
  'thread/goal/set': stable('ThreadGoalSetParams'),
  'thread/queue/add': experimental('ThreadQueueAddParams'),
  'thread/queue/delete': experimental('ThreadQueueDeleteParams'),
  'thread/queue/list': experimental('ThreadQueueListParams'),
  'thread/queue/reorder': experimental('ThreadQueueReorderParams'),
  'thread/queue/start': experimental('ThreadQueueStartParams'),
  'thread/queue/update': experimental('ThreadQueueUpdateParams'),
  'thread/readState/update': experimental('ThreadReadStateUpdateParams'),
  'thread/section/move': stable('ThreadSectionMoveParams'),
  'thread/settings/update': experimental('ThreadSettingsUpdateParams'),
  'thread/shellCommand': stable('ThreadShellCommandParams'),
  'threadSection/create': stable('ThreadSectionCreateParams'),
  'threadSection/delete': stable('ThreadSectionDeleteParams'),
  'threadSection/list': stable('ThreadSectionListParams'),
  'threadSection/update': stable('ThreadSectionUpdateParams'),
  'turn/settings/update': experimental('TurnSettingsUpdateParams'),
};

/** Methods that are answered by saying that Skein does not have them. */
export const unsupportedMethods: Readonly<Record<string, Method>> = Object.fromEntries(
  Object.entries({ ...REFUSED, ...TO_COME }).map(([name, { params, experimental: needs }]) => [
    name,
    unsupported(
      method(
        params,
        () => {
          throw new SkeinError('unsupported', `${name} is not supported by Skein`, { operation: name });
        },
        needs,
      ),
    ),
  ]),
);
