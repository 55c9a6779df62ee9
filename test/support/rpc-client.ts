import { once } from 'node:events';
import { WebSocket, type ClientOptions } from 'ws';
import { noteMisfit } from './misfits.ts';
import { misfit } from './protocol-schemas.ts';

/** Anything that comes over the wire. */
// oxlint-disable-next-line typescript/no-explicit-any -- tests look into answers of any shape
export type Json = any;

export interface Notification {
  readonly method: string;
  readonly params: Json;
  readonly emittedAtMs: number;
}

/** A refusal, with everything the server said. */
export class RpcRefusal extends Error {
  readonly body: Json;

  constructor(method: string, body: Json) {
    super(`${method}: ${body.message}`);
    this.name = 'RpcRefusal';
    this.body = body;
  }
}

export interface RpcClientOptions {
  readonly name?: string;
  /** Default: true. */
  readonly isExperimental?: boolean;
  readonly optOut?: readonly string[];
  readonly token?: string;
  /** False: connected only. */
  readonly isInitialized?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Longer than anything here takes; a test that waits for what never comes should say what it was. */
const PATIENCE_MS = 20_000;

/** A client of the app-server protocol, of Skein's daemon and of the real Codex alike. Keeps every frame it got. */
export class RpcClient {
  readonly socket: WebSocket;
  /** All frames, in the order in which they came. */
  readonly frames: Json[] = [];
  readonly #listeners = new Set<() => void>();
  /** Methods of requests that wait for their answer. */
  readonly #asked = new Map<number, string>();
  /** Skein introduces itself; what it sends is held against the schemas of the protocol. */
  #isSkein = false;
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer) => {
      const frame: Json = JSON.parse(data.toString('utf8'));
      this.#check(frame);
      this.frames.push(frame);
      for (const listener of this.#listeners) listener();
    });
    socket.on('close', () => {
      for (const listener of this.#listeners) listener();
    });
  }

  /** @param address `ws://…` or `unix://…` */
  static async connect(address: string, options: RpcClientOptions = {}): Promise<RpcClient> {
    const { token, headers } = options;
    const url = address.startsWith('unix://') ? `ws+unix://${address.slice('unix://'.length)}:/` : address;
    const settings: ClientOptions = {
      headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    };
    const socket = new WebSocket(url, settings);
    const client = RpcClient.over(socket);
    await once(socket, 'open');
    if (options.isInitialized !== false) await client.introduce(options);
    return client;
  }

  /** A client that says nothing yet. @param socket what messages come and go by */
  static over(socket: WebSocket): RpcClient {
    return new RpcClient(socket);
  }

  async introduce({ name = 'test-client', isExperimental = true, optOut }: RpcClientOptions = {}): Promise<void> {
    await this.call('initialize', {
      clientInfo: { name, version: '1.0.0' },
      capabilities: { experimentalApi: isExperimental, optOutNotificationMethods: optOut ?? [] },
    });
  }

  get isClosed(): boolean {
    return this.socket.readyState === WebSocket.CLOSED;
  }

  get notifications(): readonly Notification[] {
    return this.frames.filter((frame) => frame.method !== undefined && frame.id === undefined);
  }

  /** Methods of all notifications about a thread, or of all. */
  methods(threadId?: string): readonly string[] {
    return this.notifications
      .filter(({ params }) => threadId === undefined || (params.threadId ?? params.thread?.id) === threadId)
      .map(({ method }) => method);
  }

  send(message: unknown): void {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  /** @throws RpcRefusal */
  async call(method: string, params?: unknown): Promise<Json> {
    const { error, result } = await this.answer(method, params);
    if (error !== undefined) throw new RpcRefusal(method, error);
    return result;
  }

  /** The answer to a call, good or bad, as it came. */
  async answer(method: string, params?: unknown): Promise<Json> {
    this.#lastId += 1;
    const id = this.#lastId;
    const from = this.frames.length;
    this.#asked.set(id, method);
    this.send({ id, method, ...(params === undefined ? {} : { params }) });
    return this.frame(`the answer to ${method}`, (frame) => frame.id === id && frame.method === undefined, from);
  }

  /** The error that a call is refused with. */
  async refusal(method: string, params?: unknown): Promise<Json> {
    try {
      await this.call(method, params);
    } catch (error) {
      if (error instanceof RpcRefusal) return error.body;
      throw error;
    }
    throw new Error(`${method} was not refused`);
  }

  /** The first frame that fits, whether it came already or comes yet. */
  async frame(what: string, fits: (frame: Json) => boolean, from = 0): Promise<Json> {
    // Each frame is looked at once, however many there are.
    let next = from;
    const find = (): Json => {
      while (next < this.frames.length) {
        const frame = this.frames[next];
        next += 1;
        if (fits(frame)) return frame;
      }
      return undefined;
    };
    const found = find();
    if (found !== undefined) return found;
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
      };
      const look = (): void => {
        const frame = find();
        if (frame !== undefined) {
          done();
          resolve(frame);
        } else if (this.socket.readyState >= WebSocket.CLOSING) {
          done();
          reject(new Error(`the connection ended before ${what} came`));
        }
      };
      const timer = setTimeout(() => {
        done();
        const last = this.frames.slice(-5).map((frame) => JSON.stringify(frame).slice(0, 300));
        reject(new Error(`${what} has not come; the last frames:\n${last.join('\n')}`));
      }, PATIENCE_MS);
      this.#listeners.add(look);
      look();
    });
  }

  notification(method: string, fits: (params: Json) => boolean = () => true, from = 0): Promise<Notification> {
    return this.frame(method, (frame) => frame.method === method && frame.id === undefined && fits(frame.params), from);
  }

  /** Says something in a loaded thread and waits for the end of the turn. @returns the completed turn */
  async turn(threadId: string, text: string, settings: object = {}): Promise<Json> {
    const from = this.frames.length;
    const input = [{ type: 'text', text, text_elements: [] }];
    const { turn } = await this.call('turn/start', { threadId, input, ...settings });
    const ended = await this.notification('turn/completed', ({ turn: { id } }) => id === turn.id, from);
    return ended.params.turn;
  }

  /** Notes what does not fit; the end of the test says so. */
  #check(frame: Json): void {
    const method = frame.method === undefined ? this.#asked.get(frame.id) : undefined;
    if (method === 'initialize' && / skein\//.test(frame.result?.userAgent ?? '')) this.#isSkein = true;
    const isOurs = frame.method !== undefined || method !== undefined;
    const wrong = this.#isSkein && isOurs ? misfit(frame, method) : undefined;
    if (wrong !== undefined)
      noteMisfit(`${method ?? frame.method}: ${wrong}\n${JSON.stringify(frame).slice(0, 2_000)}`);
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    const closed = once(this.socket, 'close');
    this.socket.close();
    await closed;
  }
}
