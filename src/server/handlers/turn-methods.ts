import { parseThreadId } from '../../domain/ids.ts';
import {
  threadInjectItems,
  threadOnly,
  turnInterrupt,
  turnStart,
  turnSteer,
} from '../../protocol/params/thread-params.ts';
import { assertNotTooLong, inputOf } from '../../protocol/params/user-input.ts';
import { invalidRequest } from '../../domain/errors.ts';
import { given, granularApprovals } from '../experimental.ts';
import { responseItems } from '../../protocol/params/response-item.ts';
import { method, type Method } from '../request.ts';
import { settingsOverrides } from './settings-overrides.ts';

const start = method(
  turnStart,
  async (params, request, { manager }) => {
    const input = inputOf(params.input);
    const thread = manager.get(parseThreadId(params.threadId));
    assertNotTooLong(input);
    await thread.takeInput(
      {
        message: { input, clientId: params.clientUserMessageId ?? null },
        overrides: settingsOverrides(params, manager),
        accepted: (answer) => request.answer(answer),
      },
      request.cause,
    );
  },
  [
    ...given('responsesapiClientMetadata', 'responsesapiClientMetadataPatch', 'additionalContext'),
    ...given('environments', 'runtimeWorkspaceRoots'),
    granularApprovals,
    ...given('permissions', 'collaborationMode', 'multiAgentMode', 'cyberAccessProgram'),
  ],
);

const steer = method(
  turnSteer,
  async (params, request, { manager }) => {
    const { expectedTurnId } = params;
    const input = inputOf(params.input);
    const thread = manager.get(parseThreadId(params.threadId));
    if (expectedTurnId === '') throw invalidRequest('expectedTurnId must not be empty');
    assertNotTooLong(input);
    const message = { input, clientId: params.clientUserMessageId ?? null };
    await thread.steer(expectedTurnId, message, () => request.answer({ turnId: expectedTurnId }));
  },
  given('responsesapiClientMetadata', 'responsesapiClientMetadataPatch', 'additionalContext'),
);

const interrupt = method(turnInterrupt, (params, request, { manager }) => {
  const thread = manager.get(parseThreadId(params.threadId));
  // No turn named: whatever runs, if anything does.
  const turnId = params.turnId === '' ? thread.activeTurnId : params.turnId;
  if (turnId !== null) thread.assertActive(turnId);
  request.answer({});
  if (turnId !== null) thread.interrupt(turnId, request.cause);
});

const injectItems = method(threadInjectItems, async ({ threadId, items }, request, { manager }) => {
  await manager.withLoaded(parseThreadId(threadId), (thread) => {
    if (items.length === 0) throw invalidRequest('items must not be empty');
    return thread.injectItems(responseItems(items));
  });
  request.answer({});
});

const compact = method(threadOnly('ThreadCompactStartParams'), async ({ threadId }, request, { manager }) => {
  const thread = manager.get(parseThreadId(threadId));
  await thread.compact(() => request.answer({}), request.cause);
});

/** Methods that make a loaded thread do something. */
export const turnMethods: Readonly<Record<string, Method>> = {
  'turn/start': start,
  'turn/steer': steer,
  'turn/interrupt': interrupt,
  'thread/inject_items': injectItems,
  'thread/compact/start': compact,
};
