import { messageOf, SkeinError } from '../domain/errors.ts';
import type { JsonValue } from '../domain/json.ts';
import { errorBodyOf, RPC_CODES, RpcError } from '../protocol/errors.ts';
import { parseClientMessage } from '../protocol/envelope.ts';
import { parseParams } from '../protocol/params/serde.ts';
import { initialize } from '../protocol/params/thread-params.ts';
import { PROTOCOL_VERSION } from '../protocol/protocol-version.ts';
import type { Connection, Lane, TakenRequest } from './connection.ts';
import { assertAllowed } from './experimental.ts';
import { METHODS } from './methods.ts';
import type { Request, ServerIdentity, Services } from './request.ts';

/** Requests of one connection that may be under way at once; more are refused, none is lost without an answer. */
const MAX_PENDING_REQUESTS = 256;

/**
 * What is made for a client one after the other, and in which lane. Turns and items are as much as a history holds;
 * lists and searches look through all threads, in a place that all clients share.
 */
const LANES: ReadonlyMap<string, Lane> = new Map([
  ['thread/resume', 'history'],
  ['thread/fork', 'history'],
  ['thread/read', 'history'],
  ['thread/turns/list', 'history'],
  ['thread/items/list', 'history'],
  ['thread/list', 'list'],
  ['thread/search', 'search'],
]);

/** Names of clients are recorded as originators, and sent along to models by products that read the same threads. */
const NO_HEADER_VALUE = /[^\t\P{Cc}]|\x7f/u;

/** What the dispatcher tells whoever keeps the log. */
export interface DispatchLog {
  /** A failure that is the daemon's own, not the client's. */
  problem(message: string, error: unknown): void;
}

/**
 * From frames to methods: reads a message, checks that it may be asked, validates its parameters once, runs its
 * handler, and answers. Requests of a connection run side by side; every one is answered exactly once.
 */
export class Dispatcher {
  readonly #services: Services;
  readonly #log: DispatchLog;

  constructor(services: Services, log: DispatchLog) {
    this.#services = services;
    this.#log = log;
  }

  /** Takes a text frame. Never throws. */
  dispatch(connection: Connection, frame: string): void {
    const message = parseClientMessage(frame);
    if (message.kind === 'unusable') {
      const code = RPC_CODES.invalidRequest;
      connection.take(message.id, 0).refuse({ code, message: `Invalid request: ${message.problem}` });
      return;
    }
    if (message.kind === 'response') this.#services.clientRequests.answered(connection, message.id, message);
    // Notifications of clients say nothing that is needed.
    if (message.kind !== 'request') return;
    void this.#run(connection, connection.take(message.id, frame.length), message.method, message.params);
  }

  async #run(
    connection: Connection,
    taken: TakenRequest,
    method: string,
    params: JsonValue | undefined,
  ): Promise<void> {
    try {
      if (connection.pendingRequests > MAX_PENDING_REQUESTS) {
        throw new RpcError(RPC_CODES.overloaded, 'Server overloaded; retry later.');
      }
      const work = (): Promise<void> => this.#handle(connection, method, params, (result) => taken.answer(result));
      const lane = LANES.get(method);
      await (lane === undefined ? work() : connection.workInTurn(lane, work));
      if (!taken.isAnswered) throw new Error(`${method} has no answer`);
    } catch (error) {
      this.#report(method, error);
      taken.refuse(errorBodyOf(error));
    }
  }

  async #handle(
    connection: Connection,
    method: string,
    params: JsonValue | undefined,
    answer: Request['answer'],
  ): Promise<void> {
    if (method === 'initialize') {
      this.#initialize(connection, params, answer);
      return;
    }
    const known = Object.hasOwn(METHODS, method) ? METHODS[method] : undefined;
    if (known === undefined) throw unknownMethod(method);
    const parsed = parseParams(known.params, params);
    const { phase } = connection;
    if (phase.phase === 'new') throw new RpcError(RPC_CODES.invalidRequest, 'Not initialized');
    const { client } = phase;
    assertAllowed(method, known.experimental, params, client);
    const request: Request = { connection, client, cause: `${method} of ${connection.id} (${client.name})`, answer };
    await known.handle(parsed, request, this.#services);
  }

  #initialize(connection: Connection, params: JsonValue | undefined, answer: Request['answer']): void {
    const { clientInfo, capabilities } = parseParams(initialize, params);
    if (connection.phase.phase === 'initialized') {
      throw new RpcError(RPC_CODES.invalidRequest, 'Already initialized');
    }
    if (NO_HEADER_VALUE.test(clientInfo.name)) {
      throw new RpcError(
        RPC_CODES.invalidRequest,
        `Invalid clientInfo.name: '${clientInfo.name}'. Must be a valid HTTP header value.`,
      );
    }
    connection.initialize({
      name: clientInfo.name,
      version: clientInfo.version,
      isExperimental: capabilities?.experimentalApi ?? false,
      optedOut: new Set(capabilities?.optOutNotificationMethods ?? []),
    });
    const { server } = this.#services;
    answer(introduction(server, clientInfo));
    connection.notify('remoteControl/status/changed', {
      status: 'disabled',
      serverName: server.hostName,
      installationId: server.installationId,
      environmentId: null,
    });
  }

  #report(method: string, error: unknown): void {
    const isExpected = error instanceof SkeinError && error.code !== 'internal' && error.code !== 'uncertain';
    if (error instanceof RpcError || isExpected) return;
    this.#log.problem(`${method} failed: ${messageOf(error)}`, error);
  }
}

function introduction(server: ServerIdentity, client: { readonly name: string; readonly version: string }): object {
  const system = `${process.platform}; ${process.arch === 'x64' ? 'x86_64' : process.arch}`;
  return {
    userAgent: `${client.name}/${PROTOCOL_VERSION} (${system}) skein/${server.version} (${client.name}; ${client.version})`,
    codexHome: server.home,
    platformFamily: process.platform === 'win32' ? 'windows' : 'unix',
    platformOs: process.platform === 'darwin' ? 'macos' : process.platform,
  };
}

function unknownMethod(method: string): RpcError {
  const known = ['initialize', ...Object.keys(METHODS)].map((name) => `\`${name}\``).join(', ');
  return new RpcError(
    RPC_CODES.invalidRequest,
    `Invalid request: unknown variant \`${method}\`, expected one of ${known}`,
  );
}
