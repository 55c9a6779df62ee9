import type { Json, Notification, RpcClient, RpcClientOptions } from './rpc-client.ts';

/** Who takes part in a session. */
export type Role = 'actor' | 'watcher' | 'bystander';

/** What came of a session, in words that depend on neither time nor chance. */
export interface Transcript {
  /** What was asked, with its answer. */
  readonly answers: readonly (readonly [string, Json])[];
  /** What each was told about the threads of the session, in order. */
  readonly told: Readonly<Record<Role, readonly (readonly [string, Json])[]>>;
}

/** Where a session is played. */
export interface Stage {
  connect(options: RpcClientOptions): Promise<RpcClient>;
  /** Lets models go on that stand still. */
  readonly openGate: () => void;
  /** Texts that differ between the servers, with what stands for them. */
  readonly words: readonly (readonly [string, string])[];
}

/** What of a session is not to be compared. */
export interface Ignored {
  /** Methods of notifications. */
  readonly notifications: Readonly<Record<string, string>>;
  /** Names of members, wherever they are. */
  readonly members: Readonly<Record<string, string>>;
}

/** Who speaks, and settings of the turn. */
export interface TurnOptions {
  readonly role?: Role;
  readonly approvalPolicy?: string;
  readonly effort?: string;
}

const ROLES: readonly Role[] = ['actor', 'watcher', 'bystander'];
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

export const say = (text: string): Json => [{ type: 'text', text, text_elements: [] }];

/** A session while it is played: three clients, of which the first does most. */
export class Player {
  readonly clients: Readonly<Record<Role, RpcClient>>;
  readonly openGate: () => void;
  readonly #answers: [string, Json][] = [];
  readonly #threads = new Set<string>();

  constructor(clients: Readonly<Record<Role, RpcClient>>, openGate: () => void) {
    this.clients = clients;
    this.openGate = openGate;
  }

  /** Asks, and writes the answer down, good or bad. @returns the good one */
  async ask(method: string, params: object = {}, role: Role = 'actor'): Promise<Json> {
    const { result, error } = await this.clients[role].answer(method, params);
    this.#answers.push([
      `${role} ${method}`,
      error === undefined ? result : { code: error.code, message: error.message },
    ]);
    if (typeof result?.thread?.id === 'string') this.#threads.add(result.thread.id);
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
      cwd: '/tmp',
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
    const { turn } = await this.ask('turn/start', { threadId, input: say('wait') });
    await this.hears('item/agentMessage/delta', ({ turnId }) => turnId === turn.id);
    return turn.id;
  }

  /** Waits for the next end of a turn, and that everyone knows that the thread does nothing. */
  async ended(threadId: string, after = 0): Promise<void> {
    await this.clients.actor.frame('the end of a turn', () => this.#ends(threadId) > after);
    for (const role of ROLES) {
      await this.clients[role].frame('the end of a turn', () => this.#statusIn(role, threadId) !== 'active');
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

  #isOurs = ({ threadId, thread }: Json): boolean => this.#threads.has(threadId ?? thread?.id);

  transcript(words: Stage['words'], ignored: Ignored): Transcript {
    const ids = new Map<string, string>();
    const plain = (value: Json, key = ''): Json => {
      if (ignored.members[key] !== undefined) return 'not compared';
      if (typeof value === 'number' && /(?:At|AtMs|durationMs)$/.test(key)) return 'a time';
      if (typeof value === 'string') return this.#plainText(value, key, ids, words);
      if (Array.isArray(value)) return value.map((element) => plain(element, key));
      if (typeof value !== 'object' || value === null) return value;
      const members = Object.keys(value).toSorted();
      return Object.fromEntries(members.map((name) => [name, plain(value[name], name)]));
    };
    const answers = this.#answers.map(([asked, answer]) => [asked, plain(answer)] as const);
    const told = (role: Role): Transcript['told'][Role] =>
      this.clients[role].notifications
        .filter(({ method, params }) => this.#isOurs(params) || method === 'deprecationNotice')
        .filter(({ method }) => ignored.notifications[method] === undefined)
        .map(({ method, params }) => [method, plain(params)] as const);
    return { answers, told: { actor: told('actor'), watcher: told('watcher'), bystander: told('bystander') } };
  }

  #plainText(value: string, key: string, ids: Map<string, string>, words: Stage['words']): string {
    // Cursors are opaque to clients.
    if (key.endsWith('Cursor')) return 'a cursor';
    if (value.startsWith('msg_')) return 'a message';
    let text = value;
    for (const [word, name] of words) text = text === word || word.startsWith('/') ? text.replaceAll(word, name) : text;
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

/** Plays a session with clients of its own. */
export async function play(
  stage: Stage,
  session: (player: Player) => Promise<void>,
  ignored: Ignored,
): Promise<Transcript> {
  const [actor, watcher, bystander] = await Promise.all(ROLES.map((name) => stage.connect({ name })));
  if (actor === undefined || watcher === undefined || bystander === undefined) throw new Error('nobody came');
  const clients = { actor, watcher, bystander };
  const player = new Player(clients, stage.openGate);
  try {
    await session(player);
    for (const client of Object.values(clients)) await client.call('thread/loaded/list', {});
    return player.transcript(stage.words, ignored);
  } finally {
    await Promise.all(Object.values(clients).map((client) => client.close()));
  }
}
