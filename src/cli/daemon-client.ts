import type { WebSocket } from 'ws';
import { resolveHome, type DaemonInfo } from '../domain/daemon-files.ts';
import { errnoOf } from '../domain/errors.ts';
import { isJsonObject, objectMember, stringMember, type JsonObject } from '../domain/json.ts';
import { encodeRequest } from '../protocol/envelope.ts';
import { VERSION } from '../version.ts';
import { isSame, readInfo } from './daemon-info.ts';
import { CliError, EXIT } from './exit-code.ts';
import { fullDaemon, noDaemon, silentDaemon } from './hints.ts';
import { RpcFailure } from './rpc-failure.ts';

/** What the daemon tells without being asked. */
export interface ServerNotification {
  readonly method: string;
  readonly params: JsonObject;
}

/** What a turn asks the clients that watch its thread. Commands show it; they never answer. */
export interface ServerQuestion extends ServerNotification {
  readonly id: number | string;
}

interface Waiting {
  readonly resolve: (result: JsonObject) => void;
  readonly reject: (error: Error) => void;
}

/** A daemon that does not take a connection in this time is not well. */
const CONNECT_TIMEOUT_MS = 10_000;

/** A connection to a daemon over its own socket, introduced. */
export class DaemonClient {
  readonly info: DaemonInfo;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #listeners = new Set<(notification: ServerNotification) => void>();
  readonly #questionListeners = new Set<(question: ServerQuestion) => void>();
  readonly #closed: Promise<void>;
  #lastId = 0;

  private constructor(info: DaemonInfo, socket: WebSocket) {
    this.info = info;
    this.#socket = socket;
    socket.on('message', (data: Buffer) => this.#take(data.toString('utf8')));
    socket.on('error', () => {});
    this.#closed = new Promise((resolve) => {
      socket.on('close', () => {
        for (const waiting of this.#waiting.values()) waiting.reject(lost());
        this.#waiting.clear();
        resolve();
      });
    });
  }

  /**
   * Connects to the daemon of a home.
   * @param home as given by the user; undefined for the default
   * @throws CliError `notRunning`; `failure` if one is there and does not answer
   */
  static async connect(home: string | undefined): Promise<DaemonClient> {
    const client = await DaemonClient.find(resolveHome(home));
    if (client !== undefined) return client;
    throw noDaemon(home);
  }

  /**
   * The daemon of a home, or undefined if nobody listens there.
   * @param home absolute
   * @throws CliError `failure` if a daemon is there and does not answer (CLI-36)
   */
  static async find(home: string): Promise<DaemonClient | undefined> {
    const info = await readInfo(home);
    if (info === undefined) return undefined;
    // Not with the module: commands that come without it are done sooner.
    const { WebSocket: Client } = await import('ws');
    const socket = new Client(`ws+unix://${info.socket}:/`, {
      handshakeTimeout: CONNECT_TIMEOUT_MS,
      perMessageDeflate: false,
    });
    const isOpen = await new Promise<boolean>((resolve, reject) => {
      socket.once('open', () => resolve(true));
      socket.once('unexpected-response', (_, { statusCode }) => {
        if (statusCode === 503) reject(fullDaemon(info));
        socket.terminate();
      });
      socket.once('error', (error) => {
        // Too slow, or a refusal: someone listens. So does the one whose queue is full.
        const errno = errnoOf(error);
        if (errno === undefined || errno === 'EAGAIN') reject(silentDaemon(info, error.message));
        else resolve(false);
      });
    });
    if (!isOpen) return undefined;
    const client = new DaemonClient(info, socket);
    const { codexHome } = await client.call('initialize', {
      clientInfo: { name: 'skein-cli', title: 'Skein', version: VERSION },
      capabilities: { experimentalApi: true },
    });
    if (typeof codexHome === 'string' && (await isSame(home, codexHome))) return client;
    // Whatever a file says: that one is the daemon of another home.
    await client.close();
    return undefined;
  }

  /** Resolves when the connection has ended. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /** @throws RpcFailure if the daemon refuses; CliError if it is gone */
  call(method: string, params: JsonObject): Promise<JsonObject> {
    if (this.#socket.readyState !== this.#socket.OPEN) return Promise.reject(lost());
    return new Promise((resolve, reject) => {
      this.#lastId += 1;
      this.#waiting.set(this.#lastId, { resolve, reject });
      this.#socket.send(encodeRequest(this.#lastId, method, params));
    });
  }

  /** Hears notifications. @returns ends that */
  onNotification(listener: (notification: ServerNotification) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Hears questions of the threads that were started or resumed over this connection. @returns ends that */
  onQuestion(listener: (question: ServerQuestion) => void): () => void {
    this.#questionListeners.add(listener);
    return () => this.#questionListeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#socket.close();
    await this.#closed;
  }

  #take(text: string): void {
    const message: unknown = JSON.parse(text);
    if (!isJsonObject(message)) return;
    const { id } = message;
    const method = stringMember(message, 'method');
    if (method !== undefined) {
      const notification = { method, params: objectMember(message, 'params') ?? {} };
      // Its ids are the daemon's own, and say nothing about calls of this client.
      if (typeof id === 'number' || typeof id === 'string') {
        for (const listener of this.#questionListeners) listener({ id, ...notification });
      } else for (const listener of this.#listeners) listener(notification);
      return;
    }
    const waiting = typeof id === 'number' ? this.#waiting.get(id) : undefined;
    if (waiting === undefined) return;
    this.#waiting.delete(Number(id));
    const error = objectMember(message, 'error');
    if (error === undefined) waiting.resolve(objectMember(message, 'result') ?? {});
    else waiting.reject(new RpcFailure(error));
  }
}

/** Runs work over a connection that is closed afterwards, whatever happens. */
export async function withDaemon<T>(home: string | undefined, work: (client: DaemonClient) => Promise<T>): Promise<T> {
  const client = await DaemonClient.connect(home);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

const lost = (): CliError => new CliError(EXIT.failure, 'the connection to the daemon was lost');
