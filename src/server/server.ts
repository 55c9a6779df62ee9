import { identityHeaders } from '../protocol/daemon-identity.ts';
import { encodeNotification } from '../protocol/envelope.ts';
import type { Notification } from '../protocol/notifications.ts';
import type { ThreadManager } from '../runtime/thread-manager.ts';
import type { ManagerEvent } from '../runtime/thread-events.ts';
import type { ThreadId } from '../domain/ids.ts';
import type { AccessRules } from './access.ts';
import { formatListenAddress, type ListenAddress } from './addresses.ts';
import { ClientRequests } from './client-requests.ts';
import type { ClientSocket, Peer } from './client-socket.ts';
import { Connection, type Broadcast } from './connection.ts';
import { Dispatcher } from './dispatcher.ts';
import { notificationOf, type NotifiedEvent } from './event-notifications.ts';
import { IdleUnloader } from './idle-unloader.ts';
import { InboundBudget } from './inbound-budget.ts';
import { CLOSE_GOING_AWAY, Listener } from './listener.ts';
import type { OutboundSink } from './outbound-queue.ts';
import type { ServerIdentity } from './request.ts';
import { Subscriptions } from './subscriptions.ts';
import { Turns } from './turns.ts';

export interface ServerLog {
  /** Something an operator should look at. */
  problem(message: string, error?: unknown): void;
  info(message: string): void;
}

export interface ServerOptions {
  readonly manager: ThreadManager;
  readonly identity: ServerIdentity;
  /** How long a thread that nobody watches stays loaded, ms. */
  readonly unloadDelayMs: number;
  /** Clients that may be connected at once, over all listeners. */
  readonly maxConnections: number;
  /** How long a client may take to introduce itself, ms. */
  readonly initializeTimeoutMs: number;
  readonly log: ServerLog;
  readonly isReady: () => boolean;
  /** Unix ms. */
  readonly now?: () => number;
}

/** Messages that have not come whole yet, or wait for their turn, of all clients together. */
const MAX_PARTIAL_BYTES = 256 * 1024 * 1024;

/** Everything between sockets and the manager: listeners, connections, who watches what, and telling them. */
export class SkeinServer {
  readonly #options: ServerOptions;
  readonly #now: () => number;
  readonly #connections = new Set<Connection>();
  readonly #inbound = new InboundBudget<ClientSocket>(MAX_PARTIAL_BYTES);
  readonly #turns = new Turns<ClientSocket>();
  readonly #subscriptions: Subscriptions;
  readonly #clientRequests: ClientRequests;
  readonly #unloader: IdleUnloader;
  readonly #dispatcher: Dispatcher;
  readonly #listeners: Listener[] = [];
  readonly #stopHearing: () => void;
  #isClosed = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const { manager, identity, log } = options;
    this.#subscriptions = new Subscriptions({
      onWanted: (threadId) => this.#unloader.wanted(threadId),
      onAbandoned: (threadId) => this.#unloader.abandoned(threadId),
    });
    this.#unloader = new IdleUnloader({
      manager,
      delayMs: options.unloadDelayMs,
      now: this.#now,
      isWanted: (threadId) => this.#subscriptions.isWanted(threadId),
      onProblem: (message) => log.problem(message),
    });
    this.#clientRequests = new ClientRequests({
      subscriptions: this.#subscriptions,
      now: this.#now,
      pass: ({ threadId, questionId }, reply, cause) => manager.find(threadId)?.answer(questionId, reply, cause),
      onRefused: (reason) => log.info(reason),
    });
    const services = {
      manager,
      subscriptions: this.#subscriptions,
      clientRequests: this.#clientRequests,
      server: identity,
    };
    this.#dispatcher = new Dispatcher(services, log);
    this.#stopHearing = manager.onEvent((threadId, event) => this.#hear(threadId, event));
  }

  get connections(): readonly Connection[] {
    return [...this.#connections];
  }

  get subscriptions(): Subscriptions {
    return this.#subscriptions;
  }

  /** What clients have been asked and have not answered. */
  get clientRequests(): ClientRequests {
    return this.#clientRequests;
  }

  /** Listens on one more address. @returns it, with the port that was chosen */
  async listen(address: ListenAddress, access: AccessRules): Promise<ListenAddress> {
    const { log, isReady, initializeTimeoutMs, identity } = this.#options;
    const listener = await Listener.open({
      address,
      access,
      isReady,
      initializeTimeoutMs,
      // A port is reached by whoever is on the machine.
      headers: address.kind === 'unix' ? identityHeaders(identity) : {},
      inbound: this.#inbound,
      turns: this.#turns,
      whyFull: () => this.#whyFull(),
      onRefused: (reason) => log.info(`refused a connection: ${reason}`),
      onDismissed: (reason) => log.info(`let go of a client: ${reason}`),
      onProblem: (message, error) => log.problem(message, error),
      onVanished: () => void this.#listenAgain(address, access),
      onConnect: (sink, transport) => this.#connected(sink, transport),
    });
    if (this.#isClosed) await listener.close(CLOSE_GOING_AWAY, 'the daemon has stopped');
    else this.#listeners.push(listener);
    return listener.address;
  }

  /** Beside the listener whose socket file somebody has removed: it keeps the clients that it has. */
  async #listenAgain(address: ListenAddress, access: AccessRules): Promise<void> {
    const { log } = this.#options;
    if (this.#isClosed) return;
    try {
      await this.listen(address, access);
      log.problem(`the socket of ${formatListenAddress(address)} had been removed and was made again`);
    } catch (error) {
      log.problem(`the socket of ${formatListenAddress(address)} had been removed and could not be made again`, error);
    }
  }

  /** Tells every client what concerns no thread alone. */
  warn(message: string): void {
    for (const connection of this.#connections) connection.notify('warning', { threadId: null, message });
  }

  /** Ends all listeners and connections. */
  async close(reason: string): Promise<void> {
    this.#isClosed = true;
    this.#unloader.close();
    await Promise.all(this.#listeners.map((listener) => listener.close(CLOSE_GOING_AWAY, reason)));
    this.#stopHearing();
  }

  #whyFull(): string | undefined {
    const { maxConnections } = this.#options;
    if (this.#connections.size < maxConnections) return undefined;
    return `${maxConnections} clients are connected, as many as may be (limits.connections)`;
  }

  #connected(sink: OutboundSink, transport: string): Peer {
    const connection = new Connection(sink, transport, this.#now);
    this.#connections.add(connection);
    return {
      onText: (text) => this.#dispatcher.dispatch(connection, text),
      canTakeMore: () => connection.canTakeMore,
      isIntroduced: () => connection.phase.phase === 'initialized',
      whenSent: () => connection.whenSent(),
      onClose: () => {
        this.#connections.delete(connection);
        connection.close();
        this.#subscriptions.removeConnection(connection);
      },
    };
  }

  #hear(threadId: ThreadId, event: ManagerEvent): void {
    if (event.type === 'clientAsked') this.#clientRequests.asked(threadId, event);
    else if (event.type === 'clientQuestionClosed') {
      this.#send(threadId, this.#clientRequests.closed(threadId, event));
    } else this.#tell(threadId, event);
    if (event.type === 'threadArchived' || event.type === 'threadDeleted' || event.type === 'threadClosed') {
      this.#subscriptions.removeThread(threadId);
    } else if (event.type === 'threadStarted' || event.type === 'statusChanged') {
      // Loaded by someone who did not stay, or done with a turn that nobody watches.
      if (!this.#subscriptions.isWanted(threadId)) this.#unloader.abandoned(threadId);
    }
  }

  /** A notification to those who watch. */
  #send(threadId: ThreadId, notification: Notification | undefined): void {
    if (notification === undefined) return;
    const { method, params } = notification;
    const text = encodeNotification(method, params, this.#now());
    for (const connection of this.#subscriptions.watchersOf(threadId)) connection.broadcast({ method, threadId, text });
  }

  /** Tells those who are to hear of an event. Encoded once, however many they are. */
  #tell(threadId: ThreadId, event: NotifiedEvent): void {
    const watchers = this.#subscriptions.watchersOf(threadId);
    const delta = event.type === 'agentMessageDelta' || event.type === 'commandOutputDelta' ? event : null;
    if (delta !== null && watchers.size === 0) return;
    const { method, params, audience, isExperimental = false } = notificationOf(threadId, event, this.#options.manager);
    const audienceOf = audience === 'everyone' ? this.#connections : watchers;
    if (audienceOf.size === 0) return;
    const emittedAtMs = this.#now();
    const broadcast: Broadcast = {
      method,
      threadId,
      isExperimental,
      text: encodeNotification(method, params, emittedAtMs),
      ...(delta === null
        ? {}
        : {
            delta: {
              key: `${threadId}/${delta.itemId}`,
              delta: delta.delta,
              render: (text: string) => encodeNotification(method, { ...params, delta: text }, emittedAtMs),
            },
          }),
    };
    for (const connection of audienceOf) connection.broadcast(broadcast);
  }
}
