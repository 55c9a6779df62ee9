import { text as readAll } from 'node:stream/consumers';
import { objectMember, stringMember, type JsonObject } from '../../domain/json.ts';
import type { Command, Invocation } from '../command.ts';
import { withDaemon, type DaemonClient, type ServerQuestion } from '../daemon-client.ts';
import { CliError, EXIT, usageError, type ExitCode } from '../exit-code.ts';
import { homeHint } from '../hints.ts';
import { printable, say, writeJson, writeOut } from '../output.ts';
import { describeQuestion } from '../question.ts';
import { findThread } from '../thread-reference.ts';

/** `skein send`. */
export const sendCommand: Command = {
  name: 'send',
  summary: 'say something in a new thread, or in the one named, and stream the answer',
  details:
    'TEXT - is read from standard input. The answer goes to standard output, all else to standard error.\nCtrl-C interrupts the turn. With --json every notification and question of the thread is a line.',
  arguments: [{ name: 'THREAD', isOptional: true }, { name: 'TEXT' }],
  options: {
    cwd: { type: 'string', value: 'DIR', help: 'folder of a new thread; default: this one' },
    model: { type: 'string', value: 'NAME', help: 'model of a new thread' },
    ephemeral: { type: 'boolean', help: 'a new thread that is stored nowhere' },
  },
  run: async (invocation) => {
    const { args, text } = invocation;
    const [first = '', second] = args;
    const given = second ?? first;
    const words = given === '-' ? await readAll(process.stdin) : given;
    if (words.trim() === '') throw usageError('there is nothing to say');
    return withDaemon(text('home'), async (client) => {
      // Before the thread is resumed: it may be waiting already.
      client.onQuestion((question) => tell(question, invocation));
      const threadId =
        second === undefined
          ? await newThread(client, invocation)
          : await attach(client, await findThread(client, first));
      return converse(client, threadId, words, invocation);
    });
  },
};

async function newThread(client: DaemonClient, { text, flag }: Invocation): Promise<string> {
  const started = await client.call('thread/start', {
    cwd: text('cwd') ?? process.cwd(),
    ephemeral: flag('ephemeral'),
    ...(text('model') === undefined ? {} : { model: text('model') }),
  });
  return threadIdOf(started);
}

async function attach(client: DaemonClient, threadId: string): Promise<string> {
  return threadIdOf(await client.call('thread/resume', { threadId, excludeTurns: true }));
}

const threadIdOf = (result: JsonObject): string => stringMember(objectMember(result, 'thread') ?? {}, 'id') ?? '';

/** Sends the words and streams what comes, until the turn that they are in has ended. */
async function converse(
  client: DaemonClient,
  threadId: string,
  words: string,
  { flag, text }: Invocation,
): Promise<ExitCode> {
  const isJson = flag('json');
  let turnId: string | undefined;
  let wasInterrupted = false;
  let end: (turn: JsonObject) => void = () => {};
  const ended = new Promise<JsonObject>((resolve) => (end = resolve));
  client.onNotification(({ method, params }) => {
    if (params['threadId'] !== threadId) return;
    if (isJson) writeJson({ method, params });
    else show(method, params);
    const turn = objectMember(params, 'turn');
    if (method === 'turn/completed' && turn !== undefined) end(turn);
  });
  const interrupt = (): void => {
    if (wasInterrupted || turnId === undefined) process.exit(EXIT.interrupted);
    wasInterrupted = true;
    client.call('turn/interrupt', { threadId, turnId }).catch(() => process.exit(EXIT.interrupted));
  };
  process.on('SIGINT', interrupt);
  try {
    if (!isJson) say(`thread ${threadId}`);
    const input = [{ type: 'text', text: words, text_elements: [] }];
    const answer = await client.call('turn/start', { threadId, input });
    turnId = stringMember(objectMember(answer, 'turn') ?? {}, 'id');
    if (isJson) writeJson({ threadId, turnId });
    const turn = await Promise.race([ended, client.closed.then(() => Promise.reject(cutOff(threadId, text('home'))))]);
    return exitCodeOf(turn, isJson);
  } finally {
    process.off('SIGINT', interrupt);
  }
}

function tell({ id, method, params }: ServerQuestion, { flag, text }: Invocation): void {
  if (flag('json')) writeJson({ id, method, params });
  else say(`the turn waits for an answer that send cannot give: ${describeQuestion(method, params, text('home'))}`);
}

function show(method: string, params: JsonObject): void {
  if (method === 'item/agentMessage/delta') writeOut(printable(stringMember(params, 'delta') ?? ''));
  else if (method === 'item/completed' && objectMember(params, 'item')?.['type'] === 'agentMessage') writeOut('\n');
  else if (method === 'warning') say(`warning: ${stringMember(params, 'message') ?? ''}`);
}

function exitCodeOf(turn: JsonObject, isJson: boolean): ExitCode {
  const status = stringMember(turn, 'status');
  if (status === 'completed') return EXIT.ok;
  if (!isJson && status === 'interrupted') say('interrupted');
  if (status === 'interrupted') return EXIT.interrupted;
  if (!isJson)
    say(`the turn failed: ${stringMember(objectMember(turn, 'error') ?? {}, 'message') ?? 'unknown reason'}`);
  return EXIT.failure;
}

const cutOff = (threadId: string, home: string | undefined): CliError =>
  new CliError(
    EXIT.failure,
    `the connection was lost; what was answered is in: skein thread show ${threadId}${homeHint(home)}`,
  );
