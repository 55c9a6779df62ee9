import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import type { WhenDone } from './process.ts';

/** An answer that stands still after its first word until it may go on, or a refusal. */
export type SlowAnswer = { readonly text: string; readonly mayGoOn: Promise<void> } | { readonly refusal: string };

/** An answer that calls a tool, as models do: its arguments are JSON in a text. */
export interface ToolCallAnswer {
  readonly tool: string;
  readonly arguments: object;
}

/**
 * What a scripted model answers a request with; undefined: it never does.
 * @param toolOutputs what tools have answered since the user spoke
 */
export type Script = (
  lastUserText: string,
  toolOutputs: readonly unknown[],
) => string | SlowAnswer | ToolCallAnswer | undefined;

/** A model endpoint on loopback that speaks as much of the Responses API as a client needs for plain answers. */
export interface ScriptedModel {
  /** To be configured as `base_url`. */
  readonly baseUrl: string;
  /** What users said last, request by request. */
  readonly asked: readonly string[];
  /** All that it was sent, request by request: JSON. */
  readonly bodies: readonly string[];
}

/** Serves answers until the test ends: one streamed message for each request. */
export async function startScriptedModel(
  script: Script = (text) => `you said: ${text}`,
  whenDone: WhenDone = onTestFinished,
): Promise<ScriptedModel> {
  const asked: string[] = [];
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.url?.endsWith('/responses') !== true) {
        response.writeHead(404).end();
        return;
      }
      const body = Buffer.concat(chunks).toString('utf8');
      const asking = JSON.parse(body) as ResponsesRequest;
      const text = lastUserText(asking);
      bodies.push(body);
      asked.push(text);
      const answer = script(text, toolOutputs(asking));
      if (answer !== undefined) void stream(response, asked.length, answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  whenDone(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, asked, bodies };
}

interface ResponsesRequest {
  readonly input: readonly {
    readonly type?: string;
    readonly role?: string;
    readonly output?: unknown;
    readonly content?: readonly { readonly type: string; readonly text?: string }[];
  }[];
}

function lastUserText({ input }: ResponsesRequest): string {
  const last = input.findLast(({ role }) => role === 'user');
  return last?.content?.map(({ text }) => text ?? '').join('') ?? '';
}

/** What tools have answered since the user spoke. */
function toolOutputs({ input }: ResponsesRequest): readonly unknown[] {
  const said = input.findLastIndex(({ role }) => role === 'user');
  return input.slice(said + 1).flatMap(({ type, output }) => (type === 'function_call_output' ? [output] : []));
}

/** What a refusal says over the wire. */
export const refusalText = (message: string): string =>
  JSON.stringify({ error: { message, type: 'invalid_request_error' } });

async function stream(
  response: ServerResponse,
  number: number,
  answer: string | SlowAnswer | ToolCallAnswer,
): Promise<void> {
  if (typeof answer === 'object' && 'refusal' in answer) {
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end(refusalText(answer.refusal));
    return;
  }
  const text = typeof answer === 'string' ? answer : 'text' in answer ? answer.text : '';
  const [responseId, itemId] = [`resp_${number}`, `msg_${number}`];
  const item = { type: 'message', id: itemId, role: 'assistant' };
  const usage = {
    input_tokens: 10,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 5,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 15,
  };
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const event = (type: string, members: object): void => {
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`);
  };
  event('response.created', { response: { id: responseId } });
  if (typeof answer === 'object' && 'tool' in answer) {
    const call = { type: 'function_call', id: `fc_${number}`, call_id: `call_${number}`, name: answer.tool };
    const called = { ...call, arguments: JSON.stringify(answer.arguments) };
    event('response.output_item.done', { output_index: 0, item: called });
    event('response.completed', { response: { id: responseId, usage } });
    response.end();
    return;
  }
  event('response.output_item.added', { output_index: 0, item: { ...item, content: [] } });
  for (const [index, delta] of text.split(/(?= )/).entries()) {
    if (index === 1 && typeof answer === 'object' && 'mayGoOn' in answer) await answer.mayGoOn;
    event('response.output_text.delta', { item_id: itemId, output_index: 0, content_index: 0, delta });
  }
  event('response.output_item.done', { output_index: 0, item: { ...item, content: [{ type: 'output_text', text }] } });
  event('response.completed', { response: { id: responseId, usage } });
  response.end();
}
