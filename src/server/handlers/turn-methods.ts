import { isAbsolute } from 'node:path';
import { parseThreadId } from '../../domain/ids.ts';
import { isJsonObject } from '../../domain/json.ts';
import type { ThreadSettings } from '../../domain/thread-settings.ts';
import { threadInjectItems, turnInterrupt, turnStart, turnSteer } from '../../protocol/params/thread-params.ts';
import { checkedInput } from '../../protocol/params/user-input.ts';
import { invalidRequest } from '../../domain/errors.ts';
import { method, type Method } from '../request.ts';

const start = method(turnStart, async (params, request, { manager }) => {
  const threadId = parseThreadId(params.threadId);
  const input = checkedInput(params.input);
  const thread = manager.get(threadId);
  const { cwd, approvalPolicy, approvalsReviewer, sandboxPolicy, model, serviceTier, effort } = params;
  if (cwd && !isAbsolute(cwd)) throw invalidRequest(`cwd must be absolute: ${cwd}`);
  const overrides: Partial<ThreadSettings> = {
    ...(cwd ? { cwd } : {}),
    ...(approvalPolicy ? { approvalPolicy } : {}),
    ...(approvalsReviewer ? { approvalsReviewer } : {}),
    ...(sandboxPolicy ? { sandboxPolicy } : {}),
    ...(model ? { model } : {}),
    ...(serviceTier ? { serviceTier } : {}),
    ...(effort ? { reasoningEffort: effort } : {}),
  };
  await thread.takeInput(
    {
      message: { input, clientId: params.clientUserMessageId ?? null },
      overrides,
      accepted: (answer) => request.answer(answer),
    },
    request.cause,
  );
});

const steer = method(turnSteer, async (params, request, { manager }) => {
  const thread = manager.get(parseThreadId(params.threadId));
  const input = checkedInput(params.input);
  const message = { input, clientId: params.clientUserMessageId ?? null };
  await thread.steer(params.expectedTurnId, message, () => request.answer({ turnId: params.expectedTurnId }));
});

const interrupt = method(turnInterrupt, ({ threadId, turnId }, request, { manager }) => {
  const thread = manager.get(parseThreadId(threadId));
  thread.assertActive(turnId);
  request.answer({});
  thread.interrupt(turnId, request.cause);
});

const injectItems = method(threadInjectItems, async ({ threadId, items }, request, { manager }) => {
  const thread = manager.get(parseThreadId(threadId));
  const objects = (items as readonly unknown[]).filter(isJsonObject);
  if (objects.length !== items.length || objects.some((item) => typeof item['type'] !== 'string')) {
    throw invalidRequest('items must be Responses API items: objects with a `type`');
  }
  await thread.injectItems(objects);
  request.answer({});
});

/** Methods that make a loaded thread do something. */
export const turnMethods: Readonly<Record<string, Method>> = {
  'turn/start': start,
  'turn/steer': steer,
  'turn/interrupt': interrupt,
  'thread/inject_items': injectItems,
};
