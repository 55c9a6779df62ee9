import { createConnection, type Socket } from 'node:net';
import { isJsonObject, objectMember, stringMember, type JsonObject } from '../domain/json.ts';
import { encodeRequest } from '../protocol/envelope.ts';
import type { DebugMethod, DebugMethods } from '../protocol/debug.ts';
import { CliError, EXIT } from './exit-code.ts';
import { RpcFailure } from './rpc-failure.ts';

interface Waiting {
  readonly resolve: (result: JsonObject) => void;
  readonly reject: (error: Error) => void;
}

/** A connection to a daemon's debug socket: one JSON-RPC message per line. */
export class DebugClient {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #closed: Promise<void>;
  #onNotification: (method: string, params: JsonObject) => void = () => {};
  #partial = '';
  #evicted: string | undefined;
  #wasAnswered = false;
  #lastId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', () => {});
    this.#closed = new Promise((resolve) => {
      socket.on('close', () => {
        for (const { reject } of this.#waiting.values()) reject(lost(this.#evicted));
        this.#waiting.clear();
        resolve();
      });
    });
  }

  /** @throws CliError `notRunning` */
  static async connect(path: string): Promise<DebugClient> {
    const socket = createConnection(path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', () => reject(new CliError(EXIT.notRunning, `nothing answers on ${path}`)));
    });
    return new DebugClient(socket);
  }

  /** Resolves when the connection has ended. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /** Why it had to make room for others, if it had to. */
  get evicted(): string | undefined {
    return this.#evicted;
  }

  /** It had to make room for others before it was answered anything: whoever asks again may be answered. */
  get wasTurnedAway(): boolean {
    return this.#evicted !== undefined && !this.#wasAnswered;
  }

  call<M extends DebugMethod>(method: M, params: DebugMethods[M]['params']): Promise<DebugMethods[M]['result']> {
    const answer = new Promise<JsonObject>((resolve, reject) => {
      this.#lastId += 1;
      this.#waiting.set(this.#lastId, { resolve, reject });
      this.#socket.write(`${encodeRequest(this.#lastId, method, params)}\n`);
    });
    return answer as Promise<unknown> as Promise<DebugMethods[M]['result']>;
  }

  onNotification(listener: (method: string, params: JsonObject) => void): void {
    this.#onNotification = listener;
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(text: string): void {
    const lines = `${this.#partial}${text}`.split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) this.#take(JSON.parse(line));
  }

  #take(message: unknown): void {
    if (!isJsonObject(message)) return;
    const method = stringMember(message, 'method');
    if (method === 'evicted') {
      this.#evicted = stringMember(objectMember(message, 'params') ?? {}, 'reason') ?? 'no reason is given';
      return;
    }
    if (method !== undefined) {
      this.#onNotification(method, objectMember(message, 'params') ?? {});
      return;
    }
    this.#wasAnswered = true;
    const id = Number(message['id']);
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    const error = objectMember(message, 'error');
    if (error === undefined) waiting?.resolve(objectMember(message, 'result') ?? {});
    else waiting?.reject(new RpcFailure(error));
  }
}

const lost = (evicted: string | undefined): CliError =>
  new CliError(EXIT.failure, `the connection to the daemon was lost${evicted === undefined ? '' : `: ${evicted}`}`);
