import { accountRead, anything } from '../../protocol/params/host-params.ts';
import { method, type Method } from '../request.ts';

/** Skein has no accounts: a model's key is the daemon's own affair, and no client has to log in. */
export const accountMethods: Readonly<Record<string, Method>> = {
  'account/read': method(accountRead, (_params, request) => {
    request.answer({ account: null, userId: null, requiresOpenaiAuth: false, workspaceRouting: null });
  }),
  'account/bedrock/checkGovCloudRequirements': method(anything, (_params, request) => {
    request.answer({ isGovCloud: false, shouldWarn: false });
  }),
  'account/securitySetup/read': method(anything, (_params, request) => request.answer({ notice: null })),
  'accountSession/list': method(anything, (_params, request) => {
    request.answer({ activeSessionId: null, sessions: [] });
  }),
};
