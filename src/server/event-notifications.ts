import type { ThreadId } from '../domain/ids.ts';
import type { JsonObject, JsonValue } from '../domain/json.ts';
import { toEveryone, toSubscribers, type Notification } from '../protocol/notifications.ts';
import { threadSettingsView, threadView, tokenUsageView } from '../protocol/views.ts';
import type { ClientAsked, ClientQuestionClosed, ManagerEvent } from '../runtime/thread-events.ts';
import type { ThreadManager } from '../runtime/thread-manager.ts';
import { runtimeViewOf } from './runtime-view.ts';

/** Events that clients are told of as they are; questions have ids first (ClientRequests). */
export type NotifiedEvent = Exclude<ManagerEvent, ClientAsked | ClientQuestionClosed>;

/** What clients are told of an event, and who of them (app-server-protocol section 3). */
export function notificationOf(threadId: ThreadId, event: NotifiedEvent, manager: ThreadManager): Notification {
  switch (event.type) {
    case 'threadStarted':
      return {
        method: 'thread/started',
        params: { thread: threadView(event.thread, runtimeViewOf(manager, threadId)) },
        audience: 'everyone',
      };
    case 'statusChanged':
      return toEveryone('thread/status/changed', threadId, { status: json(event.status) });
    case 'threadNamed':
      return toEveryone('thread/name/updated', threadId, { threadName: event.name });
    case 'threadArchived':
      return toEveryone('thread/archived', threadId);
    case 'threadUnarchived':
      return toEveryone('thread/unarchived', threadId);
    case 'threadDeleted':
      return toEveryone('thread/deleted', threadId);
    case 'threadReverted':
      return toEveryone('thread/reverted', threadId);
    case 'goalCleared':
      return toEveryone('thread/goal/cleared', threadId);
    case 'threadClosed':
      return toEveryone('thread/closed', threadId);
    case 'settingsChanged':
      return toSubscribers('thread/settings/updated', threadId, { threadSettings: threadSettingsView(event.settings) });
    case 'turnStarted':
      return toSubscribers('turn/started', threadId, { turn: json(event.turn) });
    case 'turnCompleted':
      return toSubscribers('turn/completed', threadId, { turn: json(event.turn) });
    case 'turnFailed':
      return toSubscribers('error', threadId, { error: event.error, willRetry: false, turnId: event.turnId });
    case 'itemStarted':
      return toSubscribers('item/started', threadId, {
        item: event.item,
        turnId: event.turnId,
        startedAtMs: event.startedAtMs,
      });
    case 'itemCompleted':
      return toSubscribers('item/completed', threadId, {
        item: event.item,
        turnId: event.turnId,
        contentTokenCount: null,
        completedAtMs: event.completedAtMs,
      });
    case 'agentMessageDelta':
      return toSubscribers('item/agentMessage/delta', threadId, {
        turnId: event.turnId,
        itemId: event.itemId,
        delta: event.delta,
      });
    case 'commandOutputDelta':
      return toSubscribers('item/commandExecution/outputDelta', threadId, {
        turnId: event.turnId,
        itemId: event.itemId,
        delta: event.delta,
      });
    case 'tokensUsed':
      return toSubscribers('thread/tokenUsage/updated', threadId, tokenUsageView(event));
    case 'queueChanged':
      return { ...toSubscribers('thread/queue/changed', threadId), isExperimental: true };
    case 'readStateChanged': {
      const params = { readState: json(event.readState) };
      return { ...toSubscribers('thread/readState/changed', threadId, params), isExperimental: true };
    }
    case 'sectionChanged':
      return toEveryone('thread/section/changed', threadId, { sectionId: event.sectionId });
    case 'warning':
      return toSubscribers('warning', threadId, { message: event.message });
  }
}

/** Types of ours that are JSON by construction. */
const json = (value: object): JsonValue => value as JsonObject;
