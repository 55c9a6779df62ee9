import { objectMember, stringMember, arrayMember, isJsonObject, type JsonObject } from '../../domain/json.ts';
import type { Command } from '../command.ts';
import { withDaemon } from '../daemon-client.ts';
import { untilInterrupted } from '../interrupt.ts';
import { printable, say, writeJson, writeOut } from '../output.ts';
import { describeQuestion } from '../question.ts';
import { findThread } from '../thread-reference.ts';

/** `skein watch`. */
export const watchCommand: Command = {
  name: 'watch',
  summary: 'follow what happens in a thread until Ctrl-C; loads it if need be',
  details:
    'Shows what a turn asks its clients, and answers nothing. With --json every notification and question is a line.',
  arguments: [{ name: 'THREAD' }],
  options: {},
  run: ({ args, flag, text }) =>
    withDaemon(text('home'), async (client) => {
      const threadId = await findThread(client, args[0] ?? '');
      client.onNotification(({ method, params }) => {
        if (params['threadId'] !== threadId) return;
        if (flag('json')) writeJson({ method, params });
        else show(method, params);
      });
      client.onQuestion(({ id, method, params }) => {
        if (flag('json')) writeJson({ id, method, params });
        else say(`-- waits for an answer: ${describeQuestion(method, params, text('home'))}`);
      });
      await client.call('thread/resume', { threadId, excludeTurns: true });
      if (!flag('json')) say(`watching ${threadId}; Ctrl-C ends that`);
      return untilInterrupted(client.closed);
    }),
};

function show(method: string, params: JsonObject): void {
  const item = objectMember(params, 'item');
  const turn = objectMember(params, 'turn');
  switch (method) {
    case 'item/agentMessage/delta':
      writeOut(printable(stringMember(params, 'delta') ?? ''));
      return;
    case 'item/completed':
      if (item?.['type'] === 'userMessage') writeOut(`> ${wordsIn(item)}\n`);
      else if (item?.['type'] === 'agentMessage') writeOut('\n');
      else writeOut(`[${stringMember(item ?? {}, 'type') ?? ''}]\n`);
      return;
    case 'turn/completed':
      say(`-- turn ${stringMember(turn ?? {}, 'status') ?? ''}`);
      return;
    case 'serverRequest/resolved':
      say('-- waits no more');
      return;
    case 'warning':
      say(`warning: ${stringMember(params, 'message') ?? ''}`);
      return;
    case 'thread/name/updated':
      say(`-- renamed: ${printable(stringMember(params, 'threadName') ?? '')}`);
      return;
    case 'thread/archived':
    case 'thread/unarchived':
    case 'thread/deleted':
    case 'thread/closed':
    case 'thread/reverted':
      say(`-- ${method.slice('thread/'.length)}`);
      return;
    default:
  }
}

const wordsIn = (item: JsonObject): string =>
  printable(
    arrayMember(item, 'content')
      .filter(isJsonObject)
      .map((part) => stringMember(part, 'text') ?? `[${stringMember(part, 'type') ?? ''}]`)
      .join(' '),
  );
