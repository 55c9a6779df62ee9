import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { setImmediate as othersTurn } from 'node:timers/promises';
import { invalidRequest, notFound } from '../domain/errors.ts';
import { parseThreadId } from '../domain/ids.ts';
import { isJsonObject, stringMember, type JsonObject } from '../domain/json.ts';
import { encodeError, encodeResult, parseClientMessage } from '../protocol/envelope.ts';
import { errorBodyOf } from '../protocol/errors.ts';
import type { DebugEvicted, DebugMethod } from '../protocol/debug.ts';
import type { Transition } from '../runtime/transitions.ts';
import { listenOnSocketFile, watchSocketFile } from '../server/socket-file.ts';
import { describeThreadInDetail, LoopDelay, takeSnapshot, type Inspected } from './snapshot.ts';
import { TextLines } from './text-lines.ts';

/** A longer request is none. */
const MAX_REQUEST_BYTES = 64 * 1024;

/** What may wait for a client that does not read; beyond it transitions are dropped and counted, and answers wait. */
const MAX_QUEUED_BYTES = 1024 * 1024;

/** Enough for people and their tools. Whoever comes beyond takes the place of another: there is always a way to look. */
const MAX_CONNECTIONS = 16;

/**
 * The debug socket: looks at everything, changes nothing. For the owner of the home alone, by the socket's mode. Costs
 * nothing while nobody is connected, and hears transitions only while somebody listens to them.
 */
export class DebugServer {
  readonly #inspected: Inspected;
  readonly #onProblem: (message: string, error?: unknown) => void;
  #server: Server | undefined;
  #stopWatching = (): void => {};
  #isClosed = false;
  /** Who has asked nothing for longest comes first. */
  readonly #sessions = new Set<Session>();
  #delay: LoopDelay | undefined;

  private constructor(inspected: Inspected, onProblem: (message: string, error?: unknown) => void) {
    this.#inspected = inspected;
    this.#onProblem = onProblem;
  }

  /**
   * @param onProblem something that an operator should look at
   * @throws internal if the socket cannot be made; invalidRequest if something else lies in its place
   */
  static async listen(
    path: string,
    inspected: Inspected,
    onProblem: (message: string, error?: unknown) => void = () => {},
  ): Promise<DebugServer> {
    const debug = new DebugServer(inspected, onProblem);
    await debug.#listen(path);
    return debug;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopWatching();
    for (const session of this.#sessions) session.end();
    const server = this.#server;
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
    this.#delay?.close();
  }

  async #listen(path: string): Promise<void> {
    const server = createServer((socket) => this.#accept(socket));
    await listenOnSocketFile(server, path);
    // A connection that cannot be accepted is nobody's loss but its own.
    server.on('error', () => {});
    if (this.#isClosed) {
      server.close();
      return;
    }
    this.#server = server;
    this.#stopWatching = watchSocketFile(server, path, () => void this.#listenAgain(path));
  }

  /** Somebody has removed the file of the socket. */
  async #listenAgain(path: string): Promise<void> {
    this.#server = undefined;
    if (this.#isClosed) return;
    try {
      await this.#listen(path);
      this.#onProblem(`the debug socket ${path} had been removed and was made again`);
    } catch (error) {
      this.#onProblem(`the debug socket ${path} had been removed and could not be made again`, error);
    }
  }

  #accept(socket: Socket): void {
    this.#delay ??= new LoopDelay();
    const session = new Session(socket, this.#inspected, this.#delay, () => {
      if (this.#sessions.delete(session)) this.#sessions.add(session);
    });
    this.#sessions.add(session);
    if (this.#sessions.size > MAX_CONNECTIONS) this.#makeRoom();
    socket.on('close', () => {
      session.end();
      this.#sessions.delete(session);
      if (this.#sessions.size > 0) return;
      this.#delay?.close();
      this.#delay = undefined;
    });
  }

  #makeRoom(): void {
    const leaver = leaverOf([...this.#sessions]);
    this.#sessions.delete(leaver);
    leaver.evict(`more than ${MAX_CONNECTIONS} are connected to the debug socket`);
  }
}

/**
 * Who has asked nothing for longest, of those that only follow if all do; if all are being answered, who was most often.
 * @param sessions who has come or asked last stands last, and does not leave
 */
function leaverOf(sessions: readonly Session[]): Session {
  const idle = sessions.slice(0, -1).filter(({ isAnswered }) => !isAnswered);
  const greediest = (one: Session, other: Session): Session => (other.answers > one.answers ? other : one);
  return idle.find(({ isFollowing }) => !isFollowing) ?? idle[0] ?? sessions.reduce(greediest);
}

/** One connection: requests line by line, answered one after the other, between which others have their turn. */
class Session {
  readonly #socket: Socket;
  readonly #inspected: Inspected;
  readonly #delay: LoopDelay;
  readonly #onAsked: () => void;
  readonly #lines = new TextLines();
  #stopTail: (() => void) | undefined;
  #dropped = 0;
  #isAnswered = false;
  #answers = 0;
  readonly #ended = new AbortController();

  constructor(socket: Socket, inspected: Inspected, delay: LoopDelay, onAsked: () => void) {
    this.#socket = socket;
    this.#inspected = inspected;
    this.#delay = delay;
    this.#onAsked = onAsked;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => void this.#read(text));
    socket.on('drain', () => this.#tellDropped());
    socket.on('error', () => socket.destroy());
  }

  /** It hears transitions, and need not ask for anything more. */
  get isFollowing(): boolean {
    return this.#stopTail !== undefined;
  }

  /** What it has asked is looked up. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** How often it was answered. */
  get answers(): number {
    return this.#answers;
  }

  /** Ends it with the reason, if its client still takes anything. */
  evict(reason: string): void {
    if (this.#socket.writableLength === 0) {
      this.#send(JSON.stringify({ method: 'evicted', params: { reason } satisfies DebugEvicted }));
    }
    this.end();
  }

  end(): void {
    this.#ended.abort();
    this.#stopTail?.();
    this.#stopTail = undefined;
    this.#socket.destroy();
  }

  async #read(text: string): Promise<void> {
    // Nothing is read while answers wait, nor answered while they are not taken: whoever asks without end asks no more
    // than it reads.
    this.#socket.pause();
    for (const line of this.#lines.push(text)) {
      await this.#answer(line);
      await othersTurn();
      if (this.#ended.signal.aborted) return;
    }
    if (this.#lines.pending > MAX_REQUEST_BYTES) this.end();
    else this.#socket.resume();
  }

  async #answer(line: string): Promise<void> {
    const message = parseClientMessage(line);
    if (message.kind === 'unusable') {
      this.#send(encodeError(message.id, errorBodyOf(invalidRequest(`Invalid request: ${message.problem}`))));
    }
    if (message.kind !== 'request') return;
    this.#onAsked();
    if (this.#socket.writableLength > MAX_QUEUED_BYTES) await this.#drained();
    if (this.#ended.signal.aborted) return;
    this.#isAnswered = true;
    try {
      const params = isJsonObject(message.params) ? message.params : {};
      this.#send(encodeResult(message.id, await this.#call(message.method, params)));
    } catch (error) {
      this.#send(encodeError(message.id, errorBodyOf(error)));
    } finally {
      this.#isAnswered = false;
      this.#answers += 1;
    }
  }

  async #call(method: string, params: JsonObject): Promise<unknown> {
    switch (method as DebugMethod) {
      case 'snapshot':
        return takeSnapshot(this.#inspected, this.#delay);
      case 'thread':
        return this.#thread(params);
      case 'audit':
        return this.#inspected.manager.store.audit();
      case 'tail':
        this.#tail(params);
        return {};
      default:
        throw invalidRequest(`there is no method ${method}: use snapshot, thread, audit or tail`);
    }
  }

  /** Resolves when the client has read what waits for it, or is gone. */
  async #drained(): Promise<void> {
    await once(this.#socket, 'drain', { signal: this.#ended.signal }).catch(() => {});
  }

  #thread(params: JsonObject): unknown {
    const text = stringMember(params, 'threadId');
    if (text === undefined) throw invalidRequest('thread needs a threadId');
    const { manager, server } = this.#inspected;
    const thread = manager.find(parseThreadId(text));
    if (thread === undefined) throw notFound(`thread ${text} is not loaded`);
    return describeThreadInDetail(thread, server);
  }

  #tail(params: JsonObject): void {
    const text = stringMember(params, 'threadId');
    const only = text === undefined ? undefined : parseThreadId(text);
    this.#stopTail?.();
    // Nobody would end what a client begins that is gone.
    if (this.#ended.signal.aborted) return;
    this.#stopTail = this.#inspected.manager.registry.onTransition((transition) => {
      if (only === undefined || transition.threadId === only) this.#tell(transition);
    });
  }

  #tell(transition: Transition): void {
    if (this.#socket.writableLength > MAX_QUEUED_BYTES) this.#dropped += 1;
    else this.#send(JSON.stringify({ method: 'transition', params: transition }));
  }

  #tellDropped(): void {
    if (this.#dropped === 0) return;
    const dropped = this.#dropped;
    this.#dropped = 0;
    this.#send(JSON.stringify({ method: 'dropped', params: { dropped } }));
  }

  #send(text: string): void {
    this.#socket.write(`${text}\n`);
  }
}
