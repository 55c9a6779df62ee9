import type { ModelClient, ModelEvent, ModelRequest, Summary } from '../../src/engine/model-client.ts';
import { NO_TOKENS } from '../../src/engine/turn-events.ts';
import { wordsOf } from '../../src/domain/user-input.ts';
import { refusalText, type Script } from './responses-api.ts';
import type { Json, Notification, RpcClient, RpcClientOptions } from './rpc-client.ts';

/**
 * One session played to a server, the same for every server: what each of three clients is told, step by step. What
 * the user says decides what the model does: `fail` fails, `wait` stands still after the first word until the session
 * lets it go on, anything else is answered at once.
 */
export interface Played {
  readonly steps: ReadonlyMap<string, Told>;
  /** All notifications of all clients. */
  readonly notifications: readonly Notification[];
}

/** What was told in a step, in order. */
export interface Told {
  /** To the client that does things. */
  readonly actor: readonly string[];
  /** To one that watches the thread. */
  readonly watcher: readonly string[];
  /** To one that only is connected. */
  readonly bystander: readonly string[];
}

/** Holds models back: those to which something was said that begins with `wait`, by what it was. */
export class ModelGate {
  readonly #held = new Map<string, ReturnType<typeof newGate>>();

  /** What waits may go on; what comes later waits anew. */
  open(said = 'wait'): void {
    this.#held.get(said)?.open();
    this.#held.delete(said);
  }

  /** Undefined for what nobody waits for. */
  mayGoOn(said: string): Promise<void> | undefined {
    if (!said.startsWith('wait')) return undefined;
    const held = this.#held.get(said) ?? newGate();
    this.#held.set(said, held);
    return held.promise;
  }
}

function newGate(): { readonly promise: Promise<void>; readonly open: () => void } {
  let open: () => void = () => {};
  const promise = new Promise<void>((resolve) => (open = resolve));
  return { promise, open };
}

const ANSWER = 'one two three';
const USAGE = { ...NO_TOKENS, inputTokens: 10, outputTokens: 5, totalTokens: 15 };
const FAILURE = 'the model failed';

/** The model of the session as an endpoint. */
export const scriptOf =
  (gate: ModelGate): Script =>
  (said) => {
    if (said === 'fail') return { refusal: FAILURE };
    const mayGoOn = gate.mayGoOn(said);
    return mayGoOn === undefined ? ANSWER : { text: ANSWER, mayGoOn };
  };

/** The model of the session for Skein. */
export class SessionModel implements ModelClient {
  readonly name = 'session';
  readonly description = 'A double.';
  /** What Codex takes a model to have that it does not know. */
  readonly contextWindow = 258_400;
  readonly #gate: ModelGate;
  #count = 0;

  constructor(gate: ModelGate) {
    this.#gate = gate;
  }

  async *stream(request: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent> {
    const said = wordsOf(request.messages.at(-1)?.input ?? []);
    if (said === 'fail') throw new Error(refusalText(FAILURE));
    const mayGoOn = this.#gate.mayGoOn(said);
    this.#count += 1;
    const itemId = `msg_${this.#count}`;
    yield { type: 'messageStarted', itemId };
    for (const [index, delta] of ANSWER.split(/(?= )/).entries()) {
      if (index === 1 && mayGoOn !== undefined) await orAborted(mayGoOn, signal);
      yield { type: 'messageDelta', itemId, delta };
    }
    yield { type: 'messageCompleted', itemId, text: ANSWER };
    yield { type: 'completed', usage: USAGE };
  }
}

/** The model of the session for Skein, where history is compacted. */
export class CompactingSessionModel extends SessionModel {
  async compact(): Promise<Summary> {
    return { text: ANSWER, usage: USAGE };
  }
}

const orAborted = (promise: Promise<void>, signal: AbortSignal): Promise<unknown> =>
  Promise.race([promise, new Promise((resolve) => signal.addEventListener('abort', resolve))]);

/** @param connect makes a connection to the server */
export async function playSession(
  connect: (options: RpcClientOptions) => Promise<RpcClient>,
  gate: ModelGate,
): Promise<Played> {
  const [actor, watcher, bystander] = [
    await connect({ name: 'actor' }),
    await connect({ name: 'watcher' }),
    await connect({ name: 'bystander' }),
  ];
  const clients = { actor, watcher, bystander };
  const all = Object.values(clients);
  const steps = new Map<string, Told>();
  let from: number[] = [];

  /** Waits until a client hears something in this step. */
  const hears = (client: RpcClient, method: string, fits: (params: Json) => boolean = () => true): Promise<unknown> =>
    client.notification(method, fits, from[all.indexOf(client)]);
  const allHear = async (method: string, fits?: (params: Json) => boolean): Promise<void> => {
    for (const client of all) await hears(client, method, fits);
  };
  const isStatus =
    (type: string) =>
    ({ status }: Json): boolean =>
      status.type === type;
  const flush = async (): Promise<void> => {
    for (const client of all) await client.call('thread/loaded/list', {});
  };
  const step = async (name: string, play: () => Promise<unknown>): Promise<void> => {
    await flush();
    from = all.map(({ frames }) => frames.length);
    await play();
    await flush();
    const told = (client: RpcClient): readonly string[] =>
      client.frames.slice(from[all.indexOf(client)]).filter(isNotification).map(nameOf);
    steps.set(name, { actor: told(actor), watcher: told(watcher), bystander: told(bystander) });
  };
  const input = (text: string): Json => [{ type: 'text', text, text_elements: [] }];
  /** A turn to its end, as everyone hears it. */
  const turn = async (client: RpcClient, threadId: string, text: string, more: object = {}): Promise<void> => {
    await client.call('turn/start', { threadId, input: input(text), ...more });
    await allHear('thread/status/changed', ({ status }) => status.type !== 'active');
    await hears(actor, 'turn/completed');
  };
  /** A turn that stands still. */
  const beginTurn = async (threadId: string): Promise<string> => {
    const { turn: begun } = await actor.call('turn/start', { threadId, input: input('wait') });
    await hears(actor, 'item/agentMessage/delta');
    return begun.id;
  };
  const ended = async (): Promise<void> => {
    await hears(actor, 'turn/completed');
    await allHear('thread/status/changed', isStatus('idle'));
  };

  let threadId = '';
  await step('start', async () => {
    threadId = (await actor.call('thread/start', { cwd: '/tmp' })).thread.id;
    await allHear('thread/started');
  });
  await step('first turn', () => turn(actor, threadId, 'hello'));
  await step('resume of a loaded thread', () => watcher.call('thread/resume', { threadId, excludeTurns: true }));
  await step('turn that two watch', () => turn(actor, threadId, 'hello again'));
  await step('turn of one who does not watch', () => turn(bystander, threadId, 'from aside'));
  await step('turn with other settings', () => turn(actor, threadId, 'hello', { approvalPolicy: 'untrusted' }));
  await step('failed turn', () => turn(actor, threadId, 'fail'));
  await step('turn after a failed one', () => turn(actor, threadId, 'hello'));
  await step('interrupted turn', async () => {
    const turnId = await beginTurn(threadId);
    await actor.call('turn/interrupt', { threadId, turnId });
    await ended();
  });
  await step('steered turn', async () => {
    const turnId = await beginTurn(threadId);
    await actor.call('turn/steer', { threadId, expectedTurnId: turnId, input: input('rather this') });
    await ended();
  });
  await step('turn/start in a turn', async () => {
    await beginTurn(threadId);
    await actor.call('turn/start', { threadId, input: input('rather this') });
    await ended();
  });
  const queue = (text: string): Promise<Json> =>
    actor.call('thread/queue/add', { threadId, input: input(text), clientUserMessageId: text });
  await step('queue for an idle thread', async () => {
    await queue('hello');
    await ended();
  });
  await step('queue in a turn', async () => {
    await beginTurn(threadId);
    const { queuedSubmission } = await queue('one');
    const { queuedSubmission: second } = await queue('two');
    await queue('hello');
    await actor.call('thread/queue/delete', { threadId, queuedSubmissionId: queuedSubmission.id });
    await actor.call('thread/queue/update', { threadId, queuedSubmissionId: second.id, input: input('fail') });
    gate.open();
    await allHear('thread/status/changed', isStatus('systemError'));
    const failed = actor.frames.findLastIndex(({ params }) => params?.status?.type === 'systemError');
    await actor.notification('turn/completed', ({ turn: { status } }) => status === 'completed', failed);
    await allHear('thread/status/changed', isStatus('idle'));
  });
  await step('interrupted turn with a queue, and its start', async () => {
    const turnId = await beginTurn(threadId);
    await queue('hello');
    await actor.call('turn/interrupt', { threadId, turnId });
    await hears(actor, 'turn/completed', ({ turn: { status } }) => status === 'interrupted');
    await actor.call('thread/queue/start', { threadId });
    await hears(actor, 'turn/completed', ({ turn: { status } }) => status === 'completed');
    for (const client of all) {
      let idle = 0;
      await hears(client, 'thread/status/changed', ({ status }) => status.type === 'idle' && (idle += 1) === 2);
    }
  });
  await step('mark as read', async () => {
    const { readState } = await actor.call('thread/read', { threadId });
    const { revision } = readState;
    await actor.call('thread/readState/update', { threadId, operation: { type: 'read' }, expectedRevision: revision });
  });
  await step('pin, and unpin', async () => {
    for (const sectionId of ['01984de2-8f74-7c91-a3b2-5c5e937cf318', null]) {
      await actor.call('thread/section/move', { threadId, sectionId });
      await allHear('thread/section/changed', (params) => params.sectionId === sectionId);
    }
  });
  await step('unsubscribe', () => watcher.call('thread/unsubscribe', { threadId }));
  await step('resume in a turn', async () => {
    await beginTurn(threadId);
    await watcher.call('thread/resume', { threadId, excludeTurns: true });
    gate.open();
    await ended();
    await hears(watcher, 'turn/completed');
  });
  await step('resume with its turns', () => watcher.call('thread/resume', { threadId }));
  await step('read with its turns', () => bystander.call('thread/read', { threadId, includeTurns: true }));
  await step('inject items', () =>
    actor.call('thread/inject_items', {
      threadId,
      items: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'injected' }] }],
    }),
  );
  await step('name', async () => {
    await actor.call('thread/name/set', { threadId, name: 'a name' });
    await allHear('thread/name/updated');
  });
  await step('fork with its turns', async () => {
    await actor.call('thread/fork', { threadId });
    await allHear('thread/started');
  });
  let forkId = '';
  await step('fork', async () => {
    forkId = (await actor.call('thread/fork', { threadId, excludeTurns: true })).thread.id;
    await allHear('thread/started');
  });
  await step('turn in the fork', () => turn(actor, forkId, 'hello'));
  await step('revert', async () => {
    const { data } = await actor.call('thread/turns/list', { threadId: forkId, limit: 1 });
    await actor.call('thread/revert', { threadId: forkId, beforeTurnId: data[0].id });
    await allHear('thread/reverted');
  });
  await step('revert in a turn', async () => {
    const turnId = await beginTurn(forkId);
    await actor.call('thread/revert', { threadId: forkId, beforeTurnId: turnId });
    await allHear('thread/reverted');
  });
  await step('archive', async () => {
    await actor.call('thread/archive', { threadId: forkId });
    await allHear('thread/archived');
  });
  await step('unarchive', async () => {
    await actor.call('thread/unarchive', { threadId: forkId });
    await allHear('thread/unarchived');
  });
  await step('cold resume', async () => {
    await actor.call('thread/resume', { threadId: forkId, excludeTurns: true });
    await allHear('thread/status/changed');
  });
  await step('archive in a turn', async () => {
    await beginTurn(forkId);
    await actor.call('thread/archive', { threadId: forkId });
    await allHear('thread/archived');
  });
  await step('delete', async () => {
    await actor.call('thread/delete', { threadId: forkId });
    await allHear('thread/deleted');
  });
  await step('everyone leaves', async () => {
    for (const client of [actor, watcher]) await client.call('thread/unsubscribe', { threadId });
    await allHear('thread/closed');
  });
  return { steps, notifications: all.flatMap(({ notifications }) => notifications) };
}

const isNotification = (frame: Json): boolean => frame.method !== undefined && frame.id === undefined;

/** The method, with what tells its cases apart. */
function nameOf({ method, params }: Json): string {
  if (method === 'thread/status/changed') return `${method} ${params.status.type}`;
  if (method === 'turn/completed') return `${method} ${params.turn.status}`;
  if (method === 'item/started' || method === 'item/completed') return `${method} ${params.item.type}`;
  return method;
}
