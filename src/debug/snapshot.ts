import { readdir } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { DaemonInfo } from '../domain/daemon-files.ts';
import type { JsonObject, JsonValue } from '../domain/json.ts';
import type { DebugConnection, DebugSnapshot, DebugThread, DebugThreadDetail } from '../protocol/debug.ts';
import type { CodexThread } from '../runtime/codex-thread.ts';
import type { ThreadManager } from '../runtime/thread-manager.ts';
import type { Connection } from '../server/connection.ts';
import type { SkeinServer } from '../server/server.ts';

/** What the debug socket looks at. */
export interface Inspected {
  readonly info: DaemonInfo;
  readonly manager: ThreadManager;
  readonly server: Pick<SkeinServer, 'connections' | 'subscriptions' | 'clientRequests'>;
}

const NANOSECONDS_PER_MS = 1e6;

/** Measures how late the event loop is, from one snapshot to the next. */
export class LoopDelay {
  readonly #histogram = monitorEventLoopDelay({ resolution: 20 });

  constructor() {
    this.#histogram.enable();
  }

  /** Since the last call. */
  take(): { readonly p99: number; readonly max: number } {
    const delay = {
      p99: this.#histogram.percentile(99) / NANOSECONDS_PER_MS,
      max: this.#histogram.max / NANOSECONDS_PER_MS,
    };
    this.#histogram.reset();
    return delay;
  }

  close(): void {
    this.#histogram.disable();
  }
}

export async function takeSnapshot(inspected: Inspected, delay: LoopDelay): Promise<DebugSnapshot> {
  const { info, manager, server } = inspected;
  const { rss, heapUsed } = process.memoryUsage();
  const [store, descriptors] = await Promise.all([manager.store.inspect(), readdir('/dev/fd')]);
  const connections = server.connections.map((connection) => describeConnection(connection, server));
  return {
    daemon: {
      ...info,
      uptimeMs: Date.now() - info.startedAtMs,
      rssBytes: rss,
      heapUsedBytes: heapUsed,
      descriptors: descriptors.length,
      activeResources: countByKind(process.getActiveResourcesInfo()),
      eventLoopDelayMs: delay.take(),
    },
    connections,
    threads: manager.loaded
      .map((thread) => describeThread(thread, server))
      .toSorted((a, b) => (a.threadId < b.threadId ? -1 : 1)),
    queues: {
      outboundBytes: connections.reduce((sum, { queuedBytes }) => sum + queuedBytes, 0),
      storeBytes: queuedIn(store['writers']),
    },
    stores: [store],
  };
}

export function describeThread(thread: CodexThread, server: Inspected['server']): DebugThread {
  const { persistence, turn } = thread.states;
  return {
    threadId: thread.id,
    persistence,
    turn,
    activeTurnId: thread.activeTurnId,
    isEphemeral: thread.isEphemeral,
    isStored: thread.isStored,
    failure: thread.failure === null ? null : { ...thread.failure },
    lastActivityMs: thread.lastActivityMs,
    watchers: [...server.subscriptions.watchersOf(thread.id)].map(({ id }) => id),
    pendingOperations: thread.pendingOperations,
    clientRequests: server.clientRequests
      .of(thread.id)
      .map(({ requestId, turnId, request, askedAtMs }) => ({ requestId, method: request.method, turnId, askedAtMs })),
  };
}

export function describeThreadInDetail(thread: CodexThread, server: Inspected['server']): DebugThreadDetail {
  const { path, cwd, historyMode } = thread.described;
  return { ...describeThread(thread, server), path, cwd, historyMode, transitions: thread.recentTransitions };
}

function describeConnection(connection: Connection, { subscriptions }: Inspected['server']): DebugConnection {
  const { phase } = connection;
  return {
    connectionId: connection.id,
    transport: connection.transport,
    client: phase.phase === 'new' ? null : { name: phase.client.name, version: phase.client.version },
    openedAtMs: connection.openedAtMs,
    pendingRequests: connection.pendingRequests,
    queuedBytes: connection.queuedBytes,
    stalledSinceMs: connection.stalledSinceMs,
    isReadFrom: connection.canTakeMore,
    droppedMessages: connection.droppedMessages,
    watches: subscriptions.threadsOf(connection),
  };
}

function countByKind(kinds: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const kind of kinds) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

const queuedIn = (writers: JsonValue | undefined): number =>
  (Array.isArray(writers) ? (writers as readonly JsonObject[]) : []).reduce(
    (sum, writer) => sum + (typeof writer['queuedBytes'] === 'number' ? writer['queuedBytes'] : 0),
    0,
  );
