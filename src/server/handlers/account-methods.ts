import { invalidRequest } from '../../domain/errors.ts';
import { tryParseThreadId } from '../../domain/ids.ts';
import {
  accountRead,
  anything,
  gatewayOAuthRead,
  loginCancel,
  userVerificationCancel,
} from '../../protocol/params/host-params.ts';
import { unit } from '../../protocol/params/serde.ts';
import { empty, method, type Method } from '../request.ts';

/**
 * Skein has no accounts: a model's key is the daemon's own affair, and no client has to log in. So nobody is logged in,
 * there is nothing to log out of, and no login is under way that could be cancelled.
 */
export const accountMethods: Readonly<Record<string, Method>> = {
  'account/read': empty(
    method(accountRead, (_params, request) => {
      request.answer({ account: null, userId: null, requiresOpenaiAuth: false, workspaceRouting: null });
    }),
  ),
  'account/login/cancel': empty(
    method(loginCancel, ({ loginId }, request) => {
      if (tryParseThreadId(loginId) === undefined) throw invalidRequest(`invalid login id: ${loginId}`);
      request.answer({ status: 'notFound' });
    }),
  ),
  'account/logout': empty(method(unit(), (_params, request) => request.answer({}))),
  'account/gatewayOAuth/read': empty(
    method(gatewayOAuthRead, (_params, request, { manager }) => {
      const { modelProvider } = manager.defaults.settings;
      request.answer({
        providerId: modelProvider,
        providerName: modelProvider,
        required: false,
        supportsDeviceAuth: false,
        status: null,
        error: null,
      });
    }),
  ),
  'account/gatewayOAuth/cancel': empty(method(unit(), (_params, request) => request.answer({}))),
  'account/bedrock/checkGovCloudRequirements': empty(
    method(
      anything('BedrockCheckGovCloudRequirementsParams'),
      (_params, request) => request.answer({ isGovCloud: false, shouldWarn: false }),
      'method',
    ),
  ),
  'account/securitySetup/read': empty(method(unit(), (_params, request) => request.answer({ notice: null }))),
  'accountSession/list': empty(
    method(
      anything('AccountSessionsListParams'),
      (_params, request) => request.answer({ activeSessionId: null, sessions: [] }),
      'method',
    ),
  ),
  'userVerification/status': empty(
    method(
      anything('UserVerificationStatusParams'),
      (_params, request) => {
        request.answer({
          credentialId: null,
          unavailableReason: 'providerUnavailable',
          unavailableMessage: 'Skein verifies no users.',
        });
      },
      'method',
    ),
  ),
  'userVerification/cancel': empty(method(userVerificationCancel, (_params, request) => request.answer({}), 'method')),
};
