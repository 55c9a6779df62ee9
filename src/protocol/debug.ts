import type { DaemonInfo } from '../domain/daemon-files.ts';
import type { JsonObject } from '../domain/json.ts';
import type { StoreAudit } from '../domain/store-audit.ts';

/**
 * The wire of the debug socket: one JSON-RPC 2.0 message per line, in both directions. Methods only look. Answers come
 * in the order of the requests; `transition` notifications come between them once `tail` was asked for.
 */
export interface DebugMethods {
  /** Everything at a glance. */
  readonly snapshot: { readonly params: Record<string, never>; readonly result: DebugSnapshot };
  /** One loaded thread with its last transitions, oldest first. */
  readonly thread: { readonly params: { readonly threadId: string }; readonly result: DebugThreadDetail };
  /** Holds what lists show against what the store holds. Costs a look at every history, and keeps nobody waiting. */
  readonly audit: { readonly params: Record<string, never>; readonly result: StoreAudit };
  /** From now on, transitions as they happen: of one thread, or of all. Ends with the connection. */
  readonly tail: { readonly params: { readonly threadId?: string }; readonly result: Record<string, never> };
}

export type DebugMethod = keyof DebugMethods;

/** A change of a thread's states. */
export interface DebugTransition {
  readonly threadId: string;
  /** Counts the thread's events from 1; a gap means events that changed nothing. */
  readonly seq: number;
  /** Unix ms. */
  readonly atMs: number;
  readonly event: string;
  /** Who or what brought it about. */
  readonly cause: string;
  /** `persistence/turn`. */
  readonly from: string;
  readonly to: string;
}

/** Told instead of transitions that a slow listener has missed. */
export interface DebugDropped {
  readonly dropped: number;
}

/** Told before the connection ends: what is not answered by now is not answered. */
export interface DebugEvicted {
  readonly reason: string;
}

export interface DebugThread {
  readonly threadId: string;
  /** `opening`, `lazy`, `materialized`, `flushing`, `recovering`, `shuttingDown`, `shutDown`, `initFailed`. */
  readonly persistence: string;
  /** `idle`, `running`, `awaitingClient`, `interrupting`. */
  readonly turn: string;
  readonly activeTurnId: string | null;
  readonly isEphemeral: boolean;
  readonly isStored: boolean;
  /** What keeps it from being written, while something does. */
  readonly failure: JsonObject | null;
  /** Unix ms. */
  readonly lastActivityMs: number;
  /** Connections that watch it, by id. */
  readonly watchers: readonly string[];
  /** Operations that wait for it. */
  readonly pendingOperations: number;
  /** What its turn waits for clients to answer, oldest first. */
  readonly clientRequests: readonly DebugClientRequest[];
}

/** A request of the server that no client has answered. */
export interface DebugClientRequest {
  readonly requestId: number;
  readonly method: string;
  readonly turnId: string;
  /** Unix ms. */
  readonly askedAtMs: number;
}

export interface DebugThreadDetail extends DebugThread {
  readonly path: string | null;
  readonly cwd: string;
  readonly historyMode: string;
  readonly transitions: readonly DebugTransition[];
}

export interface DebugConnection {
  readonly connectionId: string;
  /** `unix`, or `ws` with the address of the client. */
  readonly transport: string;
  /** As it introduced itself; null before that. */
  readonly client: { readonly name: string; readonly version: string } | null;
  /** Unix ms. */
  readonly openedAtMs: number;
  /** Requests taken and not answered. */
  readonly pendingRequests: number;
  /** On their way to the client, in the daemon. */
  readonly queuedBytes: number;
  /** Since when nothing of that has left, Unix ms; null while nothing is on its way. */
  readonly stalledSinceMs: number | null;
  /** False while nothing is read from the client, because of what it has asked for and has not read. */
  readonly isReadFrom: boolean;
  /** News that it could not follow, since it is connected. */
  readonly droppedMessages: number;
  readonly watches: readonly string[];
}

export interface DebugSnapshot {
  readonly daemon: DaemonInfo & {
    readonly uptimeMs: number;
    readonly rssBytes: number;
    readonly heapUsedBytes: number;
    /** Files and sockets that the process has open. */
    readonly descriptors: number;
    /** What keeps the event loop waiting, how many of each kind: sockets, timers ... by the names that Node has for them. */
    readonly activeResources: Readonly<Record<string, number>>;
    /** How late the event loop was since the last snapshot, ms: 99th percentile and most. */
    readonly eventLoopDelayMs: { readonly p99: number; readonly max: number };
  };
  readonly connections: readonly DebugConnection[];
  /** Loaded threads, by id. */
  readonly threads: readonly DebugThread[];
  /** Bytes that wait somewhere. */
  readonly queues: { readonly outboundBytes: number; readonly storeBytes: number };
  readonly stores: readonly JsonObject[];
}
