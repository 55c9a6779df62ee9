import type { ClientReply, ClientRequestMethod, ClientRequests } from '../../src/domain/client-request.ts';
import { HandModel, type ModelCall } from './hand-model.ts';
import type { Json, RpcClient } from './rpc-client.ts';
import { startServer, type RunningServer, type ServerSetup } from './server.ts';

/** Turns that ask their clients, answered by the test. */

export const COMMAND = {
  itemId: 'call_1',
  startedAtMs: 1_000,
  command: 'touch here',
  cwd: '/tmp',
  availableDecisions: ['accept', 'cancel'],
} as const;

/** One question of each kind. */
export const QUESTIONS: { readonly [M in ClientRequestMethod]: ClientRequests[M]['params'] } = {
  'item/commandExecution/requestApproval': COMMAND,
  'item/fileChange/requestApproval': { itemId: 'call_2', startedAtMs: 1_000, reason: null },
  'item/permissions/requestApproval': {
    itemId: 'call_3',
    startedAtMs: 1_000,
    cwd: '/tmp',
    permissions: { network: { enabled: true } },
  },
  'mcpServer/elicitation/request': {
    serverName: 'a server',
    mode: 'form',
    message: 'Who are you?',
    requestedSchema: { type: 'object', properties: { name: { type: 'string' } } },
  },
  'item/tool/requestUserInput': {
    itemId: 'call_4',
    isBlocking: true,
    questions: [{ id: 'colour', header: 'Colour', question: 'Which?', options: null }],
  },
  'item/tool/call': { callId: 'call_5', namespace: null, tool: 'lookup', arguments: { word: 'x' } },
};

/** A good answer to each. */
export const ANSWERS: { readonly [M in ClientRequestMethod]: ClientRequests[M]['answer'] } = {
  'item/commandExecution/requestApproval': { decision: 'accept' },
  'item/fileChange/requestApproval': { decision: 'decline' },
  'item/permissions/requestApproval': { permissions: { network: { enabled: true } }, scope: 'turn' },
  'mcpServer/elicitation/request': { action: 'accept', content: { name: 'me' } },
  'item/tool/requestUserInput': { answers: { colour: { answers: ['red'] } } },
  'item/tool/call': { contentItems: [{ type: 'inputText', text: 'found' }], success: true },
};

export const KINDS = Object.keys(QUESTIONS) as readonly ClientRequestMethod[];

/** A server with a turn that has got its model. */
export interface Asking {
  readonly server: RunningServer;
  readonly model: HandModel;
  /** Speaks in the thread. */
  readonly actor: RpcClient;
  /** Watches it. */
  readonly watcher: RpcClient;
  /** Is connected only. */
  readonly other: RpcClient;
  readonly threadId: string;
  readonly turnId: string;
  readonly call: ModelCall;
}

export async function startAsking(setup: Omit<ServerSetup, 'model'> = {}): Promise<Asking> {
  const model = new HandModel();
  const server = await startServer({ ...setup, model });
  const [actor, watcher, other] = [await server.connect(), await server.connect(), await server.connect()];
  const { thread } = await actor.call('thread/start', {});
  const first = actor.turn(thread.id, 'hello');
  const answering = await model.call();
  await answering.message('msg_1', ['hi']);
  await answering.end();
  await first;
  await watcher.call('thread/resume', { threadId: thread.id, excludeTurns: true });
  const { turn } = await actor.call('turn/start', { threadId: thread.id, input: words('do it') });
  const call = await model.call();
  await settled(actor, watcher, other);
  return { server, model, actor, watcher, other, threadId: thread.id, turnId: turn.id, call };
}

export const words = (text: string): Json => [{ type: 'text', text, text_elements: [] }];

/** The turn asks; what it gets to know, and the request as a client has it. */
export interface Asked<M extends ClientRequestMethod> {
  readonly reply: Promise<ClientReply<M>>;
  readonly request: Json;
}

/** Asks, and waits until a client has the request. */
export async function ask<M extends ClientRequestMethod>(
  call: ModelCall,
  client: RpcClient,
  method: M,
  params: ClientRequests[M]['params'] = QUESTIONS[method],
): Promise<Asked<M>> {
  const from = client.frames.length;
  const reply = call.request.clients.ask(method, params);
  return { reply, request: await client.frame(`the request ${method}`, (frame) => isRequest(frame, method), from) };
}

export const isRequest = (frame: Json, method?: string): boolean =>
  frame.id !== undefined && (method === undefined ? frame.method !== undefined : frame.method === method);

/** Requests of the server that a client has got, in order. */
export const requestsTo = (client: RpcClient): readonly Json[] => client.frames.filter((frame) => isRequest(frame));

/** A question and an answer of which the client knows that everything before has been dealt with. */
export const settled = async (...clients: readonly RpcClient[]): Promise<void> => {
  for (const client of clients) await client.call('thread/loaded/list', {});
};

/** Frames in words: what waits for whom, what ended how. */
export function toldSince(client: RpcClient, from: number): readonly string[] {
  return client.frames
    .slice(from)
    .filter(({ method, result }) => method !== undefined || result?.thread !== undefined)
    .map(({ id, method, params }) => {
      if (method === undefined) return 'the thread as it is';
      if (id !== undefined) return `request ${id} ${method}`;
      if (method === 'thread/status/changed')
        return `status ${[params.status.type, ...(params.status.activeFlags ?? [])].join(' ')}`;
      if (method === 'serverRequest/resolved') return `resolved ${params.requestId}`;
      if (method === 'turn/completed') return `${method} ${params.turn.status}`;
      if (method === 'item/started') return `${method} ${params.item.type}`;
      if (method === 'item/completed') return `${method} ${params.item.type} ${params.item.status ?? ''}`.trim();
      return method;
    });
}
