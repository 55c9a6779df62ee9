import { deepEqual, ok } from 'node:assert/strict';
import type { Json, Notification, RpcClient, RpcClientOptions } from './rpc-client.ts';

/** Who takes part in a session. */
export type Role = 'actor' | 'watcher' | 'bystander';

/** What came of a session, in words that depend on neither time nor chance. */
export interface Transcript {
  /** What was asked, with its answer. */
  readonly answers: readonly (readonly [string, Json])[];
  /** What each was told, in order, but of threads of other sessions. Pieces of a text in a row are one. */
  readonly told: Readonly<Record<Role, readonly (readonly [string, Json])[]>>;
}

/** Where a session is played. */
export interface Stage {
  connect(options: RpcClientOptions): Promise<RpcClient>;
  /** Lets models go on that stand still at what was said. */
  readonly openGate: (said: string) => void;
  /** Texts that differ between the servers, with what stands for them. */
  readonly words: readonly (readonly [string, string])[];
}

/** Who speaks, and settings of the turn. */
export interface TurnOptions {
  readonly role?: Role;
  readonly approvalPolicy?: string;
  readonly effort?: string;
  readonly collaborationMode?: object;
}

const ROLES: readonly Role[] = ['actor', 'watcher', 'bystander'];
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

export const say = (text: string): Json => [{ type: 'text', text, text_elements: [] }];

/** What a session is played with. */
export interface Scene {
  /** Of all sessions that are played at the same time. */
  readonly number: number;
  /** Folder of its threads. */
  readonly cwd: string;
}

/** A session while it is played: three clients, of which the first does most. */
export class Player {
  readonly clients: Readonly<Record<Role, RpcClient>>;
  readonly cwd: string;
  /** What makes a model stand still after its first word. */
  readonly waiting: string;
  readonly #stage: Stage;
  readonly #answers: [string, Json][] = [];
  readonly #threads = new Set<string>();
  #resumes = 0;

  constructor(clients: Readonly<Record<Role, RpcClient>>, stage: Stage, { number, cwd }: Scene) {
    this.clients = clients;
    this.cwd = cwd;
    this.waiting = `wait ${number}`;
    this.#stage = stage;
  }

  /** Lets the models of the session go on that stand still. */
  openGate(): void {
    this.#stage.openGate(this.waiting);
  }

  /** Asks, and writes the answer down, good or bad. @returns the good one */
  async ask(method: string, params: object = {}, role: Role = 'actor'): Promise<Json> {
    const { result, error } = await this.clients[role].answer(method, params);
    this.#answers.push([`${role} ${method}`, error === undefined ? result : { refused: error }]);
    if (typeof result?.thread?.id === 'string') this.#threads.add(result.thread.id);
    if (method === 'thread/resume' && error === undefined) this.#resumes += 1;
    return result;
  }

  /** Waits until a client has been told something. */
  hears(method: string, fits: (params: Json) => boolean = () => true, role: Role = 'actor'): Promise<Notification> {
    return this.clients[role].notification(method, (params) => this.#isOurs(params) && fits(params));
  }

  /** Waits until all have been told something. */
  async allHear(method: string, fits?: (params: Json) => boolean): Promise<void> {
    for (const role of ROLES) await this.hears(method, fits, role);
  }

  /** A thread of the actor's. */
  async start(params: object = {}): Promise<string> {
    const { thread } = await this.ask('thread/start', {
      cwd: this.cwd,
      approvalPolicy: 'never',
      ...params,
    });
    await this.allHear('thread/started', (told) => told.thread.id === thread.id);
    return thread.id;
  }

  /** A turn to its end, as the actor, who watches, and everyone hears it. @returns its id */
  async turn(threadId: string, text: string, { role = 'actor', ...more }: TurnOptions = {}): Promise<string> {
    const ends = this.#ends(threadId);
    const { turn } = await this.ask('turn/start', { threadId, input: say(text), ...more }, role);
    await this.ended(threadId, ends);
    return turn.id;
  }

  /** A turn that stands still after its first word. @returns its id */
  async beginTurn(threadId: string): Promise<string> {
    const { turn } = await this.ask('turn/start', { threadId, input: say(this.waiting) });
    await this.hears('item/agentMessage/delta', ({ turnId }) => turnId === turn.id);
    return turn.id;
  }

  /** Waits for the next end of a turn, and that everyone knows that the thread does nothing. */
  async ended(threadId: string, after = 0): Promise<void> {
    await this.clients.actor.frame('the end of a turn', () => this.#ends(threadId) > after);
    for (const role of ROLES.filter((one) => !this.clients[one].isClosed)) {
      await this.clients[role].frame('the end of a turn', () => this.#statusIn(role, threadId) !== 'active');
    }
  }

  /** Lets a message wait for a thread. @returns its id there */
  async enqueue(threadId: string, text: string, role: Role = 'actor'): Promise<string> {
    const message = { threadId, input: say(text), clientUserMessageId: text };
    return (await this.ask('thread/queue/add', message, role)).queuedSubmission.id;
  }

  /**
   * What a client was shown as it came and what it has heard since are everything that there is, once; and the pieces
   * of texts that it heard are their ends.
   */
  assertFollowed(role: Role, shown: readonly Json[], all: readonly Json[]): void {
    const heard = this.clients[role].notifications;
    const completed = heard.filter(({ method }) => method === 'item/completed').map(({ params }) => params.item);
    const had = [...shown.flatMap(({ items }) => items), ...completed];
    const words = (items: readonly Json[]): readonly string[] =>
      items.map(({ type, text, content }) => `${type} ${text ?? JSON.stringify(content)}`);
    deepEqual(words(had), words(all));
    for (const { id, text } of completed.filter(({ type }) => type === 'agentMessage')) {
      const pieces = heard.filter(({ method, params }) => method === 'item/agentMessage/delta' && params.itemId === id);
      const said = pieces.map(({ params }) => params.delta).join('');
      ok(said !== '' && text.endsWith(said), `of ${text} came ${said}`);
    }
  }

  /** Waits until everyone has been told what Codex tells a moment after its answer. */
  async settled(): Promise<void> {
    for (const client of Object.values(this.clients).filter(({ isClosed }) => !isClosed)) {
      const told = (): number =>
        client.notifications.filter(({ method, params }) => method === 'thread/goal/cleared' && this.#isOurs(params))
          .length;
      await client.frame('that goals are cleared', () => told() >= this.#resumes);
      await client.call('thread/loaded/list', {});
    }
  }

  #ends(threadId: string): number {
    return this.clients.actor.notifications.filter(
      ({ method, params }) => method === 'turn/completed' && params.threadId === threadId,
    ).length;
  }

  #statusIn(role: Role, threadId: string): string {
    const last = this.clients[role].notifications.findLast(
      ({ method, params }) => method === 'thread/status/changed' && params.threadId === threadId,
    );
    return last?.params.status.type ?? 'active';
  }

  /** Of a thread of this session, or of none. */
  #isOurs({ threadId, thread }: Json): boolean {
    const id = threadId ?? thread?.id;
    return id === undefined || this.#threads.has(id);
  }

  transcript(): Transcript {
    const ids = new Map<string, string>();
    const plain = (value: Json, key = ''): Json => {
      if (typeof value === 'number' && /(?:At|AtMs|durationMs)$/.test(key)) return 'a time';
      if (typeof value === 'string') return this.#plainText(value, key, ids);
      if (Array.isArray(value)) return value.map((element) => plain(element, key));
      if (typeof value !== 'object' || value === null) return value;
      const members = Object.keys(value).toSorted();
      return Object.fromEntries(members.map((name) => [this.#plainText(name, '', ids), plain(value[name], name)]));
    };
    const answers = this.#answers.map(([asked, answer]) => [asked, plain(answer)] as const);
    const told = (role: Role): Transcript['told'][Role] =>
      inOnePiece(this.clients[role].notifications.filter(({ params }) => this.#isOurs(params))).map(
        ({ method, params }) => [method, plain(params)] as const,
      );
    return { answers, told: { actor: told('actor'), watcher: told('watcher'), bystander: told('bystander') } };
  }

  #plainText(value: string, key: string, ids: Map<string, string>): string {
    // Cursors are opaque to clients.
    if (key.endsWith('Cursor')) return 'a cursor';
    if (key === 'installationId') return 'an installation';
    if (value.startsWith('msg_')) return 'a message';
    let text = value;
    for (const [word, name] of [...this.#stage.words, [this.cwd, 'CWD'] as const])
      text = text === word || word.startsWith('/') ? text.replaceAll(word, name) : text;
    return text
      .replaceAll(UUID, (id) => {
        const name = ids.get(id) ?? `id ${ids.size + 1}`;
        ids.set(id, name);
        return name;
      })
      .replaceAll(/\d{4}-\d{2}-\d{2}T[-:0-9.]*\d(?:Z|(?!\d))/g, 'an instant')
      .replaceAll(/\d{4}\/\d{2}\/\d{2}/g, 'a day');
  }
}

/** Pieces of a text that follow each other, as one: how many there are is the affair of whoever sends them. */
function inOnePiece(told: readonly Notification[]): readonly Notification[] {
  const whole: Notification[] = [];
  for (const one of told) {
    const last = whole.at(-1);
    const goesOn =
      last?.method === one.method && one.params.delta !== undefined && last.params.itemId === one.params.itemId;
    if (goesOn) whole.pop();
    whole.push(goesOn ? { ...one, params: { ...one.params, delta: last.params.delta + one.params.delta } } : one);
  }
  return whole;
}

/** Plays a session with clients of its own. */
export async function play(
  stage: Stage,
  session: (player: Player) => Promise<void>,
  scene: Scene,
): Promise<Transcript> {
  const [actor, watcher, bystander] = await Promise.all(ROLES.map((name) => stage.connect({ name })));
  if (actor === undefined || watcher === undefined || bystander === undefined) throw new Error('nobody came');
  const clients = { actor, watcher, bystander };
  const player = new Player(clients, stage, scene);
  try {
    await session(player);
    await player.settled();
    return player.transcript();
  } finally {
    await Promise.all(Object.values(clients).map((client) => client.close()));
  }
}
