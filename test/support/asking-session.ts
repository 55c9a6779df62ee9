import type { ClientReply } from '../../src/domain/client-request.ts';
import type { JsonObject } from '../../src/domain/json.ts';
import { wordsOf } from '../../src/domain/user-input.ts';
import type { ModelClient, ModelEvent, ModelRequest } from '../../src/engine/model-client.ts';
import { NO_TOKENS } from '../../src/engine/turn-events.ts';
import { isRequest, requestsTo, settled, toldSince, words } from './asking.ts';
import type { Script } from './responses-api.ts';
import type { Json, RpcClient, RpcClientOptions } from './rpc-client.ts';

/**
 * One session in which turns ask their clients, played to a server: what each client is told, step by step. What the
 * user says decides what the model does: `run` runs a command that needs approval, `look up` calls a tool of the
 * client, `ask me` asks the user, anything else is answered at once.
 */
export type AskingSteps = ReadonlyMap<string, Readonly<Record<'actor' | 'watcher' | 'late', readonly string[]>>>;

const CALLS: Readonly<Record<string, { readonly tool: string; readonly arguments: object }>> = {
  run: { tool: 'exec_command', arguments: { cmd: 'touch made-by-the-model' } },
  'look up': { tool: 'lookup', arguments: { word: 'x' } },
  'ask me': {
    tool: 'request_user_input',
    arguments: {
      questions: [
        {
          id: 'colour',
          header: 'Colour',
          question: 'Which?',
          options: [
            { label: 'red', description: 'warm' },
            { label: 'blue', description: 'cold' },
          ],
        },
      ],
    },
  },
};

/** The model of the session as an endpoint. */
export const askingScript: Script = (said, toolOutputs) => (toolOutputs.length > 0 ? 'done' : (CALLS[said] ?? 'done'));

/** Tells whoever watches a thread of an item: what tools will do. */
export type TellItem = (method: 'item/started' | 'item/completed', threadId: string, params: JsonObject) => void;

/** The model of the session for Skein, with the tools that it calls. */
export class AskingModel implements ModelClient {
  readonly name = 'asking';
  readonly description = 'A double.';
  readonly contextWindow = 1_000;
  readonly #tell: TellItem;
  #count = 0;

  constructor(tell: TellItem) {
    this.#tell = tell;
  }

  async *stream(request: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent> {
    this.#count += 1;
    const callId = `call_${this.#count}`;
    const { length } = request.messages;
    const said = wordsOf(request.messages.at(-1)?.input ?? []);
    if (said === 'run') await this.#run(request, callId);
    else if (said === 'look up') await this.#lookUp(request, callId);
    else if (said === 'ask me') await askUser(request, callId);
    if (signal.aborted) return;
    const itemId = `msg_${this.#count}`;
    // Steered meanwhile: the next call answers all of it.
    if (request.messages.length === length) {
      yield { type: 'messageStarted', itemId };
      yield { type: 'messageDelta', itemId, delta: 'done' };
      yield { type: 'messageCompleted', itemId, text: 'done' };
    }
    yield { type: 'completed', usage: { ...NO_TOKENS, inputTokens: 10, outputTokens: 5, totalTokens: 15 } };
  }

  async #run({ threadId, turnId, clients, settings }: ModelRequest, id: string): Promise<void> {
    const command = 'touch made-by-the-model';
    const item = (status: string): JsonObject => ({
      type: 'commandExecution',
      id,
      command,
      commandActions: [{ type: 'unknown', command }],
      cwd: settings.cwd,
      status,
    });
    this.#tell('item/started', threadId, { turnId, item: item('inProgress'), startedAtMs: 1 });
    const reply = await clients.ask('item/commandExecution/requestApproval', {
      kind: 'command',
      itemId: id,
      startedAtMs: 1,
      command,
      cwd: settings.cwd,
    });
    if (reply.type === 'withdrawn') return;
    const status = reply.type === 'failed' ? 'failed' : reply.answer.decision === 'accept' ? 'completed' : 'declined';
    this.#tell('item/completed', threadId, { turnId, item: item(status), completedAtMs: 2 });
  }

  async #lookUp({ threadId, turnId, clients }: ModelRequest, callId: string): Promise<void> {
    const call = { tool: 'lookup', namespace: null, arguments: { word: 'x' } };
    const item = (status: string): JsonObject => ({ type: 'dynamicToolCall', id: callId, ...call, status });
    this.#tell('item/started', threadId, { turnId, item: item('inProgress'), startedAtMs: 1 });
    const reply: ClientReply<'item/tool/call'> = await clients.ask('item/tool/call', { callId, ...call });
    const isGood = reply.type === 'answered' && reply.answer.success;
    this.#tell('item/completed', threadId, { turnId, item: item(isGood ? 'completed' : 'failed'), completedAtMs: 2 });
  }
}

const askUser = ({ clients }: ModelRequest, itemId: string): Promise<unknown> =>
  clients.ask('item/tool/requestUserInput', {
    itemId,
    isBlocking: true,
    questions: [{ id: 'colour', header: 'Colour', question: 'Which?' }],
  });

const PLAN = {
  collaborationMode: {
    mode: 'plan',
    settings: { model: 'scripted-model', reasoning_effort: null, developer_instructions: null },
  },
};

/** @param connect makes a connection to the server */
export async function playAsking(
  connect: (options: RpcClientOptions) => Promise<RpcClient>,
  cwd: string,
): Promise<AskingSteps> {
  const actor = await connect({ name: 'actor' });
  let watcher = await connect({ name: 'watcher' });
  const late = await connect({ name: 'late' });
  const start = {
    cwd,
    approvalPolicy: 'untrusted',
    sandbox: 'read-only',
    dynamicTools: [
      {
        type: 'function',
        name: 'lookup',
        description: 'Looks a word up.',
        inputSchema: { type: 'object', properties: { word: { type: 'string' } } },
      },
    ],
  };
  const steps = new Map<string, Readonly<Record<'actor' | 'watcher' | 'late', readonly string[]>>>();

  /**
   * A turn in a new thread that comes to its question, and what is done about that. What the clients are told is noted
   * from the beginning of the turn until everyone has heard `end`.
   */
  const step = async (
    name: string,
    said: string,
    play: (asked: { readonly threadId: string; readonly turnId: string; readonly id: number }) => Promise<void>,
    end: (client: RpcClient, from: number) => Promise<unknown> = idle,
  ): Promise<void> => {
    const { thread } = await actor.call('thread/start', start);
    const threadId: string = thread.id;
    await actor.turn(threadId, 'hello');
    await watcher.call('thread/resume', { threadId, excludeTurns: true });
    await settled(actor, watcher, late);
    const watching = watcher;
    const from = [actor, watcher, late].map(({ frames }) => frames.length);
    const more = said === 'ask me' ? PLAN : {};
    const { turn } = await actor.call('turn/start', { threadId, input: words(said), ...more });
    for (const [index, client] of [actor, watcher].entries()) {
      await client.frame('the request', (frame) => isRequest(frame), from[index]);
    }
    const { id } = requestsTo(actor).at(-1);
    await play({ threadId, turnId: turn.id, id });
    for (const [index, client] of [actor, watcher, late].entries())
      await end(client, client === watching || client !== watcher ? (from[index] ?? 0) : 0);
    // In Codex a status may overtake what it follows from.
    if (end === idle) await Promise.any([actor, watcher, late].map((client) => completed(client, turn.id)));
    await settled(actor, watcher, late);
    const told = (client: RpcClient, at: number): readonly string[] => toldSince(client, from[at] ?? 0);
    steps.set(name, {
      actor: told(actor, 0),
      watcher: watcher === watching ? told(watcher, 1) : toldSince(watcher, 0),
      late: told(late, 2),
    });
    await late.call('thread/unsubscribe', { threadId });
  };
  const answer = (client: RpcClient, id: number, result: object): void => client.send({ id, result });
  /** Begins to watch, and is asked. */
  const resume = async (client: RpcClient, threadId: string, id: number): Promise<void> => {
    const from = client.frames.length;
    await client.call('thread/resume', { threadId, excludeTurns: true });
    await client.frame('the request', (frame) => isRequest(frame) && frame.id === id, from);
  };
  const fail = (id: number): void => actor.send({ id, error: { code: -1, message: 'no' } });
  const resolved = (client: RpcClient, id: number): Promise<unknown> =>
    client.notification('serverRequest/resolved', ({ requestId }) => requestId === id);
  const FOUND = { contentItems: [{ type: 'inputText', text: 'found' }], success: true };

  await step('accepted by one of two', 'run', async ({ id }) => {
    answer(watcher, id, { decision: 'accept' });
    await resolved(actor, id);
    answer(actor, id, { decision: 'decline' });
  });
  await step('declined', 'run', async ({ id }) => answer(actor, id, { decision: 'decline' }));
  await step('answered with an error', 'run', async ({ id }) => fail(id));
  await step('answered with nonsense', 'run', async ({ id }) => answer(actor, id, { decision: 'perhaps' }));
  await step('answered by one who comes later', 'run', async ({ threadId, id }) => {
    await resume(late, threadId, id);
    answer(late, id, { decision: 'decline' });
  });
  await step('asked again by resuming again', 'run', async ({ threadId, id }) => {
    await resume(watcher, threadId, id);
    answer(watcher, id, { decision: 'decline' });
  });
  await step('answered by one who was cut off', 'run', async ({ threadId, id }) => {
    watcher.socket.terminate();
    watcher = await connect({ name: 'watcher again' });
    await resume(watcher, threadId, id);
    answer(watcher, id, { decision: 'decline' });
  });
  await step('everyone leaves and one comes', 'run', async ({ threadId, id }) => {
    for (const client of [actor, watcher]) await client.call('thread/unsubscribe', { threadId });
    await resume(late, threadId, id);
    answer(late, id, { decision: 'decline' });
  });
  await step('interrupted', 'run', async ({ threadId, turnId, id }) => {
    await actor.call('turn/interrupt', { threadId, turnId });
    await Promise.all([resolved(actor, id), resolved(watcher, id)]);
  });
  await step('steered', 'run', async ({ threadId, turnId, id }) => {
    await actor.call('turn/steer', { threadId, expectedTurnId: turnId, input: words('rather this') });
    answer(watcher, id, { decision: 'decline' });
  });
  for (const [name, method] of [
    ['archived', 'thread/archive'],
    ['deleted', 'thread/delete'],
  ] as const) {
    const hears = (client: RpcClient, from: number): Promise<unknown> =>
      client.notification(`thread/${name}`, () => true, from);
    await step(name, 'run', async ({ threadId }) => void (await actor.call(method, { threadId })), hears);
  }
  await step(
    'reverted',
    'run',
    async ({ threadId, turnId }) => void (await actor.call('thread/revert', { threadId, beforeTurnId: turnId })),
    (client, from) => client.notification('thread/reverted', () => true, from),
  );
  await step('tool', 'look up', async ({ id }) => answer(watcher, id, FOUND));
  await step('tool that fails', 'look up', async ({ id }) => fail(id));
  await step('tool that answers nonsense', 'look up', async ({ id }) => answer(actor, id, { success: 'yes' }));
  await step('tool of one who comes later', 'look up', async ({ threadId, id }) => {
    await resume(late, threadId, id);
    answer(late, id, FOUND);
  });
  await step('tool interrupted', 'look up', async ({ threadId, turnId }) => {
    await actor.call('turn/interrupt', { threadId, turnId });
  });
  await step('question', 'ask me', async ({ id }) => answer(actor, id, { answers: { colour: { answers: ['red'] } } }));
  await step('question answered with nonsense', 'ask me', async ({ id }) => answer(actor, id, { answers: 5 }));
  await step('question interrupted', 'ask me', async ({ threadId, turnId, id }) => {
    await actor.call('turn/interrupt', { threadId, turnId });
    await Promise.all([resolved(actor, id), resolved(watcher, id)]);
  });
  return steps;
}

const completed = (client: RpcClient, turnId: string): Promise<unknown> =>
  client.notification('turn/completed', ({ turn }: Json) => turn.id === turnId);

const idle = (client: RpcClient, from: number): Promise<unknown> =>
  client.notification('thread/status/changed', ({ status }: Json) => status.type === 'idle', from);
